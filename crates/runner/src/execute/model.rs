//! The models that a sweep trains: [`for_trial`] and [`for_trunk`].

use candle_core::{DType, Device};
use frostline_engine::{Objective, ROTATIONS};
use frostline_experiment::{TrainSpec, Trial, Trunk};
use frostline_models::{
    BuildSpec, HeadPolicy, Model, ModelError, Resolved, build_autoencoder_on, build_blank_on, build_on,
    build_with_auxiliary_on, read_safetensors,
};

/// The model of a trial on a device, with its weights in it; auxiliary heads are for training from scratch alone.
pub(super) fn for_trial(
    trial: &Trial,
    classes: usize,
    weights: Option<&Resolved>,
    device: &Device,
) -> Result<Model, ModelError> {
    let (height, width) = (trial.resolution, trial.resolution);
    let spec = BuildSpec { classes, height, width, seed: trial.seed };
    let model = match weights {
        None => build_with_auxiliary_on(&trial.model, &spec, device)?,
        Some(weights) => {
            let model = build_blank_on(&trial.model, &spec, device)?;
            let keeps = trial.train.head == "keep";
            let head = if keeps { HeadPolicy::KeepIfFits } else { HeadPolicy::Redraw };
            let report = model.load(&read_safetensors(&weights.path)?, head)?;
            if keeps && report.head_redrawn {
                let what = format!("{} has no head for {classes} classes to keep", weights.path.display());
                return Err(ModelError::Input(what));
            }
            model
        }
    };
    regularise(&model, &trial.train)?;
    Ok(model)
}

/// The model that a trunk is trained in, for a source of `classes` classes.
pub(super) fn for_trunk(
    trunk: &Trunk,
    objective: Objective,
    classes: usize,
    device: &Device,
) -> Result<Model, ModelError> {
    let (height, width, seed) = (trunk.resolution, trunk.resolution, trunk.seed);
    let spec = BuildSpec { classes, height, width, seed };
    let model = match objective {
        Objective::Labels => build_on(&trunk.model, &spec, device)?,
        Objective::Rotations => build_on(&trunk.model, &BuildSpec { classes: ROTATIONS, ..spec }, device)?,
        Objective::Reconstruction { .. } => build_autoencoder_on(&trunk.model, &spec, device)?,
    };
    regularise(&model, &trunk.pretraining.train)?;
    Ok(model)
}

/// Gives a model the precision, the dropout and the stochastic depth of its recipe.
pub(super) fn regularise(model: &Model, recipe: &TrainSpec) -> Result<(), ModelError> {
    model.set_precision(if recipe.precision == "bf16" { DType::BF16 } else { DType::F32 })?;
    if let Some(probability) = recipe.dropout {
        model.set_dropout(probability as f32)?;
    }
    model.set_stochastic_depth(recipe.stochastic_depth as f32)
}

#[cfg(test)]
mod tests {
    use frostline_experiment::{DataSpec, Pretraining};
    use frostline_kernels::Hwnc;
    use frostline_models::Pass;
    use frostline_streams::Streams;

    use super::*;

    /// Whether a training pass gives what an evaluation does.
    fn is_plain(model: &Model) -> bool {
        let pixels = (0..32 * 32 * 2 * 3).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let images = Hwnc::from_vec(pixels, (32, 32, 2, 3), &Device::Cpu).unwrap();
        let logits = |pass: &Pass<'_>| {
            model.forward(&images, pass).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let train = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &[0, 1] };
        logits(&train) == logits(&Pass::Evaluate)
    }

    #[test]
    fn dropout_and_stochastic_depth_reach_trials_and_trunks() {
        let model = || "vit_tiny_patch4".to_owned();
        let recipe =
            |dropout, stochastic_depth| TrainSpec { dropout, stochastic_depth, ..TrainSpec::default() };
        for (train, plain) in
            [(recipe(None, 0.0), true), (recipe(Some(0.5), 0.0), false), (recipe(None, 0.9), false)]
        {
            let trial = Trial { model: model(), train: train.clone(), ..Trial::default() };
            assert_eq!(is_plain(&for_trial(&trial, 3, None, &Device::Cpu).unwrap()), plain, "{train:?}");
            let (method, data) = ("supervised".to_owned(), DataSpec::default());
            let trunk = Trunk {
                id: String::new(),
                name: String::new(),
                model: model(),
                resolution: 32,
                seed: 0,
                pretraining: Pretraining { method, denoise: 0.0, seed: None, data, train: train.clone() },
                held_out: None,
                device: "cpu".to_owned(),
            };
            assert_eq!(
                is_plain(&for_trunk(&trunk, Objective::Labels, 3, &Device::Cpu).unwrap()),
                plain,
                "{train:?}"
            );
        }
    }
}
