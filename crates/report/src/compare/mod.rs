//! The comparison: [`Comparison`] puts stored trials together into [`Arm`]s, which differ in more than the seed, and
//! derives what is said of them. It formats and writes nothing.

mod claims;
mod floor;
mod reaching;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

pub use claims::{Finding, Quantity, Verdict};
pub use floor::Floor;
pub use reaching::Reached;
pub use statistics::{deviation, interval, mean, pareto_front, sampling_error};

use frostline_experiment::{Plan, Trial};
use frostline_results::{Outcome, Results, Seconds, Status, StoredTrial};

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
    /// The same of training alone: forward, backward and optimizer steps.
    pub training_ratio: Option<f64>,
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

    /// The mean wall time of the pretrainings that its trials start from, which is no part of theirs.
    pub fn pretraining(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.pretraining.as_ref()?.wall_seconds)))
    }

    /// What its trials cost by the clock, by seed: their wall time and that of the pretraining that they start from, in full, as it
    /// is had for no less.
    pub fn total_seconds(&self) -> Vec<f64> {
        let before =
            |outcome: &Outcome| outcome.pretraining.as_ref().map_or(0.0, |before| before.wall_seconds);
        self.values(|outcome| Some(outcome.seconds.wall + before(outcome)))
    }

    /// The mean of [`Arm::total_seconds`].
    pub fn total(&self) -> Option<f64> {
        mean(&self.total_seconds())
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
        let stored: BTreeMap<&str, &StoredTrial> =
            results.trials.iter().map(|s| (s.trial.id.as_str(), s)).collect();
        let mut arms = arms(&results.plan, &stored);
        for index in 0..arms.len() {
            arms[index].time_ratio = baseline(&results.plan, &arms, index).and_then(|full| {
                mean(&ratios(&arms[index], full, |seconds| seconds.wall)) // within seeds, so that what drifts with time cancels
            });
            arms[index].training_ratio = baseline(&results.plan, &arms, index)
                .and_then(|full| mean(&ratios(&arms[index], full, |seconds| seconds.train)));
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
                training_ratio: None,
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
/// apart. A key that the model settles, such as weights of its own, tells nothing more.
fn distinguishing_keys(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
    let several = |key: &str| {
        let mut values: BTreeMap<&str, BTreeSet<Option<String>>> = BTreeMap::new();
        for trial in &plan.trials {
            values.entry(&trial.model).or_default().insert(trial.value_of(key));
        }
        values.values().any(|values| values.len() > 1)
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
        let axes =
            plan.axes.iter().map(|axis| axis.key.as_str()).filter(|key| !["strategy", "seed"].contains(key));
        other.model == trial.model && axes.into_iter().all(|key| other.value_of(key) == trial.value_of(key))
    };
    arms.iter().find(|arm| arm.trial().strategy == "full" && same(arm.trial()))
}

/// A time of an arm's trials over that of another's, within seeds.
fn ratios(arm: &Arm<'_>, full: &Arm<'_>, time: fn(&Seconds) -> f64) -> Vec<f64> {
    let ratio = |run: &Run<'_>| {
        Some(time(&run.finished()?.seconds) / time(&full.finished(run.trial.seed)?.seconds))
            .filter(|r| r.is_finite())
    };
    arm.runs.iter().filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use frostline_experiment::Axis;
    use frostline_results::samples::{claim, failed, plan, results};

    use super::*;

    #[test]
    fn arms_hold_their_seeds_and_the_most_accurate_comes_first() {
        let mut plan = plan(&["resnet18", "alexnet"], &["full", "head"], 3);
        plan.claims = vec![claim()];
        let wall = |t: &Trial| match (t.strategy.as_str(), t.seed) {
            ("full", seed) => 10.0 * (seed + 1) as f64,
            (_, seed) => [2.0, 6.0, 15.0][seed as usize],
        };
        let accuracy = |t: &Trial| if t.model == "alexnet" { 0.9 } else { 0.5 + 0.1 * t.seed as f64 };
        let mut results = results(plan, |t| (accuracy(t), wall(t)));
        let broken =
            results.trials.iter_mut().find(|s| s.trial.model == "alexnet" && s.trial.strategy == "head");
        let broken = broken.unwrap();
        broken.outcome = failed(&broken.trial, "no reason").outcome;
        let comparison = Comparison::of(&results);
        let labels: Vec<&str> = comparison.arms.iter().map(|arm| arm.label.as_str()).collect();
        assert_eq!(labels, ["alexnet · full", "alexnet · head", "resnet18 · full", "resnet18 · head"]);
        let head = &comparison.arms[1];
        assert_eq!((head.variant.as_str(), head.number, head.accuracies()), ("head", 2, vec![0.9, 0.9]));
        assert_eq!(head.runs[0].failure(), Some("no reason"));
        // Seeds 1 and 2: (6 / 20 + 15 / 30) / 2 = 0.4; the failed seed 0 has no part in it.
        assert!((head.time_ratio.unwrap() - 0.4).abs() < 1e-12);
        // Seeds 0 to 2: (0.2 + 0.3 + 0.5) / 3.
        assert!((comparison.arms[3].time_ratio.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        let differences = comparison.arms[0].paired_differences(&comparison.arms[2]);
        assert!(
            differences.iter().zip([0.4, 0.3, 0.2]).all(|(a, b)| (a - b).abs() < 1e-12),
            "{differences:?}"
        );
        assert_eq!(comparison.test_images, Some(360));
        // 20 s on average against 10 minutes.
        assert_eq!(comparison.verdicts[1].finding, Finding::OtherMachine { ratio: 20.0 / 60.0 / 10.0 });
        assert_eq!(comparison.verdicts[0].about, "resnet18 · full");
    }

    #[test]
    fn labels_show_every_axis_that_varies_and_no_other() {
        let mut plan = plan(&["resnet18"], &["full"], 2);
        let other: Vec<Trial> = plan
            .trials
            .iter()
            .cloned()
            .map(|mut trial| {
                trial.train.learning_rate = 0.01;
                trial.sealed()
            })
            .collect();
        plan.trials.extend(other);
        let values = vec!["0.001".to_owned(), "0.01".to_owned()];
        plan.axes.push(Axis { key: "learning-rate".to_owned(), values });
        plan.axes.push(Axis { key: "batch".to_owned(), values: vec!["64".to_owned()] });
        let results = results(plan, |t| (t.train.learning_rate, 1.0));
        let comparison = Comparison::of(&results);
        assert_eq!(comparison.arms[0].label, "resnet18 · full · learning-rate 0.01");
        assert_eq!(comparison.arms[0].variant, "learning-rate 0.01");
        assert_eq!(
            (comparison.arms[0].place.clone(), comparison.arms[1].place.clone()),
            (vec![0, 0, 1, 0], vec![0, 0, 0, 0])
        );
    }

    #[test]
    fn labels_leave_out_what_the_model_settles() {
        let mut plan = plan(&["resnet18", "alexnet"], &["full", "head"], 1);
        for trial in &mut plan.trials {
            trial.weights = format!("hub:someone/{}/model.safetensors", trial.model);
        }
        let values = plan.trials.iter().map(|trial| trial.weights.clone()).collect();
        plan.axes.push(Axis { key: "weights".to_owned(), values });
        let results = results(plan, |_| (0.5, 1.0));
        assert_eq!(Comparison::of(&results).arms[0].label, "resnet18 · full");
    }

    #[test]
    fn what_no_cell_asks_for_is_left_out_and_told() {
        let mut results = results(plan(&["resnet18"], &["full", "head"], 1), |_| (0.5, 1.0));
        results.plan.trials.retain(|trial| trial.strategy == "full");
        let comparison = Comparison::of(&results);
        assert_eq!((comparison.arms.len(), comparison.outside.len()), (1, 1));
    }
}
