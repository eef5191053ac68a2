//! The tables: [`write_all`] puts all stored trials into `trials.parquet`, `epochs.parquet` and `predictions.parquet`,
//! one row per trial, epoch and test image, and the trunks' epochs into `pretraining.parquet`. Columns are snake_case, accuracies shares in [0, 1], times seconds.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use frostline_experiment::Trial;
use frostline_tables::{Writer, to_bytes};
use frostline_text::sha256;
use polars::prelude::*;

use super::atomic::write_file_with;
use super::json::FORMAT;
use crate::{
    Answers, EpochRecord, Inputs, Outcome, Prediction, Results, Status, StoreError, StoredTrial, StoredTrunk,
    write_file,
};

/// Writes the tables of a results folder; that of the pretrainings only where there are some.
pub(super) fn write_all(folder: &Path, results: &Results) -> Result<(), StoreError> {
    write(&folder.join("trials.parquet"), trials(&results.trials))?;
    write(&folder.join("epochs.parquet"), epochs(&results.trials))?;
    if !results.trunks.is_empty() {
        write(&folder.join("pretraining.parquet"), pretraining(&results.trunks))?;
    }
    all_predictions(folder, results)
}

/// Rows of predictions in a group of `predictions.parquet`, about.
const GROUP: usize = 1 << 20;

/// Puts the predictions of all trials into one table, of which no more than a group is in memory at a time.
fn all_predictions(folder: &Path, results: &Results) -> Result<(), StoreError> {
    let path = folder.join("predictions.parquet");
    let aside = |stored: &StoredTrial| Inputs::of(&stored.outcome).name(&stored.trial.id);
    let current = results.trials.iter().map(|stored| ("trials", stored.trial.id.clone()));
    let superseded = results.superseded.trials.iter().map(|stored| ("superseded/trials", aside(stored)));
    let failed = |error: &PolarsError| damaged(&path, error);
    let none = || predictions(&[]).and_then(|none| of_trial(none, ""));
    write_file_with(&path, |file| {
        let mut group = none().map_err(|error| failed(&error))?;
        let mut buffered = BufWriter::new(file);
        let mut writer = Writer::new(&mut buffered, &group, format()).map_err(|error| failed(&error))?;
        for (place, name) in current.chain(superseded) {
            let frame = read(&folder.join(place).join(&name).join("predictions.parquet"))?;
            of_trial(frame, &name)
                .and_then(|frame| group.vstack_mut(&frame).map(|_| ()))
                .map_err(|error| failed(&error))?;
            if group.height() >= GROUP {
                writer.write(&mut group).map_err(|error| failed(&error))?;
                group = none().map_err(|error| failed(&error))?;
            }
        }
        writer.write(&mut group).and_then(|()| writer.finish()).map_err(|error| failed(&error))?;
        buffered.flush().map_err(|error| StoreError::writing(&path, error))
    })
}

/// The ids of a folder's table of trials; none where there is no table.
pub(super) fn trial_ids(folder: &Path) -> Result<Vec<String>, StoreError> {
    let path = folder.join("trials.parquet");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let frame = read(&path)?;
    let ids = frame.column("trial").and_then(|column| column.str().cloned());
    let ids = ids.map_err(|error| damaged(&path, &error))?;
    Ok(ids.iter().flatten().map(str::to_owned).collect())
}

/// The predictions of all trials of a folder.
pub(super) struct Predictions {
    path: PathBuf,
    all: DataFrame,
}

impl Predictions {
    /// Reads `predictions.parquet`.
    pub(super) fn read(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("predictions.parquet");
        let all = read(&path)?;
        Ok(Self { path, all })
    }

    /// Those of one trial, as parquet.
    pub(super) fn of(&self, id: &str) -> Result<Vec<u8>, StoreError> {
        let chosen = self.all.column("trial").and_then(|column| {
            let column = column.str()?;
            let mask: BooleanChunked = column.iter().map(|trial| Some(trial == Some(id))).collect();
            self.all.filter(&mask)?.drop("trial")
        });
        parquet(&self.path, chosen)
    }
}

/// What a trial's predictions come to; nothing of a failed trial.
///
/// # Errors
/// Predictions that are damaged, or give another accuracy than is stored.
pub(super) fn answers(path: &Path, trial: &Trial, outcome: &Outcome) -> Result<Answers, StoreError> {
    let rows = rows(&read(path)?).map_err(|error| damaged(path, &error))?;
    let is = || digest(&rows);
    if outcome.predictions.as_ref().is_some_and(|stated| *stated != is()) {
        let reason =
            "its predictions were changed since they were written, as their SHA-256 tells".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), reason });
    }
    let answers = match &trial.data.fold {
        Some(_) => Answers::of_fold(&rows),
        None => Answers::of(rows.into_iter()),
    };
    let answers = answers.map_err(|reason| StoreError::Damaged { path: path.to_owned(), reason })?;
    let found = answers.accuracy();
    if found == outcome.test_accuracy {
        return Ok(answers);
    }
    let share = |accuracy: Option<f64>| accuracy.map_or_else(|| "none".to_owned(), |share| share.to_string());
    let reason = format!(
        "its predictions give the test accuracy {}, and {} is written beside them",
        share(found),
        share(outcome.test_accuracy)
    );
    Err(StoreError::Damaged { path: path.to_owned(), reason })
}

/// What [`Outcome::predictions`] is.
pub(super) fn digest(rows: &[Prediction]) -> String {
    let words = rows.iter().flat_map(|row| {
        let Prediction { example, label, predicted, probability } = *row;
        [example, label, predicted, probability.to_bits()]
    });
    sha256(&words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
}

/// The labels and predicted classes of some images of a trial.
pub(super) fn predicted(path: &Path, images: &[usize]) -> Result<Vec<(u32, u32)>, StoreError> {
    let mut rows = rows(&read(path)?).map_err(|error| damaged(path, &error))?;
    rows.sort_unstable_by_key(|row| row.example);
    let of = |image: &usize| {
        let row = rows.get(*image).ok_or_else(|| StoreError::Damaged {
            path: path.to_owned(),
            reason: format!("it has no test image {image}"),
        })?;
        Ok((row.label, row.predicted))
    };
    images.iter().map(of).collect()
}

/// A trial's predictions as parquet, as they are stored beside its outcome.
pub(super) fn predictions_file(path: &Path, rows: &[Prediction]) -> Result<Vec<u8>, StoreError> {
    parquet(path, predictions(rows))
}

fn trials(stored: &[StoredTrial]) -> PolarsResult<DataFrame> {
    let rows = Rows(stored);
    let names = df![
        "trial" => rows.each(|t| t.trial.id.as_str()),
        "model" => rows.each(|t| t.trial.model.as_str()),
        "weights" => rows.each(|t| t.trial.weights.as_str()),
        "strategy" => rows.each(|t| t.trial.strategy.as_str()),
        "seed" => rows.each(|t| t.trial.seed),
        "resolution" => rows.each(|t| t.trial.resolution as u64),
        "status" => rows.each(|t| match t.outcome.status {
            Status::Finished => "finished",
            Status::Failed { .. } => "failed",
        }),
        "reason" => rows.each(|t| match &t.outcome.status {
            Status::Finished => None,
            Status::Failed { reason } => Some(reason.as_str()),
        }),
    ]?;
    let measured = df![
        "test_accuracy" => rows.each(|t| t.outcome.test_accuracy),
        "balanced_accuracy" => rows.each(StoredTrial::balanced_accuracy),
        "largest_class" => rows.each(StoredTrial::largest_class),
        "test_loss" => rows.each(|t| t.outcome.test_loss),
        "validation_accuracy" => rows.each(|t| t.outcome.validation_accuracy),
        "chosen_epoch" => rows.each(|t| t.outcome.chosen_epoch.map(|e| e as u64)),
        "train_seconds" => rows.each(|t| t.outcome.seconds.train),
        "evaluation_seconds" => rows.each(|t| t.outcome.seconds.evaluation),
        "data_seconds" => rows.each(|t| t.outcome.seconds.data),
        "checkpoint_seconds" => rows.each(|t| t.outcome.seconds.checkpoint),
        "audit_seconds" => rows.each(|t| t.outcome.seconds.audit),
        "wall_seconds" => rows.each(|t| t.outcome.seconds.wall),
        "cpu_seconds" => rows.each(|t| t.outcome.seconds.cpu),
        "share_seconds" => rows.each(|t| t.outcome.share_seconds()),
        "together" => rows.each(|t| t.outcome.shared.map_or(1, |shared| shared.trials as u64)),
        "images_per_second" => rows.each(|t| t.outcome.images_per_second),
        "peak_memory_bytes" => rows.each(|t| t.outcome.peak_memory_bytes),
        "parameters" => rows.each(|t| t.outcome.parameters),
        "trainable_parameters" => rows.each(|t| t.outcome.trainable_parameters),
        "multiply_adds" => rows.each(|t| t.outcome.multiply_adds),
        "threads" => rows.each(|t| t.outcome.threads as u64),
        "started_at" => rows.each(|t| t.outcome.started_at.as_str()),
        "environment" => rows.each(|t| t.outcome.environment.as_str()),
    ]?;
    names.hstack(measured.columns())?.hstack(lineage(&rows)?.columns())?.hstack(recipe(&rows)?.columns())
}

fn lineage(rows: &Rows<'_>) -> PolarsResult<DataFrame> {
    df![
        "weights_repo" => rows.each(|t| t.outcome.weights.as_ref().and_then(|w| w.repo.as_deref())),
        "weights_revision" => rows.each(|t| t.outcome.weights.as_ref().and_then(|w| w.revision.as_deref())),
        "weights_file" => rows.each(|t| t.outcome.weights.as_ref().map(|w| w.file.as_str())),
        "weights_sha256" => rows.each(|t| t.outcome.weights.as_ref().map(|w| w.sha256.as_str())),
        "pretrained_trunk" => rows.each(|t| t.outcome.pretraining.as_ref().map(|p| p.trunk.as_str())),
        "pretraining_wall_seconds" => rows.each(|t| t.outcome.pretraining.as_ref().map(|p| p.wall_seconds)),
        "data_digest" => rows.each(|t| t.outcome.data.as_ref().map(|d| d.digest.as_str())),
        "train_images" => rows.each(|t| t.outcome.data.as_ref().map(|d| d.train as u64)),
        "validation_images" => rows.each(|t| t.outcome.data.as_ref().map(|d| d.validation as u64)),
        "test_images" => rows.each(|t| t.outcome.data.as_ref().map(|d| d.test as u64)),
    ]
}

fn recipe(rows: &Rows<'_>) -> PolarsResult<DataFrame> {
    df![
        "source" => rows.each(|t| t.trial.data.source.as_str()),
        "validation" => rows.each(|t| t.trial.data.validation),
        "per_class" => rows.each(|t| t.trial.data.per_class.map(|n| n as u64)),
        "augment" => rows.each(|t| t.trial.data.augment.join(",")),
        "classes" => rows.each(|t| t.trial.data.classes.join(",")),
        "duplicates" => rows.each(|t| t.trial.data.duplicates.as_str()),
        "epochs" => rows.each(|t| t.trial.train.epochs as u64),
        "batch" => rows.each(|t| t.trial.train.batch as u64),
        "ragged" => rows.each(|t| t.trial.train.ragged.as_str()),
        "optimizer" => rows.each(|t| t.trial.train.optimizer.as_str()),
        "learning_rate" => rows.each(|t| t.trial.train.learning_rate),
        "momentum" => rows.each(|t| t.trial.train.momentum),
        "nesterov" => rows.each(|t| t.trial.train.nesterov),
        "weight_decay" => rows.each(|t| t.trial.train.weight_decay),
        "schedule" => rows.each(|t| t.trial.train.schedule.as_str()),
        "schedule_over" => rows.each(|t| t.trial.train.schedule_over.as_str()),
        "warmup" => rows.each(|t| t.trial.train.warmup),
        "step_every" => rows.each(|t| t.trial.train.step_every as u64),
        "step_factor" => rows.each(|t| t.trial.train.step_factor),
        "label_smoothing" => rows.each(|t| t.trial.train.label_smoothing),
        "clip_norm" => rows.each(|t| t.trial.train.clip_norm),
        "dropout" => rows.each(|t| t.trial.train.dropout),
        "stochastic_depth" => rows.each(|t| t.trial.train.stochastic_depth),
        "precision" => rows.each(|t| t.trial.train.precision.as_str()),
        "batch_norm" => rows.each(|t| t.trial.train.batch_norm.as_str()),
        "recalibrate" => rows.each(|t| t.trial.train.recalibrate),
        "keep" => rows.each(|t| t.trial.train.keep.as_str()),
    ]
}

/// A row for each epoch of each trunk.
fn pretraining(stored: &[StoredTrunk]) -> PolarsResult<DataFrame> {
    let rows: Vec<(&StoredTrunk, &EpochRecord)> =
        stored.iter().flat_map(|t| t.epochs.iter().map(move |e| (t, e))).collect();
    let trunk = |value: fn(&StoredTrunk) -> String| rows.iter().map(|(t, _)| value(t)).collect::<Vec<_>>();
    let number =
        |value: fn(&EpochRecord) -> Option<f64>| rows.iter().map(|(_, e)| value(e)).collect::<Vec<_>>();
    df![
        "trunk" => trunk(|t| t.trunk.id.clone()),
        "pretraining" => trunk(|t| t.trunk.name.clone()),
        "model" => trunk(|t| t.trunk.model.clone()),
        "method" => trunk(|t| t.trunk.pretraining.method.clone()),
        "seed" => rows.iter().map(|(t, _)| t.trunk.seed).collect::<Vec<_>>(),
        "epoch" => rows.iter().map(|(_, e)| e.epoch as u64).collect::<Vec<_>>(),
        "learning_rate" => rows.iter().map(|(_, e)| e.learning_rate).collect::<Vec<_>>(),
        "train_loss" => number(|e| e.train_loss),
        "train_accuracy" => number(|e| e.train_accuracy),
        "validation_loss" => number(|e| e.validation_loss),
        "validation_accuracy" => number(|e| e.validation_accuracy),
        "wall_seconds" => rows.iter().map(|(_, e)| e.seconds.wall).collect::<Vec<_>>(),
        "cpu_seconds" => rows.iter().map(|(_, e)| e.seconds.cpu).collect::<Vec<_>>(),
    ]
}

fn epochs(stored: &[StoredTrial]) -> PolarsResult<DataFrame> {
    let rows: Vec<(&StoredTrial, &EpochRecord)> =
        stored.iter().flat_map(|t| t.epochs.iter().map(move |e| (t, e))).collect();
    df![
        "trial" => rows.iter().map(|(t, _)| t.trial.id.as_str()).collect::<Vec<_>>(),
        "epoch" => rows.iter().map(|(_, e)| e.epoch as u64).collect::<Vec<_>>(),
        "phase" => rows.iter().map(|(_, e)| e.phase.as_str()).collect::<Vec<_>>(),
        "learning_rate" => rows.iter().map(|(_, e)| e.learning_rate).collect::<Vec<_>>(),
        "part_learning_rates" => rows.iter().map(|(_, e)| rates(e)).collect::<Vec<_>>(),
        "train_loss" => rows.iter().map(|(_, e)| e.train_loss).collect::<Vec<_>>(),
        "train_accuracy" => rows.iter().map(|(_, e)| e.train_accuracy).collect::<Vec<_>>(),
        "validation_loss" => rows.iter().map(|(_, e)| e.validation_loss).collect::<Vec<_>>(),
        "validation_accuracy" => rows.iter().map(|(_, e)| e.validation_accuracy).collect::<Vec<_>>(),
        "train_seconds" => rows.iter().map(|(_, e)| e.seconds.train).collect::<Vec<_>>(),
        "evaluation_seconds" => rows.iter().map(|(_, e)| e.seconds.evaluation).collect::<Vec<_>>(),
        "data_seconds" => rows.iter().map(|(_, e)| e.seconds.data).collect::<Vec<_>>(),
        "wall_seconds" => rows.iter().map(|(_, e)| e.seconds.wall).collect::<Vec<_>>(),
        "cpu_seconds" => rows.iter().map(|(_, e)| e.seconds.cpu).collect::<Vec<_>>(),
    ]
}

/// `head 0.001, layer4 0.0005`
fn rates(record: &EpochRecord) -> String {
    record.rates.iter().map(|(part, rate)| format!("{part} {rate}")).collect::<Vec<_>>().join(", ")
}

fn predictions(rows: &[Prediction]) -> PolarsResult<DataFrame> {
    df![
        "example" => rows.iter().map(|p| p.example).collect::<Vec<_>>(),
        "label" => rows.iter().map(|p| p.label).collect::<Vec<_>>(),
        "predicted" => rows.iter().map(|p| p.predicted).collect::<Vec<_>>(),
        "probability" => rows.iter().map(|p| p.probability).collect::<Vec<_>>(),
    ]
}

/// The rows of a trial's predictions.
fn rows(frame: &DataFrame) -> PolarsResult<Vec<Prediction>> {
    let whole = |name: &str| frame.column(name).and_then(|column| column.u32().cloned());
    let (examples, labels, predicted) = (whole("example")?, whole("label")?, whole("predicted")?);
    let probabilities = frame.column("probability")?.f32()?;
    let numbers = examples.iter().zip(labels.iter()).zip(predicted.iter()).zip(probabilities.iter());
    let row = |(((example, label), predicted), probability)| {
        Some(Prediction {
            example: example?,
            label: label?,
            predicted: predicted?,
            probability: probability?,
        })
    };
    Ok(numbers.filter_map(row).collect())
}

/// Puts a trial's id before its predictions.
fn of_trial(frame: DataFrame, id: &str) -> PolarsResult<DataFrame> {
    df!["trial" => vec![id; frame.height()]]?.hstack(frame.columns())
}

struct Rows<'a>(&'a [StoredTrial]);

impl<'a> Rows<'a> {
    fn each<T>(&self, value: impl Fn(&'a StoredTrial) -> T) -> Vec<T> {
        self.0.iter().map(value).collect()
    }
}

fn read(path: &Path) -> Result<DataFrame, StoreError> {
    let file = File::open(path).map_err(|error| StoreError::reading(path, error))?;
    frostline_tables::read(file).map_err(|error| damaged(path, &error))
}

fn write(path: &Path, frame: PolarsResult<DataFrame>) -> Result<(), StoreError> {
    write_file(path, &parquet(path, frame)?)
}

fn parquet(path: &Path, frame: PolarsResult<DataFrame>) -> Result<Vec<u8>, StoreError> {
    frame.and_then(|mut frame| to_bytes(&mut frame, format())).map_err(|error| damaged(path, &error))
}

/// What every table says of itself.
fn format() -> Vec<(String, String)> {
    vec![("frostline.format".to_owned(), FORMAT.to_string())]
}

fn damaged(path: &Path, error: &PolarsError) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), reason: error.to_string() }
}
