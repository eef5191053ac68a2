//! `frostline export`: the weights of a stored trial as a file of their own, with their [`Sidecar`] and a model card beside
//! it, and the model as an ONNX graph where that is asked for.

mod card;
mod graph;

use std::path::{Path, PathBuf};

use frostline_onnx::OPSET;
use frostline_report::Card;
use frostline_results::{Found, Results, Sidecar, beside, find, none_kept, write_file};
use frostline_text::{bytes, sha256};

use super::{check_output, make_folder_of};
use crate::cli::ExportArgs;
use crate::error::Error;

/// Writes the files; their names, and what the model is, to print.
///
/// # Errors
/// No such trial, or none that has weights; an output that is no `.safetensors` file, or cannot be written; damaged
/// weights; a model that cannot be a graph. Nothing is written then.
pub fn export(args: &ExportArgs) -> Result<String, Error> {
    check_output(&args.output, "safetensors", "safetensors")?;
    let found = find(&args.trial, args.results.as_deref())?;
    let (sidecar, weights) = whole(&found)?;
    let content = read(&weights, &sidecar)?;
    let graph = args.onnx.then(|| graph::onnx(&sidecar, &weights)).transpose()?;
    let (json, onnx) = (beside(&args.output), args.output.with_extension("onnx"));
    let place = card::place(&args.output)?;
    let results = Results::read(found.folder.ancestors().nth(2).unwrap_or(Path::new("")))?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let onnx_name = graph.as_ref().map(|_| name(&onnx));
    let card = Card {
        sidecar: &sidecar,
        stored: &found.stored,
        results: &results,
        weights: &name(&args.output),
        json: &name(&json),
        onnx: onnx_name.as_deref(),
    };
    let card = card.markdown();
    make_folder_of(&args.output)?;
    write_file(&args.output, &content)?;
    sidecar.write(&json)?;
    let mut more = String::new();
    if let Some(graph) = graph {
        write_file(&onnx, &graph)?;
        more += &format!("{}  {}, opset {OPSET}\n", onnx.display(), bytes(graph.len() as u64));
    }
    if let Some(path) = &place.path {
        write_file(path, card.as_bytes())?;
    }
    more += &place.told();
    let accuracy = sidecar.results.test_accuracy.unwrap_or(f64::NAN);
    let of = match sidecar.results.chosen_epoch {
        Some(epoch) if epoch != sidecar.weights.epoch => format!(" (of epoch {epoch}, not of these weights)"),
        _ => String::new(),
    };
    Ok(format!(
        "{}  {}\n{}  {}, epoch {}, {} classes, test accuracy {:.1} %{of}\n{more}",
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
