//! The gradient of 3x3 weights by the adjoint of F(2x2, 3x3): with `W` transformed to `G w Gᵀ` and the tile of the input to
//! `Bᵀ d B` in the forward pass, it is `Gᵀ [Σ (Bᵀ d B)ᵀ · (A dy Aᵀ)] G`, where the sum of products goes over tiles and images.

use super::{Buffers, Geometry, IMAGES, PLACES, difference, fits, serve};
use crate::conv::weight_gradient::sum_in_order;
use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::tasks;

use rayon::prelude::*;

/// Sums that are kept apart, and then added: each is as large as 16 taps.
const SUMS: usize = 8;

/// Whether the gradient of this convolution's weights is multiplied less this way, sums included: the products of a sum
/// must outweigh its memory.
pub(in crate::conv) fn serves_weights(g: &Geometry) -> bool {
    let rows = g.oh.div_ceil(2) * g.ow.div_ceil(2) * g.n;
    fits(g) && serve(g) && rows >= 6 * (g.c_in + g.c_out)
}

/// `[3, 3, c_in, c_out]`, as [`crate::conv::weight_gradient`].
pub(in crate::conv) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let tap = g.c_in * g.c_out;
    let across = g.ow.div_ceil(2);
    let parts: Vec<_> = tasks::blocks(g.n, IMAGES).collect();
    let units = g.oh.div_ceil(2) * across * parts.len();
    let sums = sum_in_order(units, SUMS, |units| {
        let (mut sums, mut buffers, mut spread) =
            (vec![0.0f32; PLACES * tap], Buffers::default(), Spread::default());
        for unit in units {
            let (tile, images) = (unit / parts.len(), &parts[unit % parts.len()]);
            let tile = (tile / across, tile % across);
            let input = buffers.transform(g, x, tile, images);
            spread.transform(g, dy, tile, images);
            let rows = images.len();
            let places = input.chunks_exact(rows * g.c_in).zip(spread.output.chunks_exact(rows * g.c_out));
            for (sum, (x, dy)) in sums.chunks_exact_mut(tap).zip(places) {
                let a = Matrix::dense(x, rows, g.c_in).transposed();
                multiply(
                    &mut MatrixMut::dense(sum, g.c_in, g.c_out),
                    true,
                    a,
                    Matrix::dense(dy, rows, g.c_out),
                );
            }
            buffers.input = input;
        }
        sums
    });
    transform_back(&sums, tap)
}

/// The buffers of the output's gradient.
#[derive(Default)]
struct Spread {
    between: Vec<f32>,
    output: Vec<f32>,
    zeros: Vec<f32>,
}

impl Spread {
    /// `A dy Aᵀ` of a tile: `[16, images, c_out]`, first down the columns and then along the rows.
    fn transform(&mut self, g: &Geometry, dy: &[f32], tile: (usize, usize), images: &std::ops::Range<usize>) {
        let size = images.len() * g.c_out;
        self.between.resize(PLACES / 2 * size, 0.0);
        self.output.resize(PLACES * size, 0.0);
        self.zeros.resize(size, 0.0);
        let pixel = |row: usize, col: usize| -> &[f32] {
            let (oy, ox) = (2 * tile.0 + row, 2 * tile.1 + col);
            match oy < g.oh && ox < g.ow {
                true => &g.output(dy, oy, ox..ox + 1)[images.start * g.c_out..][..size],
                false => &self.zeros,
            }
        };
        for (place, out) in self.between.chunks_exact_mut(size).enumerate() {
            spread(place / 2, out, pixel(0, place % 2), pixel(1, place % 2));
        }
        let between = |row: usize, col: usize| &self.between[(row * 2 + col) * size..][..size];
        for (place, out) in self.output.chunks_exact_mut(size).enumerate() {
            spread(place % 4, out, between(place / 4, 0), between(place / 4, 1));
        }
    }
}

/// One row of `A = [1 0; 1 1; 1 -1; 0 -1]` applied to two vectors.
fn spread(row: usize, out: &mut [f32], a: &[f32], b: &[f32]) {
    match row {
        0 => out.copy_from_slice(a),
        1 => tasks::sum(out, a, b),
        2 => difference(out, a, b),
        _ => negative(out, b),
    }
}

/// `Gᵀ m G` of the sums, `[3, 3, c_in, c_out]`, with `Gᵀ = [1 ½ ½ 0; 0 ½ -½ 0; 0 ½ ½ 1]`.
fn transform_back(sums: &[f32], tap: usize) -> Vec<f32> {
    let fold = |row: usize, out: &mut [f32], at: &dyn Fn(usize) -> usize, from: &[f32]| {
        let vector = |index: usize| &from[at(index) * tap..][..tap];
        match row {
            0 => plus_half_of_sum(out, vector(0), vector(1), vector(2)),
            1 => half_of_difference(out, vector(1), vector(2)),
            _ => plus_half_of_sum(out, vector(3), vector(1), vector(2)),
        }
    };
    // Down the columns: 3 rows of 4 places; then along the rows: 3 rows of 3.
    let mut between = tasks::zeros(12 * tap);
    between.par_chunks_mut(tap).enumerate().for_each(|(place, out)| {
        fold(place / 4, out, &|row| row * 4 + place % 4, sums);
    });
    let mut dw = tasks::zeros(9 * tap);
    dw.par_chunks_mut(tap).enumerate().for_each(|(place, out)| {
        fold(place % 3, out, &|col| place / 3 * 4 + col, &between);
    });
    dw
}

tasks::vectorised! {
    fn negative<'a>(out: &'a mut [f32], a: &'a [f32]) {
        for (out, a) in out.iter_mut().zip(a) {
            *out = -a;
        }
    }
}

tasks::vectorised! {
    fn plus_half_of_sum<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32], c: &'a [f32]) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = a + 0.5 * (b + c);
        }
    }
}

tasks::vectorised! {
    fn half_of_difference<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = 0.5 * (a - b);
        }
    }
}
