//! What the report says, as rows of numbers: [`Data`] is `report.json`, and each of its lists a CSV file. Shares are in [0, 1], times in
//! seconds, sizes in bytes; what is not known is null.

use serde::Serialize;

/// The version of the form; raised where a field changes its meaning or goes.
pub(crate) const VERSION: u32 = 1;

/// A report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Data<'a> {
    /// The version of this form.
    pub(crate) format: u32,
    /// The name of the experiment.
    pub(crate) experiment: &'a str,
    /// What it asks.
    pub(crate) question: &'a str,
    /// The first paragraph of the report.
    pub(crate) answer: String,
    /// Within how many points of accuracy arms are as good as equal.
    pub(crate) margin_points: f64,
    /// Arms, the most accurate first.
    pub(crate) arms: Vec<ArmRow<'a>>,
    /// Arms held against the most accurate and against their baselines.
    pub(crate) differences: Vec<DifferenceRow>,
    /// Where the models of one seed of a pair of arms disagree.
    pub(crate) disagreements: Vec<DisagreementRow>,
    /// All planned trials, without candidates that were not chosen.
    pub(crate) trials: Vec<TrialRow<'a>>,
    /// What arms chose their values from.
    pub(crate) candidates: Vec<CandidateRow<'a>>,
    /// The time in which arms reached levels of validation accuracy.
    pub(crate) times_to_accuracy: Vec<ReachedRow>,
    /// Test images of each class that arms told rightly.
    pub(crate) classes: Vec<ClassRow<'a>>,
    /// What arms took for what.
    pub(crate) confusion: Vec<ConfusionRow>,
    /// How often arms were right that were so sure.
    pub(crate) calibration: Vec<BinRow>,
    /// Pretrainings that trials start from.
    pub(crate) pretrainings: Vec<PretrainingRow<'a>>,
    /// Claims from elsewhere and what was measured.
    pub(crate) claims: Vec<ClaimRow<'a>>,
    /// What a reader must know before believing the numbers.
    pub(crate) notes: Vec<String>,
}

/// An arm: trials that differ in the seed alone. Numbers are means over its finished trials.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ArmRow<'a> {
    /// Its place, from 1, the most accurate first; other lists name it by this.
    pub(super) arm: usize,
    pub(super) label: String,
    pub(super) model: &'a str,
    pub(super) strategy: &'a str,
    pub(super) weights: &'a str,
    pub(super) resolution: usize,
    pub(super) seeds_planned: usize,
    pub(super) seeds_finished: usize,
    pub(super) test_accuracy: Option<f64>,
    /// The standard deviation over seeds.
    pub(super) test_accuracy_deviation: Option<f64>,
    /// Wilson's 95 % interval by the test images.
    pub(super) test_accuracy_low: Option<f64>,
    pub(super) test_accuracy_high: Option<f64>,
    pub(super) balanced_accuracy: Option<f64>,
    pub(super) validation_accuracy: Option<f64>,
    pub(super) test_loss: Option<f64>,
    /// The expected calibration error.
    pub(super) calibration_error: Option<f64>,
    /// The share of the largest class of the test split.
    pub(super) floor: Option<f64>,
    /// Whether it is no better than that, as far as the test images tell.
    pub(super) at_floor: bool,
    /// The places between which 95 % of resampled experiments put it.
    pub(super) rank_high: Option<usize>,
    pub(super) rank_low: Option<usize>,
    /// The share of resampled experiments in which it is the most accurate.
    pub(super) probability_best: Option<f64>,
    /// The number of the arm that is its baseline.
    pub(super) baseline: Option<usize>,
    /// By the clock, the pretraining that it starts from and its tuning in full.
    pub(super) total_seconds: Option<f64>,
    pub(super) total_seconds_deviation: Option<f64>,
    /// The same with the pretraining shared by all trials that start from it, and the tuning by the arm's seeds.
    pub(super) total_shared_seconds: Option<f64>,
    pub(super) pretraining_seconds: Option<f64>,
    /// Of the candidates that were tried for it and not chosen; part of the total.
    pub(super) tuning_seconds: Option<f64>,
    pub(super) wall_seconds: Option<f64>,
    pub(super) training_seconds: Option<f64>,
    /// Over the baseline's, within seeds.
    pub(super) wall_ratio: Option<f64>,
    pub(super) training_ratio: Option<f64>,
    pub(super) images_per_second: Option<f64>,
    /// Numbers that are trained and take part at the resolution.
    pub(super) trained_parameters: Option<u64>,
    /// Numbers that the strategy names.
    pub(super) nominal_trained_parameters: Option<f64>,
    pub(super) parameters: Option<f64>,
    pub(super) peak_memory_bytes: Option<f64>,
}

/// An arm less another, in test accuracy, paired within seeds on the same images.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DifferenceRow {
    pub(super) arm: usize,
    pub(super) other: usize,
    /// Whether the other is the most accurate arm.
    pub(super) against_best: bool,
    /// Whether the other is the arm's baseline.
    pub(super) against_baseline: bool,
    pub(super) seeds: usize,
    pub(super) images: usize,
    pub(super) difference: f64,
    /// The 95 % interval by Student's t, seeds and images crossed; of the images alone below three seeds.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The 95 % interval by the BCa bootstrap over seeds and images.
    pub(super) bootstrap_low: f64,
    pub(super) bootstrap_high: f64,
    /// The probability that the arm is ahead in a seed.
    pub(super) ahead: f64,
    pub(super) ahead_low: f64,
    pub(super) ahead_high: f64,
    pub(super) p: f64,
    /// In the family of all differences.
    pub(super) p_holm: f64,
    /// The two one-sided tests within the margin, in the same family.
    pub(super) p_equivalence: f64,
    /// tied, better, worse, equivalent, not-in-family, only-these or open.
    pub(super) verdict: &'static str,
    /// How many seeds would settle the order; null where none would, or nothing is known.
    pub(super) seeds_needed: Option<usize>,
}

/// McNemar's exact test of the models of one seed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DisagreementRow {
    pub(super) arm: usize,
    pub(super) other: usize,
    pub(super) seed: u64,
    pub(super) only_arm_right: usize,
    pub(super) only_other_right: usize,
    pub(super) p: f64,
}

/// A planned trial.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct TrialRow<'a> {
    pub(super) trial: &'a str,
    pub(super) arm: usize,
    pub(super) seed: u64,
    /// finished, failed or not-run.
    pub(super) state: &'static str,
    pub(super) reason: Option<&'a str>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) validation_accuracy: Option<f64>,
    pub(super) test_loss: Option<f64>,
    pub(super) chosen_epoch: Option<usize>,
    pub(super) wall_seconds: Option<f64>,
    /// What of the sweep's time is its: of what it had in common with others its part.
    pub(super) share_seconds: Option<f64>,
    /// How many trials advanced together, itself included.
    pub(super) together: Option<usize>,
    pub(super) training_seconds: Option<f64>,
    pub(super) evaluation_seconds: Option<f64>,
    pub(super) processor_seconds: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
}

/// When an arm reached a level of validation accuracy.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ReachedRow {
    pub(super) arm: usize,
    pub(super) level: f64,
    pub(super) seeds_reached: usize,
    /// The mean over the seeds, where all reached it.
    pub(super) seconds: Option<f64>,
    pub(super) with_pretraining_seconds: Option<f64>,
}

/// Test images of one class, over all seeds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClassRow<'a> {
    pub(super) arm: usize,
    pub(super) class: usize,
    pub(super) name: &'a str,
    pub(super) images: usize,
    pub(super) right: usize,
}

/// Test images of one class that were taken for one class, over all seeds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ConfusionRow {
    pub(super) arm: usize,
    pub(super) class: u32,
    pub(super) predicted: u32,
    pub(super) images: usize,
}

/// Test images whose predicted class has a probability of one bin, over all seeds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct BinRow {
    pub(super) arm: usize,
    /// Above this, up to `high`.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) images: usize,
    pub(super) right: usize,
    /// The mean probability.
    pub(super) confidence: f64,
}

/// Values that were tried for an arm.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CandidateRow<'a> {
    pub(super) arm: usize,
    pub(super) trial: &'a str,
    /// The tuned keys with its values.
    pub(super) values: &'a str,
    pub(super) validation_accuracy: Option<f64>,
    pub(super) wall_seconds: Option<f64>,
    pub(super) chosen: bool,
    /// Whether all candidates of the arm are tried.
    pub(super) decided: bool,
}

/// A pretraining of one seed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PretrainingRow<'a> {
    pub(super) trunk: &'a str,
    pub(super) name: &'a str,
    pub(super) method: &'a str,
    pub(super) model: &'a str,
    pub(super) seed: u64,
    pub(super) finished: bool,
    pub(super) epochs: usize,
    pub(super) chosen_epoch: Option<usize>,
    pub(super) wall_seconds: f64,
}

/// A claimed number beside what one arm measured.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClaimRow<'a> {
    pub(super) claim: &'a str,
    pub(super) about: &'a str,
    /// test-accuracy or minutes.
    pub(super) quantity: &'static str,
    pub(super) claimed: f64,
    pub(super) measured: Option<f64>,
    pub(super) seeds: usize,
    /// no-trial, not-measured, within-seeds, within-images, beyond, other-machine or not-comparable.
    pub(super) verdict: &'static str,
}
