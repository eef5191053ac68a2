//! Weight decay towards given weights instead of towards zero (L2-SP: Li et al. 2018, arXiv:1802.01483).

use candle_core::{Result, Tensor, Var, bail};

use crate::approach::Approach;
use crate::gemm::written;
use crate::storage::{self, Values};
use crate::{Gradient, tasks};

/// `scale · gradient + strength · (parameter - anchor)`: the gradient of a loss with the penalty
/// `strength / 2 · |parameter - anchor|²`, for optimizers whose decay joins the gradient. All have the parameter's shape;
/// `scale` is what the loss's gradient alone is multiplied by, 1 or less where its norm is clipped.
///
/// # Errors
/// When the shapes of parameter, gradient and anchor differ.
pub fn pulled(
    gradient: &Gradient,
    scale: f32,
    parameter: &Tensor,
    anchor: &Tensor,
    strength: f64,
) -> Result<Gradient> {
    check(parameter, anchor)?;
    if gradient.dims() != parameter.dims() {
        bail!(
            "optimizer: the gradient is {:?}, but its parameter is {:?}",
            gradient.dims(),
            parameter.dims()
        );
    }
    let whole = gradient.tensor()?.contiguous()?;
    if !storage::runs_here(parameter) {
        let pull = (parameter.detach() - anchor)?.affine(strength, 0.0)?;
        return Ok((whole.affine(f64::from(scale), 0.0)? + pull)?.into());
    }
    let (parameter, anchor) = (parameter.detach().contiguous()?, anchor.contiguous()?);
    let (grad, p, a) =
        (Values::<f32>::of(&whole)?, Values::<f32>::of(&parameter)?, Values::<f32>::of(&anchor)?);
    let out: Vec<f32> = written(grad.len(), tasks::VALUES, &|own, out| {
        pull(out, &grad[own.clone()], &p[own.clone()], &a[own], scale, strength as f32);
    });
    Ok(storage::tensor(out, whole.shape())?.into())
}

/// Moves a parameter by `share` of the way to the anchor, which has its shape: 0 leaves it, 1 puts it there. For optimizers
/// whose decay is apart from the gradient, with the learning rate times the strength as the share.
///
/// # Errors
/// When the shapes differ.
pub fn decay_towards(var: &Var, anchor: &Tensor, share: f64) -> Result<()> {
    check(var, anchor)?;
    if !storage::runs_here(var) {
        return var.set(&(var.as_tensor().detach().affine(1.0 - share, 0.0)? + anchor.affine(share, 0.0)?)?);
    }
    var.inplace_op1(&Approach { to: &anchor.contiguous()?, share: share as f32 })
}

fn check(parameter: &Tensor, anchor: &Tensor) -> Result<()> {
    if parameter.dims() != anchor.dims() {
        bail!("optimizer: the anchor is {:?}, but its parameter is {:?}", anchor.dims(), parameter.dims());
    }
    Ok(())
}

tasks::vectorised! {
    fn pull<'a>(out: &'a mut [f32], grad: &'a [f32], p: &'a [f32], a: &'a [f32], scale: f32, strength: f32) {
        for ((out, grad), (p, a)) in out.iter_mut().zip(grad).zip(p.iter().zip(a)) {
            *out = scale * grad + strength * (p - a);
        }
    }
}
