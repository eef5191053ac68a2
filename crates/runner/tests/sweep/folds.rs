//! Cross-validation: every image tests once, folds are one trial in the report, and what is no whole of folds is refused.

use std::fs;

use super::{folder, frostline, numbers, stored, sweep, text};

const FOLDED: &str = r#"question = "Which head, by cross-validation?"
[data]
source = "digits"
resolution = 16
classes = ["0", "1", "2"]
validation = 0.2
folds = 3
[train]
epochs = 1
batch = 32
[grid]
model = ["mobilenetv3_small"]
strategy = ["head", "probe:ridge"]
seed = [0]
"#;

#[test]
fn each_image_tests_once_and_the_folds_of_a_seed_are_one_trial() {
    let folder = folder(FOLDED);
    // One fold alone leaves the arms unmeasured, and says no accuracy.
    let output = sweep(folder.path(), &["--only", "fold=1/3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stored(folder.path()).len(), 2);
    let report = || fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report().contains("0 of 2 trials finished"), "{}", report());

    let output = sweep(folder.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stored(folder.path()).len(), 6);
    assert!(report().contains("2 of 2 trials finished"), "{}", report());
    assert!(report().contains("Cross-validation in 3 folds"), "{}", report());
    assert!(report().contains("folds of all images"), "{}", report());
    let json = fs::read_to_string(folder.path().join("results/x/report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["arms"].as_array().unwrap().len(), 2, "{}", json["arms"]);

    // The folds have all training images of these classes, each once, and the mean over the images is the report's.
    let (mut tested, mut right, mut sums) = (0.0, 0.0, Vec::new());
    for id in stored(folder.path()).into_keys() {
        let trial = folder.path().join("results/x/trials").join(&id);
        let read = |name: &str| -> serde_json::Value {
            serde_json::from_slice(&fs::read(trial.join(name)).unwrap()).unwrap()
        };
        let (plan, outcome) = (read("trial.json"), read("outcome.json"));
        if plan["trial"]["strategy"] == "probe:ridge" {
            let outcome = &outcome["outcome"];
            let images = outcome["data"]["test"].as_f64().unwrap();
            tested += images;
            right += images * outcome["test-accuracy"].as_f64().unwrap();
            let all = ["train", "validation", "test"].map(|part| outcome["data"][part].as_u64().unwrap());
            sums.push(all.iter().sum::<u64>() as f64);
        }
    }
    assert_eq!(sums, [tested; 3], "each fold tests some of the images, and the others train or validate");
    let arms = json["arms"].as_array().unwrap();
    let ridge = arms.iter().find(|arm| arm.to_string().contains("probe:ridge")).unwrap();
    let told = ridge.to_string();
    assert!(told.contains(&format!("{}", right / tested)[..8]), "{} in {told}", right / tested);

    // A fold alone has the numbers that it has in a whole sweep.
    let other = super::folder(FOLDED);
    assert!(sweep(other.path(), &["--only", "fold=2/3", "--only", "strategy=head"]).status.success());
    for id in stored(other.path()).into_keys() {
        assert_eq!(numbers(other.path(), &id), numbers(folder.path(), &id));
    }
    let plan = text(&frostline(folder.path(), &["plan", "x.toml"]).stdout);
    assert!(plan.contains("fold") && plan.contains("6 trials, 2 arms"), "{plan}");
}

#[test]
fn folds_that_are_no_cross_validation_are_refused() {
    for (text_of_file, part) in [
        (FOLDED.replace("folds = 3", "folds = 1"), "from 2 to 100"),
        (FOLDED.replace("folds = 3", "folds = 3\nfold = \"1/3\""), "`folds` gives all folds"),
        (FOLDED.replace("folds = 3", "fold = \"1/3\""), "folds = K"),
        (FOLDED.replace("folds = 3", "fold = \"4/3\""), "names no fold"),
        (format!("{FOLDED}[tune]\nlearning-rate = [1e-3, 1e-4]\n"), "[tune] compares trials of one seed"),
        (
            format!(
                "{}[halving]\n",
                FOLDED.replace("epochs = 1", "epochs = 4").replace(", \"probe:ridge\"", "")
            ),
            "[halving] compares trials of one seed",
        ),
    ] {
        let folder = folder(&text_of_file);
        let output = sweep(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(2), "{text_of_file}");
        let said = text(&output.stderr);
        assert!(said.replace("\n", " ").contains(part) || said.contains(part), "{part}: {said}");
        assert!(!folder.path().join("results").exists());
    }
}
