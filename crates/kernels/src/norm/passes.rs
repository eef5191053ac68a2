//! The passes of batch normalisation over `[rows, C]`, where rows are pixels times images.
//!
//! Each pass reads every stream once. Sums down the columns keep a block of channels in registers, run in single
//! precision over a block of rows, and are added in double precision in the order of the blocks. The loops are
//! small functions over slices without fused multiplications, so that every instruction set gives the same bits.

use rayon::prelude::*;

use crate::tasks;

/// Rows of a block whose sums stay in single precision.
const ROWS: usize = 1024;

/// Mean and biased variance of each channel.
pub(super) struct Moments {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
}

/// What turns `x` into the normalised value: `(x - mean) · scale + beta`, with `scale = gamma / std`.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) beta: &'a [f32],
}

/// Where ReLU stops a gradient.
#[derive(Clone, Copy)]
pub(super) enum Mask<'a> {
    /// Nowhere: there is no ReLU.
    Nothing,
    /// Where the normalised value, computed again from `x`, is not positive.
    Recomputed,
    /// Where this output is not positive.
    Output(&'a [f32]),
}

/// Per channel, over all rows: the sum of the gradients, and of gradient times `x - mean`.
#[derive(Default)]
pub(super) struct GradientSums {
    pub(super) gradients: Vec<f64>,
    pub(super) products: Vec<f64>,
}

/// What the statistics' own dependence on `x` subtracts: `offset + (x - mean) · slope` per channel.
pub(super) struct Through {
    offset: Vec<f32>,
    slope: Vec<f32>,
}

impl GradientSums {
    /// The terms for `values = rows·C` inputs.
    pub(super) fn through(&self, inverse_std: &[f32], values: usize) -> Through {
        let rows = (values / inverse_std.len()) as f64;
        let slope = |(sum, inverse): (&f64, &f32)| (sum * f64::from(*inverse).powi(2) / rows) as f32;
        Through {
            offset: self.gradients.iter().map(|sum| (sum / rows) as f32).collect(),
            slope: self.products.iter().zip(inverse_std).map(slope).collect(),
        }
    }
}

/// Two sums per channel, of terms that depend on a row of blocks of `L` channels.
trait Terms: Sync {
    /// Adds the terms of the `L` values from index `at`, whose first channel is `channel`.
    fn add<const L: usize>(&self, at: usize, channel: usize, sums: &mut [[f32; L]; 2]);
}

/// Mean and biased variance over the rows of `[rows, c]`, reading them once.
///
/// A block sums differences from its own first row. That row is one of the block, so it is at most
/// `sqrt(rows of the block)` deviations away from the block's mean, and little is lost to cancellation.
pub(super) fn moments(x: &[f32], c: usize) -> Moments {
    let size = rows_of_block(c) * c;
    let blocks: Vec<(f64, Vec<f64>, Vec<f64>)> = x
        .par_chunks(size)
        .map(|block| {
            let (first, rows) = (&block[..c], block.len() / c);
            let sums = sums_of_block(&Differences { x: block, first }, rows, c);
            let rows = rows as f64;
            let means =
                sums.iter().zip(first).map(|(sum, first)| f64::from(*first) + f64::from(sum[0]) / rows);
            let squares =
                sums.iter().map(|[sum, square]| f64::from(*square) - f64::from(*sum).powi(2) / rows);
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
pub(super) fn normalise(pass: &Pass<'_>, x: &[f32], residual: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let c = pass.mean.len();
    let size = rows_of_block(c) * c;
    let mut y = vec![0.0f32; x.len()];
    let blocks = y.par_chunks_mut(size).zip(x.par_chunks(size)).enumerate();
    blocks.for_each(|(block, (y, x))| {
        let residual = residual.map(|residual| &residual[block * size..][..x.len()]);
        match (residual, relu) {
            (None, false) => normalise_block(pass, x, None, y, |value| value),
            (None, true) => normalise_block(pass, x, None, y, |value| if value < 0.0 { 0.0 } else { value }),
            (Some(_), false) => normalise_block(pass, x, residual, y, |value| value),
            (Some(_), true) => {
                normalise_block(pass, x, residual, y, |value| if value < 0.0 { 0.0 } else { value })
            }
        }
    });
    y
}

/// The sums that the gradients of gamma, beta and the statistics are made of.
pub(super) fn gradient_sums(pass: &Pass<'_>, x: &[f32], dy: &[f32], mask: Mask<'_>) -> GradientSums {
    let c = pass.mean.len();
    let size = rows_of_block(c) * c;
    let blocks: Vec<Vec<[f32; 2]>> = x
        .par_chunks(size)
        .zip(dy.par_chunks(size))
        .enumerate()
        .map(|(block, (x, dy))| {
            let rows = x.len() / c;
            match mask {
                Mask::Nothing => sums_of_block(&Unmasked { pass, x, dy }, rows, c),
                Mask::Recomputed => sums_of_block(&Recomputed { pass, x, dy }, rows, c),
                Mask::Output(y) => {
                    let y = &y[block * size..][..x.len()];
                    sums_of_block(&ByOutput { pass, x, dy, y }, rows, c)
                }
            }
        })
        .collect();
    let mut sums = GradientSums { gradients: vec![0.0; c], products: vec![0.0; c] };
    for block in &blocks {
        for (channel, [gradient, product]) in block.iter().enumerate() {
            sums.gradients[channel] += f64::from(*gradient);
            sums.products[channel] += f64::from(*product);
        }
    }
    sums
}

/// The gradient of `x` where the statistics are the batch's own.
pub(super) fn data_gradient(
    pass: &Pass<'_>,
    x: &[f32],
    dy: &[f32],
    mask: Mask<'_>,
    through: &Through,
) -> Vec<f32> {
    let Through { offset, slope } = through;
    by_value(pass, x, dy, mask, |channel, centred, gradient, scale| {
        scale * (gradient - offset[channel] - centred * slope[channel])
    })
}

/// The gradient of `x` where the statistics are constants.
pub(super) fn data_gradient_frozen(pass: &Pass<'_>, x: &[f32], dy: &[f32], mask: Mask<'_>) -> Vec<f32> {
    by_value(pass, x, dy, mask, |_, _, gradient, scale| scale * gradient)
}

/// The gradient behind the ReLU, which is the residual's.
pub(super) fn masked(pass: &Pass<'_>, x: &[f32], dy: &[f32], mask: Mask<'_>) -> Vec<f32> {
    by_value(pass, x, dy, mask, |_, _, gradient, _| gradient)
}

fn rows_of_block(c: usize) -> usize {
    (tasks::VALUES / c).clamp(1, ROWS)
}

/// Sums the terms of a block of rows for every channel.
fn sums_of_block<T: Terms>(terms: &T, rows: usize, c: usize) -> Vec<[f32; 2]> {
    let mut sums = Vec::with_capacity(c);
    while sums.len() < c {
        match c - sums.len() {
            32.. => down_columns::<T, 32>(terms, rows, c, &mut sums),
            8.. => down_columns::<T, 8>(terms, rows, c, &mut sums),
            _ => down_columns::<T, 1>(terms, rows, c, &mut sums),
        }
    }
    sums
}

/// Sums the next `L` channels, which stay in registers.
#[inline(always)]
fn down_columns<T: Terms, const L: usize>(terms: &T, rows: usize, c: usize, sums: &mut Vec<[f32; 2]>) {
    let channel = sums.len();
    let mut local = [[0.0f32; L]; 2];
    for row in 0..rows {
        terms.add::<L>(row * c + channel, channel, &mut local);
    }
    sums.extend((0..L).map(|lane| [local[0][lane], local[1][lane]]));
}

struct Differences<'a> {
    x: &'a [f32],
    first: &'a [f32],
}

impl Terms for Differences<'_> {
    #[inline(always)]
    fn add<const L: usize>(&self, at: usize, channel: usize, sums: &mut [[f32; L]; 2]) {
        let (x, first) = (&self.x[at..at + L], &self.first[channel..channel + L]);
        for lane in 0..L {
            let difference = x[lane] - first[lane];
            sums[0][lane] += difference;
            sums[1][lane] += difference * difference;
        }
    }
}

struct Unmasked<'a> {
    pass: &'a Pass<'a>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Terms for Unmasked<'_> {
    #[inline(always)]
    fn add<const L: usize>(&self, at: usize, channel: usize, sums: &mut [[f32; L]; 2]) {
        let (x, dy) = (&self.x[at..at + L], &self.dy[at..at + L]);
        let mean = &self.pass.mean[channel..channel + L];
        for lane in 0..L {
            sums[0][lane] += dy[lane];
            sums[1][lane] += dy[lane] * (x[lane] - mean[lane]);
        }
    }
}

struct Recomputed<'a> {
    pass: &'a Pass<'a>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Terms for Recomputed<'_> {
    #[inline(always)]
    fn add<const L: usize>(&self, at: usize, channel: usize, sums: &mut [[f32; L]; 2]) {
        let (x, dy) = (&self.x[at..at + L], &self.dy[at..at + L]);
        let mean = &self.pass.mean[channel..channel + L];
        let scale = &self.pass.scale[channel..channel + L];
        let beta = &self.pass.beta[channel..channel + L];
        for lane in 0..L {
            let centred = x[lane] - mean[lane];
            let gradient = if centred * scale[lane] + beta[lane] <= 0.0 { 0.0 } else { dy[lane] };
            sums[0][lane] += gradient;
            sums[1][lane] += gradient * centred;
        }
    }
}

struct ByOutput<'a> {
    pass: &'a Pass<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    y: &'a [f32],
}

impl Terms for ByOutput<'_> {
    #[inline(always)]
    fn add<const L: usize>(&self, at: usize, channel: usize, sums: &mut [[f32; L]; 2]) {
        let (x, dy, y) = (&self.x[at..at + L], &self.dy[at..at + L], &self.y[at..at + L]);
        let mean = &self.pass.mean[channel..channel + L];
        for lane in 0..L {
            let gradient = if y[lane] <= 0.0 { 0.0 } else { dy[lane] };
            sums[0][lane] += gradient;
            sums[1][lane] += gradient * (x[lane] - mean[lane]);
        }
    }
}

#[inline(always)]
fn normalise_block(
    pass: &Pass<'_>,
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    finish: impl Fn(f32) -> f32,
) {
    let c = pass.mean.len();
    let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
    match residual {
        None => {
            for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                for channel in 0..c {
                    y[channel] = finish((x[channel] - mean[channel]) * scale[channel] + beta[channel]);
                }
            }
        }
        Some(residual) => {
            let rows = y.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(residual.chunks_exact(c));
            for ((y, x), residual) in rows {
                for channel in 0..c {
                    let value = (x[channel] - mean[channel]) * scale[channel] + beta[channel];
                    y[channel] = finish(value + residual[channel]);
                }
            }
        }
    }
}

/// A value for each input from `(channel, x - mean, masked gradient, scale)`.
#[inline(always)]
fn by_value(
    pass: &Pass<'_>,
    x: &[f32],
    dy: &[f32],
    mask: Mask<'_>,
    value: impl Fn(usize, f32, f32, f32) -> f32 + Sync,
) -> Vec<f32> {
    let c = pass.mean.len();
    let size = rows_of_block(c) * c;
    let mut out = vec![0.0f32; x.len()];
    let inputs = x.par_chunks(size).zip(dy.par_chunks(size));
    out.par_chunks_mut(size).zip(inputs).enumerate().for_each(|(block, (out, (x, dy)))| {
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        let rows = out.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(dy.chunks_exact(c));
        match mask {
            Mask::Nothing => {
                for ((out, x), dy) in rows {
                    for channel in 0..c {
                        out[channel] =
                            value(channel, x[channel] - mean[channel], dy[channel], scale[channel]);
                    }
                }
            }
            Mask::Recomputed => {
                for ((out, x), dy) in rows {
                    for channel in 0..c {
                        let centred = x[channel] - mean[channel];
                        let stopped = centred * scale[channel] + beta[channel] <= 0.0;
                        let gradient = if stopped { 0.0 } else { dy[channel] };
                        out[channel] = value(channel, centred, gradient, scale[channel]);
                    }
                }
            }
            Mask::Output(y) => {
                let y = &y[block * size..][..x.len()];
                for (((out, x), dy), y) in rows.zip(y.chunks_exact(c)) {
                    for channel in 0..c {
                        let gradient = if y[channel] <= 0.0 { 0.0 } else { dy[channel] };
                        out[channel] = value(channel, x[channel] - mean[channel], gradient, scale[channel]);
                    }
                }
            }
        }
    });
    out
}
