//! A phase laid on a model: which parameters train, what BatchNorm layers do, and what of it all can move.

use frostline_models::{BatchNorm, BatchNormMode, Model};

use crate::{BatchNormPolicy, Phase, Recipe};

/// Makes `model` train what `phase` trains, with its norms as the phase or the recipe says.
pub fn freeze(model: &Model, phase: &Phase, recipe: &Recipe) {
    for (parameter, rate) in model.parameters().iter().zip(&phase.rates) {
        parameter.set_trainable(rate.is_some());
    }
    let policy = policy(phase, recipe);
    for norm in model.norms() {
        let trains = norm.weight().trainable() || norm.bias().trainable();
        norm.set_mode(if uses_batch(policy, trains) { BatchNormMode::Batch } else { BatchNormMode::Running });
    }
}

/// What BatchNorm layers do in a phase.
pub(crate) fn policy(phase: &Phase, recipe: &Recipe) -> BatchNormPolicy {
    phase.batch_norm.unwrap_or(recipe.batch_norm)
}

fn uses_batch(policy: BatchNormPolicy, trains: bool) -> bool {
    match policy {
        BatchNormPolicy::Follow => trains,
        BatchNormPolicy::Train => true,
        BatchNormPolicy::Eval => false,
    }
}

/// What the phases of a trial can change, in the model's order.
#[derive(Clone, Debug)]
pub(crate) struct Movable {
    pub(crate) parameters: Vec<bool>,
    /// Norms whose running statistics move.
    pub(crate) statistics: Vec<bool>,
}

impl Movable {
    pub(crate) fn of(model: &Model, phases: &[Phase], recipe: &Recipe) -> Self {
        let trains = |index: usize, phase: &Phase| phase.rates[index].is_some();
        let named = |name: &str| model.parameters().iter().position(|parameter| parameter.name() == name);
        let moves = |norm: &BatchNorm, phase: &Phase| {
            let own = [norm.weight(), norm.bias()].map(|parameter| named(parameter.name()));
            let trains = own.into_iter().flatten().any(|index| trains(index, phase));
            uses_batch(policy(phase, recipe), trains)
        };
        Self {
            parameters: (0..model.parameters().len())
                .map(|index| phases.iter().any(|phase| trains(index, phase)))
                .collect(),
            statistics: model
                .norms()
                .iter()
                .map(|norm| phases.iter().any(|phase| moves(norm, phase)))
                .collect(),
        }
    }
}
