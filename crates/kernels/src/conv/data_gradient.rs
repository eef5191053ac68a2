//! The gradient of the input: `X'[pixel] = Σ Y'[pixel that sees it through the tap] · W[tap]ᵀ`.
//!
//! The weights are transposed once, so that the products read them along memory. A task owns a block of pixels of one
//! input row and a block of input channels.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use crate::gemm::{Matrix, MatrixMut, multiply_sum};
use crate::tasks;

/// A block of the input's gradient, `[pixels·n, columns]`.
struct Task<'a> {
    iy: usize,
    pixels: Range<usize>,
    columns: Range<usize>,
    out: MatrixMut<'a>,
}

/// `[h, w, n, c_in]` from the output's gradient `[oh, ow, n, c_out]` and the weights `[kh, kw, c_in, c_out]`.
pub(super) fn data_gradient(g: &Geometry, dy: &[f32], weights: &[f32]) -> Vec<f32> {
    let weights = transposed(g, weights);
    let mut dx = tasks::zeros(g.h * g.w * g.n * g.c_in);
    split(g, &mut dx).into_par_iter().for_each(|mut task| add_taps(g, dy, &weights, &mut task));
    dx
}

/// `[kh, kw, c_out, c_in]`, of live taps alone.
fn transposed(g: &Geometry, weights: &[f32]) -> Vec<f32> {
    let mut transposed = tasks::zeros(weights.len());
    let tap = g.c_in * g.c_out;
    let taps = transposed.par_chunks_exact_mut(tap).zip(weights.par_chunks_exact(tap)).enumerate();
    taps.filter(|(tap, _)| g.is_live(tap / g.kw, tap % g.kw)).for_each(|(_, (transposed, tap))| {
        tasks::transpose(tap, g.c_in, g.c_out, transposed);
    });
    transposed
}

fn split<'a>(g: &Geometry, dx: &'a mut [f32]) -> Vec<Task<'a>> {
    let per_row = g.w.div_ceil((g.stride.1 * tasks::ROWS).div_ceil(g.n));
    let pixels = tasks::even(g.w, per_row);
    let width = tasks::columns(g.c_in, g.h * g.w.div_ceil(pixels));
    let mut list = Vec::new();
    for (iy, row) in dx.chunks_exact_mut(g.w * g.n * g.c_in).enumerate() {
        let blocks = row.chunks_mut(pixels * g.n * g.c_in);
        for (pixels, block) in tasks::blocks(g.w, pixels).zip(blocks) {
            let block = MatrixMut::dense(block, pixels.len() * g.n, g.c_in);
            let columns = tasks::blocks(g.c_in, width).zip(block.column_blocks(width));
            list.extend(columns.map(|(columns, out)| Task { iy, pixels: pixels.clone(), columns, out }));
        }
    }
    list
}

fn add_taps(g: &Geometry, dy: &[f32], weights: &[f32], task: &mut Task<'_>) {
    let mut terms = Vec::with_capacity(g.kh * g.kw);
    for (pixels, seeing) in g.outputs(task.pixels.clone()) {
        terms.clear();
        let rows = pixels.len() * g.n;
        for ky in 0..g.kh {
            let Some(oy) = g.output_row(task.iy, ky) else { continue };
            terms.extend(seeing.iter().map(|&(kx, ox)| {
                let a = Matrix::dense(g.output(dy, oy, ox..ox + pixels.len()), rows, g.c_out);
                let b = Matrix::dense(g.tap(weights, ky, kx), g.c_out, g.c_in).cols(task.columns.clone());
                (a, b)
            }));
        }
        let first = (pixels.start - task.pixels.start) * g.n;
        multiply_sum(&mut task.out.rows(first..first + rows), false, &terms);
    }
}
