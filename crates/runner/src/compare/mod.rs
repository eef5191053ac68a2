//! The comparison: [`Comparison`] puts stored trials together into [`Arm`]s, which differ in more than the seed, and
//! derives what is said of them. It formats and writes nothing.

mod claims;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

pub use claims::{Finding, Quantity, Verdict};
pub use statistics::{deviation, interval, mean, pareto_front, sampling_error};

use crate::plan::{Plan, Trial};
use crate::results::{Outcome, Results, Status, StoredTrial};

/// An experiment's arms, and its claims held against them.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The most accurate first; those without a finished trial last, in the plan's order.
    pub arms: Vec<Arm<'a>>,
    /// One per claimed number and arm, in the order of the claims.
    pub verdicts: Vec<Verdict>,
    /// Images of the test split; none where nothing tells or where arms were tested on different numbers of images.
    pub test_images: Option<usize>,
    /// Stored trials that no cell of the plan asks for.
    pub outside: Vec<&'a StoredTrial>,
}

/// Trials that differ only in the seed.
#[derive(Clone, Debug)]
pub struct Arm<'a> {
    /// Its place in [`Comparison::arms`], from 1.
    pub number: usize,
    /// What tells it from the other arms, for instance `resnet18 · last-1`.
    pub label: String,
    /// The model.
    pub model: &'a str,
    /// The label without the model, and without a strategy that all arms have; for instance `last-1`.
    pub variant: String,
    /// Where its values stand in the grid's axes but for the seed: the order of the experiment file.
    pub place: Vec<usize>,
    /// By seed.
    pub runs: Vec<Run<'a>>,
    /// Wall time over that of the arm with strategy `full` that is otherwise the same in every axis: the mean of the
    /// ratios within seeds; none without such an arm or a common seed.
    pub time_ratio: Option<f64>,
}

/// One trial of an arm.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// As planned.
    pub trial: &'a Trial,
    /// As stored; none where it has not run.
    pub stored: Option<&'a StoredTrial>,
}

impl<'a> Run<'a> {
    /// The outcome, where the trial finished.
    pub fn finished(&self) -> Option<&'a Outcome> {
        self.stored.map(|stored| &stored.outcome).filter(|outcome| outcome.status == Status::Finished)
    }

    /// Why it failed, where it did.
    pub fn failure(&self) -> Option<&'a str> {
        match &self.stored?.outcome.status {
            Status::Finished => None,
            Status::Failed { reason } => Some(reason),
        }
    }
}

impl<'a> Arm<'a> {
    /// A quantity of every finished trial that has it, by seed.
    pub fn values(&self, of: impl Fn(&'a Outcome) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.finished().and_then(&of)).collect()
    }

    /// Test accuracies by seed, in [0, 1].
    pub fn accuracies(&self) -> Vec<f64> {
        self.values(|outcome| outcome.test_accuracy)
    }

    /// Wall times by seed.
    pub fn wall_seconds(&self) -> Vec<f64> {
        self.values(|outcome| Some(outcome.seconds.wall))
    }

    /// The mean test accuracy, in [0, 1].
    pub fn accuracy(&self) -> Option<f64> {
        mean(&self.accuracies())
    }

    /// The mean wall time.
    pub fn wall(&self) -> Option<f64> {
        mean(&self.wall_seconds())
    }

    /// The trial of a seed, where it finished.
    pub fn finished(&self, seed: u64) -> Option<&'a Outcome> {
        self.runs.iter().find(|run| run.trial.seed == seed).and_then(Run::finished)
    }

    /// The first trial; arms are never empty.
    pub fn trial(&self) -> &'a Trial {
        self.runs[0].trial
    }

    /// Differences of test accuracy to another arm within the seeds that both finished, in [-1, 1].
    pub fn paired_differences(&self, other: &Arm<'_>) -> Vec<f64> {
        let difference = |run: &Run<'_>| {
            Some(run.finished()?.test_accuracy? - other.finished(run.trial.seed)?.test_accuracy?)
        };
        self.runs.iter().filter_map(difference).collect()
    }
}

impl<'a> Comparison<'a> {
    /// Compares what is stored of the plan's trials.
    pub fn of(results: &'a Results) -> Self {
        let planned: BTreeSet<&str> = results.plan.trials.iter().map(|trial| trial.id.as_str()).collect();
        let stored: BTreeMap<&str, &StoredTrial> = results.trials.iter().map(|s| (s.trial.id.as_str(), s)).collect();
        let mut arms = arms(&results.plan, &stored);
        for index in 0..arms.len() {
            arms[index].time_ratio = baseline(&results.plan, &arms, index).and_then(|full| {
                mean(&wall_ratios(&arms[index], full)) // within seeds, so that what drifts with time cancels
            });
        }
        arms.sort_by(|a, b| b.accuracy().unwrap_or(-1.0).total_cmp(&a.accuracy().unwrap_or(-1.0)));
        for (index, arm) in arms.iter_mut().enumerate() {
            arm.number = index + 1;
        }
        let tested: BTreeSet<usize> = results
            .trials
            .iter()
            .filter(|stored| planned.contains(stored.trial.id.as_str()))
            .filter_map(|stored| stored.outcome.data.as_ref().map(|data| data.test))
            .collect();
        let mut comparison = Self {
            arms,
            verdicts: Vec::new(),
            test_images: tested.first().copied().filter(|_| tested.len() == 1),
            outside: results.trials.iter().filter(|s| !planned.contains(s.trial.id.as_str())).collect(),
        };
        comparison.verdicts =
            results.plan.claims.iter().flat_map(|claim| claims::check(claim, &comparison)).collect();
        comparison
    }

    /// All planned trials, arm by arm.
    pub fn runs(&self) -> impl Iterator<Item = (&Arm<'a>, &Run<'a>)> {
        self.arms.iter().flat_map(|arm| arm.runs.iter().map(move |run| (arm, run)))
    }

    /// The arms with at least one finished and tested trial, the most accurate first.
    pub fn measured(&self) -> Vec<&Arm<'a>> {
        self.arms.iter().filter(|arm| arm.accuracy().is_some()).collect()
    }
}

/// The plan's trials by arm, arms in the order in which the plan names them first, runs by seed.
fn arms<'a>(plan: &'a Plan, stored: &BTreeMap<&str, &'a StoredTrial>) -> Vec<Arm<'a>> {
    let (keys, variants) = distinguishing_keys(plan);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut arms: Vec<Arm<'a>> = Vec::new();
    for trial in &plan.trials {
        let place = *places.entry(trial.arm()).or_insert_with(|| {
            arms.push(Arm {
                number: 0,
                label: label(trial, &keys),
                model: &trial.model,
                variant: label(trial, &variants),
                place: place_in_grid(plan, trial),
                runs: Vec::new(),
                time_ratio: None,
            });
            arms.len() - 1
        });
        arms[place].runs.push(Run { trial, stored: stored.get(trial.id.as_str()).copied() });
    }
    for arm in &mut arms {
        arm.runs.sort_by_key(|run| run.trial.seed);
    }
    arms
}

/// The keys that an arm's label shows (model and strategy always), and those of them that tell the arms of one model
/// apart.
fn distinguishing_keys(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
    let several = |key: &str| {
        let values: BTreeSet<Option<String>> = plan.trials.iter().map(|trial| trial.value_of(key)).collect();
        values.len() > 1
    };
    let axes = plan.axes.iter().map(|axis| axis.key.as_str());
    let others: Vec<&str> =
        axes.filter(|key| !["model", "strategy", "seed"].contains(key) && several(key)).collect();
    let strategy = if several("strategy") || others.is_empty() { vec!["strategy"] } else { vec![] };
    ([vec!["model", "strategy"], others.clone()].concat(), [strategy, others].concat())
}

fn label(trial: &Trial, keys: &[&str]) -> String {
    let part = |key: &&str| {
        let value = trial.value_of(key)?;
        Some(if ["model", "strategy"].contains(key) { value } else { format!("{key} {value}") })
    };
    keys.iter().filter_map(part).collect::<Vec<_>>().join(" · ")
}

fn place_in_grid(plan: &Plan, trial: &Trial) -> Vec<usize> {
    let axes = plan.axes.iter().filter(|axis| axis.key != "seed");
    axes.map(|axis| {
        let value = trial.value_of(&axis.key);
        axis.values.iter().position(|v| Some(v) == value.as_ref()).unwrap_or(axis.values.len())
    })
    .collect()
}

/// The arm that trains everything and agrees with the given one in every axis but strategy and seed.
fn baseline<'b, 'a>(plan: &Plan, arms: &'b [Arm<'a>], index: usize) -> Option<&'b Arm<'a>> {
    let trial = arms[index].trial();
    let same = |other: &Trial| {
        let axes = plan.axes.iter().map(|axis| axis.key.as_str()).filter(|key| !["strategy", "seed"].contains(key));
        other.model == trial.model && axes.into_iter().all(|key| other.value_of(key) == trial.value_of(key))
    };
    arms.iter().find(|arm| arm.trial().strategy == "full" && same(arm.trial()))
}

fn wall_ratios(arm: &Arm<'_>, full: &Arm<'_>) -> Vec<f64> {
    let ratio = |run: &Run<'_>| {
        Some(run.finished()?.seconds.wall / full.finished(run.trial.seed)?.seconds.wall).filter(|r| r.is_finite())
    };
    arm.runs.iter().filter_map(ratio).collect()
}
