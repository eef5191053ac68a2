//! Keys of the recipe that change what a step is made of, and the test of its rates.

use std::fs;

use super::{folder, frostline, stored, sweep, text};

const UNEVEN: &str = r#"question = "Do classes that count alike help?"
[data]
source = "digits"
resolution = 16
per-class = 8
validation = 0.25
[train]
epochs = 2
batch = 8
accumulate = 2
ema = 0.9
[grid]
model = ["mobilenetv3_small"]
strategy = ["head"]
class-weights = ["none", "balanced"]
sampling = ["shuffled", "balanced"]
seed = [0]
"#;

#[test]
fn weights_of_classes_and_balanced_epochs_are_axes_with_arms_of_their_own() {
    let folder = folder(UNEVEN);
    let output = sweep(folder.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stored(folder.path()).len(), 4);
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("4 of 4 trials finished"), "{report}");
    assert!(report.contains("balanced"), "{report}");
    let told = text(&frostline(folder.path(), &["plan", "x.toml", "--explain"]).stdout);
    assert!(told.contains("class-weights = balanced: ") && told.contains("ema = 0.9: "), "{told}");
}

#[test]
fn what_cannot_be_weighted_is_refused_before_anything_runs() {
    let mixed = UNEVEN.replace("per-class", "augment = [\"mixup:0.2\"]\nper-class");
    let folder = folder(&mixed);
    let output = sweep(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("class-weights") && said.contains("mixup"), "{said}");
    assert!(!folder.path().join("results").exists());
}

#[test]
fn a_test_of_rates_reads_each_arm_and_stores_no_trial() {
    let folder = folder(
        &UNEVEN.replace("[\"head\"]", "[\"head\", \"lp-ft\", \"probe:ridge\"]").replace("sampling", "#"),
    );
    let rate =
        |more: &[&str]| frostline(folder.path(), &[&["rate", "x.toml", "--steps", "40"], more].concat());
    let output = rate(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for arm in [
        "mobilenetv3_small head 16 px class-weights none",
        "mobilenetv3_small lp-ft 16 px class-weights balanced",
    ] {
        assert!(said.contains(arm), "{said}");
    }
    assert!(!said.contains("ridge") && said.contains("[tune]"), "{said}");
    assert!(stored(folder.path()).is_empty());
    let rates = folder.path().join("results/x/rates");
    let json = fs::read_to_string(rates.join("rates.json")).unwrap();
    let tests: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(tests.as_array().unwrap().len(), 4);
    for test in tests.as_array().unwrap() {
        let (given, losses) = (test["learning_rate"].as_array().unwrap(), test["loss"].as_array().unwrap());
        assert!(given.len() == losses.len() && (10..=40).contains(&losses.len()), "{test}");
        assert_eq!(given[0].as_f64(), Some(1e-6));
    }
    assert!(fs::read_to_string(rates.join("rates.svg")).unwrap().contains("</svg>"));
    let lines = fs::read_to_string(rates.join("rates.csv")).unwrap().lines().count();
    let steps: usize =
        tests.as_array().unwrap().iter().map(|test| test["loss"].as_array().unwrap().len()).sum();
    assert_eq!(lines, 1 + steps);
    // The same again, to the bit.
    assert!(rate(&[]).status.success());
    assert_eq!(fs::read_to_string(rates.join("rates.json")).unwrap(), json);

    let backwards = rate(&["--from", "1", "--to", "0.1"]);
    assert_eq!(backwards.status.code(), Some(2));
    assert!(text(&backwards.stderr).contains("--from"), "{}", text(&backwards.stderr));
    let none = rate(&["--only", "strategy=probe:ridge"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("no trial of the plan takes steps"), "{}", text(&none.stderr));
}
