//! The models that a sweep trains: [`for_trial`] and [`for_trunk`].

use frostline_engine::{Objective, ROTATIONS};
use frostline_models::{
    BuildSpec, HeadPolicy, Model, ModelError, Resolved, build, build_autoencoder, build_with_auxiliary,
    read_safetensors,
};

use crate::trial::{TrainSpec, Trial, Trunk};

/// The model of a trial with its weights in it; auxiliary heads are for training from scratch alone.
pub(super) fn for_trial(
    trial: &Trial,
    classes: usize,
    weights: Option<&Resolved>,
) -> Result<Model, ModelError> {
    let (height, width) = (trial.resolution, trial.resolution);
    let spec = BuildSpec { classes, height, width, seed: trial.seed };
    let model = match weights {
        None => build_with_auxiliary(&trial.model, &spec)?,
        Some(weights) => {
            let model = build(&trial.model, &spec)?;
            model.load(&read_safetensors(&weights.path)?, HeadPolicy::Redraw)?;
            model
        }
    };
    regularise(&model, &trial.train)?;
    Ok(model)
}

/// The model that a trunk is trained in, for a source of `classes` classes.
pub(super) fn for_trunk(trunk: &Trunk, objective: Objective, classes: usize) -> Result<Model, ModelError> {
    let (height, width, seed) = (trunk.resolution, trunk.resolution, trunk.seed);
    let spec = BuildSpec { classes, height, width, seed };
    let model = match objective {
        Objective::Labels => build(&trunk.model, &spec)?,
        Objective::Rotations => build(&trunk.model, &BuildSpec { classes: ROTATIONS, ..spec })?,
        Objective::Reconstruction { .. } => build_autoencoder(&trunk.model, &spec)?,
    };
    regularise(&model, &trunk.pretraining.train)?;
    Ok(model)
}

/// Gives a model the dropout and the stochastic depth of its recipe.
fn regularise(model: &Model, recipe: &TrainSpec) -> Result<(), ModelError> {
    if let Some(probability) = recipe.dropout {
        model.set_dropout(probability as f32)?;
    }
    model.set_stochastic_depth(recipe.stochastic_depth as f32)
}
