//! What a model's head is given, for files and for the images of its trial: [`Predictor::embed_files`], [`Predictor::embed_parts`].

use std::path::PathBuf;

use frostline_data::{Dataset, Decoded, Images, Splits, decode_files};
use frostline_engine::{Embedding, embed};
use frostline_results::{Features, FeaturesOf, SplitImage};

use super::{DECODED, Predictor};
use crate::error::Error;

/// Images of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Those it trained on
    Train,
    /// Those its epoch was chosen on
    Validation,
    /// Those it was tested on
    Test,
}

impl Part {
    /// As users call it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }

    /// The images that it is a part of, and which of them.
    fn images<'a>(self, dataset: &'a Dataset, splits: &Splits) -> (&'a Images, Vec<u32>) {
        match self {
            Part::Train => (&dataset.train, splits.train.clone()),
            Part::Validation => (&dataset.train, splits.validation.clone()),
            Part::Test => splits.tested(dataset),
        }
    }
}

impl Predictor<'_> {
    /// The features of each file, in the order of the paths.
    ///
    /// # Errors
    /// A tensor operation fails. An image that is broken is a row without features.
    pub fn embed_files(&self, paths: &[PathBuf]) -> Result<Features, Error> {
        let side = self.sidecar.resolution;
        let chunk = (DECODED / (side * side * 3).max(1)).max(1);
        let (mut files, mut width, mut values) = (Vec::with_capacity(paths.len()), 0, Vec::new());
        for paths in paths.chunks(chunk) {
            let Decoded { images, broken, .. } = decode_files(paths, (side, side))?;
            let start = files.len();
            files.extend(paths.iter().map(|path| (path.display().to_string(), None)));
            for (place, what) in broken {
                files[start + place].1 = Some(what);
            }
            if !images.is_empty() {
                let all: Vec<u32> = (0..images.len() as u32).collect();
                let mut found = self.embed(&images, &all)?;
                width = found.width;
                values.append(&mut found.values);
            }
        }
        Ok(Features { width, of: FeaturesOf::Files(files), values })
    }

    /// The features of parts of a trial's images, one part after another.
    ///
    /// # Errors
    /// A part that has no images; a tensor operation fails.
    pub fn embed_parts(&self, parts: &[Part], dataset: &Dataset, splits: &Splits) -> Result<Features, Error> {
        let (mut rows, mut width, mut values) = (Vec::new(), 0, Vec::new());
        for part in parts {
            let (images, indices) = part.images(dataset, splits);
            if indices.is_empty() {
                let message = format!("trial {} has no {} images", self.sidecar.trial.id, part.name());
                return Err(Error::usage(message, "name another --split"));
            }
            let mut found = self.embed(images, &indices)?;
            width = found.width;
            values.append(&mut found.values);
            rows.extend(indices.into_iter().map(|index| {
                let label = images.labels()[index as usize];
                let class = dataset.classes.get(label as usize).cloned().unwrap_or_default();
                SplitImage { split: part.name(), index, label, class }
            }));
        }
        Ok(Features { width, of: FeaturesOf::Splits(rows), values })
    }

    fn embed(&self, images: &Images, indices: &[u32]) -> Result<Embedding, Error> {
        let (mean, std) = (self.sidecar.weights.mean, self.sidecar.weights.std);
        Ok(embed(&self.model, images, indices, mean, std)?)
    }
}
