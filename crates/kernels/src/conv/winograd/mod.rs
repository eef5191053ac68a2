//! Convolution of 3x3 kernels at stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016,
//! arXiv:1509.09308): four outputs from 16 multiplications instead of 36.
//!
//! A tile is 2x2 pixels of the output and sees 4x4 of the input. Tiles and weights are transformed by sums and
//! differences, multiplied place by place as matrices `[images, c_in] · [c_in, c_out]`, and transformed back. In this
//! layout a pixel is a row of memory, so the transforms are plain loops. Their rounding is two to three times that of the
//! direct sum; what is transformed is no bf16, so this is for f32.

mod weight_gradient;

use std::ops::Range;

use rayon::prelude::*;

use super::{Finish, Geometry};
use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::tasks;
pub(super) use weight_gradient::{serves_weights, weight_gradient};

/// Places of a transformed tile: 4x4.
const PLACES: usize = 16;
/// Images of a task: its tile, transformed, stays in the L2 cache.
const IMAGES: usize = 32;
/// Channels from which the products outweigh the transforms.
const CHANNELS: usize = 32;

/// Whether this convolution is multiplied less this way, transforms included.
pub(super) fn serve(g: &Geometry) -> bool {
    if !fits(g) {
        return false;
    }
    // Along a side, two of three taps are live at either end.
    let live = (3 * g.h - 2) * (3 * g.w - 2);
    let tiles = g.h.div_ceil(2) * g.w.div_ceil(2);
    tiles * PLACES * 5 < live * 4
}

fn fits(g: &Geometry) -> bool {
    let kind = (g.kh, g.kw, g.stride, g.padding) == (3, 3, (1, 1), (1, 1));
    kind && g.c_in >= CHANNELS && g.c_out >= CHANNELS
}

/// The forward pass, as [`super::forward::forward`].
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], finish: Finish<'_, f32>) -> Vec<f32> {
    let transformed = transform_weights(g, weights);
    let mut y = tasks::zeros(g.oh * g.ow * g.n * g.c_out);
    split(g, &mut y).into_par_iter().for_each_init(Buffers::default, |buffers, mut task| {
        let (rows, across) = (task.images.len(), task.images.len() * g.c_out);
        let input = buffers.transform(g, x, task.tile, &task.images);
        buffers.products.resize(PLACES * across, 0.0);
        for (place, product) in buffers.products.chunks_exact_mut(across).enumerate() {
            let a = Matrix::dense(&input[place * rows * g.c_in..][..rows * g.c_in], rows, g.c_in);
            let b =
                Matrix::dense(&transformed[place * g.c_in * g.c_out..][..g.c_in * g.c_out], g.c_in, g.c_out);
            multiply(&mut MatrixMut::dense(product, rows, g.c_out), false, a, b);
        }
        transform_back(&buffers.products, across, &mut buffers.between, &mut task.outputs);
        for (place, output) in task.outputs.into_iter().enumerate() {
            let Some(output) = output else { continue };
            let pixel = (2 * task.tile.0 + place / 2) * g.ow + 2 * task.tile.1 + place % 2;
            let mut output = MatrixMut::dense(output, rows, g.c_out);
            finish.add_bias(&mut output, &(0..g.c_out));
            finish.normalise(&mut output, pixel * g.n + task.images.start, &(0..g.c_out));
        }
        buffers.input = input;
    });
    y
}

/// The gradient of the input, as [`super::data_gradient::data_gradient`]: the same convolution of the output's gradient,
/// with the taps in reverse order and their channels exchanged.
pub(super) fn data_gradient(g: &Geometry, dy: &[f32], weights: &[f32]) -> Vec<f32> {
    let tap = g.c_in * g.c_out;
    let mut reversed = tasks::zeros(weights.len());
    reversed.par_chunks_exact_mut(tap).zip(weights.par_chunks_exact(tap).rev()).for_each(
        |(reversed, tap)| {
            tasks::transpose(tap, g.c_in, g.c_out, reversed);
        },
    );
    forward(&Geometry { c_in: g.c_out, c_out: g.c_in, ..*g }, dy, &reversed, Finish::bias(None))
}

/// A tile for some images.
struct Task<'a> {
    /// The tile's row and column.
    tile: (usize, usize),
    images: Range<usize>,
    /// Its pixels, `[images, c_out]` each; none beyond an odd edge.
    outputs: [Option<&'a mut [f32]>; 4],
}

fn split<'a>(g: &Geometry, y: &'a mut [f32]) -> Vec<Task<'a>> {
    let part = IMAGES * g.c_out;
    let mut pixels: Vec<Vec<Option<&mut [f32]>>> =
        y.chunks_exact_mut(g.n * g.c_out).map(|pixel| pixel.chunks_mut(part).map(Some).collect()).collect();
    let mut list = Vec::new();
    for (row, col) in (0..g.oh.div_ceil(2)).flat_map(|row| (0..g.ow.div_ceil(2)).map(move |col| (row, col))) {
        for (index, images) in tasks::blocks(g.n, IMAGES).enumerate() {
            let mut take = |down: usize, right: usize| {
                let (oy, ox) = (2 * row + down, 2 * col + right);
                (oy < g.oh && ox < g.ow).then(|| pixels[oy * g.ow + ox][index].take()).flatten()
            };
            let outputs = [take(0, 0), take(0, 1), take(1, 0), take(1, 1)];
            list.push(Task { tile: (row, col), images, outputs });
        }
    }
    list
}

/// The buffers of one thread.
#[derive(Default)]
struct Buffers {
    /// The tile between its two transforms.
    between: Vec<f32>,
    input: Vec<f32>,
    products: Vec<f32>,
    zeros: Vec<f32>,
}

impl Buffers {
    /// `Bᵀ d B` of a tile `d`: `[16, images, c_in]`, first down the columns and then along the rows.
    fn transform(
        &mut self,
        g: &Geometry,
        x: &[f32],
        tile: (usize, usize),
        images: &Range<usize>,
    ) -> Vec<f32> {
        let size = images.len() * g.c_in;
        let mut input = std::mem::take(&mut self.input);
        input.resize(PLACES * size, 0.0);
        self.between.resize(PLACES * size, 0.0);
        self.zeros.resize(size, 0.0);
        let pixel = |row: usize, col: usize| -> &[f32] {
            let iy = (2 * tile.0 + row).checked_sub(1).filter(|&iy| iy < g.h);
            let ix = (2 * tile.1 + col).checked_sub(1).filter(|&ix| ix < g.w);
            match (iy, ix) {
                (Some(iy), Some(ix)) => &g.input(x, iy, ix..ix + 1)[images.start * g.c_in..][..size],
                _ => &self.zeros,
            }
        };
        for (place, out) in self.between.chunks_exact_mut(size).enumerate() {
            combine(place / 4, out, |row| pixel(row, place % 4));
        }
        let between = &self.between;
        for (place, out) in input.chunks_exact_mut(size).enumerate() {
            combine(place % 4, out, |col| &between[(place / 4 * 4 + col) * size..][..size]);
        }
        input
    }
}

/// One row of `Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]` applied to four vectors.
fn combine<'a>(row: usize, out: &mut [f32], vector: impl Fn(usize) -> &'a [f32]) {
    match row {
        0 => difference(out, vector(0), vector(2)),
        1 => tasks::sum(out, vector(1), vector(2)),
        2 => difference(out, vector(2), vector(1)),
        _ => difference(out, vector(1), vector(3)),
    }
}

/// `Aᵀ m A` of the products of a tile, with `Aᵀ = [1 1 1 0; 0 1 -1 -1]`.
fn transform_back(
    products: &[f32],
    size: usize,
    between: &mut Vec<f32>,
    outputs: &mut [Option<&mut [f32]>; 4],
) {
    between.resize((PLACES / 2 * size).max(between.len()), 0.0);
    let between = &mut between[..PLACES / 2 * size];
    for (place, out) in between.chunks_exact_mut(size).enumerate() {
        let product = |row: usize| &products[(row * 4 + place % 4) * size..][..size];
        fold(place / 4, out, product);
    }
    for (place, output) in outputs.iter_mut().enumerate() {
        if let Some(out) = output {
            fold(place % 2, out, |col| &between[(place / 2 * 4 + col) * size..][..size]);
        }
    }
}

/// One row of `Aᵀ` applied to four vectors.
fn fold<'a>(row: usize, out: &mut [f32], vector: impl Fn(usize) -> &'a [f32]) {
    match row {
        0 => sum_of_three(out, vector(0), vector(1), vector(2)),
        _ => first_less_two(out, vector(1), vector(2), vector(3)),
    }
}

/// `G w Gᵀ` of each kernel, `[16, c_in, c_out]`, with `G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1]`.
fn transform_weights(g: &Geometry, weights: &[f32]) -> Vec<f32> {
    let tap = g.c_in * g.c_out;
    let expand = |row: usize, out: &mut [f32], at: &dyn Fn(usize) -> usize, from: &[f32]| {
        let vector = |index: usize| &from[at(index) * tap..][..out.len()];
        match row {
            0 => out.copy_from_slice(vector(0)),
            1 => half_of_sum(out, vector(0), vector(1), vector(2)),
            2 => half_less_middle(out, vector(0), vector(1), vector(2)),
            _ => out.copy_from_slice(vector(2)),
        }
    };
    // Down the columns: 4 rows of 3 places; then along the rows: 4 rows of 4.
    let mut between = tasks::zeros(12 * tap);
    between.par_chunks_mut(tap).enumerate().for_each(|(place, out)| {
        expand(place / 3, out, &|row| row * 3 + place % 3, weights);
    });
    let mut transformed = tasks::zeros(PLACES * tap);
    transformed.par_chunks_mut(tap).enumerate().for_each(|(place, out)| {
        expand(place % 4, out, &|col| place / 4 * 3 + col, &between);
    });
    transformed
}

tasks::vectorised! {
    fn difference<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a - b;
        }
    }
}

tasks::vectorised! {
    fn sum_of_three<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32], c: &'a [f32]) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = a + b + c;
        }
    }
}

tasks::vectorised! {
    fn first_less_two<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32], c: &'a [f32]) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = a - b - c;
        }
    }
}

tasks::vectorised! {
    fn half_of_sum<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32], c: &'a [f32]) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = 0.5 * (a + b + c);
        }
    }
}

tasks::vectorised! {
    fn half_less_middle<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32], c: &'a [f32]) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = 0.5 * (a - b + c);
        }
    }
}
