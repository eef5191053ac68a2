//! Convolution, linear layers, batch norm, ReLU, concatenation and losses from candle's operations.

use candle_core::{D, Result, Tensor};

use super::{product, wide};
use crate::conv::{ConvSpec, Geometry};
use crate::conv_norm::Normalisation;
use crate::layout::Hwnc;
use crate::norm::{BatchStatistics, NormSpec};

/// As [`crate::conv2d`]: what each tap sees, side by side, times the taps' weights, which lie in that order.
pub fn conv2d(x: &Hwnc, weights: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Hwnc> {
    let g = Geometry::new(x, weights, spec)?;
    // Padded so that every tap finds all of its rows and pixels, in whole strides.
    let reach = |outputs: usize, kernel: usize, stride: usize| kernel - 1 + outputs * stride;
    let bottom = reach(g.oh, g.kh, g.stride.0).saturating_sub(g.h + g.padding.0);
    let right = reach(g.ow, g.kw, g.stride.1).saturating_sub(g.w + g.padding.1);
    let padded = x.tensor().pad_with_zeros(0, g.padding.0, bottom)?.pad_with_zeros(1, g.padding.1, right)?;
    let mut taps = Vec::with_capacity(g.kh * g.kw);
    for ky in 0..g.kh {
        for kx in 0..g.kw {
            let seen = every(&every(&padded, 0, ky, g.stride.0, g.oh)?, 1, kx, g.stride.1, g.ow)?;
            taps.push(seen.reshape((g.oh * g.ow * g.n, g.c_in))?);
        }
    }
    let patches = if let [only] = taps.as_slice() { only.clone() } else { Tensor::cat(&taps, 1)? };
    let y = linear(&patches, &weights.reshape((taps.len() * g.c_in, g.c_out))?, bias)?;
    Hwnc::new(y.reshape((g.oh, g.ow, g.n, g.c_out))?)
}

/// `count` slices along a dimension, `stride` apart from `first` on; they must exist with whole strides.
pub(super) fn every(x: &Tensor, dim: usize, first: usize, stride: usize, count: usize) -> Result<Tensor> {
    let whole = x.narrow(dim, first, count * stride)?.contiguous()?;
    if stride == 1 {
        return Ok(whole);
    }
    let mut dims = whole.dims().to_vec();
    dims[dim] = count;
    dims.insert(dim + 1, stride);
    whole.reshape(dims)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)?.contiguous()
}

/// As [`crate::linear`].
pub fn linear(x: &Tensor, weights: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = product(x, weights)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.to_dtype(x.dtype())
}

/// As [`crate::linear_add`].
pub fn linear_add(x: &Tensor, weights: &Tensor, bias: &Tensor, residual: &Tensor) -> Result<Tensor> {
    residual.to_dtype(x.dtype())? + linear(x, weights, Some(bias))?
}

/// As [`crate::sum_copies`].
pub fn sum_copies(weights: &Tensor, (h, w): (usize, usize), (rows, cols): (usize, usize)) -> Result<Tensor> {
    let (inputs, c_out) = weights.dims2()?;
    let channels = inputs / (h * w);
    let copies = weights.reshape(vec![rows, h / rows, cols, w / cols, channels * c_out])?;
    copies.sum((1, 3))?.reshape((rows * cols * channels, c_out))
}

/// As [`crate::conv_norm`].
pub fn conv_norm(
    x: &Hwnc,
    weights: &Tensor,
    bias: Option<&Tensor>,
    conv: ConvSpec,
    norm: Normalisation<'_>,
    residual: Option<&Hwnc>,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let Normalisation { gamma, beta, running, spec } = norm;
    match running {
        None => {
            let z = conv2d(x, weights, None, conv)?;
            // The bias cancels; less itself, it stays on the tape.
            let beta = match bias {
                Some(bias) => (beta + bias.sub(bias)?)?,
                None => beta.clone(),
            };
            let (y, mut statistics) = batch_norm(&z, gamma, &beta, residual, spec)?;
            if let Some(bias) = bias {
                statistics.mean = (statistics.mean + bias.detach())?;
            }
            Ok((y, Some(statistics)))
        }
        Some((mean, variance)) => {
            let z = conv2d(x, weights, bias, conv)?;
            batch_norm_frozen(&z, gamma, beta, mean, variance, residual, spec).map(|y| (y, None))
        }
    }
}

/// Normalises by the batch's statistics.
pub(super) fn batch_norm(
    x: &Hwnc,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Hwnc>,
    spec: NormSpec,
) -> Result<(Hwnc, BatchStatistics)> {
    let (h, w, n, c) = x.dims();
    let rows = wide(x.tensor())?.reshape((h * w * n, c))?;
    let mean = rows.mean(0)?;
    let centred = rows.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean(0)?;
    let y = finish(x, &centred, gamma, beta, &variance, residual, spec)?;
    Ok((y, BatchStatistics { mean: mean.detach(), variance: variance.detach(), count: h * w * n }))
}

/// Normalises by given statistics.
pub(super) fn batch_norm_frozen(
    x: &Hwnc,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    residual: Option<&Hwnc>,
    spec: NormSpec,
) -> Result<Hwnc> {
    let (h, w, n, c) = x.dims();
    let centred = wide(x.tensor())?.reshape((h * w * n, c))?.broadcast_sub(&mean.detach())?;
    finish(x, &centred, gamma, beta, &variance.detach(), residual, spec)
}

/// Scales centred rows, shifts them, adds the residual and applies ReLU.
fn finish(
    x: &Hwnc,
    centred: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    variance: &Tensor,
    residual: Option<&Hwnc>,
    spec: NormSpec,
) -> Result<Hwnc> {
    let scale = gamma.div(&(variance + spec.eps)?.sqrt()?)?;
    let y = centred.broadcast_mul(&scale)?.broadcast_add(beta)?.reshape(x.dims())?;
    let y = match residual {
        Some(residual) => (y + wide(residual.tensor())?)?,
        None => y,
    };
    let y = if spec.relu { relu(&y)? } else { y };
    Hwnc::new(y.to_dtype(x.tensor().dtype())?)
}

/// As [`crate::relu_2d`]. candle's own ReLU passes a gradient at 0 and replaces NaN by 0; PyTorch's does neither.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let zeros = x.zeros_like()?.detach();
    x.detach().le(&zeros)?.where_cond(&zeros, x)
}

/// As [`crate::dropout`].
pub fn dropout(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    (wide(x)? * mask)?.to_dtype(x.dtype())
}

/// As [`crate::concat_channels`].
pub fn concat_channels(maps: &[Hwnc]) -> Result<Hwnc> {
    let kept = maps.first().map(|first| first.tensor().dtype());
    let alike = |map: &Hwnc| map.tensor().to_dtype(kept.unwrap_or(map.tensor().dtype()));
    let maps: Vec<Tensor> = maps.iter().map(alike).collect::<Result<_>>()?;
    Hwnc::new(Tensor::cat(&maps, 3)?)
}

/// As [`crate::add_losses`].
pub fn add_losses(loss: &Tensor, others: &[(f64, Tensor)]) -> Result<Tensor> {
    others.iter().try_fold(wide(loss)?, |sum, (weight, other)| sum + wide(other)?.affine(*weight, 0.0)?)
}

/// As [`crate::cross_entropy`].
pub fn cross_entropy(logits: &Tensor, labels: &[u32], smoothing: f64) -> Result<Tensor> {
    mixed_cross_entropy(logits, (labels, labels), 1.0, smoothing)
}

/// As [`crate::mixed_cross_entropy`].
pub fn mixed_cross_entropy(
    logits: &Tensor,
    (labels, others): (&[u32], &[u32]),
    share: f64,
    smoothing: f64,
) -> Result<Tensor> {
    let (n, classes) = logits.dims2()?;
    let logits = &wide(logits)?;
    let mut targets = vec![(smoothing / classes as f64) as f32; n * classes];
    for (row, (label, other)) in labels.iter().zip(others).enumerate() {
        targets[row * classes + *label as usize] += ((1.0 - smoothing) * share) as f32;
        targets[row * classes + *other as usize] += ((1.0 - smoothing) * (1.0 - share)) as f32;
    }
    against(logits, targets, n as f64)
}

/// As [`crate::weighted_cross_entropy`].
pub fn weighted_cross_entropy(
    logits: &Tensor,
    labels: &[u32],
    weights: &[f64],
    smoothing: f64,
) -> Result<Tensor> {
    let classes = logits.dims2()?.1;
    let part = |label: u32, class: usize| {
        let named = if class == label as usize { 1.0 - smoothing } else { 0.0 };
        (weights[class] * (named + smoothing / classes as f64)) as f32
    };
    let targets =
        labels.iter().flat_map(|label| (0..classes).map(move |class| part(*label, class))).collect();
    against(&wide(logits)?, targets, labels.iter().map(|label| weights[*label as usize]).sum())
}

/// The cross-entropy with targets `[N, K]`, divided by `count`.
fn against(logits: &Tensor, targets: Vec<f32>, count: f64) -> Result<Tensor> {
    let targets = Tensor::from_vec(targets, logits.dims(), logits.device())?.to_dtype(logits.dtype())?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let log_sums = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let log_probabilities = shifted.broadcast_sub(&log_sums)?;
    (log_probabilities * targets)?.sum_all()?.affine(-1.0 / count, 0.0)
}

/// As [`crate::mean_squared_error`].
pub fn mean_squared_error(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    (wide(x)? - wide(target)?)?.sqr()?.mean_all()
}
