//! Which parameters move, and by how much: [`Optimizer`] keeps the state of each trainable parameter and applies the
//! kernels' fused updates. The arithmetic of one update is `frostline_kernels::optim`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Tensor, Var};
use frostline_kernels::optim::{
    self, AdamStep, Moments, SgdStep, adam, decay_towards, pulled, sgd, squared_norm,
};
use frostline_kernels::{Gradient, Gradients};
use frostline_models::{Copies, Parameter};

use crate::fold::trains_sums;
use crate::{EngineError, OptimizerKind, Phase, Recipe, StateOnStart};

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
    /// How much the gradients that were gathered since the last step count together; 0 where there are none.
    gathered: f64,
}

/// The updates of each parameter, and the tensors of its state by name.
type Kept = (Vec<u64>, Vec<(String, Tensor)>);

/// One parameter and what moves of it.
#[derive(Debug)]
struct Slot {
    parameter: Arc<Parameter>,
    /// The factor on its learning rate; none while it is frozen.
    rate: Option<f64>,
    /// Updates since its state was fresh.
    steps: u64,
    /// The sum of gradients since the last step.
    gathered: Option<optim::State>,
    values: Moved,
    /// The factor of its copies, where its numbers are sums of them; it moves as a parameter without gradient.
    factor: Option<Moved>,
}

impl Slot {
    fn named(&self) -> impl Iterator<Item = (String, &Moved)> {
        let name = self.parameter.name();
        let factor = self.factor.iter().map(move |factor| (format!("optimizer/{name}/factor"), factor));
        std::iter::once((format!("optimizer/{name}"), &self.values)).chain(factor)
    }

    fn named_mut(&mut self) -> impl Iterator<Item = (String, &mut Moved)> {
        let name = self.parameter.name().to_owned();
        let factor = self.factor.iter_mut().map({
            let name = name.clone();
            move |factor| (format!("optimizer/{name}/factor"), factor)
        });
        std::iter::once((format!("optimizer/{name}"), &mut self.values)).chain(factor)
    }
}

/// A variable with its state.
#[derive(Debug)]
struct Moved {
    var: Var,
    state: State,
    /// What it was when the trial started, where a phase decays towards that.
    anchor: Option<Tensor>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Velocity(optim::State),
    Moments(Moments),
}

impl Optimizer {
    /// An optimizer that moves nothing yet. Where one of the trial's `phases` decays towards the first weights, those of
    /// the trunk are kept as they are now.
    ///
    /// # Errors
    /// [`EngineError::Unfit`] where the phases train a parameter of sums, and not as its parts would train;
    /// [`EngineError::Tensor`] where weights cannot be copied.
    pub fn new(
        recipe: &Recipe,
        parameters: &[Arc<Parameter>],
        phases: &[Phase],
    ) -> Result<Self, EngineError> {
        for (index, parameter) in parameters.iter().enumerate().filter(|(_, p)| p.copies().is_some()) {
            if phases.iter().any(|phase| phase.rates[index].is_some() && !trains_sums(recipe, phase)) {
                return Err(EngineError::Unfit(format!(
                    "{} holds sums of weights, which Adam cannot train with a decay that joins the gradient; take adamw, \
                     or a model that is not folded",
                    parameter.name()
                )));
            }
        }
        let head = parameters.iter().map(|parameter| parameter.stage()).max();
        let anchored = phases.iter().any(|phase| phase.l2_sp.is_some());
        let slot = |parameter: &Arc<Parameter>| {
            let anchored = anchored && Some(parameter.stage()) != head;
            let values = Moved::new(parameter.var(), anchored)?;
            let factor =
                parameter.copies().map(|copies| Moved::new(copies.factor(), anchored)).transpose()?;
            Ok(Slot {
                parameter: Arc::clone(parameter),
                rate: None,
                steps: 0,
                gathered: None,
                values,
                factor,
            })
        };
        let slots = parameters.iter().map(slot).collect::<Result<_, EngineError>>()?;
        let Recipe { optimizer: kind, weight_decay, clip_norm, .. } = *recipe;
        Ok(Self { kind, weight_decay, clip_norm, slots, pull: None, gathered: 0.0 })
    }

    /// Moves what `phase` trains from now on, with its treatment of the state that parameters have. The phase was laid over
    /// the model whose parameters these are.
    pub fn begin(&mut self, phase: &Phase) {
        self.pull = phase.l2_sp;
        for (slot, rate) in self.slots.iter_mut().zip(&phase.rates) {
            slot.rate = *rate;
            if phase.state == StateOnStart::Reset {
                slot.steps = 0;
                slot.values.state = State::Fresh;
                slot.factor.iter_mut().for_each(|factor| factor.state = State::Fresh);
            }
        }
    }

    /// Moves every parameter that trains by one step, in their order, at `lr` times its factor.
    ///
    /// # Errors
    /// [`EngineError::NoGradient`] where a parameter has none; [`EngineError::Tensor`] where an update fails.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<(), EngineError> {
        let of = |slot: &Slot| slot.rate.map(|_| gradient(gradients, &slot.parameter).cloned()).transpose();
        let gradients = self.slots.iter().map(of).collect::<Result<_, _>>()?;
        self.advance(gradients, 1.0, lr)
    }

    /// Keeps the gradients of a batch for a later step; the batch counts `mass` times, as by its images.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn gather(&mut self, gradients: &Gradients, mass: f64) -> Result<(), EngineError> {
        for slot in self.slots.iter_mut().filter(|slot| slot.rate.is_some()) {
            let gradient = gradient(gradients, &slot.parameter)?;
            let var = slot.parameter.var();
            let sum = match &mut slot.gathered {
                Some(sum) => sum,
                none => none.insert(optim::State::zeros_like(var)?),
            };
            sum.add(var, gradient, mass)?;
        }
        self.gathered += mass;
        Ok(())
    }

    /// One step on the mean of what was gathered since the last.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn step_gathered(&mut self, lr: f64) -> Result<(), EngineError> {
        let mut gradients = Vec::with_capacity(self.slots.len());
        for slot in &mut self.slots {
            let sum = slot.gathered.take();
            if slot.rate.is_some() && sum.is_none() {
                return Err(EngineError::NoGradient { name: slot.parameter.name().to_owned() });
            }
            gradients.push(sum.map(|sum| sum.into_tensor().map(Gradient::from)).transpose()?);
        }
        let mean = 1.0 / std::mem::take(&mut self.gathered);
        self.advance(gradients, mean, lr)
    }

    /// A step on `scale` times these gradients, one for each slot that trains.
    fn advance(&mut self, gradients: Vec<Option<Gradient>>, scale: f64, lr: f64) -> Result<(), EngineError> {
        let grad_scale = self.grad_scale(&gradients, scale)?;
        let (kind, weight_decay, pull) = (self.kind, self.weight_decay, self.pull);
        for (slot, gradient) in self.slots.iter_mut().zip(&gradients) {
            let (Some(rate), Some(gradient)) = (slot.rate, gradient) else { continue };
            slot.steps += 1;
            let (lr, steps, copies) = (lr * rate, slot.steps, copies(&slot.parameter));
            let update = Update { lr, weight_decay, grad_scale, steps, copies };
            slot.values.advance(kind, gradient, update, pull)?;
            if let Some(factor) = &mut slot.factor {
                let nothing = factor.var.zeros_like()?.detach().into();
                factor.advance(kind, &nothing, Update { copies: 1, ..update }, pull)?;
            }
        }
        Ok(())
    }

    /// The updates of each parameter, and the tensors of its state, by name.
    ///
    /// # Errors
    /// Where tensors cannot be copied.
    pub(crate) fn state(&self) -> Result<Kept, EngineError> {
        let mut tensors = Vec::new();
        for slot in &self.slots {
            if let Some(sum) = &slot.gathered {
                tensors.push((format!("optimizer/{}/gathered", slot.parameter.name()), sum.to_tensor()?));
            }
            for (name, moved) in slot.named() {
                match &moved.state {
                    State::Fresh => {}
                    State::Velocity(velocity) => {
                        tensors.push((format!("{name}/velocity"), velocity.to_tensor()?))
                    }
                    State::Moments(Moments { first, second }) => {
                        tensors.push((format!("{name}/first"), first.to_tensor()?));
                        tensors.push((format!("{name}/second"), second.to_tensor()?));
                    }
                }
            }
        }
        Ok((self.slots.iter().map(|slot| slot.steps).collect(), tensors))
    }

    /// Takes up what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// Where tensors cannot be copied to where the parameters are.
    pub(crate) fn restore(
        &mut self,
        updates: &[u64],
        all: &BTreeMap<&str, &Tensor>,
    ) -> Result<(), EngineError> {
        for (slot, updates) in self.slots.iter_mut().zip(updates) {
            slot.steps = *updates;
            let sum = all.get(format!("optimizer/{}/gathered", slot.parameter.name()).as_str());
            let sum =
                sum.map(|sum| optim::State::from_tensor(&sum.to_device(slot.parameter.var().device())?));
            slot.gathered = sum.transpose()?;
            for (name, moved) in slot.named_mut() {
                let get = |kind: &str| all.get(format!("{name}/{kind}").as_str()).copied();
                let kept = |tensor: &Tensor| {
                    Ok::<_, EngineError>(optim::State::from_tensor(&tensor.to_device(moved.var.device())?)?)
                };
                moved.state = match (get("velocity"), get("first"), get("second")) {
                    (Some(velocity), ..) => State::Velocity(kept(velocity)?),
                    (None, Some(first), Some(second)) => {
                        State::Moments(Moments { first: kept(first)?, second: kept(second)? })
                    }
                    _ => State::Fresh,
                };
            }
        }
        Ok(())
    }

    /// What gradients are multiplied by so that the common norm of `scale` times them is at most `clip_norm`, as PyTorch's
    /// `clip_grad_norm_` does it.
    fn grad_scale(&self, gradients: &[Option<Gradient>], scale: f64) -> Result<f32, EngineError> {
        let Some(limit) = self.clip_norm else { return Ok(scale as f32) };
        let mut squares = 0.0;
        for (slot, gradient) in self.slots.iter().zip(gradients) {
            let (Some(_), Some(gradient)) = (slot.rate, gradient) else { continue };
            // Each copy has the gradient that their sum has.
            squares += copies(&slot.parameter) as f64 * squared_norm(gradient)?;
        }
        let norm = scale * squares.sqrt();
        Ok((scale * (limit / (norm + 1e-6)).min(1.0)) as f32)
    }

    /// How much what was gathered since the last step counts, for a state.
    pub(crate) fn gathered(&self) -> f64 {
        self.gathered
    }

    /// Takes that up again.
    pub(crate) fn restore_gathered(&mut self, mass: f64) {
        self.gathered = mass;
    }
}

/// What one update is made with.
#[derive(Clone, Copy)]
struct Update {
    lr: f64,
    weight_decay: f64,
    grad_scale: f32,
    /// Which one it is since the state was fresh, from 1.
    steps: u64,
    /// How many numbers, with the same gradient, one of the variable's is the sum of.
    copies: usize,
}

impl Moved {
    fn new(var: &Var, anchored: bool) -> Result<Self, EngineError> {
        let anchor = anchored.then(|| var.as_detached_tensor().copy()).transpose()?;
        Ok(Self { var: var.clone(), state: State::Fresh, anchor })
    }

    /// One step, with `pull` towards the anchor in place of the weight decay where there is one.
    fn advance(
        &mut self,
        kind: OptimizerKind,
        gradient: &Gradient,
        update: Update,
        pull: Option<f64>,
    ) -> Result<(), EngineError> {
        match (pull, &self.anchor) {
            (Some(strength), Some(anchor)) if kind == OptimizerKind::AdamW => {
                decay_towards(&self.var, anchor, update.lr * strength)?;
                self.update(kind, gradient, Update { weight_decay: 0.0, ..update })
            }
            (Some(strength), Some(anchor)) => {
                let scale = update.grad_scale * update.copies as f32;
                let gradient = pulled(gradient, scale, &self.var, anchor, strength)?;
                self.update(
                    kind,
                    &gradient,
                    Update { weight_decay: 0.0, grad_scale: 1.0, copies: 1, ..update },
                )
            }
            _ => self.update(kind, gradient, update),
        }
    }

    fn update(
        &mut self,
        kind: OptimizerKind,
        gradient: &Gradient,
        update: Update,
    ) -> Result<(), EngineError> {
        let Update { lr, weight_decay, grad_scale, steps, copies } = update;
        match kind {
            OptimizerKind::Sgd { momentum, nesterov } => {
                let mut velocity = match std::mem::replace(&mut self.state, State::Fresh) {
                    State::Velocity(velocity) => Some(velocity),
                    _ => None,
                };
                let step = SgdStep { lr, momentum, nesterov, weight_decay, grad_scale };
                sgd(&self.var, gradient, &mut velocity, &step.of_sum(copies))?;
                self.state = velocity.map_or(State::Fresh, State::Velocity);
            }
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                if !matches!(self.state, State::Moments(_)) {
                    self.state = State::Moments(Moments::zeros_like(&self.var)?);
                }
                let State::Moments(moments) = &mut self.state else { return Ok(()) };
                let decoupled = kind == OptimizerKind::AdamW;
                let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
                let step =
                    AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step: steps, grad_scale };
                adam(&self.var, gradient, moments, &step.of_sum(copies))?;
            }
        }
        Ok(())
    }
}

fn copies(parameter: &Parameter) -> usize {
    parameter.copies().map_or(1, Copies::count)
}

fn gradient<'a>(gradients: &'a Gradients, parameter: &Parameter) -> Result<&'a Gradient, EngineError> {
    gradients
        .get(parameter.var())
        .ok_or_else(|| EngineError::NoGradient { name: parameter.name().to_owned() })
}
