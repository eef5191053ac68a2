//! The passes of batch normalisation back, over `[rows, C]`: the sums that gradients of gamma, beta and the statistics are
//! made of, and the gradients of the input and the residual. As in `passes`, sums run over blocks of rows.

use rayon::prelude::*;

use super::passes::{Pass, rows_of_block};
use crate::gemm::written;
use crate::precision::Number;
use crate::tasks;

/// The outputs behind a ReLU, which stops the gradients of those that are not positive; none without one.
pub(crate) type Mask<'a, T> = Option<&'a [T]>;

/// The mask of some values.
fn part<T>(mask: Mask<'_, T>, start: usize, length: usize) -> Mask<'_, T> {
    mask.map(|y| &y[start..start + length])
}

/// Per channel, over all rows: the sum of the gradients, and of gradient times `x - mean`.
pub(crate) struct GradientSums {
    pub(crate) gradients: Vec<f64>,
    pub(crate) products: Vec<f64>,
}

/// What the statistics' own dependence on `x` subtracts: `offset + (x - mean) · slope` per channel.
pub(crate) struct Through {
    offset: Vec<f32>,
    slope: Vec<f32>,
}

impl GradientSums {
    /// The gradient of gamma.
    pub(crate) fn of_gamma(&self, inverse_std: &[f32]) -> Vec<f32> {
        let products = self.products.iter().zip(inverse_std);
        products.map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32).collect()
    }

    /// The terms for `values = rows·C` inputs.
    pub(crate) fn through(&self, inverse_std: &[f32], values: usize) -> Through {
        let rows = (values / inverse_std.len()) as f64;
        let slope = |(sum, inverse): (&f64, &f32)| (sum * f64::from(*inverse).powi(2) / rows) as f32;
        Through {
            offset: self.gradients.iter().map(|sum| (sum / rows) as f32).collect(),
            slope: self.products.iter().zip(inverse_std).map(slope).collect(),
        }
    }
}

/// The sums that the gradients of gamma, beta and the statistics are made of.
pub(crate) fn gradient_sums<T: Number>(
    pass: &Pass<'_>,
    x: &[T],
    dy: &[T],
    mask: Mask<'_, T>,
) -> GradientSums {
    let c = pass.mean.len();
    let size = rows_of_block(c) * c;
    let blocks: Vec<[Vec<f32>; 2]> = x
        .par_chunks(size)
        .zip(dy.par_chunks(size))
        .enumerate()
        .map(|(block, (x, dy))| sums_of_block(pass, x, dy, part(mask, block * size, x.len())))
        .collect();
    let mut sums = GradientSums { gradients: vec![0.0; c], products: vec![0.0; c] };
    for [gradients, products] in &blocks {
        for channel in 0..c {
            sums.gradients[channel] += f64::from(gradients[channel]);
            sums.products[channel] += f64::from(products[channel]);
        }
    }
    sums
}

fn sums_of_block<T: Number>(pass: &Pass<'_>, x: &[T], dy: &[T], mask: Mask<'_, T>) -> [Vec<f32>; 2] {
    let c = pass.mean.len();
    let mut sums = [vec![0.0f32; c], vec![0.0f32; c]];
    add_rows(*pass, x, dy, mask, &mut sums);
    sums
}

tasks::vectorised! {
    fn add_rows<'a, T: Number>(
        pass: Pass<'a>,
        x: &'a [T],
        dy: &'a [T],
        mask: Mask<'a, T>,
        sums: &'a mut [Vec<f32>; 2],
    ) {
        let c = pass.mean.len();
        let mean = &pass.mean[..c];
        let [gradients, products] = sums;
        let (gradients, products) = (&mut gradients[..c], &mut products[..c]);
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c));
        match mask {
            None => {
                for (x, dy) in rows {
                    for i in 0..c {
                        let gradient = dy[i].wide();
                        gradients[i] += gradient;
                        products[i] += gradient * (x[i].wide() - mean[i]);
                    }
                }
            }
            Some(y) => {
                for ((x, dy), y) in rows.zip(y.chunks_exact(c)) {
                    for i in 0..c {
                        let gradient = if y[i].wide() <= 0.0 { 0.0 } else { dy[i].wide() };
                        gradients[i] += gradient;
                        products[i] += gradient * (x[i].wide() - mean[i]);
                    }
                }
            }
        }
    }
}

/// The gradient of `x`, put where `x` was. `through` is what passes through the statistics, where they are the batch's
/// own.
pub(crate) fn data_gradient_in_place<T: Number>(
    pass: &Pass<'_>,
    x: &mut [T],
    dy: &[T],
    mask: Mask<'_, T>,
    through: Option<&Through>,
) {
    let c = pass.mean.len();
    let nothing = vec![0.0f32; c];
    let through =
        through.map_or((&nothing[..], &nothing[..]), |through| (&through.offset[..], &through.slope[..]));
    let size = rows_of_block(c) * c;
    x.par_chunks_mut(size).zip(dy.par_chunks(size)).enumerate().for_each(|(block, (x, dy))| {
        let mask = part(mask, block * size, x.len());
        replace_rows(*pass, through, x, dy, mask);
    });
}

tasks::vectorised! {
    fn replace_rows<'a, T: Number>(
        pass: Pass<'a>,
        through: (&'a [f32], &'a [f32]),
        x: &'a mut [T],
        dy: &'a [T],
        mask: Mask<'a, T>,
    ) {
        let c = pass.mean.len();
        let (mean, scale) = (&pass.mean[..c], &pass.scale[..c]);
        let (offset, slope) = (&through.0[..c], &through.1[..c]);
        let rows = x.chunks_exact_mut(c).zip(dy.chunks_exact(c));
        match mask {
            None => {
                for (x, dy) in rows {
                    for i in 0..c {
                        let before = x[i].wide() - mean[i];
                        x[i] = T::nearest(scale[i] * (dy[i].wide() - offset[i] - before * slope[i]));
                    }
                }
            }
            Some(y) => {
                for ((x, dy), y) in rows.zip(y.chunks_exact(c)) {
                    for i in 0..c {
                        let gradient = if y[i].wide() <= 0.0 { 0.0 } else { dy[i].wide() };
                        let before = x[i].wide() - mean[i];
                        x[i] = T::nearest(scale[i] * (gradient - offset[i] - before * slope[i]));
                    }
                }
            }
        }
    }
}

/// The gradient behind the ReLU, which is the residual's.
pub(crate) fn masked<T: Number>(dy: &[T], mask: Mask<'_, T>) -> Vec<T> {
    scaled(&[1.0; 16], dy, mask)
}

/// The gradient of `x` where the statistics are constants.
pub(crate) fn scaled<T: Number>(scale: &[f32], dy: &[T], mask: Mask<'_, T>) -> Vec<T> {
    let c = scale.len();
    let size = (tasks::VALUES / c).max(1) * c;
    written(dy.len(), size, &|own, out| {
        scale_rows(scale, out, &dy[own.clone()], part(mask, own.start, own.len()));
    })
}

tasks::vectorised! {
    fn scale_rows<'a, T: Number>(scale: &'a [f32], out: &'a mut [T], dy: &'a [T], mask: Mask<'a, T>) {
        let c = scale.len();
        let rows = out.chunks_mut(c).zip(dy.chunks(c));
        match mask {
            Some(y) => {
                for ((out, dy), y) in rows.zip(y.chunks(c)) {
                    for (((out, dy), y), scale) in out.iter_mut().zip(dy).zip(y).zip(scale) {
                        *out = T::nearest(if y.wide() <= 0.0 { 0.0 } else { scale * dy.wide() });
                    }
                }
            }
            None => {
                for (out, dy) in rows {
                    for ((out, dy), scale) in out.iter_mut().zip(dy).zip(scale) {
                        *out = T::nearest(scale * dy.wide());
                    }
                }
            }
        }
    }
}

/// The sums of the gradients behind the ReLU, by channel.
pub(crate) fn masked_sums<T: Number>(dy: &[T], mask: Mask<'_, T>, c: usize) -> Vec<f32> {
    tasks::column_sums(&masked(dy, mask), c)
}
