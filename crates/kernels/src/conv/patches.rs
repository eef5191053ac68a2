//! Convolution of inputs with few channels: gather the patches of a block of pixels, then one product.
//!
//! With three channels a tap is too thin for a product, so all taps of a block of output pixels are laid out as
//! a matrix `[taps·c_in, pixels·n]` first. Rows of the input are turned to planes before, so that the
//! gathering copies whole batches. Only one block per thread exists at a time; never a whole batch's patches.

use std::ops::Range;

use rayon::prelude::*;

use super::weight_gradient::sum_in_order;
use super::{Finish, Geometry};
use crate::gemm::{Factor, Matrix, MatrixMut, multiply};
use crate::tasks;

/// Inputs with fewer channels than this go through patches.
const FEW: usize = 16;

/// Whether this convolution goes through patches.
pub(super) fn serve(g: &Geometry) -> bool {
    g.c_in < FEW && g.kh * g.kw > 1
}

/// The forward pass, as [`super::forward::forward`].
pub(super) fn forward<T: Factor>(g: &Geometry, x: &[T], weights: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let mut y = tasks::zeros(g.oh * g.ow * g.n * g.c_out);
    let size = pixels(g);
    let list: Vec<_> = y
        .chunks_exact_mut(g.ow * g.n * g.c_out)
        .enumerate()
        .flat_map(|(oy, row)| {
            let blocks = tasks::blocks(g.ow, size).zip(row.chunks_mut(size * g.n * g.c_out));
            blocks.map(move |(pixels, block)| (oy, pixels, block))
        })
        .collect();
    list.into_par_iter().for_each_init(
        <(Patches<T>, Vec<f32>)>::default,
        |(patches, room), (oy, pixels, block)| {
            let (rows, first) = (pixels.len() * g.n, (oy * g.ow + pixels.start) * g.n);
            let mut out = MatrixMut::dense(block, rows, g.c_out);
            let (taps, gathered) = patches.gather(g, x, oy, pixels);
            let a = Matrix::dense(gathered, taps.len(), rows).transposed();
            let weights = Matrix::dense(weights, g.kh * g.kw * g.c_in, g.c_out);
            T::write_wide(&mut out, room, |out| {
                multiply(out, false, a, weights.rows(taps));
                finish.add_bias(out, &(0..g.c_out));
            });
            finish.normalise(&mut out, first, &(0..g.c_out));
        },
    );
    y
}

/// The gradient of the weights, as [`super::weight_gradient::weight_gradient`].
pub(super) fn weight_gradient<T: Factor>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let taps = g.kh * g.kw * g.c_in;
    sum_in_order(g.oh, tasks::TASKS, |rows| {
        let mut patches = Patches::default();
        let mut dw = tasks::zeros(taps * g.c_out);
        let mut out = MatrixMut::dense(&mut dw, taps, g.c_out);
        for oy in rows {
            for pixels in tasks::blocks(g.ow, pixels(g)) {
                let dy = g.output(dy, oy, pixels.clone());
                let rows = pixels.len() * g.n;
                let (taps, gathered) = patches.gather(g, x, oy, pixels);
                let a = Matrix::dense(gathered, taps.len(), rows);
                multiply(&mut out.rows(taps), true, a, Matrix::dense(dy, rows, g.c_out));
            }
        }
        dw
    })
}

/// Output pixels in a block.
fn pixels(g: &Geometry) -> usize {
    tasks::even(g.ow, g.ow.div_ceil((2 * tasks::ROWS).div_ceil(g.n)))
}

/// The buffers of one thread.
#[derive(Default)]
struct Patches<T> {
    plane: Vec<T>,
    matrix: Vec<T>,
}

impl<T: Factor> Patches<T> {
    /// The patches of some pixels of output row `oy`: which rows of the weights matrix `[taps·c_in, c_out]`
    /// they meet (the taps in vertical reach), and the matrix `[rows, pixels·n]`.
    fn gather(&mut self, g: &Geometry, x: &[T], oy: usize, pixels: Range<usize>) -> (Range<usize>, &[T]) {
        let seen = g.inputs(pixels.clone());
        let live = (0..g.kh).filter(|&ky| g.input_row(oy, ky).is_some());
        let (first, count) = (live.clone().min().unwrap_or(0), live.count());
        let width = pixels.len() * g.n;
        self.matrix.clear();
        self.matrix.resize(count * g.kw * g.c_in * width, T::default());
        let per_row = g.kw * g.c_in * width;
        for (ky, block) in (first..first + count).zip(self.matrix.chunks_exact_mut(per_row.max(1))) {
            let Some(iy) = g.input_row(oy, ky) else { continue };
            let all =
                || seen.iter().flat_map(|(pixels, met)| met.iter().map(move |&(_, ix)| (ix, pixels.len())));
            let start = all().map(|(ix, _)| ix).min().unwrap_or(0);
            let end = all().map(|(ix, length)| ix + length).max().unwrap_or(0);
            to_planes(g, g.input(x, iy, start..end), &mut self.plane);
            for (output, met) in &seen {
                for &(kx, ix) in met {
                    for channel in 0..g.c_in {
                        let plane =
                            &self.plane[(channel * (end - start) + ix - start) * g.n..][..output.len() * g.n];
                        let row = (kx * g.c_in + channel) * width + (output.start - pixels.start) * g.n;
                        block[row..row + plane.len()].copy_from_slice(plane);
                    }
                }
            }
        }
        (first * g.kw * g.c_in..(first + count) * g.kw * g.c_in, &self.matrix)
    }
}

/// Turns `[pixels·n, c]` to `[c, pixels·n]`.
fn to_planes<T: Factor>(g: &Geometry, row: &[T], plane: &mut Vec<T>) {
    plane.clear();
    for channel in 0..g.c_in {
        plane.extend(row[channel.min(row.len())..].iter().step_by(g.c_in));
    }
}
