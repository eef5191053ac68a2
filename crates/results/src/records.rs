//! What is stored of a trial: [`TrialResult`], whose [`Outcome`] and [`EpochRecord`]s are JSON and whose predictions
//! are parquet. Raw values per seed only; whatever is derived from them is derived when reporting.

use std::collections::BTreeMap;

use frostline_experiment::{Checkpoints, Plan, Trial};
use serde::{Deserialize, Serialize};

use crate::{Answers, Environment, Halved, Invocation, Seconds, StoredTrunk};

/// Everything that a trial leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialResult {
    /// What it came to.
    pub outcome: Outcome,
    /// One record per epoch that was completed.
    pub epochs: Vec<EpochRecord>,
    /// The test split, image by image; empty where the trial failed.
    pub predictions: Vec<Prediction>,
    /// The weights that are kept; none where it failed or none are.
    pub checkpoint: Option<Checkpoint>,
}

/// What a trained model says of one test image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The image's index in its split.
    pub example: u32,
    /// The class it belongs to.
    pub label: u32,
    /// The class with the highest logit, the lowest of equals.
    pub predicted: u32,
    /// The probability that the model gives to `predicted`, in [0, 1].
    pub probability: f32,
}

/// The weights of a trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What they are.
    pub record: CheckpointRecord,
    /// A safetensors file.
    pub bytes: Vec<u8>,
}

/// A stored trial as the tables and the report read it; predictions stay on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoredTrial {
    /// The resolved trial.
    pub trial: Trial,
    /// What it came to.
    pub outcome: Outcome,
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
    /// What the predictions come to, counted when they are read.
    #[serde(skip)]
    pub answers: Answers,
}

impl StoredTrial {
    /// Whether the weights that were kept are those that a policy asks for, by whichever they were kept.
    pub fn keeps(&self, policy: Checkpoints) -> bool {
        let epoch = self.outcome.checkpoint.as_ref().map(|checkpoint| checkpoint.epoch);
        match policy {
            Checkpoints::None => true,
            Checkpoints::Best => epoch.is_some() && epoch == self.outcome.chosen_epoch,
            Checkpoints::Last => epoch == Some(self.epochs.len()),
        }
    }
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It trained, chose its epoch, and was tested.
    Finished,
    /// It ended early; its row stays in the report.
    Failed {
        /// In words, for instance that the loss became NaN in epoch 3.
        reason: String,
    },
}

/// What a trial came to. Accuracies are shares in [0, 1], losses are mean cross-entropies.
///
/// What is not known (a trial that failed before it was tested, a system that does not tell its peak memory) is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Outcome {
    /// The trial's id.
    pub trial: String,
    /// How it ended.
    pub status: Status,
    /// Over the whole test split, with the weights of the chosen epoch.
    pub test_accuracy: Option<f64>,
    /// Over the whole test split, with the weights of the chosen epoch.
    pub test_loss: Option<f64>,
    /// Of the chosen epoch; none without a validation split.
    pub validation_accuracy: Option<f64>,
    /// Counted from 1.
    pub chosen_epoch: Option<usize>,
    /// Where the time went, as if the trial had run alone: of what it had in common with others, the whole.
    pub seconds: Seconds,
    /// What it had in common with others; none where it ran alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// Training images per second of training time (`seconds.train`).
    pub images_per_second: Option<f64>,
    /// The largest resident memory of the process while the trial ran.
    pub peak_memory_bytes: Option<u64>,
    /// Of the whole model.
    pub parameters: Option<u64>,
    /// The most that a phase of the strategy trained.
    pub trainable_parameters: Option<u64>,
    /// Of a forward pass over one image.
    pub multiply_adds: Option<u64>,
    /// Where the initial weights came from; none when they were drawn from the seed.
    pub weights: Option<WeightsRecord>,
    /// The pretraining that its experiment made them with; its time is no part of the trial's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<PretrainingRecord>,
    /// The SHA-256 of the predictions beside this record, in hex: of each its image, label, predicted class and the bits of the
    /// probability, as little-endian words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
    /// The images that were used.
    pub data: Option<DataRecord>,
    /// The weights that were kept, in `model.safetensors` beside this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointRecord>,
    /// Threads that computed.
    pub threads: usize,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The id of the environment it ran in, a key of `environment.json`.
    pub environment: String,
}

/// What a trial had in common with those that advanced together with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shared {
    /// How many advanced together, this one included.
    pub trials: usize,
    /// Its share of the time: its own, and of what several had in common as much as each of them.
    pub wall_seconds: f64,
}

/// The weights of a trained model that are kept, whole and with torchvision's or timm's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CheckpointRecord {
    /// The policy that they were kept by.
    pub kept: Checkpoints,
    /// The epoch that they are of, counted from 1.
    pub epoch: usize,
    /// Of the file, in hex.
    pub sha256: String,
    /// Of the file, in bytes.
    pub size: u64,
    /// What is subtracted from the channels (R, G, B in [0, 1]) of an image.
    pub mean: [f32; 3],
    /// What the channels are divided by.
    pub std: [f32; 3],
}

/// The trunk that a trial started from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PretrainingRecord {
    /// Its id.
    pub trunk: String,
    /// What making it took by the clock, in full: trials that share it took it once.
    pub wall_seconds: f64,
}

impl Outcome {
    /// What of the sweep's time was this trial's: all that it took, or its share where it ran together with others.
    pub fn share_seconds(&self) -> f64 {
        self.shared.map_or(self.seconds.wall, |shared| shared.wall_seconds)
    }

    /// An outcome with nothing measured yet, for a trial that starts now.
    pub fn started(trial: &Trial, threads: usize, started_at: String, environment: String) -> Self {
        Self {
            trial: trial.id.clone(),
            status: Status::Failed { reason: "it was not completed".to_owned() },
            test_accuracy: None,
            test_loss: None,
            validation_accuracy: None,
            chosen_epoch: None,
            seconds: Seconds::default(),
            shared: None,
            images_per_second: None,
            peak_memory_bytes: None,
            parameters: None,
            trainable_parameters: None,
            multiply_adds: None,
            weights: None,
            pretraining: None,
            predictions: None,
            data: None,
            checkpoint: None,
            threads,
            started_at,
            environment,
        }
    }
}

/// One epoch of a trial. Losses that left the numbers are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// The strategy's phase.
    pub phase: String,
    /// As scheduled for the epoch's last step, before the factors of the parts.
    pub learning_rate: f64,
    /// What each part that trained had of it; of several that name a parameter, the last counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<(String, f64)>,
    /// Mean over the epoch's images, at the step that used them.
    pub train_loss: Option<f64>,
    /// In [0, 1], at the step that used the image.
    pub train_accuracy: Option<f64>,
    /// None without a validation split.
    pub validation_loss: Option<f64>,
    /// In [0, 1]; none without a validation split.
    pub validation_accuracy: Option<f64>,
    /// The epoch's own time.
    pub seconds: Seconds,
}

/// The weights that a trial started from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WeightsRecord {
    /// As the experiment names them, for instance `hub`.
    pub source: String,
    /// `owner/name` on the Hub.
    pub repo: Option<String>,
    /// The commit that the file was taken from.
    pub revision: Option<String>,
    /// The file's name in the repository, or its path.
    pub file: String,
    /// Of the file, in hex.
    pub sha256: String,
    /// Of the file, in bytes.
    pub size: u64,
    /// As its repository states it.
    pub licence: Option<String>,
    /// What is subtracted from the channels (R, G, B in [0, 1]).
    pub mean: [f32; 3],
    /// What the channels are divided by.
    pub std: [f32; 3],
    /// What was done with the file's tensors that does not go without saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The images that a trial used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataRecord {
    /// As the experiment names it.
    pub source: String,
    /// SHA-256 in hex over decoded pixels, labels and class names.
    pub digest: String,
    /// How many classes there are.
    pub classes: usize,
    /// Their names in the order of the labels; none in records of versions that did not keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Images that were trained on.
    pub train: usize,
    /// Images that epochs were chosen on.
    pub validation: usize,
    /// Images of the test split.
    pub test: usize,
    /// As the source states it.
    pub licence: Option<String>,
    /// What was read.
    pub files: Vec<FileRecord>,
    /// What of the source was taken as what, each as (in the data set, in the source).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<(String, String)>,
    /// Pictures that occur more than once, each kind in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<String>,
}

/// One file of a data source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileRecord {
    /// Its name in its source.
    pub name: String,
    /// The commit it was taken from, on the Hub.
    pub revision: Option<String>,
    /// In hex.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Everything that is stored of an experiment, but for the predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// What the experiment wants.
    pub plan: Plan,
    /// How the last sweep was asked for.
    pub asked: Invocation,
    /// What is there, in the order of the ids; trials of earlier plans included.
    pub trials: Vec<StoredTrial>,
    /// What is there but cannot be used, in the order of the ids.
    pub broken: Vec<Broken>,
    /// The trunks that are there, in the order of the ids; damaged ones, which a sweep makes again, are left out.
    pub trunks: Vec<StoredTrunk>,
    /// What was made of other images or weights than the last sweep found, and is in no table.
    pub superseded: Superseded,
    /// Where trials ran, by id.
    pub environments: BTreeMap<String, Environment>,
    /// Which arms were stopped early; none where the plan stops none.
    pub halved: Option<Halved>,
    /// How many folds are put together in each trial ([`Results::pooled`]); none where none are.
    pub folds: Option<usize>,
}

/// Trials and trunks that were made of other inputs than the last sweep found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Superseded {
    /// In the order of their names.
    pub trials: Vec<StoredTrial>,
    /// In the order of their names.
    pub trunks: Vec<StoredTrunk>,
}

impl Superseded {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty() && self.trunks.is_empty()
    }
}

/// A trial's folder that is damaged. The next sweep does the trial again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The folder's name.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a sweep set out to do, and how it was asked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PlanRecord {
    /// As [`Invocation::file`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// As [`Invocation::set`].
    settings: Vec<String>,
    /// As [`Invocation::only`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    only: Vec<String>,
    /// As [`Invocation::results`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    results: Option<String>,
    /// All trials of the experiment.
    pub(super) plan: Plan,
}

impl PlanRecord {
    pub(super) fn new(plan: &Plan, asked: &Invocation) -> Self {
        let Invocation { file, set: settings, only, results } = asked.clone();
        Self { file, settings, only, results, plan: plan.clone() }
    }

    pub(super) fn asked(&self) -> Invocation {
        let Self { file, settings: set, only, results, .. } = self.clone();
        Invocation { file, set, only, results }
    }
}
