//! What is done with a winner: its weights are kept, exported, and asked about images; what they say is what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_data::{Images, Reading, Source};
use frostline_hub::{Hub, HubOptions, Silent};
use polars::prelude::*;

use super::{folder, frostline, stored, sweep, text, trials};

pub(crate) const EXPERIMENT: &str = r#"question = "Which?"
checkpoints = "best"
[data]
source = "digits"
resolution = 16
per-class = 30
validation = 0.25
[train]
epochs = 2
batch = 32
[grid]
model = ["resnet18"]
strategy = ["full"]
"#;

pub(crate) fn only_trial(folder: &Path) -> String {
    stored(folder).into_keys().next().unwrap()
}

pub(crate) fn outcome(folder: &Path, id: &str) -> serde_json::Value {
    let bytes = fs::read(trials(folder).join(id).join("outcome.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["outcome"].take()
}

/// The test digits as they are, 8x8.
fn digits(folder: &Path) -> Images {
    let hub = Hub::new(HubOptions::standard(folder.join("hf"))).unwrap();
    let prepared = frostline_data::prepare(&Source::Digits, &Reading::default(), &hub, &Silent).unwrap();
    frostline_data::open(&prepared, None).unwrap().test
}

/// Writes the test digits as PNG files, whose names are in their order.
pub(crate) fn pictures(folder: &Path) -> Images {
    let digits = digits(folder);
    let pictures = folder.join("pictures");
    fs::create_dir(&pictures).unwrap();
    for i in 0..digits.len() {
        let image = image::RgbImage::from_raw(8, 8, digits.image(i).to_vec()).unwrap();
        image.save(pictures.join(format!("{i:04}.png"))).unwrap();
    }
    digits
}

/// The stored predictions of the test split: class and probability.
pub(crate) fn predictions(folder: &Path, id: &str) -> Vec<(u32, f32)> {
    let file = fs::File::open(trials(folder).join(id).join("predictions.parquet")).unwrap();
    let table = ParquetReader::new(file).finish().unwrap();
    let classes = table.column("predicted").unwrap().u32().unwrap().into_no_null_iter();
    let probabilities = table.column("probability").unwrap().f32().unwrap();
    classes.zip(probabilities.into_no_null_iter()).collect()
}

#[test]
fn exported_weights_say_of_the_test_images_what_the_trial_said() {
    let folder = folder(EXPERIMENT);
    let at = |name: &str| folder.path().join(name);
    let plan = frostline(folder.path(), &["plan", "x.toml"]);
    assert!(
        text(&plan.stdout).ends_with("checkpoints best: 1 file, about 43 MiB\n"),
        "{}",
        text(&plan.stdout)
    );
    let swept = sweep(folder.path(), &[]);
    assert!(swept.status.success(), "{}", text(&swept.stderr));
    assert!(
        text(&swept.stderr).contains("checkpoints best: 1 file, about 43 MiB"),
        "{}",
        text(&swept.stderr)
    );
    let id = only_trial(folder.path());
    let outcome = outcome(folder.path(), &id);
    assert_eq!(outcome["checkpoint"]["epoch"], outcome["chosen-epoch"]);

    let exported = frostline(folder.path(), &["export", &id[..5], "--output", "digits.safetensors"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let kept = trials(folder.path()).join(&id).join("model.safetensors");
    assert_eq!(fs::read(at("digits.safetensors")).unwrap(), fs::read(kept).unwrap());
    let sidecar: serde_json::Value = serde_json::from_slice(&fs::read(at("digits.json")).unwrap()).unwrap();
    assert_eq!(sidecar["format"], 1);
    let model = &sidecar["model"];
    assert_eq!((&model["architecture"], &model["classes"][7]), (&"resnet18".into(), &"7".into()));
    assert_eq!(model["results"]["test-accuracy"], outcome["test-accuracy"]);
    assert_eq!(model["lineage"]["data"]["digest"], outcome["data"]["digest"]);
    assert_eq!(model["environment"]["build"]["frostline"], env!("CARGO_PKG_VERSION"));

    let digits = pictures(folder.path());
    let arguments = ["predict", "digits.safetensors", "pictures", "--format", "jsonl", "--threads", "1"];
    let output = frostline(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.iter().map(|line| {
        let guess = &line["predictions"][0];
        let class: u32 = guess["class"].as_str().unwrap().parse().unwrap();
        (class, guess["probability"].as_f64().unwrap() as f32)
    });
    let told: Vec<(u32, f32)> = told.collect();
    assert_eq!(told, predictions(folder.path(), &id), "to the bit");
    let right = told.iter().zip(digits.labels()).filter(|((class, _), label)| class == *label).count();
    assert_eq!(right as f64 / told.len() as f64, outcome["test-accuracy"].as_f64().unwrap());

    // The trial itself says the same; so does a pattern, in another format.
    let trial = frostline(folder.path(), &["predict", &id, "pictures", "--format", "jsonl"]);
    assert_eq!(text(&trial.stdout), text(&output.stdout), "{}", text(&trial.stderr));
    let csv = frostline(
        folder.path(),
        &["predict", "digits.safetensors", "pictures/000?.png", "--format", "csv", "--top", "2"],
    );
    let csv = text(&csv.stdout);
    assert_eq!((csv.lines().count(), csv.lines().next()), (21, Some("image,rank,class,probability,error")));
    assert!(csv.contains(&format!("\npictures/0003.png,1,{},", told[3].0)), "{csv}");
}

#[test]
fn what_cannot_be_exported_or_used_says_why_and_the_rest_goes_on() {
    let folder = folder(&EXPERIMENT.replace("epochs = 2", "epochs = 1").replace("\"best\"", "\"none\""));
    let at = |name: &str| folder.path().join(name);
    assert!(sweep(folder.path(), &[]).status.success());
    let id = only_trial(folder.path());
    let refused = |arguments: &[&str], expected: &str| {
        let output = frostline(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        let message = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        assert!(message.contains(expected), "{expected}: {message}");
    };
    refused(&["export", &id, "--output", "m.safetensors"], "has kept no weights");
    refused(&["export", "zzzz", "--output", "m.safetensors"], "has the id `zzzz`");
    refused(&["export", &id, "--output", "m.pth"], "ends in .safetensors");
    refused(&["predict", "m.safetensors", "m.png"], "`frostline export` wrote");
    assert!(!at("m.safetensors").exists());

    // A finished trial is not trained again for its weights, unless that is forced.
    let before = stored(folder.path());
    let again = sweep(folder.path(), &["--set", "checkpoints=best"]);
    let expected = format!(
        "1 finished trial has no checkpoint `best`; trained again with one by: frostline sweep x.toml \
                            --set checkpoints=best --force --only trial={id}"
    );
    assert!(text(&again.stdout).contains(&expected), "{}", text(&again.stdout));
    assert_eq!(stored(folder.path()), before);
    let forced = sweep(folder.path(), &["--set", "checkpoints=best", "--force"]);
    assert!(
        forced.status.success() && !text(&forced.stdout).contains("no checkpoint"),
        "{}",
        text(&forced.stdout)
    );
    let (outcome, kept) =
        (outcome(folder.path(), &id), trials(folder.path()).join(&id).join("model.safetensors"));
    assert_eq!(outcome["checkpoint"]["size"].as_u64(), Some(fs::metadata(&kept).unwrap().len()));

    pictures(folder.path());
    fs::copy(&kept, at("bare.safetensors")).unwrap();
    refused(&["predict", "bare.safetensors", "pictures"], "has no bare.json beside it");
    refused(&["predict", &id, "nothing/*.png"], "matches no file");
    fs::write(at("pictures/broken.png"), &fs::read(at("pictures/0000.png")).unwrap()[..40]).unwrap();
    let files = ["pictures/0001.png", "pictures/broken.png", "pictures/gone.png", "pictures/0002.png"];
    let output = frostline(folder.path(), &[&["predict", &id], &files[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(lines[1].starts_with(files[0]) && lines[1].ends_with('%'), "{table}");
    assert!(lines[2].starts_with(files[1]) && lines[2].contains("broken PNG"), "{table}");
    assert!(lines[4].starts_with(files[3]) && lines[4].ends_with('%'), "{table}");

    fs::write(&kept, &fs::read(&kept).unwrap()[..5000]).unwrap();
    let cut = frostline(folder.path(), &["export", &id, "--output", "m.safetensors"]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(text(&cut.stderr).contains("is damaged"), "{}", text(&cut.stderr));
}

#[test]
fn the_last_epochs_weights_are_those_that_a_recipe_without_a_choice_ends_with() {
    let folder = folder(EXPERIMENT);
    // A rate at which the first epoch is likely the better one, so that the two policies differ.
    let weights = |results: &str, settings: &[&str]| -> (PathBuf, BTreeMap<String, serde_json::Value>) {
        let mut arguments = vec!["--results", results, "--set", "epochs=3", "--set", "learning-rate=0.02"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let swept = sweep(folder.path(), &arguments);
        assert!(swept.status.success(), "{}", text(&swept.stderr));
        let trial =
            fs::read_dir(folder.path().join(results).join("trials")).unwrap().next().unwrap().unwrap().path();
        let mut outcome: serde_json::Value =
            serde_json::from_slice(&fs::read(trial.join("outcome.json")).unwrap()).unwrap();
        let outcome = serde_json::from_value(outcome["outcome"].take()).unwrap();
        (trial.join("model.safetensors"), outcome)
    };
    let (last, of_last) = weights("last", &["checkpoints=last"]);
    let (best, of_best) = weights("best", &["checkpoints=best"]);
    let (end, _) = weights("end", &["checkpoints=best", "keep=last"]);
    assert_eq!((&of_last["checkpoint"]["epoch"], &of_best["trial"]), (&3.into(), &of_last["trial"]));
    assert_eq!(fs::read(&last).unwrap(), fs::read(end).unwrap());
    assert_eq!(
        of_best["checkpoint"]["epoch"], of_last["chosen-epoch"],
        "the choice does not hang on what is kept"
    );
    let same = fs::read(last).unwrap() == fs::read(best).unwrap();
    assert_eq!(same, of_best["checkpoint"]["epoch"] == 3);
    assert_eq!(of_best["test-accuracy"], of_last["test-accuracy"]);
}
