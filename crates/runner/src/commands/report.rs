//! `frostline report` and `frostline merge`: the report of what is stored, and its files for other tools.

use std::path::{Path, PathBuf};

use frostline_report::rewrite_report;
use frostline_results::{Results, merge as join};
use frostline_text::plural;
use frostline_trackers::Trackers;

use crate::cli::{MergeArgs, ReportArgs, TrackArgs};
use crate::error::Error;

/// Writes the report anew; what to print.
///
/// # Errors
/// A folder without results, or a failed write.
pub fn report(args: &ReportArgs) -> Result<String, Error> {
    let report = rewrite_report(&args.folder)?;
    let page = report.path.with_extension("html");
    let trackers = trackers(&args.folder, &args.track);
    Ok(format!("{}\n{}\n", report.path.display(), page.display()) + &track(&args.folder, &trackers)?)
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

/// Where the files for other tools are wanted.
pub(super) fn trackers(folder: &Path, args: &TrackArgs) -> Trackers {
    let place = |given: &Option<Option<PathBuf>>, own: &str| {
        given.as_ref().map(|given| given.clone().unwrap_or_else(|| folder.join(own)))
    };
    Trackers { tensorboard: place(&args.tensorboard, "tensorboard"), mlflow: place(&args.mlflow, "mlruns") }
}

/// Writes the files for other tools of what is stored; a line for each tool.
///
/// # Errors
/// A failed write.
pub(super) fn track(folder: &Path, trackers: &Trackers) -> Result<String, Error> {
    if *trackers == Trackers::default() {
        return Ok(String::new());
    }
    let results = Results::read(folder)?;
    let line = |(tool, place, runs): (&str, &Path, usize)| {
        format!("{}: {} for {tool}\n", place.display(), plural(runs, "run"))
    };
    Ok(trackers.write(&results)?.into_iter().map(line).collect())
}
