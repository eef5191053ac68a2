//! Multi-head self-attention (Vaswani et al., 2017, arXiv:1706.03762) over the tokens of each image.
//!
//! The entry is [`attention`]. Rows are token-major, so those of an image are gathered first; its heads are columns
//! of them, the products run there, and nothing of the size tokens x tokens leaves the cache: the way back computes the
//! probabilities again (as Dao et al., 2022, arXiv:2205.14135, do). A task is one image.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::precision::{self, Number};
use crate::storage::{self, by_number};
use crate::tape::{Backward, note};
use crate::{Gradient, composed, gelu, tasks};

/// How rows are attention's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSpec {
    /// Tokens of an image.
    pub tokens: usize,
    /// Heads, among which the channels are divided.
    pub heads: usize,
    /// The tokens that ask, from the first on; the others only answer.
    pub queries: usize,
}

/// `softmax(Q·Kᵀ / sqrt(d)) · V` for each image and head: from `[T·N, 3·C]`, in each row the queries of all heads, their
/// keys and their values, to `[queries·N, C]`. A head has `d = C / heads` channels.
///
/// # Errors
/// When the rows are not those of whole images, or the columns not those of whole heads.
pub fn attention(qkv: &Tensor, spec: AttentionSpec) -> Result<Tensor> {
    let AttentionSpec { tokens, heads, queries } = spec;
    let (rows, columns) = qkv.dims2()?;
    if tokens == 0 || rows == 0 || !rows.is_multiple_of(tokens) || !(1..=tokens).contains(&queries) {
        bail!("attention: {queries} of {tokens} tokens cannot ask in {:?} [tokens·N, 3·C]", qkv.dims());
    }
    if heads == 0 || columns == 0 || !columns.is_multiple_of(3 * heads) {
        bail!(
            "attention: {:?} [tokens·N, 3·C] does not hold queries, keys and values of {heads} heads",
            qkv.dims()
        );
    }
    if !storage::runs_here(qkv) {
        return composed::attention(qkv, spec);
    }
    let (qkv, c) = (qkv.contiguous()?, columns / 3);
    let half = storage::is_half(&qkv);
    let sizes = Sizes { tokens, queries, heads, n: rows / tokens, c, d: c / heads, half };
    let y = by_number!(half, T => {
        let y = forward::<T>(&storage::Values::of(&qkv)?, sizes);
        storage::tensor(y, (queries * sizes.n, c))?
    });
    note(&[&qkv], &y, Attention(sizes));
    Ok(y)
}

/// The sizes, for `[T·N, 3·C]`.
#[derive(Clone, Copy)]
struct Sizes {
    tokens: usize,
    queries: usize,
    heads: usize,
    /// Images.
    n: usize,
    /// Channels, of all heads and of one.
    c: usize,
    d: usize,
    /// Whether products take bf16.
    half: bool,
}

fn forward<T: Number>(qkv: &[T], s: Sizes) -> Vec<T> {
    let mut y: Vec<T> = tasks::zeros(s.queries * s.n * s.c);
    by_image(&mut y, s.n, s.c).into_par_iter().enumerate().for_each_init(
        || (Image::new(s), vec![0.0; s.queries * s.c]),
        |(image, mixed), (index, rows)| {
            image.read(qkv, index);
            let outs = MatrixMut::dense(mixed, s.queries, s.c).column_blocks(s.d);
            for (head, mut out) in outs.into_iter().enumerate() {
                image.ask(head);
                multiply(&mut out, false, image.probabilities(), image.part(VALUES, head));
            }
            put(rows, mixed, s.c);
        },
    );
    y
}

/// The operation on the tape.
struct Attention(Sizes);

impl Backward for Attention {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let ([qkv], s) = (inputs, self.0) else { bail!("attention: one input") };
        let dy = storage::like(dy, y)?;
        by_number!(s.half, T => {
            let (values, dy) = (storage::Values::<T>::of(qkv)?, storage::Values::<T>::of(&dy)?);
            let (values, dy): (&[T], &[T]) = (&values, &dy);
            let mut dqkv: Vec<T> = tasks::zeros(values.len());
            by_image(&mut dqkv, s.n, 3 * s.c).into_par_iter().enumerate().for_each_init(
                || (Image::new(s), Gradients::new(s)),
                |(image, gradients), (index, rows)| {
                    image.read(values, index);
                    gradients.run(image, dy, index);
                    put(rows, &gradients.rows, 3 * s.c);
                },
            );
            Ok(vec![Some(storage::tensor(dqkv, qkv.shape())?.into())])
        })
    }
}

/// The rows of each image among `[T·n, width]`.
fn by_image<T>(values: &mut [T], n: usize, width: usize) -> Vec<Vec<&mut [T]>> {
    let mut images: Vec<Vec<&mut [T]>> = (0..n).map(|_| Vec::new()).collect();
    for (row, values) in values.chunks_exact_mut(width).enumerate() {
        images[row % n].push(values);
    }
    images
}

/// Writes dense rows of `width` values to those of an image.
fn put<T: Number>(rows: Vec<&mut [T]>, values: &[f32], width: usize) {
    rows.into_iter()
        .zip(values.chunks_exact(width))
        .for_each(|(row, values)| precision::convert(row, values));
}

/// Where queries, keys and values stand in a row.
const QUERIES: usize = 0;
const KEYS: usize = 1;
const VALUES: usize = 2;

/// One image, and one head of it at a time.
struct Image {
    sizes: Sizes,
    /// `[T, 3·C]`.
    rows: Vec<f32>,
    /// The keys, `[d, T]`.
    turned: Vec<f32>,
    /// `[queries, T]`.
    probabilities: Vec<f32>,
}

impl Image {
    fn new(sizes: Sizes) -> Self {
        let Sizes { tokens, queries, c, d, .. } = sizes;
        Self {
            sizes,
            rows: vec![0.0; tokens * 3 * c],
            turned: vec![0.0; d * tokens],
            probabilities: vec![0.0; queries * tokens],
        }
    }

    /// Gathers the rows of image `index`.
    fn read<T: Number>(&mut self, qkv: &[T], index: usize) {
        let Sizes { n, c, .. } = self.sizes;
        let rows = qkv.chunks_exact(3 * c).skip(index).step_by(n);
        self.rows.chunks_exact_mut(3 * c).zip(rows).for_each(|(row, from)| precision::convert(row, from));
    }

    /// The queries, keys or values of a head, `[T, d]`.
    fn part(&self, part: usize, head: usize) -> Matrix<'_> {
        let Sizes { tokens, c, d, .. } = self.sizes;
        Matrix::strided(&self.rows[part * c + head * d..], tokens, d, 3 * c)
    }

    /// Turns the keys or values of a head, `[d, T]`.
    fn turn(&mut self, part: usize, head: usize) {
        let Sizes { tokens, c, d, .. } = self.sizes;
        let values = &self.rows[part * c + head * d..];
        tasks::transpose_strided(values, 3 * c, tokens, d, &mut self.turned);
    }

    fn turned(&self) -> Matrix<'_> {
        Matrix::dense(&self.turned, self.sizes.d, self.sizes.tokens)
    }

    /// Computes the probabilities of a head.
    fn ask(&mut self, head: usize) {
        let Sizes { tokens, queries, half, .. } = self.sizes;
        self.turn(KEYS, head);
        let mut probabilities = std::mem::take(&mut self.probabilities);
        let asked = self.part(QUERIES, head).rows(0..queries);
        multiply(&mut MatrixMut::dense(&mut probabilities, queries, tokens), false, asked, self.turned());
        softmax(&mut probabilities, tokens, self.sizes.scale());
        if half {
            precision::round(&mut probabilities);
        }
        self.probabilities = probabilities;
    }

    fn probabilities(&self) -> Matrix<'_> {
        Matrix::dense(&self.probabilities, self.sizes.queries, self.sizes.tokens)
    }
}

impl Sizes {
    fn scale(self) -> f32 {
        (1.0 / (self.d as f64).sqrt()) as f32
    }
}

/// The way back of one image.
struct Gradients {
    /// Of its rows, `[T, 3·C]`.
    rows: Vec<f32>,
    /// Of its outputs, `[queries, C]`.
    dy: Vec<f32>,
    /// Of a head's probabilities, then of its scores, `[queries, T]`.
    scores: Vec<f32>,
}

impl Gradients {
    fn new(Sizes { tokens, queries, c, .. }: Sizes) -> Self {
        Self {
            rows: vec![0.0; tokens * 3 * c],
            dy: vec![0.0; queries * c],
            scores: vec![0.0; queries * tokens],
        }
    }

    fn run<T: Number>(&mut self, image: &mut Image, dy: &[T], index: usize) {
        let Sizes { tokens, queries, n, c, d, heads, half } = image.sizes;
        let rows = dy.chunks_exact(c).skip(index).step_by(n);
        self.dy.chunks_exact_mut(c).zip(rows).for_each(|(row, from)| precision::convert(row, from));
        let mut outs = MatrixMut::dense(&mut self.rows, tokens, 3 * c).column_blocks(d);
        for head in 0..heads {
            image.ask(head);
            let dy = Matrix::strided(&self.dy[head * d..], queries, d, c);
            let probabilities = image.probabilities();
            multiply(&mut outs[VALUES * heads + head], false, probabilities.transposed(), dy);

            image.turn(VALUES, head);
            let scores = &mut MatrixMut::dense(&mut self.scores, queries, tokens);
            multiply(scores, false, dy, image.turned());
            through_softmax(&mut self.scores, &image.probabilities, tokens, image.sizes.scale());
            if half {
                precision::round(&mut self.scores);
            }

            let scores = Matrix::dense(&self.scores, queries, tokens);
            let asked = &mut outs[QUERIES * heads + head];
            multiply(&mut asked.rows(0..queries), false, scores, image.part(KEYS, head));
            let keys = &mut outs[KEYS * heads + head];
            multiply(keys, false, scores.transposed(), image.part(QUERIES, head).rows(0..queries));
        }
    }
}

tasks::vectorised! {
    /// Rows of scores, times `scale`, become probabilities.
    pub(crate) fn softmax<'a>(scores: &'a mut [f32], tokens: usize, scale: f32) {
        for row in scores.chunks_exact_mut(tokens) {
            let largest = tasks::row_maximum(row);
            for score in row.iter_mut() {
                *score = gelu::exp(scale * (*score - largest));
            }
            let inverse = 1.0 / tasks::row_sum(row, row, |value, _| value);
            for value in row {
                *value *= inverse;
            }
        }
    }
}

tasks::vectorised! {
    /// Rows of the probabilities' gradient become those of the scores before their scale.
    pub(crate) fn through_softmax<'a>(gradient: &'a mut [f32], probabilities: &'a [f32], tokens: usize, scale: f32) {
        let rows = gradient.chunks_exact_mut(tokens).zip(probabilities.chunks_exact(tokens));
        for (gradient, probabilities) in rows {
            let mean = tasks::row_sum(gradient, probabilities, |gradient, p| gradient * p);
            for (gradient, p) in gradient.iter_mut().zip(probabilities) {
                *gradient = scale * p * (*gradient - mean);
            }
        }
    }
}
