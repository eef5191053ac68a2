//! The gradient of the weights: `W'[tap] = Σ X[pixels]ᵀ · Y'[pixels that see them]` over output rows.
//!
//! Two splits, chosen by shape. Large maps with small kernels: a task takes some output rows and sums all taps
//! privately, so that rows are read once; the private sums are added in order. Otherwise a task owns a
//! block of channels of one tap and goes through all rows.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use crate::gemm::{Factor, Matrix, MatrixMut, Term, multiply_sum};
use crate::tasks;

/// `[kh, kw, c_in, c_out]` from the input `[h, w, n, c_in]` and the output's gradient `[oh, ow, n, c_out]`.
pub(super) fn weight_gradient<T: Factor>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let weights = g.kh * g.kw * g.c_in * g.c_out;
    if g.oh >= tasks::TASKS / 2 && weights * tasks::TASKS <= (x.len() + dy.len()) * 2 {
        by_rows(g, x, dy)
    } else {
        by_taps(g, x, dy)
    }
}

fn by_rows<T: Factor>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let sum_of = |rows: Range<usize>| {
        let mut dw = tasks::zeros(g.kh * g.kw * g.c_in * g.c_out);
        for oy in rows {
            for (tap, block) in dw.chunks_exact_mut(g.c_in * g.c_out).enumerate() {
                let mut out = MatrixMut::dense(block, g.c_in, g.c_out);
                let all = (0..g.c_in, 0..g.c_out);
                let mut terms = Vec::new();
                add_row(g, x, dy, oy, (tap / g.kw, tap % g.kw), &all, &mut terms);
                multiply_sum(&mut out, true, &terms);
            }
        }
        dw
    };
    sum_in_order(g.oh, tasks::TASKS, sum_of)
}

/// Adds what blocks of units (rows of the output, say) contribute, in the order of the blocks.
pub(super) fn sum_in_order(
    units: usize,
    blocks: usize,
    sum_of: impl Fn(Range<usize>) -> Vec<f32> + Sync + Send,
) -> Vec<f32> {
    let blocks: Vec<Range<usize>> = tasks::blocks(units, tasks::even(units, blocks)).collect();
    let partial: Vec<Vec<f32>> = blocks.into_par_iter().map(sum_of).collect();
    let Some((first, others)) = partial.split_first() else { return Vec::new() };
    let mut total = first.clone();
    total.par_chunks_mut(tasks::VALUES).enumerate().for_each(|(block, total)| {
        let start = block * tasks::VALUES;
        for part in others {
            for (sum, value) in total.iter_mut().zip(&part[start..]) {
                *sum += value;
            }
        }
    });
    total
}

fn by_taps<T: Factor>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let mut dw = tasks::zeros(g.kh * g.kw * g.c_in * g.c_out);
    let live = (0..g.kh * g.kw).filter(|tap| g.is_live(tap / g.kw, tap % g.kw)).count();
    let (height, width) = tasks::weight_blocks(g.c_in, g.c_out, live);
    let mut list = Vec::new();
    for (tap, block) in dw.chunks_exact_mut(g.c_in * g.c_out).enumerate() {
        if !g.is_live(tap / g.kw, tap % g.kw) {
            continue;
        }
        for (inputs, rows) in tasks::blocks(g.c_in, height).zip(block.chunks_mut(height * g.c_out)) {
            let rows = MatrixMut::dense(rows, inputs.len(), g.c_out);
            let columns = tasks::blocks(g.c_out, width).zip(rows.column_blocks(width));
            list.extend(columns.map(|(outputs, out)| (tap, (inputs.clone(), outputs), out)));
        }
    }
    list.into_par_iter().for_each(|(tap, channels, mut out)| {
        let mut terms = Vec::new();
        for oy in 0..g.oh {
            add_row(g, x, dy, oy, (tap / g.kw, tap % g.kw), &channels, &mut terms);
        }
        multiply_sum(&mut out, false, &terms);
    });
    dw
}

/// Adds the terms of one output row for a block of channels, `(input, output)`, of one tap.
fn add_row<'a, T: Factor>(
    g: &Geometry,
    x: &'a [T],
    dy: &'a [T],
    oy: usize,
    (ky, kx): (usize, usize),
    (inputs, outputs): &(Range<usize>, Range<usize>),
    terms: &mut Vec<Term<'a, T>>,
) {
    let Some(iy) = g.input_row(oy, ky) else { return };
    terms.extend(g.runs(kx).into_iter().map(|(pixels, ix)| {
        let rows = pixels.len() * g.n;
        let x = Matrix::dense(g.input(x, iy, ix..ix + pixels.len()), rows, g.c_in).cols(inputs.clone());
        let dy = Matrix::dense(g.output(dy, oy, pixels), rows, g.c_out).cols(outputs.clone());
        (x.transposed(), dy)
    }));
}
