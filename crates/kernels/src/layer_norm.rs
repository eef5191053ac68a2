//! Layer normalisation (Ba, Kiros & Hinton, 2016, arXiv:1607.06450): each row by its own mean and variance.
//!
//! The entry is [`layer_norm`]. A row stays in the cache between its passes, so each stream is read once, forward and
//! back. Sums along a row run in sixteen lanes, whatever the processor has; sums down the columns as in batch norm.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// `(x - mean) / sqrt(variance + eps) · weight + bias` for `x` `[N, C]`, weight and bias `[C]`, with the mean and the
/// biased variance of each row.
///
/// Gradients reach all three, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let &[_, c] = x.dims() else { bail!("layer norm: the input needs [N, C], but it is {:?}", x.dims()) };
    for (name, vector) in [("weight", weight), ("bias", bias)] {
        if vector.dims() != [c] || c == 0 {
            bail!("layer norm: the {name} is {:?}, but the input is {:?}", vector.dims(), x.dims());
        }
    }
    if !storage::runs_here(x) {
        return composed::layer_norm(x, weight, bias, eps);
    }
    let (x, weight, bias) = (x.contiguous()?, weight.contiguous()?, bias.contiguous()?);
    let mut statistics = tasks::zeros(2 * x.dim(0)?);
    let y = by_number!(storage::is_half(&x), T => {
        let (weight, bias) = (Values::of(&weight)?, Values::of(&bias)?);
        let y = forward::<T>(&Values::of(&x)?, &weight, &bias, eps as f32, &mut statistics);
        storage::tensor(y, x.shape())?
    });
    note(&[&x, &weight, &bias], &y, LayerNorm { statistics });
    Ok(y)
}

fn rows_of_block(c: usize) -> usize {
    (tasks::VALUES / c).max(1)
}

fn forward<T: Number>(x: &[T], weight: &[f32], bias: &[f32], eps: f32, statistics: &mut [f32]) -> Vec<T> {
    let rows = rows_of_block(weight.len());
    let size = rows * weight.len();
    let mut y = tasks::zeros(x.len());
    let outputs = y.par_chunks_mut(size).zip(statistics.par_chunks_mut(2 * rows));
    outputs
        .zip(x.par_chunks(size))
        .for_each(|((y, statistics), x)| normalise(x, weight, bias, eps, y, statistics));
    y
}

tasks::vectorised! {
    /// Normalises rows; the mean and the inverse standard deviation of each go to `statistics`.
    fn normalise<'a, T: Number>(
        x: &'a [T],
        weight: &'a [f32],
        bias: &'a [f32],
        eps: f32,
        y: &'a mut [T],
        statistics: &'a mut [f32],
    ) {
        let c = weight.len();
        let rows = x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(statistics.chunks_exact_mut(2));
        for ((x, y), statistics) in rows {
            let mean = tasks::row_sum(x, x, |x, _| x) / c as f32;
            let variance = tasks::row_sum(x, x, |x, _| (x - mean) * (x - mean)) / c as f32;
            let inverse = 1.0 / (variance + eps).sqrt();
            for i in 0..c {
                y[i] = T::nearest((x[i].wide() - mean) * inverse * weight[i] + bias[i]);
            }
            statistics.copy_from_slice(&[mean, inverse]);
        }
    }
}

/// The operation on the tape, with the statistics of each row.
struct LayerNorm {
    statistics: Vec<f32>,
}

impl Backward for LayerNorm {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        by_number!(inputs.first().is_some_and(storage::is_half), T => self.gradients::<T>(inputs, dy))
    }
}

impl LayerNorm {
    fn gradients<T: Number>(&self, inputs: &[Tensor], dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, weight, bias] = inputs else { bail!("layer norm: three inputs") };
        let dy = storage::like(dy, x)?;
        let (x_values, weight_values, dy) =
            (Values::<T>::of(x)?, Values::<f32>::of(weight)?, Values::<T>::of(&dy)?);
        let c = weight_values.len();
        let rows = rows_of_block(c);
        let mut dx: Vec<T> = tasks::zeros(x_values.len());
        let partial: Vec<Vec<f32>> = dx
            .par_chunks_mut(rows * c)
            .zip(x_values.par_chunks(rows * c))
            .zip(dy.par_chunks(rows * c))
            .zip(self.statistics.par_chunks(2 * rows))
            .map(|(((dx, x), dy), statistics)| {
                let (mut sums, mut row) = (vec![0.0f32; 2 * c], vec![0.0f32; c]);
                go_back(x, &weight_values, dy, statistics, dx, &mut sums, &mut row);
                sums
            })
            .collect();
        let total = |column: usize| partial.iter().map(|sums| f64::from(sums[column])).sum::<f64>() as f32;
        let vector = |first: usize| storage::tensor((first..first + c).map(total).collect(), c);
        Ok(vec![
            wanted(x).then(|| storage::tensor(dx, x.shape())).transpose()?.map(Gradient::from),
            wanted(weight).then(|| vector(0)).transpose()?.map(Gradient::from),
            wanted(bias).then(|| vector(c)).transpose()?.map(Gradient::from),
        ])
    }
}

tasks::vectorised! {
    /// The gradients of rows, and the sums over them that are the gradients of weight and bias.
    fn go_back<'a, T: Number>(
        x: &'a [T],
        weight: &'a [f32],
        dy: &'a [T],
        statistics: &'a [f32],
        dx: &'a mut [T],
        sums: &'a mut [f32],
        scaled: &'a mut [f32],
    ) {
        let c = weight.len();
        let (of_weight, of_bias) = sums.split_at_mut(c);
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((x, dy), dx), statistics) in rows.zip(statistics.chunks_exact(2)) {
            let (mean, inverse) = (statistics[0], statistics[1]);
            for i in 0..c {
                let dy = dy[i].wide();
                of_weight[i] += dy * ((x[i].wide() - mean) * inverse);
                of_bias[i] += dy;
                scaled[i] = dy * weight[i];
            }
            let offset = tasks::row_sum(scaled, scaled, |gradient, _| gradient) / c as f32;
            let slope = tasks::row_sum(scaled, x, |gradient, x| gradient * ((x - mean) * inverse)) / c as f32;
            for i in 0..c {
                let normal = (x[i].wide() - mean) * inverse;
                dx[i] = T::nearest(inverse * (scaled[i] - offset - normal * slope));
            }
        }
    }
}
