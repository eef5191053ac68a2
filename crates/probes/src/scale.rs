//! Where features lie and how far they spread: [`Scale`].

use crate::Features;
use crate::product::transposed;

/// The mean of each feature, and the root mean square of all about their means.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) mean: Vec<f64>,
    pub(crate) spread: f64,
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

    /// Weights `[width, classes]` and biases for features as they are, of weights `[classes, width]` for features that are centred and
    /// scaled.
    pub(crate) fn undone(&self, weight: &[f64], bias: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let weight: Vec<f64> = weight.iter().map(|weight| weight / self.spread).collect();
        let rows = weight.chunks_exact(self.mean.len()).zip(bias);
        let bias = rows.map(|(row, bias)| {
            bias - row.iter().zip(&self.mean).map(|(weight, mean)| weight * mean).sum::<f64>()
        });
        let bias = bias.map(|bias| bias as f32).collect();
        (transposed(&weight, self.mean.len()).into_iter().map(|weight| weight as f32).collect(), bias)
    }
}
