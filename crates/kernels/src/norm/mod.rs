//! Batch normalisation (Ioffe & Szegedy, 2015), fused with a residual addition and ReLU: its passes over memory, which
//! [`crate::conv_norm`] puts together, and [`update_running`].
//!
//! Whether a layer trains, and which statistics it uses, is the caller's decision; nothing here keeps state.

pub(crate) mod gradients;
pub(crate) mod passes;

use candle_core::{Result, Tensor, Var, bail};

use crate::layout::Hwnc;
use crate::storage;

/// What a batch norm does besides normalising.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// Added to the variance: 1e-5 in most networks.
    pub eps: f64,
    /// Whether ReLU follows (after the residual, if there is one).
    pub relu: bool,
}

/// The statistics of one batch, per channel.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The means, `[C]`, without a tape.
    pub mean: Tensor,
    /// The biased variances (divided by `count`), `[C]`, without a tape.
    pub variance: Tensor,
    /// How many values of each channel the statistics are taken over: `H·W·N`.
    pub count: usize,
}

/// Moves running statistics towards a batch's, as PyTorch does: `running = (1 - momentum) · running + momentum · batch`,
/// with the unbiased variance of the batch.
///
/// # Errors
/// When the statistics are of one value per channel, or the shapes differ.
pub fn update_running(mean: &Var, variance: &Var, batch: &BatchStatistics, momentum: f64) -> Result<()> {
    if batch.count < 2 {
        bail!("running statistics: one value per channel has no unbiased variance; use a larger batch");
    }
    let unbiased = batch.count as f64 / (batch.count - 1) as f64;
    let towards = |running: &Var, batch: &Tensor, weight: f64| -> Result<()> {
        let kept = running.as_tensor().detach().affine(1.0 - momentum, 0.0)?;
        running.set(&(kept + batch.affine(momentum * weight, 0.0)?)?)
    };
    towards(mean, &batch.mean, 1.0)?;
    towards(variance, &batch.variance, unbiased)
}

impl BatchStatistics {
    pub(crate) fn of(mean: &[f64], variance: &[f64], count: usize) -> Result<Self> {
        Ok(Self {
            mean: storage::tensor(single(mean), mean.len())?,
            variance: storage::tensor(single(variance), variance.len())?,
            count,
        })
    }
}

/// The shapes of what normalises `[H, W, N, C]`.
pub(crate) fn check(
    dims: (usize, usize, usize, usize),
    vectors: &[(&str, &Tensor)],
    residual: Option<&Hwnc>,
) -> Result<()> {
    for (name, vector) in vectors {
        if vector.dims() != [dims.3] {
            bail!("batch norm: {name} is {:?}, but the input [H, W, N, C] is {dims:?}", vector.dims());
        }
    }
    match residual {
        Some(residual) if residual.dims() != dims => {
            bail!("batch norm: the residual is {:?}, but the input is {dims:?}", residual.dims())
        }
        _ => Ok(()),
    }
}

/// How many values a channel has; one has no variance.
pub(crate) fn check_count((h, w, n, c): (usize, usize, usize, usize)) -> Result<usize> {
    let count = h * w * n;
    if count < 2 {
        bail!(
            "batch norm: input [{h}, {w}, {n}, {c}] has {count} value per channel, so its variance is \
             undefined in training; use a larger batch, larger images, or running statistics"
        );
    }
    Ok(count)
}

pub(crate) fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

pub(crate) fn double(vector: &Tensor) -> Result<Vec<f64>> {
    Ok(storage::singles(vector)?.into_iter().map(f64::from).collect())
}
