//! Successive halving: what is stopped, what it leaves, and that whoever comes to the end has the numbers of an undisturbed trial.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use super::{command, folder, numbers, stored, sweep, text};

const RATES: &str = r#"question = "Which rate wins?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
[train]
epochs = 5
batch = 16
[grid]
model = ["mobilenetv3_small"]
strategy = ["head", "full"]
learning-rate = [0.1, 0.01, 0.000001]
seed = [0, 1]
"#;

fn halved() -> String {
    format!("{RATES}[halving]\nfirst = 1\nfactor = 2\n")
}

#[test]
fn arms_that_cannot_win_are_stopped_and_the_others_have_their_numbers() {
    let (whole, halved) = (folder(RATES), folder(&halved()));
    assert!(sweep(whole.path(), &[]).status.success());
    let output = sweep(halved.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("after 1 epoch, ") && told.contains(" of 6 arms go on"), "{told}");
    assert!(text(&output.stdout).contains("stopped early"), "{}", text(&output.stdout));
    let ended: Vec<String> = stored(halved.path()).into_keys().collect();
    assert!((2..=6).contains(&ended.len()), "{ended:?}");
    for id in &ended {
        assert_eq!(numbers(halved.path(), id), numbers(whole.path(), id), "{id}");
    }
    let report = fs::read_to_string(halved.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("## Stopped early") && report.contains("What this can hide"), "{report}");
    assert!(report.contains("learning-rate 1e-6") && !report.contains("not run yet"), "{report}");

    // Again: nothing is left to do, and the same is said.
    let again = sweep(halved.path(), &[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(stored(halved.path()).into_keys().collect::<Vec<_>>(), ended);
    // Without halving, those that wait are trained to their end.
    fs::write(halved.path().join("x.toml"), RATES).unwrap();
    let rest = sweep(halved.path(), &[]);
    assert!(
        rest.status.success() && text(&rest.stderr).contains(" goes on after "),
        "{}",
        text(&rest.stderr)
    );
    assert_eq!(stored(halved.path()).len(), 12);
    for id in stored(whole.path()).into_keys() {
        assert_eq!(numbers(halved.path(), &id), numbers(whole.path(), &id), "{id}");
    }
}

#[test]
fn a_halved_sweep_that_is_killed_decides_as_one_that_is_not() {
    let (whole, killed) = (folder(&halved()), folder(&halved()));
    assert!(sweep(whole.path(), &[]).status.success());
    for pause in [300, 700, 1100, 1500] {
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
    let read = |folder: &Path| fs::read(folder.join("results/x/halving.json")).unwrap();
    assert!(read(whole.path()) == read(killed.path()));
    assert_eq!(
        stored(whole.path()).into_keys().collect::<Vec<_>>(),
        stored(killed.path()).into_keys().collect::<Vec<_>>()
    );
}

/// All trials have the numbers that they have where nothing is halved.
fn held_to(whole: &Path, halved: &Path) -> Vec<String> {
    let ended: Vec<String> = stored(halved).into_keys().collect();
    for id in &ended {
        assert_eq!(numbers(halved, id), numbers(whole, id), "{id}");
    }
    ended
}

/// Starts sweeps of a folder at once and waits for them.
fn at_once(folder: &Path, count: usize) {
    let start = |_| {
        let mut command = command(folder, &["--threads", "1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..count).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn several_processes_decide_as_one() {
    let (one, three) = (folder(&halved()), folder(&halved()));
    assert!(sweep(one.path(), &[]).status.success());
    at_once(three.path(), 3);
    let read = |folder: &Path| fs::read(folder.join("results/x/halving.json")).unwrap();
    assert!(read(one.path()) == read(three.path()));
    assert_eq!(held_to(one.path(), three.path()), stored(one.path()).into_keys().collect::<Vec<_>>());
}

#[test]
fn asynchronously_the_same_arms_are_compared_and_who_comes_to_the_end_has_its_numbers() {
    let (whole, file) = (folder(RATES), halved() + "asynchronous = true\n");
    assert!(sweep(whole.path(), &[]).status.success());
    let (one, two, killed) = (folder(&file), folder(&file), folder(&file));
    assert!(sweep(one.path(), &[]).status.success());
    at_once(two.path(), 2);
    for pause in [300, 700] {
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
    let ended = held_to(whole.path(), one.path());
    assert!(ended.len() >= 2, "{ended:?}");
    assert_eq!(held_to(whole.path(), killed.path()), ended, "one process decides alike after kills");
    assert!(held_to(whole.path(), two.path()).len() >= 2);
    let report = fs::read_to_string(one.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("Asynchronously: ") && !report.contains("not run yet"), "{report}");
}

#[test]
fn an_arm_that_fails_is_a_failure_and_not_stopped() {
    let file = halved()
        .replace("0.000001]", "1e30]")
        .replace("strategy = [\"head\", \"full\"]", "strategy = [\"full\"]");
    let folder = folder(&file);
    let output = sweep(folder.path(), &[]);
    let told = text(&output.stderr) + &text(&output.stdout);
    assert!(output.status.code() == Some(3), "{told}");
    assert!(!told.contains("panicked") && told.contains("failed"), "{told}");
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("after 1 epoch"), "{report}");
}

#[test]
fn what_cannot_be_halved_is_refused_before_the_first_trial() {
    for (change, message) in [
        ("[halving]\nfirst = 5\n", "which all 5 of a trial do not exceed"),
        ("[halving]\nfirts = 2\n", "did you mean `first`?"),
        ("[halving]\nasynchronous = 1\n", "`asynchronous` must be true or false"),
        ("[halving]\nfactor = 1\n", "`factor` must be a whole number from 2"),
    ] {
        let folder = folder(&format!("{RATES}{change}"));
        let output = sweep(folder.path(), &[]);
        let told = text(&output.stderr).replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(message), "{told}");
    }
    let none = folder(
        &halved()
            .replace("validation = 0.25", "validation = 0.0")
            .replace("batch = 16", "batch = 16\nkeep = \"last\""),
    );
    assert!(text(&sweep(none.path(), &[]).stderr).contains("validation"));
    let some = folder(&halved());
    let told = text(&sweep(some.path(), &["--only", "seed=0"]).stderr);
    assert!(told.contains("--only leaves some out"), "{told}");
}

#[test]
fn views_come_again_and_are_part_of_what_a_trial_is() {
    let file = |views: &str| {
        RATES
            .replace("validation = 0.25", &format!("validation = 0.25\naugment = [\"flip\"]\n{views}"))
            .replace(
                "strategy = [\"head\", \"full\"]\nlearning-rate = [0.1, 0.01, 0.000001]\nseed = [0, 1]",
                "strategy = [\"head\"]\nseed = [0]",
            )
    };
    let ids: Vec<String> = ["", "views = \"fresh\"", "views = 1", "views = 2"]
        .iter()
        .map(|views| {
            let folder = folder(&file(views));
            let output = sweep(folder.path(), &[]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            stored(folder.path()).into_keys().next().unwrap()
        })
        .collect();
    assert_eq!(ids[0], ids[1], "fresh is what it is anyway");
    assert!(ids[1] != ids[2] && ids[2] != ids[3], "{ids:?}");
}
