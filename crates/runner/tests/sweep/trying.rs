//! `frostline try` and `init` on a folder of pictures: what they leave behind is an ordinary experiment.

use std::fs;
use std::path::Path;

use frostline_data::{Reading, Source};
use frostline_hub::{Hub, HubOptions, Silent};

use super::{frostline, text};

/// Zeros, ones and a few sevens in a folder each.
fn pictures(folder: &Path) {
    let hub = Hub::new(HubOptions::standard(folder.join("hf"))).unwrap();
    let prepared = frostline_data::prepare(&Source::Digits, &Reading::default(), &hub, &Silent).unwrap();
    let digits = frostline_data::open(&prepared, None).unwrap().train;
    for (label, most) in [(0, 60), (1, 60), (7, 15)] {
        let own = (0..digits.len()).filter(|image| digits.labels()[*image] == label).take(most);
        let class = folder.join("digits").join(format!("of-{label}"));
        fs::create_dir_all(&class).unwrap();
        for image in own {
            let picture = image::RgbImage::from_raw(8, 8, digits.image(image).to_vec()).unwrap();
            picture.save(class.join(format!("{image:04}.png"))).unwrap();
        }
    }
}

#[test]
fn a_try_leaves_an_ordinary_experiment_whose_winner_is_used() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let from_scratch = ["--models", "resnet18", "--weights", "resnet18=none"];
    let tried = [&["try", "digits", "--minutes", "0.5", "--resolution", "16"][..], &from_scratch].concat();
    // A source of that name exists, and a folder comes first.
    let output = frostline(folder.path(), &tried);
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    assert!(told.contains("108 images of 3 classes to train on, 27 to test on"), "{told}");
    assert!(told.contains("classes are uneven: 48 of `of-0`, 12 of `of-7`"), "{told}");
    assert!(said.contains("Chosen by validation: resnet18 with "), "{said}");

    let results = folder.path().join("results/try-digits");
    for file in ["report.md", "report.html", "try.md", "winner.safetensors", "winner.json", "experiment.toml"]
    {
        assert!(results.join(file).exists(), "{file}");
    }
    // The experiment has the trials that are stored, and no other.
    let again = frostline(
        folder.path(),
        &["sweep", "results/try-digits/experiment.toml", "--results", "results/try-digits"],
    );
    let said = text(&again.stdout);
    assert!(again.status.success() && said.contains("stored before"), "{said}{}", text(&again.stderr));
    let trials = said.lines().find(|line| line.starts_with("trials: ")).unwrap();
    assert!(trials.ends_with(" stored before") && !trials.contains(','), "{trials}");
    let file = fs::read_to_string(results.join("experiment.toml")).unwrap();
    for strategy in ["probe:ridge", "probe:logistic", "last-1"] {
        assert!(file.contains(&format!("{strategy:?}")), "{file}");
    }

    let arguments = ["predict", "results/try-digits/winner.safetensors", "digits/of-0", "--format", "csv"];
    let predicted = text(&frostline(folder.path(), &arguments).stdout);
    let right = predicted.lines().filter(|line| line.contains(",of-0,")).count();
    assert!(right > 45, "{predicted}");
}

#[test]
fn what_keeps_a_try_from_its_work_is_told_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    for (arguments, part) in [
        (&["try", "photos"][..], "photos is no folder"),
        (&["try", "digits", "--models", "resnet-18"], "resnet18"),
        (&["try", "digits", "--models", "vit_tiny_patch4"], "no weights are pinned"),
        (&["try", "digits", "--weights", "hub"], "names no model"),
        (&["try", "digits", "--minutes", "0"], "minutes"),
        (&["try", "digits", "--offline", "--models", "resnet18", "--resolution", "16"], "no model's weights"),
        (&["init", "photos"], "photos is no folder"),
    ] {
        let output = frostline(folder.path(), arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert!(!folder.path().join("results").exists());
    }
}

#[test]
fn an_experiment_is_drafted_once_and_can_be_planned() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let drafted = frostline(folder.path(), &["init", "digits", "--models", "resnet18,resnet34"]);
    assert!(drafted.status.success(), "{}", text(&drafted.stderr));
    assert!(text(&drafted.stdout).contains("digits.toml: 24 trials"), "{}", text(&drafted.stdout));
    let plan = frostline(folder.path(), &["plan", "digits.toml"]);
    assert!(plan.status.success() && text(&plan.stdout).contains("probe:logistic"), "{}", text(&plan.stderr));
    let file = fs::read_to_string(folder.path().join("digits.toml")).unwrap();
    assert!(file.starts_with("# frostline sweep digits.toml\n") && file.contains("left and right"), "{file}");
    let twice = frostline(folder.path(), &["init", "digits"]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(text(&twice.stderr).contains("is there already"), "{}", text(&twice.stderr));
}
