//! Operations that keep or reorder single values: ReLU, dropout by a given mask, and flattening.
//!
//! ReLU keeps NaN, as PyTorch does, so a diverged network is seen in its loss. Dropout draws nothing: its mask comes
//! from the caller.

use candle_core::{Result, Tensor, bail};

use crate::gemm::written;
use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{self, Backward, note};
use crate::{Gradient, composed, tasks};

/// `max(x, 0)` at every value; the gradient at 0 is 0.
pub fn relu(x: &Hwnc) -> Result<Hwnc> {
    Hwnc::new(relu_2d(x.tensor())?)
}

/// `max(x, 0)` for a tensor of any shape, for instance `[N, C]`; the gradient at 0 is 0.
pub fn relu_2d(x: &Tensor) -> Result<Tensor> {
    match storage::runs_here(x) {
        true => at_each(x, Relu),
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
    if !storage::runs_here(x) {
        return composed::dropout(x, &mask);
    }
    let (x, dropout) = (x.contiguous()?, Dropout(mask));
    let y = dropout.masked(&x)?;
    note(&[&x], &y, dropout);
    Ok(y)
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
        true => {
            let images = ExchangeOuter::run(&x)?;
            note(&[&x], &images, ExchangeOuter);
            images
        }
        false => x.transpose(0, 1)?.contiguous()?,
    };
    tape::reshape(&images, (n, h * w * c))
}

pub(crate) struct Relu;

impl Slope for Relu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn back(&self, _x: f32, y: f32, dy: f32) -> f32 {
        if y <= 0.0 { 0.0 } else { dy }
    }
}

/// A function of single values, and its gradient.
pub(crate) trait Slope: Sync + 'static {
    /// The function.
    fn value(&self, x: f32) -> f32;
    /// The gradient at `x`, where it gave `y`, times `dy`.
    fn back(&self, x: f32, y: f32, dy: f32) -> f32;
}

/// A function at every value of a tensor of any shape.
pub(crate) fn at_each(x: &Tensor, function: impl Slope) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = by_number!(storage::is_half(&x), T => {
        let values = Values::<T>::of(&x)?;
        let y: Vec<T> = binary(&values, &values, |x, _| function.value(x));
        storage::tensor(y, x.shape())?
    });
    note(&[&x], &y, AtEach(function));
    Ok(y)
}

/// The operation on the tape.
struct AtEach<F>(F);

impl<F: Slope> Backward for AtEach<F> {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x] = inputs else { bail!("a function of single values: one input") };
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => {
            let (x_values, y, dy) = (Values::<T>::of(x)?, Values::<T>::of(y)?, Values::<T>::of(&dy)?);
            let dx: Vec<T> = written(x_values.len(), tasks::VALUES, &|own, dx| {
                go_back(dx, &x_values[own.clone()], &y[own.clone()], &dy[own], &self.0);
            });
            Ok(vec![Some(storage::tensor(dx, x.shape())?.into())])
        })
    }
}

/// The operation on the tape, with its mask.
struct Dropout(Tensor);

impl Dropout {
    fn masked(&self, x: &Tensor) -> Result<Tensor> {
        let mask = Values::<f32>::of(&self.0)?;
        by_number!(storage::is_half(x), T => {
            let y: Vec<T> = binary::<T, f32, T>(&Values::of(x)?, &mask, |x, mask| x * mask);
            storage::tensor(y, x.shape())
        })
    }
}

impl Backward for Dropout {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        Ok(vec![Some(self.masked(&storage::like(dy, &inputs[0])?)?.into())])
    }
}

/// From `[A, B, C]` to `[B, A, C]`.
struct ExchangeOuter;

impl ExchangeOuter {
    fn run(x: &Tensor) -> Result<Tensor> {
        let (a, b, c) = x.dims3()?;
        by_number!(storage::is_half(x), T => {
            let values = Values::<T>::of(x)?;
            let out: Vec<T> = written(values.len(), a * c, &|own, block| {
                let outer = own.start / (a * c);
                for (inner, row) in block.chunks_exact_mut(c).enumerate() {
                    row.copy_from_slice(&values[(inner * b + outer) * c..][..c]);
                }
            });
            storage::tensor(out, (b, a, c))
        })
    }
}

impl Backward for ExchangeOuter {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        Ok(vec![Some(Self::run(&storage::like(dy, &inputs[0])?)?.into())])
    }
}

/// A function of two values.
pub(crate) trait Pair: Fn(f32, f32) -> f32 + Sync {}
impl<F: Fn(f32, f32) -> f32 + Sync> Pair for F {}

pub(crate) fn binary<A: Number, B: Number, C: Number>(a: &[A], b: &[B], f: impl Pair) -> Vec<C> {
    written(a.len(), tasks::VALUES, &|own, y| {
        map_pairs(y, &a[own.clone()], &b[own], &f);
    })
}

tasks::vectorised! {
    fn map_pairs<'a, A: Number, B: Number, C: Number, F: Pair>(y: &'a mut [C], a: &'a [A], b: &'a [B], f: &'a F) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = C::nearest(f(a.wide(), b.wide()));
        }
    }
}

tasks::vectorised! {
    fn go_back<'a, T: Number, F: Slope>(dx: &'a mut [T], x: &'a [T], y: &'a [T], dy: &'a [T], function: &'a F) {
        for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
            *dx = T::nearest(function.back(x.wide(), y.wide(), dy.wide()));
        }
    }
}
