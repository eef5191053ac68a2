//! One window of one image: its rows, the scores of a head, and the way back through them.

use super::{Grid, Window};
use crate::attention::{softmax, through_softmax};
use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::precision::{self, Number};
use crate::tasks;

/// What a pixel adds to a score of another part of the rolled map.
const APART: f32 = -100.0;

/// Where queries, keys and values stand in a row.
const QUERIES: usize = 0;
const KEYS: usize = 1;
const VALUES: usize = 2;

/// A window of one image, and one head of it at a time.
pub(super) struct Pixels {
    grid: Grid,
    /// `[T, 3·C]`.
    rows: Vec<f32>,
    /// The keys or values of a head, `[d, T]`.
    turned: Vec<f32>,
    /// `[T, T]`.
    probabilities: Vec<f32>,
    /// The parts of the map that the pixels are of.
    parts: Vec<usize>,
}

impl Pixels {
    pub(super) fn new(grid: Grid) -> Self {
        let (area, c) = (grid.area(), grid.c);
        Self {
            grid,
            rows: vec![0.0; area * 3 * c],
            turned: vec![0.0; c / grid.spec.heads * area],
            probabilities: vec![0.0; area * area],
            parts: Vec::new(),
        }
    }

    /// Gathers a window of an image.
    pub(super) fn read<T: Number>(&mut self, qkv: &[T], outside: &[f32], window: &Window, image: usize) {
        let width = 3 * self.grid.c;
        for (row, (pixel, _)) in self.rows.chunks_exact_mut(width).zip(window) {
            match pixel {
                Some(pixel) => {
                    precision::convert(row, &qkv[(pixel * self.grid.n + image) * width..][..width])
                }
                None => row.copy_from_slice(outside),
            }
        }
        self.parts = window.iter().map(|(_, part)| *part).collect();
    }

    /// The queries, keys or values of a head, `[T, d]`.
    fn part(&self, part: usize, head: usize) -> Matrix<'_> {
        let (c, d) = (self.grid.c, self.grid.c / self.grid.spec.heads);
        Matrix::strided(&self.rows[part * c + head * d..], self.grid.area(), d, 3 * c)
    }

    /// The values of a head.
    pub(super) fn values(&self, head: usize) -> Matrix<'_> {
        self.part(VALUES, head)
    }

    fn turn(&mut self, part: usize, head: usize) {
        let (c, d) = (self.grid.c, self.grid.c / self.grid.spec.heads);
        let values = &self.rows[part * c + head * d..];
        tasks::transpose_strided(values, 3 * c, self.grid.area(), d, &mut self.turned);
    }

    fn turned(&self) -> Matrix<'_> {
        Matrix::dense(&self.turned, self.grid.c / self.grid.spec.heads, self.grid.area())
    }

    /// Computes the probabilities of a head.
    pub(super) fn ask(&mut self, head: usize, biases: &[f32]) {
        let area = self.grid.area();
        self.turn(KEYS, head);
        let mut scores = std::mem::take(&mut self.probabilities);
        let out = &mut MatrixMut::dense(&mut scores, area, area);
        multiply(out, false, self.part(QUERIES, head), self.turned());
        add_biases(&mut scores, &biases[head * area * area..][..area * area], self.grid.scale());
        if self.parts.iter().any(|part| *part != self.parts[0]) {
            for (row, part) in scores.chunks_exact_mut(area).zip(&self.parts) {
                let others = row.iter_mut().zip(&self.parts).filter(|(_, other)| *other != part);
                others.for_each(|(score, _)| *score += APART);
            }
        }
        softmax(&mut scores, area, 1.0);
        if self.grid.half {
            precision::round(&mut scores);
        }
        self.probabilities = scores;
    }

    pub(super) fn probabilities(&self) -> Matrix<'_> {
        Matrix::dense(&self.probabilities, self.grid.area(), self.grid.area())
    }
}

/// The way back of one window of one image, and what is added up over several.
pub(super) struct Gradients {
    /// Of its rows, `[T, 3·C]`.
    pub(super) rows: Vec<f32>,
    /// Of its outputs, `[T, C]`.
    dy: Vec<f32>,
    /// Of a head's probabilities, then of its scores, `[T, T]`.
    scores: Vec<f32>,
    /// Of all scores, `[heads, T, T]`.
    pub(super) scores_sum: Vec<f32>,
    /// Of what is outside.
    pub(super) outside: Vec<f32>,
}

impl Gradients {
    pub(super) fn new(grid: &Grid) -> Self {
        let (area, c) = (grid.area(), grid.c);
        Self {
            rows: vec![0.0; area * 3 * c],
            dy: vec![0.0; area * c],
            scores: vec![0.0; area * area],
            scores_sum: vec![0.0; grid.spec.heads * area * area],
            outside: vec![0.0; 3 * c],
        }
    }

    pub(super) fn run<T: Number>(
        &mut self,
        pixels: &mut Pixels,
        biases: &[f32],
        dy: &[T],
        window: &Window,
        image: usize,
    ) {
        let (grid, heads) = (pixels.grid, pixels.grid.spec.heads);
        let (area, c, d) = (grid.area(), grid.c, grid.c / heads);
        for (row, (pixel, _)) in self.dy.chunks_exact_mut(c).zip(window) {
            match pixel {
                Some(pixel) => precision::convert(row, &dy[(pixel * grid.n + image) * c..][..c]),
                None => row.fill(0.0),
            }
        }
        let mut outs = MatrixMut::dense(&mut self.rows, area, 3 * c).column_blocks(d);
        for head in 0..heads {
            pixels.ask(head, biases);
            let dy = Matrix::strided(&self.dy[head * d..], area, d, c);
            multiply(&mut outs[VALUES * heads + head], false, pixels.probabilities().transposed(), dy);

            pixels.turn(VALUES, head);
            multiply(&mut MatrixMut::dense(&mut self.scores, area, area), false, dy, pixels.turned());
            through_softmax(&mut self.scores, &pixels.probabilities, area, 1.0);
            let sums = self.scores_sum[head * area * area..].iter_mut();
            sums.zip(&self.scores).for_each(|(sum, score)| *sum += score);
            let scale = grid.scale();
            self.scores.iter_mut().for_each(|score| *score *= scale);
            if grid.half {
                precision::round(&mut self.scores);
            }
            let scores = Matrix::dense(&self.scores, area, area);
            multiply(&mut outs[QUERIES * heads + head], false, scores, pixels.part(KEYS, head));
            multiply(&mut outs[KEYS * heads + head], false, scores.transposed(), pixels.part(QUERIES, head));
        }
    }
}

tasks::vectorised! {
    fn add_biases<'a>(scores: &'a mut [f32], biases: &'a [f32], scale: f32) {
        for (score, bias) in scores.iter_mut().zip(biases) {
            *score = scale * *score + bias;
        }
    }
}
