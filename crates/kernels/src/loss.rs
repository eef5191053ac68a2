//! Losses: [`cross_entropy`] of logits with label smoothing, of mixed examples too ([`mixed_cross_entropy`]) and of classes that count
//! differently ([`weighted_cross_entropy`]), and [`mean_squared_error`]; and their sum, [`add_losses`].
//!
//! Both follow PyTorch's functions with `reduction="mean"`. The gradient of the cross-entropy is computed with the loss,
//! while the exponentials are at hand.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::written;
use crate::storage::Values;
use crate::tape::{self, Backward, wanted};
use crate::{Gradient, composed, storage, tasks};

/// The mean over a batch of the cross-entropy between logits `[N, K]` and `N` class labels: a scalar.
///
/// The target of an example is `1 - smoothing` at its label plus `smoothing / K` everywhere (Szegedy et al., 2016,
/// "Rethinking the Inception Architecture").
///
/// # Errors
/// When there is no example, a label is not below `K`, the number of labels is not `N`, or the smoothing is
/// outside [0, 1].
pub fn cross_entropy(logits: &Tensor, labels: &[u32], smoothing: f64) -> Result<Tensor> {
    mixed_cross_entropy(logits, (labels, labels), 1.0, smoothing)
}

/// The same where each example is a mixture of two: its target is `share` of that of the first label and the rest of that of the second, as
/// PyTorch's cross-entropy has it for targets that are probabilities.
///
/// # Errors
/// As [`cross_entropy`], of both labels, and where the share is outside [0, 1].
pub fn mixed_cross_entropy(
    logits: &Tensor,
    (labels, others): (&[u32], &[u32]),
    share: f64,
    smoothing: f64,
) -> Result<Tensor> {
    checked(logits, (labels, others), share, smoothing)?;
    if !storage::runs_here(logits) {
        return composed::mixed_cross_entropy(logits, (labels, others), share, smoothing);
    }
    apply(logits, (labels, others), share, smoothing, None)
}

/// The cross-entropy where the part of a target at class `c` counts `weights[c]` times, divided by the sum of the weights of the labels: what
/// PyTorch's `cross_entropy` gives with `weight`, smoothing included.
///
/// # Errors
/// As [`cross_entropy`], and when there is no weight for each class, one is negative or not finite, or those of all labels are 0.
pub fn weighted_cross_entropy(
    logits: &Tensor,
    labels: &[u32],
    weights: &[f64],
    smoothing: f64,
) -> Result<Tensor> {
    checked(logits, (labels, labels), 1.0, smoothing)?;
    let classes = logits.dims()[1];
    if weights.len() != classes {
        bail!("cross-entropy: {} weights meet {classes} classes", weights.len());
    }
    if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
        bail!("cross-entropy: a class cannot have the weight {weight}");
    }
    if labels.iter().all(|label| weights[*label as usize] == 0.0) {
        bail!("cross-entropy: the labels of all {} examples have the weight 0", labels.len());
    }
    if !storage::runs_here(logits) {
        return composed::weighted_cross_entropy(logits, labels, weights, smoothing);
    }
    apply(logits, (labels, labels), 1.0, smoothing, Some(weights.to_vec()))
}

fn checked(logits: &Tensor, (labels, others): (&[u32], &[u32]), share: f64, smoothing: f64) -> Result<()> {
    let &[n, classes] = logits.dims() else {
        bail!("cross-entropy: logits need [N, K], but they are {:?}", logits.dims());
    };
    for labels in [labels, others] {
        if n == 0 || n != labels.len() {
            bail!("cross-entropy: {n} rows of logits meet {} labels", labels.len());
        }
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| **label as usize >= classes) {
            bail!("cross-entropy: label {label} of example {row} is not one of the {classes} classes");
        }
    }
    if !(0.0..=1.0).contains(&share) {
        bail!("cross-entropy: a share of {share} is not between 0 and 1");
    }
    if !(0.0..=1.0).contains(&smoothing) {
        bail!("cross-entropy: a label smoothing of {smoothing} is not between 0 and 1");
    }
    Ok(())
}

fn apply(
    logits: &Tensor,
    (labels, others): (&[u32], &[u32]),
    share: f64,
    smoothing: f64,
    weights: Option<Vec<f64>>,
) -> Result<Tensor> {
    let logits = storage::keep_as(&logits.contiguous()?, DType::F32)?;
    let gradient = tape::wanted(&logits).then(OnceLock::new);
    let labels = labels.iter().copied().zip(others.iter().copied()).collect();
    tape::apply1(&logits, CrossEntropy { labels, share, smoothing, weights, gradient })
}

/// The mean of the squared differences between `x` and a `target` of the same shape: a scalar. Only `x` gets a gradient.
///
/// # Errors
/// When the shapes differ, or there are no values.
pub fn mean_squared_error(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    if x.dims() != target.dims() || x.elem_count() == 0 {
        bail!("mean squared error: the values are {:?} and the target is {:?}", x.dims(), target.dims());
    }
    let target = target.detach();
    if !storage::runs_here(x) {
        return composed::mean_squared_error(x, &target);
    }
    let x = storage::keep_as(&x.contiguous()?, DType::F32)?;
    let target = storage::keep_as(&target.contiguous()?, DType::F32)?;
    tape::apply1(&x, SquaredError { target })
}

/// `loss + Σ weight · other`, of scalars: how a network with auxiliary classifiers is trained (Szegedy et al., 2014, "Going
/// Deeper with Convolutions"). Without others it is the loss itself.
///
/// # Errors
/// When one of them is not a scalar.
pub fn add_losses(loss: &Tensor, others: &[(f64, Tensor)]) -> Result<Tensor> {
    let all = || std::iter::once(loss).chain(others.iter().map(|(_, other)| other));
    if let Some(other) = all().find(|loss| loss.rank() != 0) {
        bail!("the sum of losses: each is a scalar, but one is {:?}", other.dims());
    }
    if others.is_empty() {
        return Ok(loss.clone());
    }
    if !all().all(storage::runs_here) {
        return composed::add_losses(loss, others);
    }
    let value = |loss: &Tensor| Ok::<_, candle_core::Error>(f64::from(storage::singles(loss)?[0]));
    let mut sum = value(loss)?;
    for (weight, other) in others {
        sum += weight * value(other)?;
    }
    let sum = storage::tensor(vec![sum as f32], ())?;
    let weights = std::iter::once(1.0).chain(others.iter().map(|(weight, _)| *weight)).collect();
    tape::note(&all().collect::<Vec<_>>(), &sum, Sum { weights });
    Ok(sum)
}

/// The sum on the tape: inputs are the losses.
struct Sum {
    weights: Vec<f64>,
}

impl Backward for Sum {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dsum: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dsum = f64::from(dsum.to_scalar::<f32>()?);
        let gradients = inputs.iter().zip(&self.weights).map(|(input, weight)| {
            let gradient = || {
                let gradient = storage::tensor(vec![(dsum * weight) as f32], ())?;
                storage::like(&gradient, input).map(Gradient::from)
            };
            wanted(input).then(gradient).transpose()
        });
        gradients.collect()
    }
}

struct CrossEntropy {
    /// Both of each example; mostly the same.
    labels: Vec<(u32, u32)>,
    /// How much of an example is the first.
    share: f64,
    smoothing: f64,
    /// How much each class counts, where not all count alike; examples are then not mixed.
    weights: Option<Vec<f64>>,
    /// The gradient `[N, K]` of the mean loss, kept if the logits have a tape.
    gradient: Option<OnceLock<Vec<f32>>>,
}

impl CrossEntropy {
    /// The loss of one example; `row` holds its logits, and then the gradient of `weight` times the loss.
    fn example(&self, row: &mut [f32], (label, other): (u32, u32), weight: f64) -> f64 {
        let (label, other, rest) = (label as usize, other as usize, 1.0 - self.share);
        let classes = row.len() as f64;
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
        let log_sum = f64::from(largest) + sum.ln();
        if let Some(weights) = &self.weights {
            let part = |class: usize| {
                let named = if class == label { 1.0 - self.smoothing } else { 0.0 };
                weights[class] * (named + self.smoothing / classes)
            };
            let (mut parts, mut loss) = (0.0, 0.0);
            for (class, logit) in row.iter().enumerate() {
                parts += part(class);
                loss += part(class) * (log_sum - f64::from(*logit));
            }
            for (class, value) in row.iter_mut().enumerate() {
                let probability = (f64::from(*value) - log_sum).exp();
                *value = (weight * (parts * probability - part(class))) as f32;
            }
            return loss;
        }
        let mean = row.iter().map(|&logit| f64::from(logit)).sum::<f64>() / classes;
        let named = self.share * f64::from(row[label]) + rest * f64::from(row[other]);
        let loss = (1.0 - self.smoothing) * (log_sum - named) + self.smoothing * (log_sum - mean);
        for (class, value) in row.iter_mut().enumerate() {
            let part = |is: bool, share: f64| if is { share } else { 0.0 };
            let named = part(class == label, self.share) + part(class == other, rest);
            let target = (1.0 - self.smoothing) * named + self.smoothing / classes;
            *value = (weight * ((f64::from(*value) - log_sum).exp() - target)) as f32;
        }
        loss
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        let count = match &self.weights {
            Some(weights) => self.labels.iter().map(|(label, _)| weights[*label as usize]).sum(),
            None => n as f64,
        };
        let mut rows: Vec<f32> = storage::slice(logits, layout)?.to_vec();
        let losses: Vec<f64> = rows
            .par_chunks_mut(classes)
            .with_min_len((tasks::VALUES / 16 / classes).max(1))
            .zip(&self.labels)
            .map(|(row, label)| self.example(row, *label, 1.0 / count))
            .collect();
        if let Some(gradient) = &self.gradient {
            // A second forward pass of the same operation would compute the same numbers.
            gradient.get_or_init(|| rows);
        }
        let mean = losses.iter().sum::<f64>() / count;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let Some(gradient) = self.gradient.as_ref().and_then(OnceLock::get) else {
            bail!("cross-entropy: no gradient was kept, as the logits had no tape");
        };
        let scale = dloss.to_scalar::<f32>()?;
        let values: Vec<f32> = gradient.iter().map(|value| value * scale).collect();
        Ok(Some(storage::tensor(values, logits.shape())?))
    }
}

struct SquaredError {
    target: Tensor,
}

impl CustomOp1 for SquaredError {
    fn name(&self) -> &'static str {
        "mean-squared-error"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, target) = (storage::slice::<f32>(x, layout)?, Values::<f32>::of(&self.target)?);
        let square = |(x, target): (&f32, &f32)| f64::from(x - target).powi(2);
        let blocks = x.par_chunks(tasks::VALUES).zip(target.par_chunks(tasks::VALUES));
        let sums: Vec<f64> = blocks.map(|(x, target)| x.iter().zip(target).map(square).sum()).collect();
        let mean = sums.iter().sum::<f64>() / x.len() as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let scale = 2.0 * dloss.to_scalar::<f32>()? / x.elem_count() as f32;
        let (values, target) = (Values::<f32>::of(x)?, Values::<f32>::of(&self.target)?);
        let dx = written(values.len(), tasks::VALUES, &|own, dx| {
            for ((dx, x), target) in dx.iter_mut().zip(&values[own.clone()]).zip(&target[own]) {
                *dx = scale * (x - target);
            }
        });
        Ok(Some(storage::tensor(dx, x.shape())?))
    }
}
