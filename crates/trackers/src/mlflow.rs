//! MLflow's local file store: a folder for the experiment, in it one for each trial, and in that a file for each parameter, metric and tag.
//! Late versions of MLflow read it where `MLFLOW_ALLOW_FILE_STORE=true` is set; `mlflow migrate-filestore` takes it to a database.

use std::path::Path;

use frostline_experiment::keys::keys;
use frostline_results::{Status, StoreError};
use frostline_text::sha256;

use super::{Point, Run, file_name, make_folder, put_file};

/// What MLflow calls runs that train, are done, and have failed.
const RUNNING: u8 = 1;
const FINISHED: u8 = 3;
const FAILED: u8 = 4;

/// Writes trials as runs of the experiment of this name.
///
/// # Errors
/// A failed write.
pub(super) fn write(folder: &Path, name: &str, runs: &[Run<'_>]) -> Result<(), StoreError> {
    // The identity of an experiment is a number; that of its name, so that it stays the same.
    let number = sha256(name.as_bytes());
    let number = u64::from_str_radix(&number[..12], 16).unwrap_or_default() + 1_000_000_000;
    let experiment = folder.join(number.to_string());
    let trash = folder.join(".trash"); // MLflow asks for it
    make_folder(&experiment)?;
    make_folder(&trash)?;
    let meta = experiment.join("meta.yaml");
    // While trials train, the first to come dates the experiment.
    if runs.iter().all(|run| run.outcome.is_some()) || !meta.exists() {
        put_file(&meta, experiment_text(&experiment, number, name, runs).as_bytes())?;
    }
    for run in runs {
        put_run(&experiment, number, run)?;
    }
    Ok(())
}

fn experiment_text(experiment: &Path, number: u64, name: &str, runs: &[Run<'_>]) -> String {
    let first = runs.iter().map(|run| run.began).fold(f64::INFINITY, f64::min);
    let created = if first.is_finite() { milliseconds(first) } else { 0 };
    format!(
        "artifact_location: {}\ncreation_time: {created}\nexperiment_id: '{number}'\nlast_update_time: {created}\n\
         lifecycle_stage: active\nname: {}\n",
        quoted(&address(experiment)),
        quoted(name)
    )
}

fn put_run(experiment: &Path, number: u64, run: &Run<'_>) -> Result<(), StoreError> {
    let Run { trial, began, outcome, .. } = *run;
    let id = format!("{:0<32}", trial.id); // 32 digits in hex
    let folder = experiment.join(&id);
    for part in ["params", "metrics", "tags", "artifacts"] {
        make_folder(&folder.join(part))?;
    }
    let points = run.points();
    let end = milliseconds(points.last().map_or(began, |point| point.time));
    let (status, to) = match outcome.map(|outcome| &outcome.status) {
        None => (RUNNING, "null".to_owned()),
        Some(Status::Finished) => (FINISHED, end.to_string()),
        Some(Status::Failed { .. }) => (FAILED, end.to_string()),
    };
    let text = format!(
        "artifact_uri: {}\nend_time: {to}\nentry_point_name: ''\nexperiment_id: '{number}'\nlifecycle_stage: active\n\
         run_id: {id:?}\nrun_name: {}\nrun_uuid: {id:?}\nsource_name: ''\nsource_type: 4\nsource_version: ''\n\
         start_time: {}\nstatus: {status}\ntags: []\nuser_id: ''\n",
        quoted(&format!("{}/artifacts", address(&folder))),
        quoted(&trial.label()),
        milliseconds(began),
    );
    for key in keys().iter().filter(|key| trial.uses(key.name)) {
        put(&folder, "params", key.name, &key.show(trial))?;
    }
    let mut names: Vec<&str> = points.iter().map(|point| point.name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = points.iter().filter(|point| point.name == name);
        let line =
            |Point { value, epoch, time, .. }: &Point| format!("{} {value} {epoch}\n", milliseconds(*time));
        // MLflow takes a slash for a folder.
        put(&folder, "metrics", &name.replace('/', "_"), &of.map(line).collect::<String>())?;
    }
    put(&folder, "tags", "mlflow.runName", &trial.label())?;
    put(&folder, "tags", "frostline.trial", &trial.id)?;
    if let Some(Status::Failed { reason }) = outcome.map(|outcome| &outcome.status) {
        put(&folder, "tags", "frostline.reason", reason)?;
    }
    put_file(&folder.join("meta.yaml"), text.as_bytes())
}

fn put(folder: &Path, part: &str, name: &str, content: &str) -> Result<(), StoreError> {
    put_file(&folder.join(part).join(file_name(name)), content.as_bytes())
}

fn milliseconds(seconds: f64) -> u64 {
    (1000.0 * seconds) as u64
}

/// Where a folder is, as MLflow writes it.
fn address(folder: &Path) -> String {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    format!("file://{}", whole.display())
}

/// A text in quotes, which JSON and YAML share.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}
