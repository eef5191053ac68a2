//! Multi-head self-attention (Vaswani et al., 2017, arXiv:1706.03762) over the tokens of each image.
//!
//! The entry is [`attention`]. Rows are token-major, so a head of an image is gathered into small dense matrices first;
//! both products then run there, and nothing of the size tokens x tokens leaves the cache: the way back computes the
//! probabilities again (as Dao et al., 2022, arXiv:2205.14135, do). A task is one image.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::storage::{self, Values};
use crate::{composed, gelu, tape, tasks};

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
    match storage::runs_here(qkv) {
        true => tape::apply1(&qkv.contiguous()?, Attention(spec)),
        false => composed::attention(qkv, spec),
    }
}

struct Attention(AttentionSpec);

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
}

impl Attention {
    fn sizes(&self, shape: &Shape) -> Result<Sizes> {
        let AttentionSpec { tokens, heads, queries } = self.0;
        let (rows, columns) = shape.dims2()?;
        let c = columns / 3;
        Ok(Sizes { tokens, queries, heads, n: rows / tokens, c, d: c / heads })
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = storage::slice(qkv, layout)?;
        let s = self.sizes(layout.shape())?;
        let mut y = tasks::zeros(s.queries * s.n * s.c);
        by_image(&mut y, s.n, s.c).into_par_iter().enumerate().for_each_init(
            || Head::new(s),
            |head, (image, mut rows)| {
                for index in 0..s.heads {
                    head.read(qkv, image, index);
                    head.ask();
                    let mut out = std::mem::take(&mut head.out);
                    multiply(
                        &mut MatrixMut::dense(&mut out[..s.queries * s.d], s.queries, s.d),
                        false,
                        Matrix::dense(&head.probabilities, s.queries, s.tokens),
                        Matrix::dense(&head.values, s.tokens, s.d),
                    );
                    put(&mut rows, &out, index * s.d, s.d, 1.0);
                    head.out = out;
                }
            },
        );
        Ok((CpuStorage::F32(y), Shape::from((s.queries * s.n, s.c))))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let s = self.sizes(qkv.shape())?;
        let mut dqkv = tasks::zeros(qkv.elem_count());
        let (qkv_values, dy) = (Values::of(qkv)?, Values::of(&dy)?);
        let (qkv_values, dy) = (&*qkv_values, &*dy);
        by_image(&mut dqkv, s.n, 3 * s.c).into_par_iter().enumerate().for_each_init(
            || (Head::new(s), HeadBack::new(s)),
            |(head, back), (image, mut rows)| {
                for index in 0..s.heads {
                    head.read(qkv_values, image, index);
                    head.ask();
                    back.run(head, dy, image, index, &mut rows);
                }
            },
        );
        Ok(Some(storage::tensor(dqkv, qkv.shape())?))
    }
}

/// The rows of each image among `[T·n, width]`.
fn by_image(values: &mut [f32], n: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let mut images: Vec<Vec<&mut [f32]>> = (0..n).map(|_| Vec::new()).collect();
    for (row, values) in values.chunks_exact_mut(width).enumerate() {
        images[row % n].push(values);
    }
    images
}

/// Writes dense rows, times `scale`, at a column of others.
fn put(rows: &mut [&mut [f32]], values: &[f32], column: usize, d: usize, scale: f32) {
    for (row, values) in rows.iter_mut().zip(values.chunks_exact(d)) {
        for (out, value) in row[column..column + d].iter_mut().zip(values) {
            *out = scale * value;
        }
    }
}

/// One head of one image: what its rows hold, dense.
struct Head {
    sizes: Sizes,
    /// `[queries, d]`, over the root of d.
    queries: Vec<f32>,
    /// `[T, d]`.
    keys: Vec<f32>,
    /// `[d, T]`.
    turned_keys: Vec<f32>,
    /// `[T, d]`.
    values: Vec<f32>,
    /// `[queries, T]`.
    probabilities: Vec<f32>,
    /// `[T, d]`, for a result.
    out: Vec<f32>,
}

impl Head {
    fn new(sizes: Sizes) -> Self {
        let Sizes { tokens, queries, d, .. } = sizes;
        let dense = || vec![0.0; tokens * d];
        Self {
            sizes,
            queries: vec![0.0; queries * d],
            keys: dense(),
            turned_keys: dense(),
            values: dense(),
            probabilities: vec![0.0; queries * tokens],
            out: dense(),
        }
    }

    /// Gathers head `index` of an image.
    fn read(&mut self, qkv: &[f32], image: usize, index: usize) {
        let Sizes { tokens, n, c, d, .. } = self.sizes;
        let scale = self.sizes.scale();
        let row = |token: usize, part: usize| &qkv[(token * n + image) * 3 * c + part * c + index * d..][..d];
        for (token, query) in self.queries.chunks_exact_mut(d).enumerate() {
            for (query, value) in query.iter_mut().zip(row(token, 0)) {
                *query = scale * value;
            }
        }
        let rows = self.keys.chunks_exact_mut(d).zip(self.values.chunks_exact_mut(d));
        for (token, (key, value)) in rows.enumerate() {
            key.copy_from_slice(row(token, 1));
            value.copy_from_slice(row(token, 2));
        }
        tasks::transpose(&self.keys, tokens, d, &mut self.turned_keys);
    }

    /// The probabilities.
    fn ask(&mut self) {
        let Sizes { tokens, queries, d, .. } = self.sizes;
        multiply(
            &mut MatrixMut::dense(&mut self.probabilities, queries, tokens),
            false,
            Matrix::dense(&self.queries, queries, d),
            Matrix::dense(&self.turned_keys, d, tokens),
        );
        softmax(&mut self.probabilities, tokens);
    }
}

impl Sizes {
    fn scale(self) -> f32 {
        (1.0 / (self.d as f64).sqrt()) as f32
    }
}

/// What the way back of one head needs besides.
struct HeadBack {
    /// The output's gradient, `[queries, d]`.
    dy: Vec<f32>,
    /// `[d, T]`.
    turned_values: Vec<f32>,
    /// The gradient of the probabilities, then of the scores, `[queries, T]`.
    scores: Vec<f32>,
}

impl HeadBack {
    fn new(Sizes { tokens, queries, d, .. }: Sizes) -> Self {
        Self {
            dy: vec![0.0; queries * d],
            turned_values: vec![0.0; tokens * d],
            scores: vec![0.0; queries * tokens],
        }
    }

    /// The gradients of queries, keys and values, put into the image's rows.
    fn run(&mut self, head: &mut Head, dy: &[f32], image: usize, index: usize, rows: &mut [&mut [f32]]) {
        let Sizes { tokens, queries, n, c, d, .. } = head.sizes;
        for (token, out) in self.dy.chunks_exact_mut(d).enumerate() {
            out.copy_from_slice(&dy[(token * n + image) * c + index * d..][..d]);
        }
        let dy = Matrix::dense(&self.dy, queries, d);
        let probabilities = Matrix::dense(&head.probabilities, queries, tokens);
        multiply(&mut MatrixMut::dense(&mut head.out, tokens, d), false, probabilities.transposed(), dy);
        put(rows, &head.out, 2 * c + index * d, d, 1.0);

        tasks::transpose(&head.values, tokens, d, &mut self.turned_values);
        let turned = Matrix::dense(&self.turned_values, d, tokens);
        multiply(&mut MatrixMut::dense(&mut self.scores, queries, tokens), false, dy, turned);
        through_softmax(&mut self.scores, &head.probabilities, tokens);

        let scores = Matrix::dense(&self.scores, queries, tokens);
        let keys = Matrix::dense(&head.keys, tokens, d);
        let out = &mut head.out[..queries * d];
        multiply(&mut MatrixMut::dense(out, queries, d), false, scores, keys);
        put(&mut rows[..queries], out, index * d, d, head.sizes.scale());

        let asked = Matrix::dense(&head.queries, queries, d);
        multiply(&mut MatrixMut::dense(&mut head.out, tokens, d), false, scores.transposed(), asked);
        put(rows, &head.out, c + index * d, d, 1.0);
    }
}

tasks::vectorised! {
    /// Rows of scores become probabilities.
    fn softmax<'a>(scores: &'a mut [f32], tokens: usize) {
        for row in scores.chunks_exact_mut(tokens) {
            let largest = tasks::row_maximum(row);
            for score in row.iter_mut() {
                *score = gelu::exp(*score - largest);
            }
            let inverse = 1.0 / tasks::row_sum(row, row, |value, _| value);
            for value in row {
                *value *= inverse;
            }
        }
    }
}

tasks::vectorised! {
    /// Rows of the probabilities' gradient become the scores'.
    fn through_softmax<'a>(gradient: &'a mut [f32], probabilities: &'a [f32], tokens: usize) {
        let rows = gradient.chunks_exact_mut(tokens).zip(probabilities.chunks_exact(tokens));
        for (gradient, probabilities) in rows {
            let mean = tasks::row_sum(gradient, probabilities, |gradient, p| gradient * p);
            for (gradient, p) in gradient.iter_mut().zip(probabilities) {
                *gradient = p * (*gradient - mean);
            }
        }
    }
}
