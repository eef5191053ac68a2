//! `frostline predict`: what a trained model, a stored trial or an exported file, says of images. The work is
//! [`crate::predict`]'s.

use std::path::{Path, PathBuf};

use frostline_engine::device;
use frostline_results::{Sidecar, beside, find};
use frostline_text::{duration, plural, rate};

use super::export::whole;
use super::one_device;
use super::sweep::install_threads;
use crate::cli::PredictArgs;
use crate::error::{Ending, Error};
use crate::machine::seconds;
use crate::predict::{Pictures, Predictor, image_paths, written};
use crate::terminal::tell;

/// So many images are worth a word on how fast they went.
const MANY: usize = 100;

/// The predictions, in the format that was asked for, and whether there is one for every image.
///
/// # Errors
/// No such trial or file; weights without their sidecar, or that are not those that it speaks of; no images.
pub fn predict(args: &PredictArgs) -> Result<(String, Ending), Error> {
    let device = device::open(args.device.kind(), one_device(&args.device, "frostline predict")?)?;
    let paths = image_paths(&args.images, &mut std::io::stdin().lock())?;
    let threads = install_threads(args.threads);
    let (sidecar, weights) = model_of(&args.model, args.results.as_deref())?;
    threads?;
    let predictor = Predictor::new(&sidecar, &weights, &device)?;
    let pictures = args.explain.as_ref().map(|folder| Pictures::of(&paths, folder)).transpose()?;
    let begun = seconds();
    let rows = predictor.predict(&paths, args.top)?;
    let taken = seconds() - begun;
    if rows.len() >= MANY {
        let speed = rate(rows.len() as f64 / taken.max(1e-9));
        tell(&format!(
            "{} in {}, decoding included: {speed} a second",
            plural(rows.len(), "image"),
            duration(taken)
        ));
    }
    if let Some(pictures) = &pictures {
        tell(&predictor.draw(&paths, pictures)?);
    }
    let all = rows.iter().all(|row| row.outcome.is_ok());
    Ok((written(&rows, args.format), if all { Ending::Done } else { Ending::SomeFailed }))
}

/// The sidecar and the weights of a trial's id, or of an exported file.
///
/// # Errors
/// No such trial or file, or it has no weights or no sidecar.
pub(super) fn model_of(word: &str, results: Option<&Path>) -> Result<(Sidecar, PathBuf), Error> {
    if word.ends_with(".safetensors") {
        let weights = Path::new(word).to_owned();
        Ok((sidecar_of(&weights)?, weights))
    } else {
        whole(&find(word, results)?)
    }
}

/// What lies beside an exported file.
fn sidecar_of(weights: &Path) -> Result<Sidecar, Error> {
    let path = beside(weights);
    if !weights.exists() {
        let help = "name a file that `frostline export` wrote, or a trial's id".to_owned();
        return Err(Error::reading(weights, std::io::ErrorKind::NotFound.into(), Some(help)));
    }
    if !path.exists() {
        let message = format!("{} has no {} beside it", weights.display(), path.display());
        let help = "classes and normalisation are in that file; `frostline export` writes both";
        return Err(Error::usage(message, help));
    }
    Ok(Sidecar::read(&path)?)
}
