//! MLflow's local file store: a folder for the experiment, in it one for each trial, and in that a file for each parameter, metric and tag.
//! Late versions of MLflow read it where `MLFLOW_ALLOW_FILE_STORE=true` is set; `mlflow migrate-filestore` takes it to a database.

use std::fs;
use std::path::Path;

use frostline_experiment::keys::keys;
use frostline_results::{Results, Status, StoreError, StoredTrial, write_file};
use frostline_text::sha256;

use super::{Point, began, file_name, points};

/// What MLflow calls runs that are done, and that failed.
const FINISHED: u8 = 3;
const FAILED: u8 = 4;

/// Writes the stored trials as runs of one experiment; `mlflow ui --backend-store-uri FOLDER` shows them.
///
/// # Errors
/// A failed write.
pub fn mlflow(folder: &Path, results: &Results) -> Result<usize, StoreError> {
    // The identity of an experiment is a number; that of its name, so that it stays the same.
    let name = &results.plan.experiment;
    let number = sha256(name.as_bytes());
    let number = u64::from_str_radix(&number[..12], 16).unwrap_or_default() + 1_000_000_000;
    let experiment = folder.join(number.to_string());
    let trash = folder.join(".trash"); // MLflow asks for it
    for folder in [&experiment, &trash] {
        fs::create_dir_all(folder).map_err(|error| StoreError::writing(folder, error))?;
    }
    let first = results.trials.iter().map(|stored| began(&stored.outcome)).fold(f64::INFINITY, f64::min);
    let created = if first.is_finite() { milliseconds(first) } else { 0 };
    let text = format!(
        "artifact_location: {}\ncreation_time: {created}\nexperiment_id: '{number}'\nlast_update_time: {created}\n\
         lifecycle_stage: active\nname: {}\n",
        quoted(&address(&experiment)),
        quoted(name)
    );
    write_file(&experiment.join("meta.yaml"), text.as_bytes())?;
    for stored in &results.trials {
        run(&experiment, number, stored)?;
    }
    Ok(results.trials.len())
}

fn run(experiment: &Path, number: u64, stored: &StoredTrial) -> Result<(), StoreError> {
    let (trial, outcome) = (&stored.trial, &stored.outcome);
    let id = format!("{:0<32}", trial.id); // 32 digits in hex
    let folder = experiment.join(&id);
    for part in ["params", "metrics", "tags", "artifacts"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(|error| StoreError::writing(&part, error))?;
    }
    let (from, points) = (began(outcome), points(stored));
    let to = points.last().map_or(from, |point| point.time);
    let status = if outcome.status == Status::Finished { FINISHED } else { FAILED };
    let text = format!(
        "artifact_uri: {}\nend_time: {}\nentry_point_name: ''\nexperiment_id: '{number}'\nlifecycle_stage: active\n\
         run_id: {id:?}\nrun_name: {}\nrun_uuid: {id:?}\nsource_name: ''\nsource_type: 4\nsource_version: ''\n\
         start_time: {}\nstatus: {status}\ntags: []\nuser_id: ''\n",
        quoted(&format!("{}/artifacts", address(&folder))),
        milliseconds(to),
        quoted(&trial.label()),
        milliseconds(from),
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
    if let Status::Failed { reason } = &outcome.status {
        put(&folder, "tags", "frostline.reason", reason)?;
    }
    write_file(&folder.join("meta.yaml"), text.as_bytes())
}

fn put(folder: &Path, part: &str, name: &str, content: &str) -> Result<(), StoreError> {
    write_file(&folder.join(part).join(file_name(name)), content.as_bytes())
}

fn milliseconds(seconds: f64) -> u64 {
    (1000.0 * seconds) as u64
}

/// Where a folder is, as MLflow writes it.
fn address(folder: &Path) -> String {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
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
