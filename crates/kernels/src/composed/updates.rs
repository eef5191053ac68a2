//! Optimizer updates from candle's operations and [`Var::set`].

use candle_core::{DType, Result, Tensor, Var};

use crate::optim::{AdamFactors, AdamStep, SgdStep};

/// As [`crate::optim::sgd`]; the velocity is wanted where the momentum is not 0.
pub fn sgd(var: &Var, grad: &Tensor, velocity: Option<&mut Tensor>, step: &SgdStep) -> Result<()> {
    let parameter = var.as_tensor().detach();
    let grad = (grad.affine(f64::from(step.grad_scale), 0.0)? + parameter.affine(step.weight_decay, 0.0)?)?;
    let direction = match velocity {
        None => grad,
        Some(velocity) => {
            *velocity = (velocity.affine(step.momentum, 0.0)? + &grad)?.detach();
            match step.nesterov {
                true => (grad + velocity.affine(step.momentum, 0.0)?)?,
                false => velocity.clone(),
            }
        }
    };
    var.set(&(parameter - direction.affine(step.lr, 0.0)?)?)
}

/// As [`crate::optim::adam`], with the moments as tensors.
pub fn adam(
    var: &Var,
    grad: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
    step: &AdamStep,
) -> Result<()> {
    let f = AdamFactors::of(step);
    let times = |tensor: &Tensor, factor: f32| tensor.affine(f64::from(factor), 0.0);
    let parameter = var.as_tensor().detach();
    let grad = (times(grad, f.scale)? + times(&parameter, f.coupled)?)?;
    *first = (times(first, f.kept1)? + times(&grad, f.new1)?)?.detach();
    *second = (times(second, f.kept2)? + times(&grad.sqr()?, f.new2)?)?.detach();
    let root = second.sqrt()?.affine(f64::from(f.root), f64::from(f.eps))?;
    var.set(&(times(&parameter, f.shrink)? - times(&(&*first / root)?, f.lr)?)?)
}

/// As [`crate::optim::squared_norm`].
pub fn squared_norm(grad: &Tensor) -> Result<f64> {
    Ok(f64::from(grad.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?))
}
