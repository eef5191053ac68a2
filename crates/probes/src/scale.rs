//! Features as the regressions take them: [`Scaled`], about their means and with a spread of one.

use rayon::prelude::*;

use crate::Features;
use crate::product::{BLOCK, Rows, add};

/// The mean of each feature, and the root mean square of all about their means.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) mean: Vec<f64>,
    pub(crate) spread: f64,
}

/// Features that are centred and divided by their spread.
#[derive(Clone, Debug)]
pub(crate) struct Scaled {
    /// `[images, width]`.
    pub(crate) values: Vec<f64>,
    pub(crate) width: usize,
}

impl Scale {
    pub(crate) fn of(features: &Features<'_>) -> Self {
        let count = features.len() as f64;
        let mut mean = vec![0.0; features.width];
        for row in features.values.chunks_exact(features.width) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let square = |row: &[f32]| -> f64 {
            row.iter().zip(&mean).map(|(value, mean)| (f64::from(*value) - mean).powi(2)).sum()
        };
        let squares: f64 = features.values.chunks_exact(features.width).map(square).sum();
        let spread = (squares / (count * features.width as f64)).sqrt();
        // All images are alike: nothing can be told apart, whatever the scale.
        Self { mean, spread: if spread > 0.0 { spread } else { 1.0 } }
    }

    /// None.
    pub(crate) fn none(width: usize) -> Self {
        Self { mean: vec![0.0; width], spread: 1.0 }
    }

    pub(crate) fn apply(&self, values: &[f32]) -> Scaled {
        let width = self.mean.len();
        let mut scaled = vec![0.0; values.len()];
        scaled.par_chunks_mut(width).zip(values.par_chunks(width)).for_each(|(to, from)| {
            let pairs = from.iter().zip(&self.mean);
            to.iter_mut()
                .zip(pairs)
                .for_each(|(to, (value, mean))| *to = (f64::from(*value) - mean) / self.spread);
        });
        Scaled { values: scaled, width }
    }

    /// Weights `[width, classes]` and biases for features as they are, of those for features that are centred and scaled.
    pub(crate) fn undone(&self, weight: &[f64], bias: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let weight: Vec<f64> = weight.iter().map(|weight| weight / self.spread).collect();
        let mut bias = bias.to_vec();
        for (row, mean) in weight.chunks_exact(bias.len()).zip(&self.mean) {
            bias.iter_mut().zip(row).for_each(|(bias, weight)| *bias -= mean * weight);
        }
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        (single(weight), single(bias))
    }
}

impl Scaled {
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Blocks of images.
    pub(crate) fn blocks(&self) -> std::slice::Chunks<'_, f64> {
        self.values.chunks(BLOCK * self.width)
    }

    /// The scores `[images, classes]` for weights `[width, classes]`.
    pub(crate) fn scores(&self, weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let mut scores: Vec<f64> = bias.iter().copied().cycle().take(self.len() * bias.len()).collect();
        let blocks =
            scores.par_chunks_mut(BLOCK * bias.len()).zip(self.values.par_chunks(BLOCK * self.width));
        blocks.for_each(|(scores, rows)| add_scores(scores, rows, self.width, weight, bias.len()));
        scores
    }
}

/// Adds rows `[images, width]` times weights `[width, classes]`.
pub(crate) fn add_scores(scores: &mut [f64], rows: &[f64], width: usize, weight: &[f64], classes: usize) {
    let factors = (Rows::new(rows, width), Rows::new(weight, classes));
    add((rows.len() / width, width, classes), (scores, classes), factors, 1.0);
}
