//! The forward product: `Y[pixel] = Σ X[pixel seen through the tap] · W[tap]`.
//!
//! A task owns some pixels of one output row and a block of output channels.

use std::ops::Range;

use super::{Finish, Geometry};
use crate::gemm::{Factor, Matrix, MatrixMut, multiply_sum, written_blocks};
use crate::tasks;

/// `[oh, ow, n, c_out]` from `x` `[h, w, n, c_in]` and `weights` `[kh, kw, c_in, c_out]`.
pub(super) fn forward<T: Factor>(g: &Geometry, x: &[T], weights: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let pixels = tasks::even(g.ow, g.ow.div_ceil(tasks::ROWS.div_ceil(g.n)));
    let blocks = pixel_blocks((g.oh, g.ow, g.n), pixels);
    let width = tasks::columns(g.c_out, blocks.len());
    written_blocks(&blocks, (g.c_out, width), &|room, (rows, columns, mut out)| {
        let (oy, pixels) = pixels_of(&rows, (g.ow, g.n));
        T::write_wide(&mut out, room, |out| {
            add_taps(g, x, weights, (oy, &pixels, &columns), out);
            finish.add_bias(out, &columns);
        });
        finish.normalise(&mut out, rows.start, &columns);
    })
}

/// The rows of `[h·w·n, c]` that belong to blocks of so many neighbouring pixels.
pub(super) fn pixel_blocks((h, w, n): (usize, usize, usize), pixels: usize) -> Vec<Range<usize>> {
    let of_row = |y: usize| {
        tasks::blocks(w, pixels).map(move |block| (y * w + block.start) * n..(y * w + block.end) * n)
    };
    (0..h).flat_map(of_row).collect()
}

/// Which row of pixels such rows belong to, and which of its pixels.
pub(super) fn pixels_of(rows: &Range<usize>, (w, n): (usize, usize)) -> (usize, Range<usize>) {
    let first = rows.start / n;
    (first / w, first % w..first % w + rows.len() / n)
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
