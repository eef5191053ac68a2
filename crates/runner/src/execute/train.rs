//! Two kinds of node, a trial's training and its test: [`fit`] builds a model, gives it its weights and trains it, and
//! [`evaluate`] opens the test split of a [`Fitted`] one.

use frostline_data::{Augment, DataError, Dataset, Splits};
use frostline_engine::{EngineError, Objective, Ragged, Task, Trained, fold, test, train};
use frostline_experiment::{Checkpoints, Trial, recipe_of, strategy_of};
use frostline_models::{Model, Resolved};
use frostline_results::{Checkpoint, Outcome, Prediction, Status};

use super::keep::{Keeper, LastWeights, checkpoint};
use super::lineage::{data_record, weights_record};
use super::model::for_trial;
use super::start::head_note;
use super::witness::{Log, Witness};

/// A trained model, and what is known of its trial so far.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) outcome: Outcome,
    pub(super) log: Log,
    pub(super) weights: FittedWeights,
}

/// A model with the weights of the chosen epoch, and what it needs to be tested and kept.
#[derive(Debug)]
pub(super) struct FittedWeights {
    model: Model,
    trained: Trained,
    normalisation: ([f32; 3], [f32; 3]),
    last: LastWeights,
    /// Images that were trained on in an epoch.
    images: usize,
}

/// The images of a trial that train and those that validate.
///
/// # Errors
/// There are too few of some class.
pub(super) fn split(trial: &Trial, dataset: &Dataset) -> Result<Splits, DataError> {
    frostline_data::split(dataset, trial.data.validation, trial.data.per_class, trial.seed)
}

/// Builds, loads and trains; what is known on the way goes into `outcome`, so that a failure keeps it.
pub(super) fn fit(
    trial: &Trial,
    dataset: &Dataset,
    weights: Option<&Resolved>,
    checkpoints: Checkpoints,
    outcome: &mut Outcome,
    witness: &mut Witness<'_>,
) -> Result<FittedWeights, EngineError> {
    let splits = split(trial, dataset)?;
    outcome.data = Some(data_record(dataset, &splits));
    let mut model = for_trial(trial, dataset.classes.len(), weights)?;
    let scratch = model.card().normalisation;
    let (mean, std) =
        weights.map_or((scratch.mean, scratch.std), |weights| (weights.lineage.mean, weights.lineage.std));
    outcome.weights = weights.map(|weights| {
        let mut record = weights_record(&weights.lineage);
        record.notes.extend(head_note(trial, weights, dataset.classes.len()));
        record
    });
    outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
    outcome.multiply_adds = Some(model.summary().iter().map(|stage| stage.multiply_adds).sum());
    let recipe = recipe_of(&trial.train).map_err(EngineError::Unfit)?;
    let strategy = strategy_of(trial).map_err(EngineError::Unfit)?;
    fold(&mut model, &recipe, &strategy)?;
    let task = Task {
        model: &model,
        dataset,
        splits: &splits,
        augment: Augment::parse_all(&trial.data.augment).map_err(DataError::from)?,
        mean,
        std,
        recipe: &recipe,
        strategy: &strategy,
        seed: trial.seed,
    };
    witness.log.restart();
    let mut keeper =
        Keeper { witness, policy: checkpoints, model: &model, epochs: trial.train.epochs, last: None };
    let trained = train(&task, Objective::Labels, &mut keeper)?;
    let last = keeper.last;
    let (all, batch) = (splits.train.len(), recipe.batch);
    let images = if recipe.ragged == Ragged::Drop { all / batch * batch } else { all };
    Ok(FittedWeights { model, trained, normalisation: (mean, std), last, images })
}

/// Tests a model, completes its outcome, and makes the checkpoint that is kept.
pub(super) fn evaluate(
    fitted: FittedWeights,
    dataset: &Dataset,
    checkpoints: Checkpoints,
    outcome: &mut Outcome,
    witness: &mut Witness<'_>,
) -> Result<(Vec<Prediction>, Option<Checkpoint>), EngineError> {
    let FittedWeights { model, trained, normalisation, last, images } = fitted;
    let tested = test(&model, dataset, normalisation, witness)?;
    (outcome.seconds, outcome.peak_memory_bytes) = witness.log.measured();
    let Trained { epochs, chosen_epoch, trainable_parameters } = trained;
    let checkpoint = checkpoint(checkpoints, &model, last, (epochs.len(), chosen_epoch), normalisation)?;
    outcome.checkpoint = checkpoint.as_ref().map(|checkpoint| checkpoint.record.clone());
    outcome.status = Status::Finished;
    outcome.test_accuracy = Some(tested.accuracy);
    outcome.test_loss = Some(tested.loss);
    outcome.chosen_epoch = Some(chosen_epoch);
    outcome.validation_accuracy = epochs[chosen_epoch - 1].validation_accuracy;
    outcome.trainable_parameters = Some(trainable_parameters as u64);
    let images = images * epochs.len();
    outcome.images_per_second = Some(images as f64 / outcome.seconds.train).filter(|rate| rate.is_finite());
    let prediction = |one: &frostline_engine::Prediction| {
        let frostline_engine::Prediction { example, label, predicted, probability } = *one;
        Prediction { example, label, predicted, probability }
    };
    Ok((tested.predictions.iter().map(prediction).collect(), checkpoint))
}
