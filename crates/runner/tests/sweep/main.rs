//! Whole sweeps of the binary on the embedded digits: what is stored, what an interruption leaves, what a second run does.

mod crash;
mod devices;
mod folds;
mod forms;
mod halving;
mod heads;
mod inputs;
mod pretraining;
mod recipes;
mod shares;
mod trying;
mod tuning;
mod unharmed;
mod using;
mod winner;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const EXPERIMENT: &str = r#"question = "Does it go on?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
[train]
epochs = 1
batch = 32
[grid]
model = ["mobilenetv3_small"]
strategy = ["head", "full"]
seed = [0, 1]
"#;

fn folder(experiment: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.toml"), experiment).unwrap();
    folder
}

/// The binary in a folder, with a Hub that has what the folder has and nothing else.
fn binary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", folder.join("hf")).env("NO_COLOR", "1");
    command.current_dir(folder).args(arguments);
    command
}

fn frostline(folder: &Path, arguments: &[&str]) -> Output {
    binary(folder, arguments).output().expect("the binary runs")
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    binary(folder, &[&["sweep", "x.toml"], arguments].concat())
}

fn sweep(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn trials(folder: &Path) -> PathBuf {
    folder.join("results/x/trials")
}

/// The finished trials' ids with the time at which each was stored.
fn stored(folder: &Path) -> BTreeMap<String, std::time::SystemTime> {
    let Ok(entries) = fs::read_dir(trials(folder)) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    let whole = entries.filter(|path| path.join("outcome.json").exists() && !text_name(path).contains('.'));
    whole
        .map(|path| (text_name(&path), fs::metadata(path.join("outcome.json")).unwrap().modified().unwrap()))
        .collect()
}

fn text_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Waits until `count` trials are stored, two minutes at most.
fn wait_for(folder: &Path, child: &mut Child, count: usize) {
    for _ in 0..1200 {
        if stored(folder).len() >= count {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "the sweep ended early");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{count} trials were not stored in two minutes");
}

/// What a trial's numbers are: accuracies and epochs without their times, and every prediction.
fn numbers(folder: &Path, id: &str) -> (Vec<serde_json::Value>, Vec<u8>) {
    let trial = trials(folder).join(id);
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(trial.join(name)).unwrap()).unwrap()
    };
    let keep = [
        "test-accuracy",
        "test-loss",
        "validation-accuracy",
        "chosen-epoch",
        "train-loss",
        "validation-loss",
    ];
    let mut found = Vec::new();
    for file in ["outcome.json", "epochs.json"] {
        collect(&json(file), &keep, &mut found);
    }
    (found, fs::read(trial.join("predictions.parquet")).unwrap())
}

fn collect(value: &serde_json::Value, keep: &[&str], found: &mut Vec<serde_json::Value>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                if keep.contains(&key.as_str()) {
                    found.push(value.clone());
                } else {
                    collect(value, keep, found);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, keep, found)),
        _ => {}
    }
}

#[test]
fn a_killed_sweep_goes_on_and_numbers_do_not_hang_on_threads() {
    let killed = folder(EXPERIMENT);
    let mut child = command(killed.path(), &["--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    wait_for(killed.path(), &mut child, 1);
    child.kill().unwrap(); // SIGKILL: no handler runs
    child.wait().unwrap();
    let before = stored(killed.path());
    assert!(before.len() < 4, "the sweep was over before it was killed");

    let again = sweep(killed.path(), &["--threads", "1"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let after = stored(killed.path());
    assert_eq!(after.len(), 4);
    for (id, time) in &before {
        assert_eq!(after[id], *time, "{id} was done again");
    }
    let report = fs::read_to_string(killed.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("Does it go on?") && report.contains("4 of 4 trials finished"), "{report}");

    let whole = folder(EXPERIMENT);
    let other = sweep(whole.path(), &["--threads", "2"]);
    assert!(other.status.success(), "{}", text(&other.stderr));
    for id in after.keys() {
        let (one, two) = (numbers(killed.path(), id), numbers(whole.path(), id));
        assert!(one.0.len() >= 6, "{:?}", one.0);
        assert_eq!(one, two, "{id}");
    }
    let third = sweep(whole.path(), &[]);
    assert!(text(&third.stdout).contains("4 stored before"), "{}", text(&third.stdout));
}

#[test]
fn one_trial_that_fails_is_a_row_and_the_sweep_goes_on() {
    let wild = EXPERIMENT
        .replace("epochs = 1", "epochs = 2")
        .replace("seed = [0, 1]", "learning-rate = [1e30, 1e-3]");
    let folder = folder(&wild.replace("\"head\", ", ""));
    let output = sweep(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("1 trained, 1 failed"), "{}", text(&output.stdout));
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("the loss became"), "{report}");
}

#[test]
fn what_replaces_results_wants_the_folder_to_itself() {
    let folder = folder(EXPERIMENT);
    let mut first = command(folder.path(), &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(folder.path(), &mut first, 1);
    let second = sweep(folder.path(), &["--force"]);
    assert!(!second.status.success());
    assert!(text(&second.stderr).contains("in use by process"), "{}", text(&second.stderr));
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn weights_that_are_broken_end_the_sweep_before_the_first_trial() {
    let folder = folder(
        &EXPERIMENT.replace("strategy =", "weights = [\"none\", \"file:cut.safetensors\"]\nstrategy ="),
    );
    let mut bytes = 1_000_000u64.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{\"fc.weight\":{\"dtype\":\"F32\"");
    fs::write(folder.path().join("cut.safetensors"), bytes).unwrap();
    let output = sweep(folder.path(), &[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("cut.safetensors"), "{}", text(&output.stderr));
    assert_eq!(stored(folder.path()).len(), 0);
}
