//! The report as a whole: its text for a small experiment, and that it can be written whatever has become of the trials.

use std::fs;

use frostline_results::samples::{claim, environment, failed, plan, result, results};
use frostline_results::{Invocation, Results, Store};

use crate::write::render;
use crate::{rewrite_report, write_report};
use frostline_compare::Comparison;

/// Two arms of two seeds; the head's second trial failed.
fn small() -> Results {
    let mut plan = plan(&["resnet18"], &["full", "head"], 2);
    plan.claims = vec![claim()];
    let accuracy = |full: bool, seed: u64| if full { [0.95, 0.97] } else { [0.60, 0.62] }[seed as usize];
    let mut results = results(plan, |t| {
        let full = t.strategy == "full";
        (accuracy(full, t.seed), if full { 40.0 } else { 10.0 })
    });
    let last = results.trials.last_mut().unwrap();
    last.outcome = failed(&last.trial, "the loss became NaN in epoch 2, step 17").outcome;
    results.asked.set = vec!["data.validation=0.1".to_owned()];
    results
}

#[test]
fn a_small_report_reads_as_written_down() {
    let results = small();
    let plots = [("Test accuracy by strategy", "accuracy-by-strategy.svg")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
    let text = render(&results, &Comparison::of(&results), &plots);
    let expected = include_str!("sample.md");
    for (line, (is, should)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, should, "line {} of src/report/sample.md", line + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

#[test]
fn a_report_is_written_whatever_has_become_of_the_trials() {
    let full = plan(&["resnet18", "alexnet"], &["full", "head"], 2);
    let done = [("all", 8, 0), ("some", 3, 1), ("failed", 0, 8), ("none", 0, 0)];
    for (name, finished, failures) in done {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.record_plan(&full, "", &Invocation::default()).unwrap();
        store.record_environment(&environment()).unwrap();
        for (index, trial) in full.trials.iter().take(finished + failures).enumerate() {
            let good = result(trial, (10 + index) as f64 / 20.0, 10.0);
            let result = if index < finished { good } else { failed(trial, "it | broke") };
            store.save(trial, &result, false).unwrap();
        }
        let report = write_report(dir.path()).unwrap();
        let text = fs::read_to_string(&report.path).unwrap();
        assert!(text.starts_with("# How deep should one freeze?\n"), "{name}");
        assert!(text.contains(&format!("{finished} of 8 trials finished")), "{name}: {text}");
        assert_eq!(text.contains("it \\| broke"), failures > 0, "{name}");
        assert_eq!(dir.path().join("plots/accuracy-by-strategy.svg").exists(), finished > 0, "{name}");
        for picture in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(dir.path().join(picture).exists(), "{name}: {picture} is missing");
        }
        assert_eq!(write_report(dir.path()).unwrap(), report, "{name}");
        assert_eq!(fs::read_to_string(&report.path).unwrap(), text, "{name}");
    }
}

/// A results folder with a report of one trial.
fn reported() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let plan = plan(&["resnet18"], &["full"], 1);
    store.record_plan(&plan, "", &Invocation::default()).unwrap();
    store.record_environment(&environment()).unwrap();
    store.save(&plan.trials[0], &result(&plan.trials[0], 0.5, 10.0), false).unwrap();
    drop(store);
    let report = rewrite_report(dir.path()).unwrap();
    let text = fs::read_to_string(report.path).unwrap();
    (dir, text)
}

#[test]
fn a_report_without_its_trials_is_made_again_from_what_stands_beside_it() {
    let (dir, text) = reported();
    let report = dir.path().join("report.md");
    fs::remove_dir_all(dir.path().join("trials")).unwrap();
    fs::remove_file(&report).unwrap();
    rewrite_report(dir.path()).unwrap();
    assert_eq!(fs::read_to_string(&report).unwrap(), text);
}

#[test]
fn what_cannot_be_made_again_is_left_as_it_is() {
    let (dir, text) = reported();
    fs::write(dir.path().join("plots/of-somebody-else.svg"), "x").unwrap();
    fs::write(dir.path().join("plots/validation-curves.svg"), "of a plan that had curves").unwrap();
    rewrite_report(dir.path()).unwrap();
    assert!(dir.path().join("plots/of-somebody-else.svg").exists());
    assert!(dir.path().join("plots/validation-curves.svg").exists());
    // As an earlier version left it: tables, and nothing that trials can be read back from.
    fs::remove_dir_all(dir.path().join("trials")).unwrap();
    fs::remove_file(dir.path().join("stored.json")).unwrap();
    for _ in 0..2 {
        let error = rewrite_report(dir.path()).unwrap_err().to_string();
        assert!(error.contains("tables of 1 trials") && error.contains("--results"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("report.md")).unwrap(), text);
    }
}
