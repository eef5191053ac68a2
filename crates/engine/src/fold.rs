//! When a trial trains on sums of weights: [`fold`] folds a model where that is exactly what its recipe would do anyway.

use frostline_models::Model;

use crate::{EngineError, OptimizerKind, Phase, Recipe, Strategy, parts_of};

/// Has `model` store sums of weights that meet copies of a pixel ([`Model::fold`]), if it has such weights and every phase
/// of the trial trains sums as it trains what they are sums of. Gives the number of parameters that are sums.
///
/// # Errors
/// [`EngineError::Strategy`] where the strategy does not fit the model; [`EngineError::Model`] where its weights cannot be
/// read.
pub fn fold(model: &mut Model, recipe: &Recipe, strategy: &Strategy) -> Result<usize, EngineError> {
    let phases = strategy.phases(&parts_of(model), recipe.epochs)?;
    if phases.iter().all(|phase| trains_sums(recipe, phase)) { Ok(model.fold()?) } else { Ok(0) }
}

/// Whether a phase moves a sum as its parts move. Decay that joins the gradient of Adam gives each part moments of its own.
pub(crate) fn trains_sums(recipe: &Recipe, phase: &Phase) -> bool {
    let decays = phase.l2_sp.is_some() || recipe.weight_decay != 0.0;
    recipe.optimizer != OptimizerKind::Adam || !decays
}
