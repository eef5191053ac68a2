//! Optimizer updates in place: SGD, Adam and AdamW with PyTorch's semantics, and the norm of a gradient.
//!
//! Each update reads and writes every array once, on all threads. The state ([`State`], [`Moments`]) belongs to
//! the caller, who keeps it beside its parameter and stores it in checkpoints. Nothing here decides which parameters
//! move, or how fast.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::storage::{self, Values};
use crate::{Gradient, composed, tasks};

pub use crate::approach::approach;
pub use crate::l2_sp::{decay_towards, pulled};

/// One step of stochastic gradient descent, as PyTorch's `SGD` with dampening 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// What is kept of the velocity; 0 keeps no velocity at all.
    pub momentum: f64,
    /// Whether the gradient looks ahead along the velocity (Sutskever et al., 2013).
    pub nesterov: bool,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f64,
    /// What the gradient is multiplied by first: 1, or less where its norm is clipped.
    pub grad_scale: f32,
}

/// One step of Adam (Kingma & Ba, 2015) or AdamW (Loshchilov & Hutter, 2019), as PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the first moment, usually 0.9.
    pub beta1: f64,
    /// The decay of the second moment, usually 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, usually 1e-8.
    pub eps: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Whether the decay shrinks the parameter itself (AdamW) instead of joining its gradient (Adam).
    pub decoupled: bool,
    /// Which step this is for the parameter, from 1; it corrects the moments' bias towards zero.
    pub step: u64,
    /// What the gradient is multiplied by first: 1, or less where its norm is clipped.
    pub grad_scale: f32,
}

impl SgdStep {
    /// The same step for a parameter that is the sum of `copies` others, given the gradient of one of them, which is that of
    /// each. The decay of the copies adds up to that of the sum, their gradients to `copies` times the gradient.
    #[must_use]
    pub fn of_sum(self, copies: usize) -> Self {
        Self { grad_scale: self.grad_scale * copies as f32, ..self }
    }
}

impl AdamStep {
    /// The same step for a parameter that is the sum of `copies` others, given the gradient of one of them, which is that of
    /// each. Their moments are the same and the sum moves by `copies` of their moves; what AdamW shrinks, it shrinks once.
    /// With a decay that joins the gradient there is no such step: each copy then has moments of its own.
    #[must_use]
    pub fn of_sum(self, copies: usize) -> Self {
        let copies = copies as f64;
        Self { lr: self.lr * copies, weight_decay: self.weight_decay / copies, ..self }
    }
}

/// A running average that an optimizer keeps for one parameter, in the parameter's shape.
#[derive(Clone, Debug)]
pub struct State(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Here { values: Vec<f32>, shape: Vec<usize> },
    Device(Tensor),
}

/// Adam's two running averages of one parameter.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Of the gradient.
    pub first: State,
    /// Of its square.
    pub second: State,
}

impl State {
    /// Zeros in the shape of a parameter, where it lives.
    pub fn zeros_like(parameter: &Tensor) -> Result<Self> {
        Ok(Self(match storage::runs_here(parameter) {
            true => {
                Kept::Here { values: vec![0.0; parameter.elem_count()], shape: parameter.dims().to_vec() }
            }
            false => Kept::Device(parameter.zeros_like()?.detach()),
        }))
    }

    /// Takes stored numbers up again; the tensor has the parameter's shape and lives where it does.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.detach().contiguous()?;
        Ok(Self(match storage::runs_here(&tensor) {
            true => {
                Kept::Here { values: Values::<f32>::of(&tensor)?.to_vec(), shape: tensor.dims().to_vec() }
            }
            false => Kept::Device(tensor),
        }))
    }

    /// The numbers in the parameter's shape, for a checkpoint.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.0 {
            Kept::Here { values, shape } => storage::tensor(values.clone(), shape.as_slice()),
            Kept::Device(tensor) => Ok(tensor.clone()),
        }
    }

    /// The same, where it is not needed any more.
    pub fn into_tensor(self) -> Result<Tensor> {
        match self.0 {
            Kept::Here { values, shape } => storage::tensor(values, shape),
            Kept::Device(tensor) => Ok(tensor),
        }
    }

    /// Adds `factor` times a gradient of the parameter.
    ///
    /// # Errors
    /// When the shapes of parameter, gradient and state differ.
    pub fn add(&mut self, parameter: &Var, grad: &Gradient, factor: f64) -> Result<()> {
        check(parameter, grad)?;
        if !storage::runs_here(parameter) {
            let kept = self.on_device(parameter)?;
            *kept = (&*kept + (grad.tensor()? * factor)?)?.detach();
            return Ok(());
        }
        let factor = factor as f32;
        grad.with_blocks([self.here(parameter)?], |[values], grad| add(&factor, values, grad))
    }

    fn here(&mut self, parameter: &Tensor) -> Result<&mut [f32]> {
        match &mut self.0 {
            Kept::Here { values, shape } if shape == parameter.dims() => Ok(values),
            Kept::Here { shape, .. } => {
                bail!("optimizer: the state is {shape:?}, but its parameter is {:?}", parameter.dims())
            }
            Kept::Device(_) => bail!("optimizer: the state lives on a device, but its parameter does not"),
        }
    }

    fn on_device(&mut self, parameter: &Tensor) -> Result<&mut Tensor> {
        match &mut self.0 {
            Kept::Device(tensor) if tensor.dims() != parameter.dims() => {
                let state = tensor.dims();
                bail!("optimizer: the state is {state:?}, but its parameter is {:?}", parameter.dims())
            }
            Kept::Device(tensor) => Ok(tensor),
            Kept::Here { .. } => bail!("optimizer: the parameter lives on a device, but its state does not"),
        }
    }
}

impl Moments {
    /// Zeros in the shape of a parameter.
    pub fn zeros_like(parameter: &Tensor) -> Result<Self> {
        Ok(Self { first: State::zeros_like(parameter)?, second: State::zeros_like(parameter)? })
    }
}

/// Moves a parameter by one step of SGD; the velocity is made when it is first needed.
///
/// # Errors
/// When the shapes of parameter, gradient and velocity differ.
pub fn sgd(var: &Var, grad: &Gradient, velocity: &mut Option<State>, step: &SgdStep) -> Result<()> {
    check(var, grad)?;
    let state = match (step.momentum != 0.0, &mut *velocity) {
        (false, _) => None,
        (true, Some(state)) => Some(state),
        (true, none) => Some(none.insert(State::zeros_like(var)?)),
    };
    if !storage::runs_here(var) {
        return composed::sgd(
            var,
            &grad.tensor()?,
            state.map(|state| state.on_device(var)).transpose()?,
            step,
        );
    }
    let velocity = RefCell::new(state.map(|state| state.here(var)).transpose()?);
    var.inplace_op1(&Sgd { step, grad, velocity })
}

/// Moves a parameter by one step of Adam or AdamW.
///
/// # Errors
/// When the shapes of parameter, gradient and moments differ, or steps are counted from 0.
pub fn adam(var: &Var, grad: &Gradient, moments: &mut Moments, step: &AdamStep) -> Result<()> {
    check(var, grad)?;
    if step.step == 0 {
        bail!("optimizer: Adam counts its steps from 1");
    }
    let Moments { first, second } = moments;
    if !storage::runs_here(var) {
        return composed::adam(var, &grad.tensor()?, first.on_device(var)?, second.on_device(var)?, step);
    }
    let moments = RefCell::new((first.here(var)?, second.here(var)?));
    var.inplace_op1(&Adam { step, grad, moments })
}

tasks::vectorised! {
    fn add<'a>(factor: &'a f32, values: &'a mut [f32], grad: &'a [f32]) {
        for (value, grad) in values.iter_mut().zip(grad) {
            *value += *factor * grad;
        }
    }
}

/// The sum of the squares of a gradient, added in a fixed order.
pub fn squared_norm(grad: &Gradient) -> Result<f64> {
    let grad = grad.tensor()?;
    if !storage::runs_here(&grad) {
        return composed::squared_norm(&grad);
    }
    let grad = grad.contiguous()?;
    let blocks: Vec<f64> = Values::<f32>::of(&grad)?.par_chunks(tasks::VALUES).map(squares).collect();
    Ok(blocks.iter().sum())
}

fn check(var: &Var, grad: &Gradient) -> Result<()> {
    if var.dims() != grad.dims() {
        bail!("optimizer: the gradient is {:?}, but its parameter is {:?}", grad.dims(), var.dims());
    }
    Ok(())
}

struct Sgd<'a> {
    step: &'a SgdStep,
    grad: &'a Gradient,
    velocity: RefCell<Option<&'a mut [f32]>>,
}

impl InplaceOp1 for Sgd<'_> {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn cpu_fwd(&self, parameter: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let parameter = storage::slice_mut(parameter, layout)?;
        match &mut *self.velocity.borrow_mut() {
            None => self.grad.with_blocks([parameter], |[p], grad| descend(self.step, p, grad)),
            Some(velocity) => {
                self.grad.with_blocks([parameter, velocity], |[p, v], grad| roll(self.step, p, grad, v))
            }
        }
    }
}

tasks::vectorised! {
    /// SGD without momentum.
    fn descend<'a>(step: &'a SgdStep, parameter: &'a mut [f32], grad: &'a [f32]) {
        let (lr, decay, scale) = (step.lr as f32, step.weight_decay as f32, step.grad_scale);
        for (parameter, grad) in parameter.iter_mut().zip(grad) {
            *parameter -= lr * (grad * scale + decay * *parameter);
        }
    }
}

tasks::vectorised! {
    /// SGD with momentum.
    fn roll<'a>(step: &'a SgdStep, parameter: &'a mut [f32], grad: &'a [f32], velocity: &'a mut [f32]) {
        let (lr, decay, scale) = (step.lr as f32, step.weight_decay as f32, step.grad_scale);
        let momentum = step.momentum as f32;
        // What of gradient and velocity makes the direction.
        let (of_grad, of_velocity) = if step.nesterov { (1.0, momentum) } else { (0.0, 1.0) };
        for ((parameter, grad), velocity) in parameter.iter_mut().zip(grad).zip(velocity) {
            let grad = grad * scale + decay * *parameter;
            *velocity = momentum * *velocity + grad;
            *parameter -= lr * (of_grad * grad + of_velocity * *velocity);
        }
    }
}

struct Adam<'a> {
    step: &'a AdamStep,
    grad: &'a Gradient,
    moments: RefCell<(&'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp1 for Adam<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, parameter: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let parameter = storage::slice_mut(parameter, layout)?;
        let factors = AdamFactors::of(self.step);
        let (first, second) = &mut *self.moments.borrow_mut();
        self.grad.with_blocks([parameter, first, second], |[p, first, second], grad| {
            adapt(&factors, p, grad, first, second);
        })
    }
}

/// The factors of one Adam step, worked out in double precision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamFactors {
    pub(crate) kept1: f32,
    pub(crate) new1: f32,
    pub(crate) kept2: f32,
    pub(crate) new2: f32,
    pub(crate) eps: f32,
    /// Joins the gradient, times the parameter.
    pub(crate) coupled: f32,
    /// What remains of the parameter itself.
    pub(crate) shrink: f32,
    /// The learning rate over the first moment's bias correction.
    pub(crate) lr: f32,
    /// One over the root of the second moment's bias correction.
    pub(crate) root: f32,
    pub(crate) scale: f32,
}

impl AdamFactors {
    pub(crate) fn of(step: &AdamStep) -> Self {
        let steps = step.step as f64;
        let (coupled, decoupled) =
            if step.decoupled { (0.0, step.weight_decay) } else { (step.weight_decay, 0.0) };
        Self {
            kept1: step.beta1 as f32,
            new1: (1.0 - step.beta1) as f32,
            kept2: step.beta2 as f32,
            new2: (1.0 - step.beta2) as f32,
            eps: step.eps as f32,
            coupled: coupled as f32,
            shrink: (1.0 - step.lr * decoupled) as f32,
            lr: (step.lr / (1.0 - step.beta1.powf(steps))) as f32,
            root: (1.0 / (1.0 - step.beta2.powf(steps)).sqrt()) as f32,
            scale: step.grad_scale,
        }
    }
}

tasks::vectorised! {
    fn adapt<'a>(f: &'a AdamFactors, parameter: &'a mut [f32], grad: &'a [f32], first: &'a mut [f32], second: &'a mut [f32]) {
        let values = parameter.iter_mut().zip(grad).zip(first.iter_mut().zip(second));
        for ((parameter, grad), (first, second)) in values {
            let grad = grad * f.scale + f.coupled * *parameter;
            *first = f.kept1 * *first + f.new1 * grad;
            *second = f.kept2 * *second + f.new2 * (grad * grad);
            *parameter = f.shrink * *parameter - f.lr * (*first / (second.sqrt() * f.root + f.eps));
        }
    }
}

/// The sum of squares of a block, in lanes that are added at the end.
fn squares(block: &[f32]) -> f64 {
    const LANES: usize = 32;
    let mut lanes = [0.0f32; LANES];
    let whole = block.chunks_exact(LANES);
    let rest: f64 = whole.remainder().iter().map(|&value| f64::from(value).powi(2)).sum();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value * value;
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest
}
