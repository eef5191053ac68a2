//! What a trial says of its images and of its recipe: [`DataSpec`] and [`TrainSpec`], in the experiment file's words.

use serde::{Deserialize, Serialize};

/// The images of a trial and what is done to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataSpec {
    /// `digits`, `hub:OWNER/NAME[@REV]`, `cifar:PATH`, `folder:DIR`.
    pub source: String,
    /// The share of the training split that is set aside for choosing, in [0, 1).
    pub validation: f64,
    /// Images of each class that are taken from the training split; all where none.
    pub per_class: Option<usize>,
    /// `flip`, `crop:PAD` and the like, in the one order in which they are written.
    pub augment: Vec<String>,
    /// How many times augmentation is drawn for an image, after which its views come again; anew in each epoch where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<usize>,
    /// The classes that are used, labelled in this order; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The column of a table that holds the images; found by its type and name where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of a table that holds the labels, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// What the splits of the source are called, as `train=NAME,validation=NAME,test=NAME`; the usual names where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<String>,
    /// The part of the images that tests, `I/K`; the test split where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// What is done with pictures that occur twice: `keep`, `drop`, `error`.
    #[serde(default = "kept", skip_serializing_if = "is_kept")]
    pub duplicates: String,
}

impl DataSpec {
    /// Whether two trials that read so number the same images alike.
    pub fn same_images(&self, other: &Self) -> bool {
        let images = |data: &Self| {
            let Self { source, classes, image_column, label_column, splits, duplicates, .. } = data.clone();
            (source, classes, image_column, label_column, splits, duplicates)
        };
        images(self) == images(other)
    }
}

pub(super) fn kept() -> String {
    "keep".to_owned()
}

pub(super) fn is_kept(policy: &str) -> bool {
    policy == "keep"
}

/// The recipe of a trial, in the experiment file's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainSpec {
    /// Passes over the training split.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// What becomes of images that do not fill a batch: `keep`, `drop`, `merge`.
    #[serde(default = "kept", skip_serializing_if = "is_kept")]
    pub ragged: String,
    /// Which images an epoch has: `shuffled`, `balanced`.
    #[serde(default = "shuffled", skip_serializing_if = "is_shuffled")]
    pub sampling: String,
    /// Batches whose gradients make one step.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// `sgd`, `adam`, `adamw`.
    pub optimizer: String,
    /// The base learning rate, which the schedule scales.
    pub learning_rate: f64,
    /// SGD's momentum; 0 with other optimizers.
    pub momentum: f64,
    /// Whether SGD's step is Nesterov's; false with other optimizers.
    pub nesterov: bool,
    /// Added to the gradient by SGD and Adam, decoupled in AdamW.
    pub weight_decay: f64,
    /// `constant`, `cosine`, `one-cycle`, `step`.
    pub schedule: String,
    /// Epochs of linear warm-up; a fraction is allowed.
    pub warmup: f64,
    /// Epochs between two drops of `step`; 1 with other schedules.
    pub step_every: usize,
    /// What a drop of `step` multiplies the rate by; 1 with other schedules.
    pub step_factor: f64,
    /// The share of the target that is spread over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// How much a class counts in the loss: `none` (as its images do), `balanced`.
    #[serde(default = "unweighted", skip_serializing_if = "is_unweighted")]
    pub class_weights: String,
    /// The largest allowed norm of all gradients together; no clipping where none.
    pub clip_norm: Option<f64>,
    /// The probability of every dropout layer, in [0, 1); the model's own where none, and none in models without such a layer.
    /// Auxiliary heads keep their own unless it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// How often an image skips a branch of the last block, in [0, 1), falling to 0 in the first; 0 in models without.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stochastic_depth: f64,
    /// What becomes of the head in the weights that training starts from: `new` (drawn from the seed), `keep`.
    #[serde(default = "drawn", skip_serializing_if = "is_drawn")]
    pub head: String,
    /// What BatchNorm layers do: `follow`, `train`, `eval`.
    pub batch_norm: String,
    /// Whether the running statistics of BatchNorm layers that train are computed anew over all training images before each
    /// evaluation; false in models without such layers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recalibrate: bool,
    /// The decay of the average over steps that is evaluated and kept instead of the weights, in [0, 1); none for the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Which epoch counts: `best`, `last`.
    pub keep: String,
    /// Epochs without a higher validation accuracy after which the last phase ends; all epochs are trained where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// What counts alike in validation accuracies: `images`, `classes`.
    #[serde(default = "images", skip_serializing_if = "is_images")]
    pub validation_counts: String,
    /// What activations are kept in and products take: `f32`, `bf16`.
    #[serde(default = "single", skip_serializing_if = "is_single")]
    pub precision: String,
    /// What the schedule is laid over: `trial`, `phase`.
    #[serde(default = "over_trial", skip_serializing_if = "is_over_trial")]
    pub schedule_over: String,
}

pub(super) fn shuffled() -> String {
    "shuffled".to_owned()
}

pub(super) fn is_shuffled(sampling: &str) -> bool {
    sampling == "shuffled"
}

pub(super) fn unweighted() -> String {
    "none".to_owned()
}

pub(super) fn is_unweighted(weights: &str) -> bool {
    weights == "none"
}

pub(super) fn images() -> String {
    "images".to_owned()
}

pub(super) fn is_images(counted: &str) -> bool {
    counted == "images"
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn is_one(count: &usize) -> bool {
    *count == 1
}

pub(super) fn cpu() -> String {
    "cpu".to_owned()
}

pub(super) fn is_cpu(device: &str) -> bool {
    device == "cpu"
}

pub(super) fn drawn() -> String {
    "new".to_owned()
}

pub(super) fn is_drawn(head: &str) -> bool {
    head == "new"
}

pub(super) fn single() -> String {
    "f32".to_owned()
}

pub(super) fn is_single(precision: &str) -> bool {
    precision == "f32"
}

pub(super) fn over_trial() -> String {
    "trial".to_owned()
}

pub(super) fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

pub(super) fn is_over_trial(over: &str) -> bool {
    over == "trial"
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            ragged: kept(),
            sampling: shuffled(),
            accumulate: one(),
            optimizer: "adam".to_owned(),
            learning_rate: 1e-3,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            schedule: "constant".to_owned(),
            warmup: 0.0,
            step_every: 30,
            step_factor: 0.1,
            label_smoothing: 0.0,
            class_weights: unweighted(),
            clip_norm: None,
            dropout: None,
            stochastic_depth: 0.0,
            head: drawn(),
            batch_norm: "follow".to_owned(),
            recalibrate: false,
            ema: None,
            keep: "best".to_owned(),
            patience: None,
            validation_counts: images(),
            precision: single(),
            schedule_over: over_trial(),
        }
    }
}

impl Default for DataSpec {
    fn default() -> Self {
        let (augment, classes) = (Vec::new(), Vec::new());
        let (source, duplicates) = (String::new(), kept());
        Self {
            source,
            validation: 0.1,
            per_class: None,
            augment,
            views: None,
            classes,
            image_column: None,
            label_column: None,
            splits: None,
            fold: None,
            duplicates,
        }
    }
}
