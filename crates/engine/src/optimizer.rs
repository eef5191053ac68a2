//! Which parameters move, and by how much: [`Optimizer`] keeps the state of each trainable parameter and applies the
//! kernels' fused updates. The arithmetic of one update is `frostline_kernels::optim`'s.

use std::sync::Arc;

use candle_core::Tensor;
use frostline_kernels::optim::{
    AdamStep, Moments, SgdStep, State, adam, decay_towards, pulled, sgd, squared_norm,
};
use frostline_kernels::{Gradient, Gradients};
use frostline_models::Parameter;

use crate::{EngineError, Phase, Recipe, StateOnStart};

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

/// An optimizer over a model's parameters. Which of them it moves, and how fast, is set by [`Optimizer::begin`].
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    weight_decay: f64,
    clip_norm: Option<f64>,
    /// In the model's order.
    slots: Vec<Slot>,
    /// The strength of the decay towards the anchors, in a phase that has it.
    pull: Option<f64>,
}

/// One parameter and its state.
#[derive(Debug)]
struct Slot {
    parameter: Arc<Parameter>,
    /// The factor on its learning rate; none while it is frozen.
    rate: Option<f64>,
    state: SlotState,
    /// Updates since its state was fresh.
    steps: u64,
    /// The weights that it started the trial with, where a phase decays towards them.
    anchor: Option<Tensor>,
}

#[derive(Debug)]
enum SlotState {
    Fresh,
    Velocity(State),
    Moments(Moments),
}

impl Optimizer {
    /// An optimizer that moves nothing yet. Where one of the trial's `phases` decays towards the first weights, those of
    /// the trunk are kept as they are now.
    ///
    /// # Errors
    /// Where they cannot be copied.
    pub fn new(
        recipe: &Recipe,
        parameters: &[Arc<Parameter>],
        phases: &[Phase],
    ) -> Result<Self, EngineError> {
        let head = parameters.iter().map(|parameter| parameter.stage()).max();
        let anchored = phases.iter().any(|phase| phase.l2_sp.is_some());
        let slot = |parameter: &Arc<Parameter>| {
            let anchored = anchored && Some(parameter.stage()) != head;
            let anchor = anchored.then(|| parameter.detached().copy()).transpose()?;
            let parameter = Arc::clone(parameter);
            Ok(Slot { parameter, rate: None, state: SlotState::Fresh, steps: 0, anchor })
        };
        let slots = parameters.iter().map(slot).collect::<Result<_, EngineError>>()?;
        let Recipe { optimizer: kind, weight_decay, clip_norm, .. } = *recipe;
        Ok(Self { kind, weight_decay, clip_norm, slots, pull: None })
    }

    /// Moves what `phase` trains from now on, with its treatment of the state that parameters have. The phase was laid over
    /// the model whose parameters these are.
    pub fn begin(&mut self, phase: &Phase) {
        self.pull = phase.l2_sp;
        for (slot, rate) in self.slots.iter_mut().zip(&phase.rates) {
            slot.rate = *rate;
            if phase.state == StateOnStart::Reset {
                (slot.state, slot.steps) = (SlotState::Fresh, 0);
            }
        }
    }

    /// Moves every parameter that trains by one step, in their order, at `lr` times its factor.
    ///
    /// # Errors
    /// [`EngineError::NoGradient`] where a parameter has none; [`EngineError::Tensor`] where an update fails.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<(), EngineError> {
        let grad_scale = self.grad_scale(gradients)?;
        let (kind, weight_decay, pull) = (self.kind, self.weight_decay, self.pull);
        for slot in &mut self.slots {
            let Some(rate) = slot.rate else { continue };
            let gradient = gradient(gradients, &slot.parameter)?;
            let lr = lr * rate;
            match (pull, &slot.anchor) {
                (Some(strength), Some(anchor)) if kind == OptimizerKind::AdamW => {
                    decay_towards(slot.parameter.var(), anchor, lr * strength)?;
                    slot.update(kind, gradient, Update { lr, weight_decay: 0.0, grad_scale })?;
                }
                (Some(strength), Some(anchor)) => {
                    let gradient = pulled(gradient, grad_scale, slot.parameter.var(), anchor, strength)?;
                    slot.update(kind, &gradient, Update { lr, weight_decay: 0.0, grad_scale: 1.0 })?;
                }
                _ => slot.update(kind, gradient, Update { lr, weight_decay, grad_scale })?,
            }
        }
        Ok(())
    }

    /// What gradients are multiplied by so that their common norm is at most `clip_norm`, as PyTorch's
    /// `clip_grad_norm_` does it.
    fn grad_scale(&self, gradients: &Gradients) -> Result<f32, EngineError> {
        let Some(limit) = self.clip_norm else { return Ok(1.0) };
        let mut squares = 0.0;
        for slot in self.slots.iter().filter(|slot| slot.rate.is_some()) {
            squares += squared_norm(gradient(gradients, &slot.parameter)?)?;
        }
        Ok((limit / (squares.sqrt() + 1e-6)).min(1.0) as f32)
    }
}

/// What one update is made with.
#[derive(Clone, Copy)]
struct Update {
    lr: f64,
    weight_decay: f64,
    grad_scale: f32,
}

impl Slot {
    fn update(
        &mut self,
        kind: OptimizerKind,
        gradient: &Gradient,
        update: Update,
    ) -> Result<(), EngineError> {
        self.steps += 1;
        let var = self.parameter.var();
        let Update { lr, weight_decay, grad_scale } = update;
        match kind {
            OptimizerKind::Sgd { momentum, nesterov } => {
                let mut velocity = match std::mem::replace(&mut self.state, SlotState::Fresh) {
                    SlotState::Velocity(velocity) => Some(velocity),
                    _ => None,
                };
                let step = SgdStep { lr, momentum, nesterov, weight_decay, grad_scale };
                sgd(var, gradient, &mut velocity, &step)?;
                self.state = velocity.map_or(SlotState::Fresh, SlotState::Velocity);
            }
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                if !matches!(self.state, SlotState::Moments(_)) {
                    self.state = SlotState::Moments(Moments::zeros_like(var)?);
                }
                let SlotState::Moments(moments) = &mut self.state else { return Ok(()) };
                let decoupled = kind == OptimizerKind::AdamW;
                let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
                let step =
                    AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step: self.steps, grad_scale };
                adam(var, gradient, moments, &step)?;
            }
        }
        Ok(())
    }
}

fn gradient<'a>(gradients: &'a Gradients, parameter: &Parameter) -> Result<&'a Gradient, EngineError> {
    gradients
        .get(parameter.var())
        .ok_or_else(|| EngineError::NoGradient { name: parameter.name().to_owned() })
}
