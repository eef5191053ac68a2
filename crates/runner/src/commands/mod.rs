//! The commands, one module each, and what they share: a plan from the command line's arguments. Each gives back the text
//! to print.

pub mod data;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod features;
mod left;
pub mod models;
pub mod plan;
pub mod predict;
pub mod pretrain;
pub mod rate;
pub mod report;
pub mod run;
pub mod shell;
pub mod slurm;
mod spread;
pub mod status;
pub mod sweep;
pub mod trying;

use std::path::Path;

use frostline_experiment::{Experiment, Plan, did_you_mean, expand};

use crate::cli::PlanArgs;
use crate::error::Error;
use crate::machine::DeviceChoice;

/// Reads an experiment and makes its plan, with `--set` on top; `--only` is left to the caller.
///
/// # Errors
/// A file that cannot be read; everything that is wrong with it.
pub fn planned(args: &PlanArgs) -> Result<(Experiment, Plan), Error> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Error::reading(&args.file, error, neighbours(&args.file)))?;
    let experiment = Experiment::read(&args.file, &text, &settings(args))?;
    let plan = expand(&experiment)?;
    Ok((experiment, plan))
}

/// What the command line changes of the file. Which of several devices computes is no part of it.
fn settings(args: &PlanArgs) -> Vec<String> {
    let device = args.device.as_ref().map(|device| format!("run.device={}", device.kind()));
    args.set.iter().cloned().chain(device).collect()
}

/// The number of the one device that a command computes on, of those of its kind.
///
/// # Errors
/// There are several, or the one is not there.
fn one_device(choice: &DeviceChoice, command: &str) -> Result<usize, Error> {
    match choice.ordinals()?.as_slice() {
        [one] => Ok(*one),
        several => {
            let message = format!("{command} computes on one device, and {choice} is {}", several.len());
            Err(Error::usage(message, "name one of them; frostline sweep hands its trials out to several"))
        }
    }
}

/// Which experiment files there are where one was looked for.
fn neighbours(file: &Path) -> Option<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    let wanted = file.file_name()?.to_str()?;
    let there = format!("in {} there are {}", folder.display(), names.join(", "));
    (!names.is_empty()).then(|| did_you_mean(wanted, names.iter().map(String::as_str), &there))
}

/// That a file of this kind can be written at `output`, as far as that can be known before.
///
/// # Errors
/// Its name ends otherwise, or something that is no folder stands where its folder would.
fn check_output(output: &Path, extension: &str, kind: &str) -> Result<(), Error> {
    if output.extension().is_none_or(|found| found != extension) {
        let message = format!("--output {} is no {kind} file", output.display());
        return Err(Error::usage(message, format!("give it a name that ends in .{extension}")));
    }
    match output.ancestors().skip(1).find(|place| place.exists()) {
        Some(place) if !place.is_dir() => {
            let message = format!("--output {}: {} is no folder", output.display(), place.display());
            Err(Error::usage(message, "name another place"))
        }
        _ => Ok(()),
    }
}

/// Makes the folder that a file is written to, where it is not there.
///
/// # Errors
/// The system refuses.
fn make_folder_of(output: &Path) -> Result<(), Error> {
    let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!("--output {}: its folder cannot be made: {error}", output.display());
        Error::usage(message, "make it, or name another place")
    })
}
