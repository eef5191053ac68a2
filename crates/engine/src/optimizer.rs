//! Which parameters move, and by how much: [`Optimizer`] keeps the state of each trainable parameter and applies the
//! kernels' fused updates. The arithmetic of one update is `frostline_kernels::optim`'s.

use std::sync::Arc;

use frostline_kernels::optim::{AdamStep, Moments, SgdStep, State, adam, sgd, squared_norm};
use frostline_kernels::{Gradient, Gradients};
use frostline_models::Parameter;

use crate::{EngineError, Recipe};

/// The rule that moves a parameter, with PyTorch's semantics and, for Adam, its defaults (0.9, 0.999, 1e-8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerKind {
    /// Stochastic gradient descent, dampening 0.
    Sgd {
        /// What is kept of the velocity, in [0, 1).
        momentum: f64,
        /// Whether the gradient looks ahead along the velocity.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015); weight decay joins the gradient.
    Adam,
    /// AdamW (Loshchilov and Hutter 2019); weight decay shrinks the parameter itself.
    AdamW,
}

/// An optimizer over the parameters that were trainable when it was made.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    weight_decay: f64,
    clip_norm: Option<f64>,
    slots: Vec<Slot>,
    steps: u64,
}

/// One parameter and its state.
#[derive(Debug)]
struct Slot {
    parameter: Arc<Parameter>,
    state: SlotState,
}

#[derive(Debug)]
enum SlotState {
    Velocity(Option<State>),
    Moments(Option<Moments>),
}

impl Optimizer {
    /// An optimizer with fresh state for those of `parameters` that are trainable.
    pub fn new(recipe: &Recipe, parameters: &[Arc<Parameter>]) -> Self {
        let state = || match recipe.optimizer {
            OptimizerKind::Sgd { .. } => SlotState::Velocity(None),
            OptimizerKind::Adam | OptimizerKind::AdamW => SlotState::Moments(None),
        };
        let trainable = parameters.iter().filter(|parameter| parameter.trainable());
        let slots = trainable.map(|p| Slot { parameter: Arc::clone(p), state: state() }).collect();
        let Recipe { optimizer: kind, weight_decay, clip_norm, .. } = *recipe;
        Self { kind, weight_decay, clip_norm, slots, steps: 0 }
    }

    /// Moves every parameter by one step at the learning rate `lr`, in their order.
    ///
    /// # Errors
    /// [`EngineError::NoGradient`] where a parameter has none; [`EngineError::Tensor`] where an update fails.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<(), EngineError> {
        self.steps += 1;
        let grad_scale = self.grad_scale(gradients)?;
        let (kind, weight_decay, step) = (self.kind, self.weight_decay, self.steps);
        for Slot { parameter, state } in &mut self.slots {
            let gradient = gradient(gradients, parameter)?;
            match state {
                SlotState::Velocity(velocity) => {
                    let OptimizerKind::Sgd { momentum, nesterov } = kind else { continue };
                    let step = SgdStep { lr, momentum, nesterov, weight_decay, grad_scale };
                    sgd(parameter.var(), gradient, velocity, &step)?;
                }
                SlotState::Moments(moments) => {
                    let decoupled = kind == OptimizerKind::AdamW;
                    let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
                    let step = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step, grad_scale };
                    let moments = match moments {
                        Some(moments) => moments,
                        none => none.insert(Moments::zeros_like(parameter.var())?),
                    };
                    adam(parameter.var(), gradient, moments, &step)?;
                }
            }
        }
        Ok(())
    }

    /// What gradients are multiplied by so that their common norm is at most `clip_norm`, as PyTorch's
    /// `clip_grad_norm_` does it.
    fn grad_scale(&self, gradients: &Gradients) -> Result<f32, EngineError> {
        let Some(limit) = self.clip_norm else { return Ok(1.0) };
        let mut squares = 0.0;
        for slot in &self.slots {
            squares += squared_norm(gradient(gradients, &slot.parameter)?)?;
        }
        Ok((limit / (squares.sqrt() + 1e-6)).min(1.0) as f32)
    }
}

fn gradient<'a>(gradients: &'a Gradients, parameter: &Parameter) -> Result<&'a Gradient, EngineError> {
    gradients
        .get(parameter.var())
        .ok_or_else(|| EngineError::NoGradient { name: parameter.name().to_owned() })
}
