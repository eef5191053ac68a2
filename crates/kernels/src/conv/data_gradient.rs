//! The gradient of the input: `X'[run shifted] += Y'[run] · W[tap]ᵀ` over taps.
//!
//! A task owns a block of pixels of one input row and a block of input channels. Under a horizontal stride
//! s, every s-th pixel sees the same taps: each of these s phases is summed densely and then laid out.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use crate::gemm::{Matrix, MatrixMut, multiply};
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
    let mut dx = vec![0.0f32; g.h * g.w * g.n * g.c_in];
    split(g, &mut dx).into_par_iter().for_each_init(Vec::new, |scratch, mut task| {
        if g.stride.1 == 1 {
            let pixels = task.pixels.clone();
            add_taps(g, dy, weights, task.iy, &task.columns, pixels, &mut task.out);
        } else {
            for phase in 0..g.stride.1 {
                add_phase(g, dy, weights, &mut task, phase, scratch);
            }
        }
    });
    dx
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

/// Adds all taps to the gradient of the pixels `pixels.start`, `pixels.start + stride`, … below
/// `pixels.end`, which are the rows of `out`.
fn add_taps(
    g: &Geometry,
    dy: &[f32],
    weights: &[f32],
    iy: usize,
    columns: &Range<usize>,
    pixels: Range<usize>,
    out: &mut MatrixMut<'_>,
) {
    let count = pixels.len().div_ceil(g.stride.1);
    let mut fresh = true;
    for ky in 0..g.kh {
        let Some(oy) = g.output_row(iy, ky) else { continue };
        for kx in 0..g.kw {
            let Some((skipped, outputs)) = outputs(g, kx, pixels.start, count) else { continue };
            let rows = outputs.len() * g.n;
            let whole = outputs.len() == count;
            let a = Matrix::dense(g.output(dy, oy, outputs), rows, g.c_out);
            let b = Matrix::dense(g.tap(weights, ky, kx), g.c_in, g.c_out).rows(columns.clone()).transposed();
            let first = skipped * g.n;
            multiply(&mut out.rows(first..first + rows), !(fresh && whole), a, b);
            fresh = false;
        }
    }
}

/// For `count` input pixels from `start`, one stride apart: how many the tap `kx` misses at first, and the
/// output pixels that see the others through it.
fn outputs(g: &Geometry, kx: usize, start: usize, count: usize) -> Option<(usize, Range<usize>)> {
    let stride = g.stride.1 as isize;
    let distance = start as isize + g.padding.1 as isize - kx as isize;
    if distance.rem_euclid(stride) != 0 {
        return None;
    }
    let first = distance.div_euclid(stride);
    let skipped = (-first).max(0);
    let end = (first + count as isize).min(g.ow as isize);
    (first + skipped < end).then(|| (skipped as usize, (first + skipped) as usize..end as usize))
}

/// Sums one phase of the task's pixels in `scratch` and lays it out; pixels that no tap sees stay zero.
fn add_phase(
    g: &Geometry,
    dy: &[f32],
    weights: &[f32],
    task: &mut Task<'_>,
    phase: usize,
    scratch: &mut Vec<f32>,
) {
    let stride = g.stride.1;
    let pixels = task.pixels.start + phase..task.pixels.end;
    if pixels.is_empty() {
        return;
    }
    let (count, width) = (pixels.len().div_ceil(stride), task.columns.len());
    scratch.clear();
    scratch.resize(count * g.n * width, 0.0);
    let mut sum = MatrixMut::dense(scratch, count * g.n, width);
    add_taps(g, dy, weights, task.iy, &task.columns, pixels, &mut sum);
    for (pixel, block) in scratch.chunks_exact(g.n * width).enumerate() {
        let first = (phase + pixel * stride) * g.n;
        for (row, values) in block.chunks_exact(width).enumerate() {
            task.out.row(first + row).copy_from_slice(values);
        }
    }
}
