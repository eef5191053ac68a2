//! The forward product: `Y[pixel] = Σ X[pixel seen through the tap] · W[tap]`.
//!
//! A task owns some pixels of one output row and a block of output channels.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use crate::gemm::{Matrix, MatrixMut, multiply_sum};
use crate::tasks;

/// A block of the output, `[pixels·n, columns]`.
struct Task<'a> {
    oy: usize,
    pixels: Range<usize>,
    columns: Range<usize>,
    out: MatrixMut<'a>,
}

/// `[oh, ow, n, c_out]` from `x` `[h, w, n, c_in]`, `weights` `[kh, kw, c_in, c_out]` and a bias `[c_out]`.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = tasks::zeros(g.oh * g.ow * g.n * g.c_out);
    split(g, &mut y).into_par_iter().for_each(|mut task| {
        add_taps(g, x, weights, &mut task);
        if let Some(bias) = bias {
            add_bias(&mut task.out, &bias[task.columns]);
        }
    });
    y
}

fn split<'a>(g: &Geometry, y: &'a mut [f32]) -> Vec<Task<'a>> {
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

fn add_taps(g: &Geometry, x: &[f32], weights: &[f32], task: &mut Task<'_>) {
    let mut terms = Vec::with_capacity(g.kh * g.kw);
    for (pixels, seen) in g.inputs(task.pixels.clone()) {
        terms.clear();
        let rows = pixels.len() * g.n;
        for ky in 0..g.kh {
            let Some(iy) = g.input_row(task.oy, ky) else { continue };
            terms.extend(seen.iter().map(|&(kx, ix)| {
                let a = Matrix::dense(g.input(x, iy, ix..ix + pixels.len()), rows, g.c_in);
                let b = Matrix::dense(g.tap(weights, ky, kx), g.c_in, g.c_out).cols(task.columns.clone());
                (a, b)
            }));
        }
        let first = (pixels.start - task.pixels.start) * g.n;
        multiply_sum(&mut task.out.rows(first..first + rows), false, &terms);
    }
}

/// Adds a bias to every row.
pub(super) fn add_bias(out: &mut MatrixMut<'_>, bias: &[f32]) {
    for row in 0..out.height() {
        for (value, bias) in out.row(row).iter_mut().zip(bias) {
            *value += bias;
        }
    }
}
