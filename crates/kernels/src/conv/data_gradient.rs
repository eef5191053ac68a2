//! The gradient of the input: `X'[pixel] = Σ Y'[pixel that sees it through the tap] · W[tap]ᵀ`.
//!
//! Products read their right factor along memory, so one side is transposed first: the weights, where maps are large, and
//! a task owns a block of pixels of one input row and a block of input channels; or the gradients, where the weights are
//! the larger, and a task owns a block of input channels of one pixel.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use super::forward::{pixel_blocks, pixels_of};
use crate::gemm::{Factor, Matrix, MatrixMut, multiply_sum, written, written_blocks};
use crate::tasks;

/// `[h, w, n, c_in]` from the output's gradient `[oh, ow, n, c_out]` and the weights `[kh, kw, c_in, c_out]`.
pub(super) fn data_gradient<T: Factor>(g: &Geometry, dy: &[T], weights: &[T]) -> Vec<T> {
    let gradients = dy.len() + g.h * g.w * g.n * g.c_in;
    match weights.len() > 2 * gradients {
        true => by_channels(g, dy, weights),
        false => by_pixels(g, dy, weights),
    }
}

/// With the gradients of each pixel as `[channels, n]`, so that `X'ᵀ = Σ W[tap] · Y'ᵀ`.
fn by_channels<T: Factor>(g: &Geometry, dy: &[T], weights: &[T]) -> Vec<T> {
    let turned = transposed_pixels(dy, g.n, g.c_out);
    let mut dx = tasks::zeros(g.h * g.w * g.n * g.c_in);
    let height = tasks::even(g.c_in, tasks::TASKS.div_ceil(g.h * g.w)).next_multiple_of(8);
    let pixels = dx.chunks_exact_mut(g.n * g.c_in).enumerate();
    let list: Vec<_> = pixels
        .flat_map(|(pixel, dx)| {
            tasks::blocks(g.c_in, height)
                .zip(dx.chunks_mut(height * g.n))
                .map(move |(channels, out)| (pixel, channels, out))
        })
        .collect();
    list.into_par_iter().for_each_init(Vec::new, |room, (pixel, channels, out)| {
        let mut terms = Vec::with_capacity(g.kh * g.kw);
        let column = pixel % g.w;
        for (_, seeing) in g.outputs(column..column + 1) {
            for ky in 0..g.kh {
                let Some(oy) = g.output_row(pixel / g.w, ky) else { continue };
                terms.extend(seeing.iter().map(|&(kx, ox)| {
                    let a = Matrix::dense(g.tap(weights, ky, kx), g.c_in, g.c_out).rows(channels.clone());
                    (a, Matrix::dense(g.output(&turned, oy, ox..ox + 1), g.c_out, g.n))
                }));
            }
        }
        T::write_wide(&mut MatrixMut::dense(out, channels.len(), g.n), room, |out| {
            multiply_sum(out, false, &terms);
        });
    });
    transposed_pixels(&dx, g.c_in, g.n)
}

/// The transpose of each pixel's `[rows, cols]`.
fn transposed_pixels<T: Factor>(values: &[T], rows: usize, cols: usize) -> Vec<T> {
    written(values.len(), rows * cols, &|own, turned| tasks::transpose(&values[own], rows, cols, turned))
}

/// With the weights of each tap as `[c_out, c_in]`.
fn by_pixels<T: Factor>(g: &Geometry, dy: &[T], weights: &[T]) -> Vec<T> {
    let weights = transposed(g, weights);
    let pixels = tasks::even(g.w, g.w.div_ceil((g.stride.1 * tasks::ROWS).div_ceil(g.n)));
    let blocks = pixel_blocks((g.h, g.w, g.n), pixels);
    let width = tasks::columns(g.c_in, blocks.len());
    written_blocks(&blocks, (g.c_in, width), &|room, (rows, columns, mut out)| {
        let (iy, pixels) = pixels_of(&rows, (g.w, g.n));
        T::write_wide(&mut out, room, |out| add_taps(g, dy, &weights, (iy, &pixels, &columns), out));
    })
}

/// `[kh, kw, c_out, c_in]`, of live taps alone.
fn transposed<T: Factor>(g: &Geometry, weights: &[T]) -> Vec<T> {
    let mut transposed = tasks::zeros(weights.len());
    let tap = g.c_in * g.c_out;
    let taps = transposed.par_chunks_exact_mut(tap).zip(weights.par_chunks_exact(tap)).enumerate();
    taps.filter(|(tap, _)| g.is_live(tap / g.kw, tap % g.kw)).for_each(|(_, (transposed, tap))| {
        tasks::transpose(tap, g.c_in, g.c_out, transposed);
    });
    transposed
}

/// Writes the sums of some pixels of a row and of some columns.
fn add_taps<T: Factor>(
    g: &Geometry,
    dy: &[T],
    weights: &[T],
    (iy, block, columns): (usize, &Range<usize>, &Range<usize>),
    out: &mut MatrixMut<'_>,
) {
    let mut terms = Vec::with_capacity(g.kh * g.kw);
    for (pixels, seeing) in g.outputs(block.clone()) {
        terms.clear();
        let rows = pixels.len() * g.n;
        for ky in 0..g.kh {
            let Some(oy) = g.output_row(iy, ky) else { continue };
            terms.extend(seeing.iter().map(|&(kx, ox)| {
                let a = Matrix::dense(g.output(dy, oy, ox..ox + pixels.len()), rows, g.c_out);
                let b = Matrix::dense(g.tap(weights, ky, kx), g.c_out, g.c_in).cols(columns.clone());
                (a, b)
            }));
        }
        let first = (pixels.start - block.start) * g.n;
        multiply_sum(&mut out.rows(first..first + rows), false, &terms);
    }
}
