//! The forward passes of batch normalisation over `[rows, C]`, where rows are pixels times images.
//!
//! Each pass reads every stream once. Sums down the columns run in single precision over a block of rows, and are added
//! in double precision in the order of the blocks. The loops are over slices and fuse no multiplications, so that every
//! instruction set gives the same bits. `gradients` has the passes back.

use std::ops::Range;

use rayon::prelude::*;

use crate::gemm::written;
use crate::precision::Number;
use crate::tasks;

/// Rows of a block whose sums stay in single precision.
const ROWS: usize = 1024;

/// Mean and biased variance of each channel.
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
}

/// What turns `x` into the normalised value: `(x - mean) · scale + beta`, with `scale = gamma / std`.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) beta: &'a [f32],
}

impl<'a> Pass<'a> {
    /// How many channels it has.
    pub(crate) fn channels(&self) -> usize {
        self.mean.len()
    }

    /// That of some channels.
    pub(crate) fn columns(&self, columns: &Range<usize>) -> Self {
        let part = |all: &'a [f32]| &all[columns.clone()];
        Self { mean: part(self.mean), scale: part(self.scale), beta: part(self.beta) }
    }
}

impl Moments {
    /// One over the standard deviations.
    pub(crate) fn inverse_std(&self, eps: f64) -> Vec<f32> {
        self.variance.iter().map(|variance| (1.0 / (variance + eps).sqrt()) as f32).collect()
    }
}

/// Mean and biased variance over the rows of `[rows, c]`, reading them once.
///
/// A block sums differences from its own first row. That row is one of the block, so it is at most
/// `sqrt(rows of the block)` deviations away from the block's mean, and little is lost to cancellation.
pub(crate) fn moments<T: Number>(x: &[T], c: usize) -> Moments {
    let size = rows_of_block(c) * c;
    let blocks: Vec<(f64, Vec<f64>, Vec<f64>)> = x
        .par_chunks(size)
        .map(|block| {
            let (first, rows) = (&block[..c], block.len() / c);
            let (mut sums, mut squares) = (vec![0.0f32; c], vec![0.0f32; c]);
            add_differences(block, first, &mut sums, &mut squares);
            let rows = rows as f64;
            let means =
                sums.iter().zip(first).map(|(sum, first)| f64::from(first.wide()) + f64::from(*sum) / rows);
            let squares = squares
                .iter()
                .zip(&sums)
                .map(|(square, sum)| f64::from(*square) - f64::from(*sum).powi(2) / rows);
            (rows, means.collect(), squares.collect())
        })
        .collect();
    let rows = (x.len() / c) as f64;
    let mut mean = vec![0.0; c];
    for (weight, means, _) in &blocks {
        for (total, mean) in mean.iter_mut().zip(means) {
            *total += weight / rows * mean;
        }
    }
    let mut variance = vec![0.0; c];
    for (weight, means, squares) in &blocks {
        for channel in 0..c {
            variance[channel] += squares[channel] + weight * (means[channel] - mean[channel]).powi(2);
        }
    }
    for value in &mut variance {
        *value = (*value / rows).max(0.0);
    }
    Moments { mean, variance }
}

/// `(x - mean) · scale + beta [+ residual]`, then ReLU if asked for.
pub(crate) fn normalise<T: Number>(pass: &Pass<'_>, x: &[T], residual: Option<&[T]>, relu: bool) -> Vec<T> {
    let size = rows_of_block(pass.mean.len()) * pass.mean.len();
    written(x.len(), size, &|own, y| {
        y.copy_from_slice(&x[own.clone()]);
        normalise_rows_in_place(pass, y, residual.map(|residual| &residual[own]), relu);
    })
}

/// [`normalise`] where the values are.
pub(crate) fn normalise_in_place<T: Number>(
    pass: &Pass<'_>,
    x: &mut [T],
    residual: Option<&[T]>,
    relu: bool,
) {
    let size = rows_of_block(pass.mean.len()) * pass.mean.len();
    x.par_chunks_mut(size).enumerate().for_each(|(block, x)| {
        let residual = residual.map(|residual| &residual[block * size..][..x.len()]);
        normalise_rows_in_place(pass, x, residual, relu);
    });
}

/// Rows of a block: some values that fit a core's cache.
pub(crate) fn rows_of_block(c: usize) -> usize {
    (tasks::VALUES / c).clamp(1, ROWS)
}

tasks::vectorised! {
    /// Adds the differences of rows from the first, and their squares.
    fn add_differences<'a, T: Number>(
        x: &'a [T],
        first: &'a [T],
        sums: &'a mut [f32],
        squares: &'a mut [f32],
    ) {
        for x in x.chunks_exact(first.len()) {
            for (((sum, square), x), first) in sums.iter_mut().zip(&mut *squares).zip(x).zip(first) {
                let difference = x.wide() - first.wide();
                *sum += difference;
                *square += difference * difference;
            }
        }
    }
}

/// [`normalise`] of whole rows where they are, on the calling thread.
pub(crate) fn normalise_rows_in_place<T: Number>(
    pass: &Pass<'_>,
    values: &mut [T],
    residual: Option<&[T]>,
    relu: bool,
) {
    // ReLU keeps NaN; where there is none, nothing is below the floor.
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    match residual {
        None => normalise_rows(*pass, values, floor),
        Some(residual) => normalise_and_add_rows(*pass, values, residual, floor),
    }
}

tasks::vectorised! {
    fn normalise_rows<'a, T: Number>(pass: Pass<'a>, values: &'a mut [T], floor: f32) {
        let c = pass.mean.len();
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        for values in values.chunks_exact_mut(c) {
            for i in 0..c {
                let value = (values[i].wide() - mean[i]) * scale[i] + beta[i];
                values[i] = T::nearest(if value < floor { floor } else { value });
            }
        }
    }
}

tasks::vectorised! {
    fn normalise_and_add_rows<'a, T: Number>(
        pass: Pass<'a>,
        values: &'a mut [T],
        residual: &'a [T],
        floor: f32,
    ) {
        let c = pass.mean.len();
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        for (values, residual) in values.chunks_exact_mut(c).zip(residual.chunks_exact(c)) {
            for i in 0..c {
                let value = (values[i].wide() - mean[i]) * scale[i] + beta[i] + residual[i].wide();
                values[i] = T::nearest(if value < floor { floor } else { value });
            }
        }
    }
}
