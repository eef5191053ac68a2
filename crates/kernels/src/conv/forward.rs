//! The forward product: `Y[pixel] = Σ X[pixel seen through the tap] · W[tap]`.
//!
//! A task owns some pixels of one output row and a block of output channels.

use std::ops::Range;

use rayon::prelude::*;

use super::{Finish, Geometry};
use crate::gemm::{Factor, Matrix, MatrixMut, multiply_sum};
use crate::tasks;

/// A block of the output, `[pixels·n, columns]`.
struct Task<'a, T> {
    oy: usize,
    pixels: Range<usize>,
    columns: Range<usize>,
    out: MatrixMut<'a, T>,
}

/// `[oh, ow, n, c_out]` from `x` `[h, w, n, c_in]` and `weights` `[kh, kw, c_in, c_out]`.
pub(super) fn forward<T: Factor>(g: &Geometry, x: &[T], weights: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let mut y = tasks::zeros(g.oh * g.ow * g.n * g.c_out);
    split(g, &mut y).into_par_iter().for_each_init(Vec::new, |room, task| {
        let Task { oy, pixels, columns, mut out } = task;
        T::write_wide(&mut out, room, |out| {
            add_taps(g, x, weights, (oy, &pixels, &columns), out);
            finish.add_bias(out, &columns);
        });
        finish.normalise(&mut out, (oy * g.ow + pixels.start) * g.n, &columns);
    });
    y
}

fn split<'a, T: Factor>(g: &Geometry, y: &'a mut [T]) -> Vec<Task<'a, T>> {
    let per_row = g.ow.div_ceil(tasks::ROWS.div_ceil(g.n));
    let pixels = tasks::even(g.ow, per_row);
    let width = tasks::columns(g.c_out, g.oh * g.ow.div_ceil(pixels));
    let mut list = Vec::new();
    for (oy, row) in y.chunks_exact_mut(g.ow * g.n * g.c_out).enumerate() {
        let blocks = row.chunks_mut(pixels * g.n * g.c_out);
        for (pixels, block) in tasks::blocks(g.ow, pixels).zip(blocks) {
            let block = MatrixMut::dense(block, pixels.len() * g.n, g.c_out);
            let columns = tasks::blocks(g.c_out, width).zip(block.column_blocks(width));
            list.extend(columns.map(|(columns, out)| Task { oy, pixels: pixels.clone(), columns, out }));
        }
    }
    list
}

/// Writes the sums of some pixels of a row and of some columns.
fn add_taps<T: Factor>(
    g: &Geometry,
    x: &[T],
    weights: &[T],
    (oy, block, columns): (usize, &Range<usize>, &Range<usize>),
    out: &mut MatrixMut<'_>,
) {
    let mut terms = Vec::with_capacity(g.kh * g.kw);
    for (pixels, seen) in g.inputs(block.clone()) {
        terms.clear();
        let rows = pixels.len() * g.n;
        for ky in 0..g.kh {
            let Some(iy) = g.input_row(oy, ky) else { continue };
            terms.extend(seen.iter().map(|&(kx, ix)| {
                let a = Matrix::dense(g.input(x, iy, ix..ix + pixels.len()), rows, g.c_in);
                let b = Matrix::dense(g.tap(weights, ky, kx), g.c_in, g.c_out).cols(columns.clone());
                (a, b)
            }));
        }
        let first = (pixels.start - block.start) * g.n;
        multiply_sum(&mut out.rows(first..first + rows), false, &terms);
    }
}
