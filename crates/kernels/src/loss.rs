//! The cross-entropy of logits with label smoothing.
//!
//! The entry is [`cross_entropy`], which follows PyTorch's `cross_entropy` with `reduction="mean"`. The gradient is
//! computed with the loss, while the exponentials are at hand.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{composed, storage, tape, tasks};

/// The mean over a batch of the cross-entropy between logits `[N, K]` and `N` class labels: a scalar.
///
/// The target of an example is `1 - smoothing` at its label plus `smoothing / K` everywhere (Szegedy et al., 2016,
/// "Rethinking the Inception Architecture").
///
/// # Errors
/// When there is no example, a label is not below `K`, the number of labels is not `N`, or the smoothing is
/// outside [0, 1].
pub fn cross_entropy(logits: &Tensor, labels: &[u32], smoothing: f64) -> Result<Tensor> {
    let &[n, classes] = logits.dims() else {
        bail!("cross-entropy: logits need [N, K], but they are {:?}", logits.dims());
    };
    if n == 0 || n != labels.len() {
        bail!("cross-entropy: {n} rows of logits meet {} labels", labels.len());
    }
    if let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| **label as usize >= classes) {
        bail!("cross-entropy: label {label} of example {row} is not one of the {classes} classes");
    }
    if !(0.0..=1.0).contains(&smoothing) {
        bail!("cross-entropy: a label smoothing of {smoothing} is not between 0 and 1");
    }
    if !storage::runs_here(logits) {
        return composed::cross_entropy(logits, labels, smoothing);
    }
    let gradient = tape::wanted(logits).then(OnceLock::new);
    tape::apply1(&logits.contiguous()?, CrossEntropy { labels: labels.to_vec(), smoothing, gradient })
}

struct CrossEntropy {
    labels: Vec<u32>,
    smoothing: f64,
    /// The gradient `[N, K]` of the mean loss, kept if the logits have a tape.
    gradient: Option<OnceLock<Vec<f32>>>,
}

impl CrossEntropy {
    /// The loss of one example; `row` holds its logits, and then the gradient of `weight` times the loss.
    fn example(&self, row: &mut [f32], label: usize, weight: f64) -> f64 {
        let classes = row.len() as f64;
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
        let log_sum = f64::from(largest) + sum.ln();
        let mean = row.iter().map(|&logit| f64::from(logit)).sum::<f64>() / classes;
        let loss =
            (1.0 - self.smoothing) * (log_sum - f64::from(row[label])) + self.smoothing * (log_sum - mean);
        for (class, value) in row.iter_mut().enumerate() {
            let certain = if class == label { 1.0 - self.smoothing } else { 0.0 };
            let target = certain + self.smoothing / classes;
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
        let mut rows = storage::slice(logits, layout)?.to_vec();
        let losses: Vec<f64> = rows
            .par_chunks_mut(classes)
            .with_min_len((tasks::VALUES / 16 / classes).max(1))
            .zip(&self.labels)
            .map(|(row, label)| self.example(row, *label as usize, 1.0 / n as f64))
            .collect();
        if let Some(gradient) = &self.gradient {
            // A second forward pass of the same operation would compute the same numbers.
            gradient.get_or_init(|| rows);
        }
        let mean = losses.iter().sum::<f64>() / n as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let Some(gradient) = self.gradient.as_ref().and_then(OnceLock::get) else {
            bail!("cross-entropy: no gradient was kept, as the logits had no tape");
        };
        let scale = dloss.to_scalar::<f32>()?;
        let values = gradient.iter().map(|value| value * scale).collect();
        Ok(Some(storage::tensor(values, logits.shape())?))
    }
}
