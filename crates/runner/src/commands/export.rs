//! `frostline export`: the weights of a stored trial as a file of their own, with their [`Sidecar`] beside it.

use std::path::{Path, PathBuf};

use frostline_results::{Found, Sidecar, beside, find, none_kept, write_file};
use frostline_text::{bytes, sha256};

use crate::cli::ExportArgs;
use crate::error::Error;

/// Writes both files; their names, and what the model is, to print.
///
/// # Errors
/// No such trial, or none that has weights; an output that is no `.safetensors` file, or cannot be written; damaged
/// weights.
pub fn export(args: &ExportArgs) -> Result<String, Error> {
    if args.output.extension().is_none_or(|extension| extension != "safetensors") {
        let message = format!("--output {} is no safetensors file", args.output.display());
        return Err(Error::usage(message, "give it a name that ends in .safetensors"));
    }
    let found = find(&args.trial, args.results.as_deref())?;
    let (sidecar, weights) = whole(&found)?;
    let content = read(&weights, &sidecar)?;
    let json = beside(&args.output);
    write_file(&args.output, &content)?;
    sidecar.write(&json)?;
    let accuracy = sidecar.results.test_accuracy.unwrap_or(f64::NAN);
    let of = match sidecar.results.chosen_epoch {
        Some(epoch) if epoch != sidecar.weights.epoch => format!(" (of epoch {epoch}, not of these weights)"),
        _ => String::new(),
    };
    Ok(format!(
        "{}  {}\n{}  {}, epoch {}, {} classes, test accuracy {:.1} %{of}\n",
        args.output.display(),
        bytes(sidecar.weights.size),
        json.display(),
        found.stored.trial.label(),
        sidecar.weights.epoch,
        sidecar.classes.len(),
        100.0 * accuracy,
    ))
}

/// The sidecar of a stored trial and the file of its weights.
///
/// # Errors
/// It failed, or kept no weights.
pub(super) fn whole(found: &Found) -> Result<(Sidecar, PathBuf), Error> {
    let usage = |(message, help)| Error::usage(message, help);
    let sidecar = Sidecar::of(&found.stored, found.environment.as_ref(), &found.asked).map_err(usage)?;
    let weights = found.weights().ok_or_else(|| usage(none_kept(&found.stored.trial, &found.asked)))?;
    Ok((sidecar, weights))
}

/// The bytes of the weights, if they are those that the sidecar speaks of.
fn read(weights: &Path, sidecar: &Sidecar) -> Result<Vec<u8>, Error> {
    let content = std::fs::read(weights).map_err(|error| Error::reading(weights, error, None))?;
    sidecar.check(weights, &sha256(&content))?;
    Ok(content)
}
