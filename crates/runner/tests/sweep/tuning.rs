//! Values that are chosen for each arm: what is trained, that numbers are those of the whole grid, and that it goes on after a kill.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use super::{command, folder, frostline, numbers, stored, sweep, text};

/// The first rate learns nothing.
const TUNED: &str = r#"question = "How deep, each at its best rate?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
[train]
epochs = 2
batch = 16
[grid]
model = ["mobilenetv3_small"]
strategy = ["head", "probe:ridge"]
seed = [0, 1]
[tune]
learning-rate = [1e-9, 0.01, 0.001]
"#;

/// The same with all rates as arms.
fn whole() -> String {
    TUNED.replace("[tune]", "")
}

/// The rates of the trials that are stored, by strategy and seed.
fn rates(folder: &std::path::Path) -> BTreeMap<(String, u64), Vec<f64>> {
    let mut rates: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for id in stored(folder).into_keys() {
        let trial = fs::read(folder.join("results/x/trials").join(&id).join("trial.json")).unwrap();
        let trial: serde_json::Value = serde_json::from_slice(&trial).unwrap();
        let trial = &trial["trial"];
        let key = (trial["strategy"].as_str().unwrap().to_owned(), trial["seed"].as_u64().unwrap());
        rates.entry(key).or_default().push(trial["train"]["learning-rate"].as_f64().unwrap());
    }
    rates
}

#[test]
fn each_arm_trains_its_other_seeds_with_what_validated_best_on_the_first() {
    let (tuned, grid) = (folder(TUNED), folder(&whole()));
    let output = sweep(tuned.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(
        told.contains("mobilenetv3_small head 16 px: learning-rate 0.") && told.contains("of 3 candidates"),
        "{told}"
    );
    let said = text(&output.stdout);
    assert!(said.contains("2 not needed, as other values were chosen") && !said.contains("left"), "{said}");
    let rates = rates(tuned.path());
    let of = |seed: u64| &rates[&("head".to_owned(), seed)];
    assert_eq!((of(0).len(), of(1).len()), (3, 1), "{rates:?}");
    assert!(of(1)[0] > 1e-6, "{rates:?}");
    assert_eq!(rates[&("probe:ridge".to_owned(), 0)].len(), 1, "it has no rate");

    // Whoever is trained has the numbers that it has as a cell of the grid.
    assert!(sweep(grid.path(), &[]).status.success());
    for id in stored(tuned.path()).into_keys() {
        assert_eq!(numbers(tuned.path(), &id), numbers(grid.path(), &id), "{id}");
    }
    let report = fs::read_to_string(tuned.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("## Tuned") && report.contains("## Cost"), "{report}");
    assert!(report.contains("*4 of 4 trials finished.*"), "{report}");
    assert!(!report.contains("not run yet") && report.contains("| tuning |"), "{report}");

    // Again: nothing is left, and the same is said.
    let again = sweep(tuned.path(), &[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("6 stored before"), "{}", text(&again.stdout));
    let status = text(&frostline(tuned.path(), &["status", "results/x"]).stdout);
    assert!(status.contains("6 done, 2 not needed") && !status.contains("to go on"), "{status}");
}

#[test]
fn a_tuned_sweep_that_is_killed_chooses_as_one_that_is_not() {
    let (whole, killed) = (folder(TUNED), folder(TUNED));
    assert!(sweep(whole.path(), &[]).status.success());
    for pause in [300, 900, 1500] {
        let mut child = command(killed.path(), &["--save-every", "0s"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(sweep(killed.path(), &[]).status.success());
    assert_eq!(rates(whole.path()), rates(killed.path()));
}

#[test]
fn what_cannot_be_tuned_is_refused_before_the_first_trial() {
    let tuned = folder(TUNED);
    for (args, said) in [
        (vec!["--only", "strategy=head"], "[tune] compares trials"),
        (
            vec!["--set", "validation=0", "--set", "keep=last", "--set", "strategy=head"],
            "chosen on validation",
        ),
    ] {
        let output = sweep(tuned.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    let share = frostline(tuned.path(), &["run", "x.toml", "--cohort", "1/2"]);
    assert!(text(&share.stderr).contains("[tune] chooses values"), "{}", text(&share.stderr));
    assert!(!tuned.path().join("results/x/trials").exists());
}
