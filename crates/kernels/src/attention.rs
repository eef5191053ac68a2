//! Multi-head self-attention (Vaswani et al., 2017, arXiv:1706.03762) over the tokens of each image.
//!
//! The entry is [`attention`]. Rows are token-major, so those of an image are gathered first; its heads are columns
//! of them, the products run there, and nothing of the size tokens x tokens leaves the cache: the way back computes the
//! probabilities again (as Dao et al., 2022, arXiv:2205.14135, do). A task is one image.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::storage::{self, Values};
use crate::{composed, gelu, precision, tape, tasks};

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
    /// Whether products take bf16.
    half: bool,
}

impl Attention {
    fn sizes(&self, shape: &Shape) -> Result<Sizes> {
        let AttentionSpec { tokens, heads, queries } = self.0;
        let (rows, columns) = shape.dims2()?;
        let c = columns / 3;
        Ok(Sizes { tokens, queries, heads, n: rows / tokens, c, d: c / heads, half: false })
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (like, qkv) = (qkv, storage::slice(qkv, layout)?);
        let s = Sizes { half: matches!(like, CpuStorage::BF16(_)), ..self.sizes(layout.shape())? };
        let mut y = tasks::zeros(s.queries * s.n * s.c);
        by_image(&mut y, s.n, s.c).into_par_iter().enumerate().for_each_init(
            || (Image::new(s), vec![0.0; s.queries * s.c]),
            |(image, mixed), (index, rows)| {
                image.read(&qkv, index);
                let outs = MatrixMut::dense(mixed, s.queries, s.c).column_blocks(s.d);
                for (head, mut out) in outs.into_iter().enumerate() {
                    image.ask(head);
                    multiply(&mut out, false, image.probabilities(), image.part(VALUES, head));
                }
                put(rows, mixed, s.c);
            },
        );
        Ok((storage::stored(y, like), Shape::from((s.queries * s.n, s.c))))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let s = Sizes { half: storage::is_half(qkv), ..self.sizes(qkv.shape())? };
        let mut dqkv = tasks::zeros(qkv.elem_count());
        let (qkv_values, dy) = (Values::of(qkv)?, Values::of(&dy)?);
        let (qkv_values, dy) = (&*qkv_values, &*dy);
        by_image(&mut dqkv, s.n, 3 * s.c).into_par_iter().enumerate().for_each_init(
            || (Image::new(s), Gradients::new(s)),
            |(image, gradients), (index, rows)| {
                image.read(qkv_values, index);
                gradients.run(image, dy, index);
                put(rows, &gradients.rows, 3 * s.c);
            },
        );
        Ok(Some(storage::tensor_like(dqkv, qkv.shape(), qkv)?))
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

/// Writes dense rows of `width` values to those of an image.
fn put(rows: Vec<&mut [f32]>, values: &[f32], width: usize) {
    rows.into_iter().zip(values.chunks_exact(width)).for_each(|(row, values)| row.copy_from_slice(values));
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
    fn read(&mut self, qkv: &[f32], index: usize) {
        let Sizes { n, c, .. } = self.sizes;
        let rows = qkv.chunks_exact(3 * c).skip(index).step_by(n);
        self.rows.chunks_exact_mut(3 * c).zip(rows).for_each(|(row, from)| row.copy_from_slice(from));
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
            precision::round_block(&mut probabilities);
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

    fn run(&mut self, image: &mut Image, dy: &[f32], index: usize) {
        let Sizes { tokens, queries, n, c, d, heads, half } = image.sizes;
        let rows = dy.chunks_exact(c).skip(index).step_by(n);
        self.dy.chunks_exact_mut(c).zip(rows).for_each(|(row, from)| row.copy_from_slice(from));
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
                precision::round_block(&mut self.scores);
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
    fn softmax<'a>(scores: &'a mut [f32], tokens: usize, scale: f32) {
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
    fn through_softmax<'a>(gradient: &'a mut [f32], probabilities: &'a [f32], tokens: usize, scale: f32) {
        let rows = gradient.chunks_exact_mut(tokens).zip(probabilities.chunks_exact(tokens));
        for (gradient, probabilities) in rows {
            let mean = tasks::row_sum(gradient, probabilities, |gradient, p| gradient * p);
            for (gradient, p) in gradient.iter_mut().zip(probabilities) {
                *gradient = scale * p * (*gradient - mean);
            }
        }
    }
}
