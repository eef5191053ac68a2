//! A trial's training and its test: [`Ready`] is a trial whose model is built and has its weights, [`Base`] what several such models
//! have in common, [`tested`] what comes of a trained one.

use candle_core::Device;
use frostline_data::{Augment, DataError, Dataset, Fold, Images, Splits};
use frostline_engine::{
    EngineError, Evaluation, Keep, Movable, Ragged, Recipe, Schedule, ScheduleOver, Strategy, Task, Trained,
    fold,
};
use frostline_experiment::{Checkpoints, DataSpec, Trial, recipe_of, strategy_of};
use frostline_models::{Model, Resolved};
use frostline_results::{Checkpoint, Outcome, Prediction, Status};

use super::keep::{LastWeights, checkpoint};
use super::lineage::{data_record, weights_record};
use super::model::{for_trial, regularise};
use super::start::head_note;

/// A trial that can be trained.
#[derive(Debug)]
pub(super) struct Ready<'a> {
    trial: &'a Trial,
    dataset: &'a Dataset,
    splits: Splits,
    pub(super) model: Model,
    recipe: Recipe,
    strategy: Strategy,
    augment: Augment,
    pub(super) normalisation: ([f32; 3], [f32; 3]),
}

/// The images of a trial that train and those that validate.
///
/// # Errors
/// There are too few of some class.
pub(super) fn split(trial: &Trial, dataset: &Dataset) -> Result<Splits, DataError> {
    let DataSpec { validation, per_class, fold, .. } = &trial.data;
    frostline_data::split(dataset, *validation, *per_class, fold_of(fold.as_deref())?, trial.seed)
}

/// The fold that a trial tests; none where a test split does.
///
/// # Errors
/// A text that names none.
pub(super) fn fold_of(text: Option<&str>) -> Result<Option<Fold>, DataError> {
    let fold = text.map(str::parse).transpose();
    fold.map_err(|error: frostline_data::FoldError| DataError::Split { what: error.to_string() })
}

/// The model that the trials of a cohort start from: built and read once, for as many as there are.
pub(super) enum Base {
    /// For one trial, which has it to itself.
    Own,
    /// For several, which share what they do not move; none before the first.
    Common(Option<Box<Model>>),
}

impl Base {
    /// For so many trials.
    pub(super) fn of(trials: usize) -> Self {
        if trials > 1 { Self::Common(None) } else { Self::Own }
    }

    fn model(
        &mut self,
        trial: &Trial,
        (classes, weights, device): (usize, Option<&Resolved>, &Device),
        (recipe, strategy): (&Recipe, &Strategy),
    ) -> Result<Model, EngineError> {
        let model = match self {
            Self::Own => for_trial(trial, classes, weights, device)?,
            Self::Common(base) => {
                let base = match base {
                    Some(base) => base,
                    None => base.insert(Box::new(for_trial(trial, classes, weights, device)?)),
                };
                let Movable { parameters, statistics } = Movable::by(base, strategy, recipe)?;
                let twin = base.twin(&parameters, &statistics)?;
                regularise(&twin, &trial.train)?;
                twin
            }
        };
        Ok(model)
    }
}

impl<'a> Ready<'a> {
    /// Builds on a device and loads; what is known on the way goes into `outcome`, so that a failure keeps it.
    ///
    /// # Errors
    /// The images, the weights, the recipe or the strategy do not go together.
    pub(super) fn new(
        trial: &'a Trial,
        dataset: &'a Dataset,
        (weights, device): (Option<&Resolved>, &Device),
        base: &mut Base,
        outcome: &mut Outcome,
    ) -> Result<Self, EngineError> {
        let splits = split(trial, dataset)?;
        outcome.data = Some(data_record(dataset, &splits));
        let recipe = recipe_of(&trial.train).map_err(EngineError::Unfit)?;
        let strategy = strategy_of(trial).map_err(EngineError::Unfit)?;
        let classes = dataset.classes.len();
        let mut model = base.model(trial, (classes, weights, device), (&recipe, &strategy))?;
        let scratch = model.card().normalisation;
        let lineage = weights.map(|weights| &weights.lineage);
        let normalisation = lineage.map_or((scratch.mean, scratch.std), |l| (l.mean, l.std));
        outcome.weights = weights.map(|weights| {
            let mut record = weights_record(&weights.lineage);
            record.notes.extend(head_note(trial, weights, classes));
            record
        });
        outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
        outcome.multiply_adds = Some(model.summary().iter().map(|stage| stage.multiply_adds).sum());
        if let Some(rank) = strategy.rank() {
            model.adapt(rank)?;
        }
        fold(&mut model, &recipe, &strategy)?;
        let augment = Augment::parse_all(&trial.data.augment).map_err(DataError::from)?;
        Ok(Self { trial, dataset, splits, model, recipe, strategy, augment, normalisation })
    }

    /// What the engine is to do.
    pub(super) fn task(&self) -> Task<'_> {
        Task {
            model: &self.model,
            dataset: self.dataset,
            splits: &self.splits,
            augment: self.augment,
            views: self.trial.data.views,
            mean: self.normalisation.0,
            std: self.normalisation.1,
            recipe: &self.recipe,
            strategy: &self.strategy,
            seed: self.trial.seed,
        }
    }

    /// The same for a test of rates: each step's is `ratio` times that of the step before, from `from` on, and nothing is chosen or looked at but
    /// the losses of so many steps. It trains the phase of the strategy that trains most.
    ///
    /// # Errors
    /// The strategy takes no steps, or does not fit.
    pub(super) fn with_rising_rate(
        mut self,
        from: f64,
        ratio: f64,
        steps: usize,
    ) -> Result<Self, EngineError> {
        let parts = self.strategy.parts(self.model.card(), self.dataset.classes.len());
        self.strategy = self.strategy.widest(&parts, self.recipe.epochs)?;
        self.splits.validation.clear();
        let least = (self.splits.train.len() / self.recipe.batch / self.recipe.accumulate).max(1);
        self.recipe = Recipe {
            epochs: steps.div_ceil(least),
            learning_rate: from,
            schedule: Schedule::Rise { ratio },
            schedule_over: ScheduleOver::Trial,
            warmup: 0.0,
            recalibrate: false,
            ema: None,
            keep: Keep::Last,
            patience: None,
            ..self.recipe
        };
        Ok(self)
    }

    /// The optimizer's step that a batch of an epoch is part of, both from 1, where an epoch has so many batches.
    pub(super) fn update(&self, (epoch, batch): (usize, usize), batches: usize) -> usize {
        (epoch - 1) * self.recipe.updates(batches) + batch.div_ceil(self.recipe.accumulate)
    }

    /// The images that it is tested on.
    pub(super) fn tested(&self) -> (&'a Images, Vec<u32>) {
        self.splits.tested(self.dataset)
    }

    /// Images that are trained on in an epoch.
    fn images(&self) -> usize {
        let (all, batch) = (self.splits.train.len(), self.recipe.batch);
        if self.recipe.ragged == Ragged::Drop { all / batch * batch } else { all }
    }
}

/// Completes the outcome of a trial that is trained and tested and whose time is in it, and makes the checkpoint that is kept.
///
/// # Errors
/// Weights cannot be read from their device.
pub(super) fn tested(
    ready: &Ready<'_>,
    trained: &Trained,
    evaluation: &Evaluation,
    (checkpoints, last): (Checkpoints, LastWeights),
    outcome: &mut Outcome,
) -> Result<(Vec<Prediction>, Option<Checkpoint>), EngineError> {
    let Trained { epochs, chosen_epoch, trainable_parameters, .. } = trained;
    let kept = (epochs.len(), *chosen_epoch);
    let checkpoint = checkpoint(checkpoints, &ready.model, last, kept, ready.normalisation)?;
    outcome.checkpoint = checkpoint.as_ref().map(|checkpoint| checkpoint.record.clone());
    outcome.status = Status::Finished;
    outcome.test_accuracy = Some(evaluation.accuracy);
    outcome.test_loss = Some(evaluation.loss);
    outcome.chosen_epoch = Some(*chosen_epoch);
    outcome.validation_accuracy = epochs[chosen_epoch - 1].validation_accuracy;
    outcome.trainable_parameters = Some(*trainable_parameters as u64);
    let images = ready.images() * epochs.len();
    outcome.images_per_second = Some(images as f64 / outcome.seconds.train).filter(|rate| rate.is_finite());
    let prediction = |one: &frostline_engine::Prediction| {
        let frostline_engine::Prediction { example, label, predicted, probability } = *one;
        Prediction { example, label, predicted, probability }
    };
    Ok((evaluation.predictions.iter().map(prediction).collect(), checkpoint))
}
