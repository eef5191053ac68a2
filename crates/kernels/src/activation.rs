//! Operations that keep or reorder single values: ReLU, dropout by a given mask, and flattening.
//!
//! ReLU keeps NaN, as PyTorch does, so a diverged network is seen in its loss. Dropout draws nothing: its mask comes
//! from the caller.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::layout::Hwnc;
use crate::storage::{self, Values};
use crate::{composed, tape, tasks};

/// `max(x, 0)` at every value; the gradient at 0 is 0.
pub fn relu(x: &Hwnc) -> Result<Hwnc> {
    Hwnc::new(relu_2d(x.tensor())?)
}

/// `max(x, 0)` for a tensor of any shape, for instance `[N, C]`; the gradient at 0 is 0.
pub fn relu_2d(x: &Tensor) -> Result<Tensor> {
    match storage::runs_here(x) {
        true => tape::apply1(&x.contiguous()?, Relu),
        false => composed::relu(x),
    }
}

/// Multiplies by a mask of the same shape that holds 0, or 1/(1-p) where a value is kept.
///
/// # Errors
/// When the shapes differ.
pub fn dropout(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    if x.dims() != mask.dims() {
        bail!("dropout: the mask is {:?}, but the input is {:?}", mask.dims(), x.dims());
    }
    let mask = mask.detach().contiguous()?;
    match storage::runs_here(x) {
        true => tape::apply1(&x.contiguous()?, Dropout { mask }),
        false => x * &mask,
    }
}

/// Flattens `[H, W, N, C]` to `[N, H·W·C]`: each image's values, pixel by pixel, channels innermost.
///
/// A linear layer from PyTorch expects channels outermost; its weights are reordered when they are loaded.
pub fn flatten_hwc(x: &Hwnc) -> Result<Tensor> {
    let (h, w, n, c) = x.dims();
    if h * w == 1 {
        return tape::reshape(x.tensor(), (n, c));
    }
    let x = tape::reshape(x.tensor(), (h * w, n, c))?;
    let images = match storage::runs_here(&x) {
        true => tape::apply1(&x, ExchangeOuter)?,
        false => x.transpose(0, 1)?.contiguous()?,
    };
    tape::reshape(&images, (n, h * w * c))
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = unary(&storage::slice(x, layout)?, |x| if x < 0.0 { 0.0 } else { x });
        Ok((storage::stored(y, x), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dx = binary(&Values::of(y)?, &Values::of(&dy)?, |y, dy| if y <= 0.0 { 0.0 } else { dy });
        Ok(Some(storage::tensor_like(dx, y.shape(), y)?))
    }
}

struct Dropout {
    mask: Tensor,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = binary(&storage::slice(x, layout)?, &Values::of(&self.mask)?, |x, mask| x * mask);
        Ok((storage::stored(y, x), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dx = binary(&Values::of(&dy)?, &Values::of(&self.mask)?, |dy, mask| dy * mask);
        Ok(Some(storage::tensor_like(dx, x.shape(), x)?))
    }
}

/// From `[A, B, C]` to `[B, A, C]`.
struct ExchangeOuter;

impl ExchangeOuter {
    fn run(values: &[f32], shape: &Shape) -> Result<(Vec<f32>, Shape)> {
        let (a, b, c) = shape.dims3()?;
        let mut out = tasks::zeros(values.len());
        out.par_chunks_mut((a * c).max(1)).enumerate().for_each(|(outer, block)| {
            for (inner, row) in block.chunks_exact_mut(c).enumerate() {
                row.copy_from_slice(&values[(inner * b + outer) * c..][..c]);
            }
        });
        Ok((out, Shape::from((b, a, c))))
    }
}

impl CustomOp1 for ExchangeOuter {
    fn name(&self) -> &'static str {
        "exchange-outer"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = Self::run(&storage::slice(x, layout)?, layout.shape())?;
        Ok((storage::stored(values, x), shape))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (values, shape) = Self::run(&Values::of(&dy)?, dy.shape())?;
        Ok(Some(storage::tensor_like(values, shape, &dy)?))
    }
}

/// A function of one value.
pub(crate) trait Single: Fn(f32) -> f32 + Sync {}
impl<F: Fn(f32) -> f32 + Sync> Single for F {}

/// A function of two values.
pub(crate) trait Pair: Fn(f32, f32) -> f32 + Sync {}
impl<F: Fn(f32, f32) -> f32 + Sync> Pair for F {}

pub(crate) fn unary(x: &[f32], f: impl Single) -> Vec<f32> {
    let mut y = tasks::zeros(x.len());
    y.par_chunks_mut(tasks::VALUES).zip(x.par_chunks(tasks::VALUES)).for_each(|(y, x)| {
        map_values(y, x, &f);
    });
    y
}

pub(crate) fn binary(a: &[f32], b: &[f32], f: impl Pair) -> Vec<f32> {
    let mut y = tasks::zeros(a.len());
    let inputs = a.par_chunks(tasks::VALUES).zip(b.par_chunks(tasks::VALUES));
    y.par_chunks_mut(tasks::VALUES).zip(inputs).for_each(|(y, (a, b))| {
        map_pairs(y, a, b, &f);
    });
    y
}

tasks::vectorised! {
    fn map_values<'a, F: Single>(y: &'a mut [f32], x: &'a [f32], f: &'a F) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = f(*x);
        }
    }
}

tasks::vectorised! {
    fn map_pairs<'a, F: Pair>(y: &'a mut [f32], a: &'a [f32], b: &'a [f32], f: &'a F) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = f(*a, *b);
        }
    }
}
