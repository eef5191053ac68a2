//! What the tools themselves read: TensorBoard and MLflow from PyPI. Each is skipped, with a message, where Python has it not.
//!
//! `FROSTLINE_PYTHON` names the Python to ask, `python3` otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use frostline_results::Results;
use frostline_results::samples::{failed, plan, results};
use frostline_trackers::Trackers;

fn sweep() -> Results {
    let mut results = results(plan(&["resnet18"], &["full", "head"], 2), |t| {
        (if t.strategy == "full" { 0.9 } else { 0.6 }, 12.0)
    });
    let last = results.trials.last_mut().unwrap();
    last.outcome = failed(&last.trial, "the loss became NaN: \"no\"").outcome;
    last.epochs.clear();
    results
}

fn trackers(tensorboard: Option<&Path>, mlflow: Option<&Path>) -> Trackers {
    Trackers { tensorboard: tensorboard.map(Path::to_owned), mlflow: mlflow.map(Path::to_owned) }
}

/// Writes the first trial as it stands after so many epochs.
fn underway(trackers: &Trackers, results: &Results, epochs: usize) {
    let first = &results.trials[0];
    let (name, began) = (&results.plan.experiment, &first.outcome.started_at);
    trackers.underway(name, &first.trial, began, &first.epochs[..epochs]).unwrap();
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// What a script prints, given a folder; none where a module of it is missing.
fn python(module: &str, script: &str, folder: &Path) -> Option<String> {
    let python = option_env!("FROSTLINE_PYTHON").unwrap_or("python3");
    let there = Command::new(python).args(["-c", &format!("import {module}")]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no {module}");
        return None;
    }
    let output = Command::new(python).args(["-c", script]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn tensorboard_reads_every_scalar() {
    let folder = tempfile::tempdir().unwrap();
    trackers(Some(folder.path()), None).write(&sweep()).unwrap();
    let script = r#"
import pathlib, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for run in sorted(path for path in pathlib.Path(sys.argv[1]).iterdir()):
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    test = [round(e.value, 4) for e in events.Scalars("accuracy/test")] if "accuracy/test" in tags else []
    steps = [e.step for e in events.Scalars("loss/train")] if "loss/train" in tags else []
    print(run.name.split("_")[1], len(tags), test, steps)
"#;
    let Some(text) = python("tensorboard", script, folder.path()) else { return };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let full = "full 9 [0.9] [1, 2, 3, 4, 5, 6]";
    assert_eq!(lines, [full, full, "head 1 [] []", "head 9 [0.6] [1, 2, 3, 4, 5, 6]"]);
}

#[test]
fn mlflow_reads_runs_parameters_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    trackers(None, Some(folder.path())).write(&sweep()).unwrap();
    let script = r#"
import os, sys, warnings
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
warnings.simplefilter("ignore")
from mlflow.store.tracking.file_store import FileStore
from mlflow.entities import ViewType
store = FileStore(sys.argv[1])
experiment = store.get_experiment_by_name("sample")
for run in store.search_runs([experiment.experiment_id], "", ViewType.ACTIVE_ONLY):
    metrics, params = run.data.metrics, run.data.params
    history = store.get_metric_history(run.info.run_id, "loss_train") if "loss_train" in metrics else []
    print(params["strategy"], run.info.status, metrics.get("accuracy_test"), [m.step for m in history], run.data.tags["mlflow.runName"])
"#;
    let module = "mlflow.store.tracking.file_store";
    let Some(text) = python(module, script, folder.path()) else { return };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0], "full FINISHED 0.9 [1, 2, 3, 4, 5, 6] resnet18 full 32 px seed 0");
    assert_eq!(lines.iter().filter(|line| line.contains("FAILED None []")).count(), 1, "{text}");
    assert_eq!(lines.len(), 4);

    let folder = tempfile::tempdir().unwrap();
    underway(&trackers(None, Some(folder.path())), &sweep(), 2);
    let text = python(module, script, folder.path()).unwrap();
    assert_eq!(text, "full RUNNING None [1, 2] resnet18 full 32 px seed 0\n");
}

#[test]
fn tensorboard_reads_on_where_a_trial_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut results = sweep();
    results.trials.truncate(1);
    let began = trackers(Some(&one), None);
    for epochs in 1..=2 {
        underway(&began, &results, epochs);
    }
    let (path, before) = files(&one).pop().unwrap();
    underway(&trackers(Some(&two), None), &results, 2);
    assert_eq!(files(&two)[0].1, before, "appended or written at once");
    began.write(&results).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(&before));
    // A file that was cut off, by a kill, is written anew.
    fs::write(&path, &before[..before.len() - 5]).unwrap();
    underway(&began, &results, 2);
    assert_eq!(fs::read(&path).unwrap(), before);
    let mut broken = before.clone();
    broken[20] ^= 1;
    fs::write(&path, broken).unwrap();
    underway(&began, &results, 2);
    assert_eq!(fs::read(&path).unwrap(), before);

    let script = r#"
import pathlib, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
folder = pathlib.Path(sys.argv[1])
run = next((folder / "one").iterdir())
file = next(run.iterdir())
whole, before = file.read_bytes(), next((folder / "two").glob("*/*")).read_bytes()
file.write_bytes(before)
events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
print([e.step for e in events.Scalars("loss/train")])
with file.open("ab") as more: more.write(whole[len(before):])
print([e.step for e in events.Reload().Scalars("loss/train")])
"#;
    began.write(&results).unwrap();
    let Some(text) = python("tensorboard", script, folder.path()) else { return };
    assert_eq!(text, "[1, 2]\n[1, 2, 3, 4, 5, 6]\n");
}

#[test]
fn the_same_again_changes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let both = trackers(Some(&folder.path().join("a")), Some(&folder.path().join("b")));
    let results = sweep();
    underway(&both, &results, 3);
    both.write(&results).unwrap();
    let before = files(folder.path());
    assert!(before.len() > 20);
    assert_eq!(
        both.write(&results).unwrap().iter().map(|(tool, _, runs)| (*tool, *runs)).collect::<Vec<_>>(),
        [("TensorBoard", 4), ("MLflow", 4)]
    );
    assert_eq!(files(folder.path()), before);
}
