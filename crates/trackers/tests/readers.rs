//! What the tools themselves read: TensorBoard and MLflow from PyPI. Each is skipped, with a message, where Python has it not.
//!
//! `FROSTLINE_PYTHON` names the Python to ask, `python3` otherwise.

use std::path::Path;
use std::process::Command;

use frostline_results::Results;
use frostline_results::samples::{failed, plan, results};
use frostline_trackers::{mlflow, tensorboard};

fn sweep() -> Results {
    let mut results = results(plan(&["resnet18"], &["full", "head"], 2), |t| {
        (if t.strategy == "full" { 0.9 } else { 0.6 }, 12.0)
    });
    let last = results.trials.last_mut().unwrap();
    last.outcome = failed(&last.trial, "the loss became NaN: \"no\"").outcome;
    last.epochs.clear();
    results
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
    assert_eq!(tensorboard(folder.path(), &sweep()).unwrap(), 4);
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
    assert_eq!(mlflow(folder.path(), &sweep()).unwrap(), 4);
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
    let Some(text) = python("mlflow.store.tracking.file_store", script, folder.path()) else { return };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0], "full FINISHED 0.9 [1, 2, 3, 4, 5, 6] resnet18 full 32 px seed 0");
    assert_eq!(lines.iter().filter(|line| line.contains("FAILED None []")).count(), 1, "{text}");
    assert_eq!(lines.len(), 4);
}
