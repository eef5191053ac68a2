//! Global response normalisation (Woo et al., 2023, arXiv:2301.00808): the channels of an image compete by their norms.
//!
//! The entry is [`response_norm`]. With `G` the norm of each channel of an image over its pixels and `M` the mean of these, the
//! map becomes `x · (1 + weight · G / (M + eps)) + bias`: factors that all pixels share.

use candle_core::{Result, Tensor, bail};

use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, factors, tasks};

/// `x + bias + weight · x · G / (mean of G + eps)` for weight and bias `[C]`.
///
/// Gradients reach all three, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree, or there is no pixel.
pub fn response_norm(x: &Hwnc, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Hwnc> {
    let (h, w, n, c) = x.dims();
    for (name, vector) in [("weight", weight), ("bias", bias)] {
        if vector.dims() != [c] || h * w * n * c == 0 {
            bail!("response norm: the {name} is {:?}, but the input is {:?}", vector.dims(), x.dims());
        }
    }
    if !storage::runs_here(x.tensor()) {
        return composed::response_norm(x, weight, bias, eps);
    }
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
    let (weights, shift) = (storage::singles(&weight)?, storage::singles(&bias)?.repeat(n));
    let (y, operation) = by_number!(storage::is_half(x.tensor()), T => {
        let values = Values::<T>::of(x.tensor())?;
        let squares = factors::sums(&values, &values, n * c, |x, _| x * x);
        let norms: Vec<f32> = squares.into_iter().map(f32::sqrt).collect();
        let mean = |norms: &[f32]| (norms.iter().map(|g| f64::from(*g)).sum::<f64>() / c as f64 + eps) as f32;
        let operation = ResponseNorm { means: norms.chunks_exact(c).map(mean).collect(), norms };
        let y = factors::scaled(&values, &operation.factors(&weights), None, &shift);
        (storage::tensor(y, x.dims())?, operation)
    });
    note(&[x.tensor(), &weight, &bias], &y, operation);
    Hwnc::new(y)
}

/// The operation on the tape: inputs are x, weight and bias.
struct ResponseNorm {
    /// `G`, `[N, C]`.
    norms: Vec<f32>,
    /// Their means with epsilon, `[N]`.
    means: Vec<f32>,
}

impl ResponseNorm {
    /// The norms of an image, and their mean.
    fn images(&self, c: usize) -> impl Iterator<Item = (&[f32], f32)> {
        self.norms.chunks_exact(c).zip(self.means.iter().copied())
    }

    /// What pixels are multiplied by.
    fn factors(&self, weights: &[f32]) -> Vec<f32> {
        let of_image = |(norms, mean): (&[f32], f32)| -> Vec<f32> {
            norms.iter().zip(weights).map(|(norm, weight)| 1.0 + weight * (norm / mean)).collect()
        };
        self.images(weights.len()).flat_map(of_image).collect()
    }

    /// What pixels are multiplied by in their own gradient, by way of the norms: `sums` are those of gradient times pixel.
    fn through(&self, weights: &[f32], sums: &[f32]) -> Vec<f32> {
        let c = weights.len();
        let of_image = |((norms, mean), sums): ((&[f32], f32), &[f32])| -> Vec<f32> {
            let all: f64 = (0..c).map(|i| f64::from(weights[i] * sums[i]) * f64::from(norms[i])).sum();
            let shared = (all / (f64::from(mean).powi(2) * c as f64)) as f32;
            let one = |i: usize| (weights[i] * sums[i] / mean - shared) / norms[i];
            (0..c).map(|i| if norms[i] > 0.0 { one(i) } else { 0.0 }).collect()
        };
        self.images(c).zip(sums.chunks_exact(c)).flat_map(of_image).collect()
    }

    fn gradients<T: Number>(&self, inputs: &[Tensor], dy: &[T]) -> Result<Vec<Option<Gradient>>> {
        let [x, weight, bias] = inputs else { bail!("response norm: three inputs") };
        let (values, weights) = (Values::<T>::of(x)?, storage::singles(weight)?);
        let c = weights.len();
        let mut found: Vec<Option<Gradient>> = vec![None; 3];
        let sums = match wanted(x) || wanted(weight) {
            true => factors::sums(dy, &values, self.norms.len(), |dy, x| dy * x),
            false => Vec::new(),
        };
        if wanted(x) {
            let through = self.through(&weights, &sums);
            let nothing = vec![0.0; self.norms.len()];
            let dx = factors::scaled(dy, &self.factors(&weights), Some((&values, &through)), &nothing);
            found[0] = Some(storage::tensor(dx, x.shape())?.into());
        }
        if wanted(weight) {
            let mut dw = vec![0.0f64; c];
            for ((norms, mean), sums) in self.images(c).zip(sums.chunks_exact(c)) {
                (0..c).for_each(|i| dw[i] += f64::from(norms[i] / mean * sums[i]));
            }
            found[1] =
                Some(storage::tensor(dw.into_iter().map(|sum| sum as f32).collect::<Vec<_>>(), c)?.into());
        }
        if wanted(bias) {
            found[2] = Some(storage::tensor(tasks::column_sums(dy, c), c)?.into());
        }
        Ok(found)
    }
}

impl Backward for ResponseNorm {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => self.gradients::<T>(inputs, &Values::of(&dy)?))
    }
}
