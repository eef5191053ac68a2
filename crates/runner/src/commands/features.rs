//! `frostline features`: what a trained model's head is given for images, as a parquet file. The work is [`crate::predict`]'s.

use std::path::Path;

use frostline_engine::device;
use frostline_hub::Hub;
use frostline_results::{Features, FeaturesOf, Sidecar};
use frostline_text::plural;

use super::predict::model_of;
use super::sweep::install_threads;
use super::{check_output, make_folder_of, one_device};
use crate::cli::FeaturesArgs;
use crate::error::{Ending, Error};
use crate::execute::images_of;
use crate::machine::hub_options;
use crate::predict::{Predictor, image_paths};
use crate::terminal::{Form, Progress};

/// What was written, and whether every image has features.
///
/// # Errors
/// An output that is no `.parquet` file, or where no folder can be; no such trial or file, or one without weights; images that are not there, or are
/// not those that the trial had.
pub fn features(args: &FeaturesArgs) -> Result<(String, Ending), Error> {
    check_output(&args.output, "parquet", "parquet")?;
    let device = device::open(args.device.kind(), one_device(&args.device, "frostline features")?)?;
    let paths = match args.split.is_empty() {
        true => image_paths(&args.images, &mut std::io::stdin().lock())?,
        false => Vec::new(),
    };
    let threads = install_threads(args.threads);
    let (sidecar, weights) = model_of(&args.model, args.results.as_deref())?;
    threads?;
    let predictor = Predictor::new(&sidecar, &weights, &device)?;
    let features = if args.split.is_empty() {
        predictor.embed_files(&paths)?
    } else {
        let hub = Hub::new(hub_options(args.offline)?)?;
        let (dataset, splits) = images_of(&sidecar.trial, &hub, &Progress::new(Form::of_terminal()))?;
        check_images(&sidecar, &dataset.digest)?;
        predictor.embed_parts(&args.split, &dataset, &splits)?
    };
    make_folder_of(&args.output)?;
    features.write(&args.output, &notes(&sidecar))?;
    Ok(told(&features, &args.output))
}

/// That images are those that the trial had.
fn check_images(sidecar: &Sidecar, found: &str) -> Result<(), Error> {
    let data = &sidecar.lineage.data;
    if data.digest == found {
        return Ok(());
    }
    let message = format!(
        "the images of {} are not those that trial {} had: their digest is {found}, and was {}",
        data.source, sidecar.trial.id, data.digest
    );
    Err(Error::usage(message, "bring those back, train it on these, or name files in place of --split"))
}

/// What the file says of itself.
fn notes(sidecar: &Sidecar) -> Vec<(String, String)> {
    let notes = [
        ("trial", sidecar.trial.id.clone()),
        ("model", sidecar.architecture.clone()),
        ("resolution", sidecar.resolution.to_string()),
        ("weights-sha256", sidecar.weights.sha256.clone()),
        ("version", sidecar.frostline.clone()),
    ];
    notes.into_iter().map(|(key, value)| (format!("frostline.{key}"), value)).collect()
}

fn told(features: &Features, output: &Path) -> (String, Ending) {
    let (count, broken) = match &features.of {
        FeaturesOf::Splits(images) => (images.len(), 0),
        FeaturesOf::Files(files) => (files.len(), files.iter().filter(|(_, error)| error.is_some()).count()),
    };
    let mut text = format!("{}  {}", output.display(), plural(count, "image"));
    if features.width > 0 {
        text += &format!(", {} features each", features.width);
    }
    match broken {
        0 => (text + "\n", Ending::Done),
        _ => (format!("{text}; {broken} cannot be used, as the column `error` says\n"), Ending::SomeFailed),
    }
}
