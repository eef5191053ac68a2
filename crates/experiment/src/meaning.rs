//! From an experiment's words to what they mean: [`recipe_of`], [`strategy_of`] and [`reading_of`]. They are called when a plan is made, so
//! that a word that is not taken is an error before anything runs, and again when the trial runs.

use frostline_recipe::{
    BatchNormPolicy, ClassWeights, Counting, Keep, OptimizerKind, Ragged, Recipe, Sampling, Schedule,
    ScheduleOver, Strategy,
};

use frostline_sources::{OnDuplicates, Reading};

use crate::trial::{DataSpec, TrainSpec, Trial};

/// The recipe that `spec` words.
///
/// # Errors
/// The key whose value the engine does not take, and what it takes.
pub fn recipe_of(spec: &TrainSpec) -> Result<Recipe, String> {
    let at = |key: &str, problem: String| format!("{key}: {problem}");
    let optimizer = match spec.optimizer.as_str() {
        "sgd" => OptimizerKind::Sgd { momentum: spec.momentum, nesterov: spec.nesterov },
        "adam" => OptimizerKind::Adam,
        "adamw" => OptimizerKind::AdamW,
        other => return Err(format!("optimizer: unknown optimizer `{other}`; one of sgd, adam, adamw")),
    };
    let schedule = match spec.schedule.parse().map_err(|e| at("schedule", e))? {
        Schedule::Step { .. } => Schedule::Step { every: spec.step_every, factor: spec.step_factor },
        other => other,
    };
    let recipe = Recipe {
        epochs: spec.epochs,
        batch: spec.batch,
        ragged: spec.ragged.parse::<Ragged>().map_err(|e| at("ragged", e))?,
        sampling: spec.sampling.parse::<Sampling>().map_err(|e| at("sampling", e))?,
        accumulate: spec.accumulate,
        optimizer,
        learning_rate: spec.learning_rate,
        weight_decay: spec.weight_decay,
        schedule,
        schedule_over: spec.schedule_over.parse::<ScheduleOver>().map_err(|e| at("schedule-over", e))?,
        warmup: spec.warmup,
        label_smoothing: spec.label_smoothing,
        class_weights: spec.class_weights.parse::<ClassWeights>().map_err(|e| at("class-weights", e))?,
        clip_norm: spec.clip_norm,
        batch_norm: spec.batch_norm.parse::<BatchNormPolicy>().map_err(|e| at("batch-norm", e))?,
        recalibrate: spec.recalibrate,
        ema: spec.ema,
        keep: spec.keep.parse::<Keep>().map_err(|e| at("keep", e))?,
        patience: spec.patience,
        validation_counts: spec
            .validation_counts
            .parse::<Counting>()
            .map_err(|e| at("validation-counts", e))?,
    };
    recipe.check().map_err(|error| error.to_string())?;
    Ok(recipe)
}

/// The strategy of a trial: one that the engine knows, or the experiment's own.
///
/// # Errors
/// A name that neither knows, or a phase with a value that the engine does not take.
pub fn strategy_of(trial: &Trial) -> Result<Strategy, String> {
    let Some(phases) = &trial.phases else {
        return trial
            .strategy
            .parse()
            .map_err(|unknown: frostline_recipe::StrategyError| unknown.to_string());
    };
    let phases =
        phases.iter().map(|words| words.spec().map_err(|(key, problem)| format!("{key}: {problem}")));
    Ok(Strategy::Own { name: trial.strategy.clone(), phases: phases.collect::<Result<_, _>>()? })
}

/// How a trial's source is read, and what is done with pictures that occur twice.
///
/// # Errors
/// The key whose value is not taken, and what is.
pub fn reading_of(spec: &DataSpec) -> Result<(Reading, OnDuplicates), String> {
    let splits = spec.splits.as_deref().map(str::parse).transpose();
    let reading = Reading {
        image_column: spec.image_column.clone(),
        label_column: spec.label_column.clone(),
        splits: splits.map_err(|error: frostline_sources::SplitsError| error.to_string())?,
    };
    Ok((reading, spec.duplicates.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_defaults_is_taken() {
        assert!(recipe_of(&TrainSpec::default()).is_ok());
    }

    #[test]
    fn a_word_that_is_not_taken_is_named_with_its_key() {
        let spec = TrainSpec { schedule: "cosin".to_owned(), ..TrainSpec::default() };
        assert!(recipe_of(&spec).unwrap_err().starts_with("schedule: "));
        let spec = TrainSpec { optimizer: "lion".to_owned(), ..TrainSpec::default() };
        assert!(recipe_of(&spec).unwrap_err().starts_with("optimizer: "));
    }
}
