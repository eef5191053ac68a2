//! `frostline report` and `frostline merge`: the report of what is stored, and its files for other tools.

use std::fs;
use std::path::{Path, PathBuf};

use frostline_report::rewrite_report;
use frostline_results::{Results, StoreError, merge as join};
use frostline_text::plural;
use frostline_trackers::{mlflow, tensorboard};

use crate::cli::{MergeArgs, ReportArgs, TrackArgs};
use crate::error::Error;

/// Writes the report anew; what to print.
///
/// # Errors
/// A folder without results, or a failed write.
pub fn report(args: &ReportArgs) -> Result<String, Error> {
    let report = rewrite_report(&args.folder)?;
    let page = report.path.with_extension("html");
    Ok(format!("{}\n{}\n", report.path.display(), page.display()) + &track(&args.folder, &args.track)?)
}

/// Joins parts to one folder and writes its report; what to print.
///
/// # Errors
/// Parts that do not belong together, or a failed write.
pub fn merge(args: &MergeArgs) -> Result<String, Error> {
    let came = join(&args.folder, &args.parts)?;
    let report = rewrite_report(&args.folder)?;
    Ok(format!("{} came in\n{}\n", plural(came, "trial"), report.path.display()))
}

/// Writes the files for other tools that are asked for; a line for each.
///
/// # Errors
/// A failed write.
pub(super) fn track(folder: &Path, args: &TrackArgs) -> Result<String, Error> {
    let mut text = String::new();
    let place = |given: &Option<PathBuf>, own: &str| {
        let place = given.clone().unwrap_or_else(|| folder.join(own));
        fs::create_dir_all(&place).map_err(|error| StoreError::writing(&place, error))?;
        Ok::<_, Error>(place)
    };
    if let Some(given) = &args.tensorboard {
        let place = place(given, "tensorboard")?;
        let runs = tensorboard(&place, &Results::read(folder)?)?;
        text += &format!("{}: {} for TensorBoard\n", place.display(), plural(runs, "run"));
    }
    if let Some(given) = &args.mlflow {
        let place = place(given, "mlruns")?;
        let runs = mlflow(&place, &Results::read(folder)?)?;
        text += &format!("{}: {} for MLflow\n", place.display(), plural(runs, "run"));
    }
    Ok(text)
}
