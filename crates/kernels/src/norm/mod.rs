//! Batch normalisation (Ioffe & Szegedy, 2015), fused with a residual addition and ReLU.
//!
//! The entries are [`batch_norm`], which normalises by the batch's own statistics, [`batch_norm_frozen`], which
//! normalises by given ones, and [`update_running`]. Whether a layer trains, and which statistics it uses,
//! is the caller's decision; nothing here keeps state.

mod operation;
mod passes;

use candle_core::{Result, Tensor, Var, bail};

use crate::composed;
use crate::layout::Hwnc;
use crate::storage::{self, Values};
use operation::Normalise;

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

/// Normalises by the batch's statistics: `[relu]((x - mean) / sqrt(variance + eps) · gamma + beta [+ residual])`.
///
/// `gamma` and `beta` are `[C]`; a residual has the shape of `x`. Gradients reach `x` (through the statistics),
/// `gamma`, `beta` and the residual, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree, or there is one value per channel, which has no variance to normalise by.
pub fn batch_norm(
    x: &Hwnc,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Hwnc>,
    spec: NormSpec,
) -> Result<(Hwnc, BatchStatistics)> {
    check(x, &[("gamma", gamma), ("beta", beta)], residual)?;
    let (h, w, n, c) = x.dims();
    let count = h * w * n;
    if count < 2 {
        bail!(
            "batch norm: input [{h}, {w}, {n}, {c}] has {count} value per channel, so its variance is \
             undefined in training; use a larger batch, larger images, or running statistics"
        );
    }
    if !storage::runs_here(x.tensor()) {
        return composed::batch_norm(x, gamma, beta, residual, spec);
    }
    let moments = passes::moments(&Values::of(x.tensor())?, c);
    let statistics = BatchStatistics {
        mean: storage::tensor(single(&moments.mean), c)?,
        variance: storage::tensor(single(&moments.variance), c)?,
        count,
    };
    let operation = Normalise::new(&moments, spec, true);
    Ok((operation.apply(x, gamma, beta, residual)?, statistics))
}

/// Normalises by given statistics, usually the running ones; otherwise as [`batch_norm`].
///
/// `mean` and `variance` are `[C]` and get no gradient.
///
/// # Errors
/// When the shapes do not agree.
pub fn batch_norm_frozen(
    x: &Hwnc,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    residual: Option<&Hwnc>,
    spec: NormSpec,
) -> Result<Hwnc> {
    check(x, &[("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)], residual)?;
    if !storage::runs_here(x.tensor()) {
        return composed::batch_norm_frozen(x, gamma, beta, mean, variance, residual, spec);
    }
    let moments = passes::Moments { mean: double(mean)?, variance: double(variance)? };
    Normalise::new(&moments, spec, false).apply(x, gamma, beta, residual)
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

fn check(x: &Hwnc, vectors: &[(&str, &Tensor)], residual: Option<&Hwnc>) -> Result<()> {
    for (name, vector) in vectors {
        if vector.dims() != [x.channels()] {
            bail!("batch norm: {name} is {:?}, but the input [H, W, N, C] is {:?}", vector.dims(), x.dims());
        }
    }
    match residual {
        Some(residual) if residual.dims() != x.dims() => {
            bail!("batch norm: the residual is {:?}, but the input is {:?}", residual.dims(), x.dims())
        }
        _ => Ok(()),
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn double(vector: &Tensor) -> Result<Vec<f64>> {
    let vector = vector.contiguous()?;
    Ok(Values::of(&vector)?.iter().map(|&value| f64::from(value)).collect())
}
