//! Two linear layers with GELU between them, as one operation: on the way back, the gradient of what lies between goes through the slope of
//! GELU while its product is in the cache, and never stands in memory as it was before.

use candle_core::{Result, Tensor, bail};

use super::{Finish, check, forward, gradients, linear, linear_add, linear_gelu, matrix, products};
use crate::gemm::Factor;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, tasks};

/// `[residual +] gelu(x · w1 + b1) · w2 + b2`, to the bit as [`linear_gelu`] and then [`linear`] or [`linear_add`]: from `[N, C_in]`, weights
/// `[C_in, C]` and `[C, C_out]` with biases `[C]` and `[C_out]`, and a residual of the output's shape, `[N, C_out]`.
///
/// Gradients reach all of them, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree.
pub fn mlp(
    x: &Tensor,
    (w1, b1): (&Tensor, &Tensor),
    (w2, b2): (&Tensor, &Tensor),
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let goes_back = [x, w1, b1].into_iter().any(wanted);
    if !goes_back || !storage::runs_here(x) {
        let hidden = linear_gelu(x, w1, b1)?;
        return match residual {
            Some(residual) => linear_add(&hidden, w2, b2, residual),
            None => linear(&hidden, w2, Some(b2)),
        };
    }
    let (x, w1, w2) = (x.contiguous()?, matrix(w1)?.contiguous()?, matrix(w2)?.contiguous()?);
    check(&x, &w1, Some(b1))?;
    let (n, width, c_out) = (x.dim(0)?, w1.dim(1)?, w2.dim(1)?);
    if w2.dim(0)? != width || b2.dims() != [c_out] || width == 0 || c_out == 0 {
        bail!("mlp: the second weights are {:?} with a bias {:?}, but {width} come in", w2.dims(), b2.dims());
    }
    let (b1, b2) = (b1.contiguous()?, b2.contiguous()?);
    let residual = match residual {
        Some(residual) if residual.dims() != [n, c_out] => {
            bail!("mlp: the residual is {:?}, but the output is [{n}, {c_out}]", residual.dims())
        }
        Some(residual) => Some(storage::keep_as(&residual.contiguous()?, x.dtype())?),
        None => None,
    };
    let (y, hidden, slope) = by_number!(storage::is_half(&x), T => {
        let weights = (Values::of(&w1)?, Values::of(&w2)?);
        let first = T::of_singles(&weights.0);
        let (hidden, slope) = forward::<T>(&Values::of(&x)?, &first, &Values::of(&b1)?, &Finish::Gelu, true);
        let residual = residual.as_ref().map(Values::<T>::of).transpose()?;
        let finish = residual.as_deref().map_or(Finish::Bias, Finish::Add);
        let second = T::of_singles(&weights.1);
        let (y, _) = forward::<T>(&hidden, &second, &Values::of(&b2)?, &finish, false);
        let slope = storage::tensor(slope.unwrap_or_default(), (n, width))?;
        (storage::tensor(y, (n, c_out))?, storage::tensor(hidden, (n, width))?, slope)
    });
    let inputs: Vec<&Tensor> = [&x, &w1, &b1, &w2, &b2].into_iter().chain(&residual).collect();
    note(&inputs, &y, Mlp { hidden, slope });
    Ok(y)
}

/// The operation on the tape: inputs are x, the weights and biases of both layers, and the residual, if there is one.
struct Mlp {
    hidden: Tensor,
    /// Of GELU, at each value of `hidden`.
    slope: Tensor,
}

impl Backward for Mlp {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, w1, b1, w2, b2, residual @ ..] = inputs else { bail!("mlp: five inputs at least") };
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => self.gradients::<T>([x, w1, b1, w2, b2], &dy)).map(|found| {
            let of_residual = residual.iter().map(|_| Some(dy.clone().into()));
            found.into_iter().chain(of_residual).collect()
        })
    }
}

impl Mlp {
    fn gradients<T: Factor>(
        &self,
        [x, w1, b1, w2, b2]: [&Tensor; 5],
        dy: &Tensor,
    ) -> Result<[Option<Gradient>; 5]> {
        let values = Values::<T>::of(dy)?;
        let slope = Values::<T>::of(&self.slope)?;
        let between = products::data_gradient::<T>(&self.hidden, w2, &values, Some(&slope[..]))?;
        let [dx, dw1, db1] = gradients::<T>(x, w1, b1, &between)?;
        let dw2 = wanted(w2).then(|| products::weight_gradient::<T>(&self.hidden, dy)).transpose()?;
        let db2 = match wanted(b2) {
            true => Some(storage::tensor(tasks::column_sums(&values, b2.elem_count()), b2.shape())?.into()),
            false => None,
        };
        Ok([dx, dw1, db1, dw2, db2])
    }
}
