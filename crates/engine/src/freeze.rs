//! A phase laid on a model: which parameters train, what BatchNorm layers do, and what of it all can move.

use std::sync::Arc;

use frostline_models::{BatchNorm, BatchNormMode, Model, ParameterInfo};
use frostline_recipe::{BatchNormPolicy, Parts, Phase, Recipe, Strategy};

use crate::EngineError;

/// A model that is built, as strategies see it.
pub fn parts_of(model: &Model) -> Parts {
    let parameters = model.parameters().iter().map(|parameter| ParameterInfo {
        name: parameter.name().to_owned(),
        stage: parameter.stage(),
        role: parameter.role(),
        elements: parameter.elements(),
    });
    Parts {
        model: model.name().to_owned(),
        stages: model.stages().iter().map(|stage| stage.name.clone()).collect(),
        parameters: parameters.collect(),
    }
}

/// Makes `model` train what `phase` trains, with its norms as the phase or, where that says nothing, the recipe says. The
/// phase was laid over this model: it has a rate, or none, for each of its parameters.
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
pub struct Movable {
    /// Parameters that some phase trains.
    pub parameters: Vec<bool>,
    /// Norms whose running statistics move.
    pub statistics: Vec<bool>,
}

impl Movable {
    /// What a strategy changes of a model as it was built, without adapters.
    ///
    /// # Errors
    /// [`EngineError::Strategy`] where it does not fit the model.
    pub fn by(model: &Model, strategy: &Strategy, recipe: &Recipe) -> Result<Self, EngineError> {
        let mut parts = parts_of(model);
        // Adapters are given to what it makes of the model, and move there.
        parts.parameters.extend(strategy.rank().map_or_else(Vec::new, |rank| model.card().adapters(rank)));
        Ok(Self::of(model, &strategy.phases(&parts, recipe.epochs)?, recipe))
    }

    pub(crate) fn of(model: &Model, phases: &[Phase], recipe: &Recipe) -> Self {
        let trains = |index: usize, phase: &Phase| phase.rates[index].is_some();
        let moves = |norm: &BatchNorm, phase: &Phase| {
            let own =
                |parameter| Arc::ptr_eq(parameter, norm.weight()) || Arc::ptr_eq(parameter, norm.bias());
            let mut rates = model.parameters().iter().zip(&phase.rates);
            let trains = rates.any(|(parameter, rate)| rate.is_some() && own(parameter));
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

    /// How many leading stages hold nothing that moves.
    pub(crate) fn leading_still(&self, model: &Model) -> usize {
        let parameters = model.parameters().iter().zip(&self.parameters);
        let parameters = parameters.filter(|(_, moves)| **moves).map(|(parameter, _)| parameter.stage());
        let norms = model.norms().iter().zip(&self.statistics);
        let norms = norms.filter(|(_, moves)| **moves).map(|(norm, _)| norm.stage());
        parameters.chain(norms).min().unwrap_or(model.stages().len())
    }
}
