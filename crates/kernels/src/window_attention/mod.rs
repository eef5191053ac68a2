//! Attention within windows (Liu et al., 2021, arXiv:2103.14030): the pixels of a window attend to each other, by what they are
//! and by how they lie, and windows move from block to block.
//!
//! The entries are [`window_attention`] and [`merge_pixels`], which halves a map between the stages. A task takes some pairs of a
//! window and an image; nothing of the size pixels x pixels leaves the cache, and the way back computes the probabilities again.

mod pixels;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{MatrixMut, multiply};
use crate::layout::Hwnc;
use crate::precision::{self, Number};
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};
use pixels::{Gradients, Pixels};

/// How pixels are divided into windows; `(vertical, horizontal)` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// Heads, among which the channels are divided.
    pub heads: usize,
    /// Pixels along a window.
    pub window: (usize, usize),
    /// How far the map is rolled up and to the left before it is divided. Pixels that did not lie side by side before do not attend
    /// to each other.
    pub shift: (usize, usize),
    /// Pixels along the windows whose table of biases is given, which are not smaller than these.
    pub table: (usize, usize),
}

/// `softmax(Q·Kᵀ / sqrt(d) + bias) · V` for each window, image and head: from `[H, W, N, 3·C]`, at each pixel the queries of all
/// heads, their keys and their values, to `[H, W, N, C]`. `biases` `[(2·th - 1)·(2·tw - 1), heads]` has one for each way in which a
/// pixel may lie from another. Where windows reach beyond the map, they find `outside` there, `[3·C]`.
///
/// Gradients reach all three, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree.
pub fn window_attention(qkv: &Hwnc, biases: &Tensor, outside: &Tensor, spec: WindowSpec) -> Result<Hwnc> {
    let (h, w, n, columns) = qkv.dims();
    let WindowSpec { heads, window, shift, table } = spec;
    let fits = window.0 > 0 && window.1 > 0 && window.0 <= table.0 && window.1 <= table.1;
    if !fits || shift.0 >= window.0 || shift.1 >= window.1 || h * w * n == 0 {
        bail!("window attention: {spec:?} does not divide a map {:?}", qkv.dims());
    }
    let ways = (2 * table.0 - 1) * (2 * table.1 - 1);
    if heads == 0 || columns == 0 || !columns.is_multiple_of(3 * heads) || biases.dims() != [ways, heads] {
        bail!(
            "window attention: {:?} [H, W, N, 3·C] and biases {:?} are not of {heads} heads and {ways} ways to lie",
            qkv.dims(),
            biases.dims()
        );
    }
    if outside.dims() != [columns] {
        bail!("window attention: outside of the map are {:?}, not [{columns}]", outside.dims());
    }
    if !storage::runs_here(qkv.tensor()) {
        return composed::window_attention(qkv, biases, outside, spec);
    }
    let (biases, outside) = (biases.contiguous()?, outside.contiguous()?);
    let grid = Grid { h, w, n, c: columns / 3, spec, half: storage::is_half(qkv.tensor()) };
    let y = by_number!(grid.half, T => {
        let biases = storage::singles(&biases)?;
        let y = grid.forward::<T>(&Values::of(qkv.tensor())?, &biases, &storage::singles(&outside)?);
        storage::tensor(y, (h, w, n, grid.c))?
    });
    note(&[qkv.tensor(), &biases, &outside], &y, grid);
    Hwnc::new(y)
}

/// The operation on the tape: inputs are queries, keys and values, the biases, and what is outside.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    h: usize,
    w: usize,
    n: usize,
    /// Channels of all heads.
    c: usize,
    spec: WindowSpec,
    /// Whether products take bf16.
    half: bool,
}

/// Gradients that are added up over windows: of scores, and of what is outside.
type Sums = (Vec<f32>, Vec<f32>);

/// A window's pixels: where each stands in the map, if it does, and which part of the rolled map it is of.
type Window = Vec<(Option<usize>, usize)>;

impl Grid {
    pub(crate) fn of(qkv: &Hwnc, spec: WindowSpec) -> Self {
        let (h, w, n, columns) = qkv.dims();
        Self { h, w, n, c: columns / 3, spec, half: false }
    }

    /// Pixels of a window.
    fn area(&self) -> usize {
        self.spec.window.0 * self.spec.window.1
    }

    /// What scores are multiplied by.
    fn scale(&self) -> f32 {
        (1.0 / ((self.c / self.spec.heads) as f64).sqrt()) as f32
    }

    /// The windows, row by row.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let WindowSpec { window, shift, .. } = self.spec;
        let whole = |size: usize, window: usize| size.div_ceil(window) * window;
        let (high, wide) = (whole(self.h, window.0), whole(self.w, window.1));
        let part = |at: usize, size: usize, window: usize, shift: usize| match at {
            _ if shift == 0 || at < size - window => 0,
            at if at < size - shift => 1,
            _ => 2,
        };
        let mut windows = Vec::new();
        for top in (0..high).step_by(window.0) {
            for left in (0..wide).step_by(window.1) {
                let pixels = (0..self.area()).map(|at| {
                    let (y, x) = (top + at / window.1, left + at % window.1);
                    let pixel = ((y + shift.0) % self.h, (x + shift.1) % self.w);
                    let inside = y < self.h && x < self.w;
                    let parts = 3 * part(y, high, window.0, shift.0) + part(x, wide, window.1, shift.1);
                    (inside.then_some(pixel.0 * self.w + pixel.1), parts)
                });
                windows.push(pixels.collect());
            }
        }
        windows
    }

    /// Which bias the second pixel of a window has for the first, for all pairs.
    pub(crate) fn ways(&self) -> Vec<usize> {
        let ((_, across), (high, wide)) = (self.spec.window, self.spec.table);
        let place = |at: usize| (at / across, at % across);
        let way = |(a, b): (usize, usize)| {
            let ((ay, ax), (by, bx)) = (place(a), place(b));
            (ay + high - 1 - by) * (2 * wide - 1) + ax + wide - 1 - bx
        };
        (0..self.area() * self.area()).map(|pair| way((pair / self.area(), pair % self.area()))).collect()
    }

    /// The biases of each head, `[heads, T, T]`.
    fn spread(&self, biases: &[f32]) -> Vec<f32> {
        let (ways, heads) = (self.ways(), self.spec.heads);
        (0..heads).flat_map(|head| ways.iter().map(move |way| biases[way * heads + head])).collect()
    }

    /// The rows of `values` `[H·W·N, width]`, by window and image.
    fn rows<'a, T>(
        &self,
        windows: &[Window],
        values: &'a mut [T],
        width: usize,
    ) -> Vec<Vec<Option<&'a mut [T]>>> {
        let mut rows: Vec<Option<&mut [T]>> = values.chunks_exact_mut(width).map(Some).collect();
        let mut taken =
            |pixel: Option<usize>, image: usize| pixel.and_then(|pixel| rows[pixel * self.n + image].take());
        let pairs = windows.iter().flat_map(|window| (0..self.n).map(move |image| (window, image)));
        pairs.map(|(window, image)| window.iter().map(|&(pixel, _)| taken(pixel, image)).collect()).collect()
    }

    fn forward<T: Number>(&self, qkv: &[T], biases: &[f32], outside: &[f32]) -> Vec<T> {
        let (windows, biases, c) = (self.windows(), self.spread(biases), self.c);
        let mut y: Vec<T> = tasks::zeros(self.h * self.w * self.n * c);
        self.rows(&windows, &mut y, c).into_par_iter().enumerate().for_each_init(
            || (Pixels::new(*self), vec![0.0; self.area() * c]),
            |(pixels, mixed), (task, rows)| {
                pixels.read(qkv, outside, &windows[task / self.n], task % self.n);
                let outs = MatrixMut::dense(mixed, self.area(), c).column_blocks(c / self.spec.heads);
                for (head, mut out) in outs.into_iter().enumerate() {
                    pixels.ask(head, &biases);
                    multiply(&mut out, false, pixels.probabilities(), pixels.values(head));
                }
                for (row, values) in rows.into_iter().zip(mixed.chunks_exact(c)) {
                    if let Some(row) = row {
                        precision::convert(row, values);
                    }
                }
            },
        );
        y
    }

    /// The gradients of `qkv`, and the sums of those of the scores, `[heads, T, T]`, and of what is outside.
    fn back<T: Number>(
        &self,
        qkv: &[T],
        biases: &[f32],
        outside: &[f32],
        dy: &[T],
    ) -> (Vec<T>, Vec<f32>, Vec<f32>) {
        let (windows, biases, c) = (self.windows(), self.spread(biases), self.c);
        let mut dqkv: Vec<T> = tasks::zeros(qkv.len());
        let mut list: Vec<_> = self.rows(&windows, &mut dqkv, 3 * c).into_iter().enumerate().collect();
        let together = tasks::even(list.len(), tasks::TASKS);
        let partial: Vec<Sums> = list
            .par_chunks_mut(together)
            .map(|list| {
                let (mut pixels, mut gradients) = (Pixels::new(*self), Gradients::new(self));
                for (task, rows) in list {
                    pixels.read(qkv, outside, &windows[*task / self.n], *task % self.n);
                    gradients.run(&mut pixels, &biases, dy, &windows[*task / self.n], *task % self.n);
                    for (row, values) in rows.iter_mut().zip(gradients.rows.chunks_exact(3 * c)) {
                        match row {
                            Some(row) => precision::convert(row, values),
                            None => gradients
                                .outside
                                .iter_mut()
                                .zip(values)
                                .for_each(|(sum, value)| *sum += value),
                        }
                    }
                }
                (gradients.scores_sum, gradients.outside)
            })
            .collect();
        let sum = |part: fn(&Sums) -> Vec<f32>| {
            let mut parts = partial.iter().map(part);
            let mut total = parts.next().unwrap_or_default();
            parts.for_each(|part| total.iter_mut().zip(part).for_each(|(total, value)| *total += value));
            total
        };
        let (scores, outside) = (sum(|part| part.0.clone()), sum(|part| part.1.clone()));
        (dqkv, scores, outside)
    }
}

impl Backward for Grid {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [qkv, biases, outside] = inputs else { bail!("window attention: three inputs") };
        let dy = storage::like(dy, y)?;
        let (bias_values, beyond) = (storage::singles(biases)?, storage::singles(outside)?);
        by_number!(self.half, T => {
            let (values, dy) = (Values::<T>::of(qkv)?, Values::<T>::of(&dy)?);
            let (dqkv, scores, of_outside) = self.back::<T>(&values, &bias_values, &beyond, &dy);
            let mut found: Vec<Option<Gradient>> = vec![None; 3];
            if wanted(qkv) {
                found[0] = Some(storage::tensor(dqkv, qkv.shape())?.into());
            }
            if wanted(biases) {
                let (ways, heads) = (self.ways(), self.spec.heads);
                let mut sums = vec![0.0f64; bias_values.len()];
                for (head, scores) in scores.chunks_exact(ways.len()).enumerate() {
                    ways.iter().zip(scores).for_each(|(way, score)| sums[way * heads + head] += f64::from(*score));
                }
                let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
                found[1] = Some(storage::tensor(sums, biases.shape())?.into());
            }
            if wanted(outside) {
                found[2] = Some(storage::tensor(of_outside, outside.shape())?.into());
            }
            Ok(found)
        })
    }
}
