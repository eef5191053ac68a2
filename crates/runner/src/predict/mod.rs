//! Predictions of a trained model for image files: [`image_paths`] finds the files, a [`Predictor`] brings them to the
//! trial's resolution as training did and runs the model over them, [`written`] writes what it says.

mod embed;
mod explain;
mod formats;
mod heat;
mod inputs;

use std::path::{Path, PathBuf};

use candle_core::Device;
use frostline_data::{Decoded, decode_files};
use frostline_engine::classify;
use frostline_models::{
    BuildSpec, HeadPolicy, Model, WeightsSource, build_blank_on, card, read_safetensors, resolve_file,
};

pub use embed::Part;
pub use explain::Pictures;
pub use formats::{Format, written};
pub use inputs::image_paths;

use frostline_results::Sidecar;

use crate::error::Error;

/// Bytes of pixels that are decoded at a time.
const DECODED: usize = 256 << 20;

const NOT_FINITE: &str =
    "the model's outputs for it are not finite numbers; train it again with a smaller learning rate";

/// What became of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The file.
    pub image: PathBuf,
    /// The likeliest classes, the first one first; or why there are none.
    pub outcome: Result<Vec<Guess>, String>,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The class's name.
    pub class: String,
    /// The softmax of the logits, in [0, 1].
    pub probability: f32,
}

/// A model with the weights that a sidecar speaks of.
#[derive(Debug)]
pub struct Predictor<'a> {
    sidecar: &'a Sidecar,
    model: Model,
}

impl<'a> Predictor<'a> {
    /// Builds the model on a device and loads its weights.
    ///
    /// # Errors
    /// A model that this version does not have; weights that are broken, of another model, or not the sidecar's.
    pub fn new(sidecar: &'a Sidecar, weights: &Path, device: &Device) -> Result<Self, Error> {
        let unknown = |error: frostline_models::UnknownModel| Error::Model(error.into());
        let card = card(&sidecar.architecture).map_err(unknown)?;
        let source = WeightsSource::File(weights.to_owned());
        sidecar.check(weights, &resolve_file(card, &source, weights)?.lineage.sha256)?;
        let (height, width) = (sidecar.resolution, sidecar.resolution);
        let spec = BuildSpec { classes: sidecar.classes.len(), height, width, seed: 0 };
        let mut model = build_blank_on(&sidecar.architecture, &spec, device)?;
        model.load(&read_safetensors(weights)?, HeadPolicy::Keep)?;
        model.fold()?;
        Ok(Self { sidecar, model })
    }

    /// The `top` likeliest classes of each image, a row each, in the order of the paths.
    ///
    /// # Errors
    /// A tensor operation fails. An image that is broken is a row.
    pub fn predict(&self, paths: &[PathBuf], top: usize) -> Result<Vec<Row>, Error> {
        let side = self.sidecar.resolution;
        let chunk = (DECODED / (side * side * 3).max(1)).max(1);
        let mut rows = Vec::with_capacity(paths.len());
        for paths in paths.chunks(chunk) {
            let Decoded { images, places, broken } = decode_files(paths, (side, side))?;
            let (mean, std) = (self.sidecar.weights.mean, self.sidecar.weights.std);
            let ranked =
                if images.is_empty() { Vec::new() } else { classify(&self.model, &images, mean, std, top)? };
            let guessed = ranked.iter().map(|ranked| {
                ranked.as_ref().map(|ranked| self.named(ranked)).ok_or_else(|| NOT_FINITE.to_owned())
            });
            let guessed = places.into_iter().zip(guessed);
            let broken = broken.into_iter().map(|(place, what)| (place, Err(what)));
            let mut outcomes: Vec<_> = guessed.chain(broken).collect();
            outcomes.sort_by_key(|(place, _)| *place);
            rows.extend(
                outcomes.into_iter().map(|(place, outcome)| Row { image: paths[place].clone(), outcome }),
            );
        }
        Ok(rows)
    }

    fn named(&self, ranked: &[(u32, f32)]) -> Vec<Guess> {
        let guess = |&(label, probability): &(u32, f32)| Guess {
            class: self.sidecar.classes[label as usize].clone(),
            probability,
        };
        ranked.iter().map(guess).collect()
    }
}
