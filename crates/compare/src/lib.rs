//! The comparison: [`Comparison`] puts stored trials together into [`Arm`]s, which differ in more than the seed, and
//! derives what may be said of them: [`Pair`]s of arms with their uncertainty, [`Rank`]s, [`Verdict`]s on claims. It formats and
//! writes nothing, and the same results give the same numbers.

mod arm;
mod changes;
mod claims;
mod crossed;
mod floor;
mod gallery;
#[cfg(test)]
mod golden;
mod hypotheses;
mod pairs;
mod ranks;
mod reaching;
mod resampling;
mod statistics;
#[cfg(test)]
mod tests;
mod tuning;

use std::collections::{BTreeMap, BTreeSet};

pub use arm::{Arm, Run};
pub use changes::{Change, Changes, Ratio};
pub use claims::{Finding, Quantity, Verdict};
pub use crossed::{Crossed, ENOUGH_SEEDS, Needed};
pub use floor::Floor;
pub use gallery::Gallery;
pub use hypotheses::{holm, mcnemar};
pub use pairs::{Disagreement, LEVEL, Pair, Standing};
pub use ranks::Rank;
pub use reaching::Reached;
pub use resampling::{Influences, bca};
pub use statistics::{deviation, interval, mean, pareto_front, wilson};
pub use tuning::{Candidate, Tuning};

use frostline_experiment::{Plan, Trial};
use frostline_results::{Results, Seconds, StoredTrial};
use rayon::prelude::*;

use resampling::Resampled;

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
    /// Every measured arm against the most accurate, and against its baseline, each pair once. One family of comparisons.
    pub pairs: Vec<Pair>,
    /// By arm, its place among all; none of arms that were not measured, or on other images than the most accurate.
    pub ranks: Vec<Option<Rank>>,
    /// Within how many points arms are as good as equal.
    pub margin: f64,
    /// What an arm's baseline is, as (key, value).
    pub baseline: &'a [(String, String)],
}

impl<'a> Comparison<'a> {
    /// Compares what is stored of the plan's trials.
    pub fn of(results: &'a Results) -> Self {
        let planned: BTreeSet<&str> = results.plan.trials.iter().map(|trial| trial.id.as_str()).collect();
        let stored: BTreeMap<&str, &StoredTrial> =
            results.trials.iter().map(|s| (s.trial.id.as_str(), s)).collect();
        let mut arms = arms(&results.plan, &stored);
        arms.sort_by(|a, b| b.accuracy().unwrap_or(-1.0).total_cmp(&a.accuracy().unwrap_or(-1.0)));
        for index in 0..arms.len() {
            let own = baseline(&results.plan, &arms, index);
            arms[index].number = index + 1;
            arms[index].baseline = own;
            let ratio = |time: fn(&Seconds) -> f64| mean(&ratios(&arms[index], &arms[own?], time)); // within seeds, so that drift cancels
            let both = (ratio(|seconds| seconds.wall), ratio(|seconds| seconds.train));
            (arms[index].time_ratio, arms[index].training_ratio) = both;
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
            pairs: Vec::new(),
            ranks: Vec::new(),
            margin: results.plan.margin,
            baseline: &results.plan.baseline,
        };
        comparison.hold_against_each_other();
        comparison.verdicts =
            results.plan.claims.iter().flat_map(|claim| claims::check(claim, &comparison)).collect();
        comparison
    }

    /// All planned trials, arm by arm, without the candidates that were not chosen.
    pub fn runs(&self) -> impl Iterator<Item = (&Arm<'a>, &Run<'a>)> {
        self.arms.iter().flat_map(|arm| arm.runs.iter().map(move |run| (arm, run)))
    }

    /// Fills in pairs and ranks.
    fn hold_against_each_other(&mut self) {
        let (mut answers, mut places) = (Vec::new(), BTreeMap::new());
        for (_, run) in self.runs() {
            if let Some(stored) = run.stored.filter(|_| run.finished().is_some()) {
                places.insert(run.trial.id.as_str(), answers.len());
                answers.push(Some(&stored.answers.right));
            }
        }
        let seeds: BTreeSet<u64> = self.runs().map(|(_, run)| run.trial.seed).collect();
        let drawn = Resampled::of(seeds.into_iter().collect(), &answers);
        let place = |run: &Run<'_>| places.get(run.trial.id.as_str()).copied();
        let wanted = self.wanted_pairs();
        let pair = |&(a, b): &(usize, usize)| {
            Pair::of((a, &self.arms[a]), (b, &self.arms[b]), &place, &drawn, self.margin / 100.0)
        };
        let mut pairs: Vec<Pair> = wanted.par_iter().filter_map(pair).collect();
        pairs::adjust(&mut pairs);
        let alike = |arm: &Arm<'_>| {
            let both = self.arms.first().and_then(|best| best.answered().next()).zip(arm.answered().next());
            both.is_some_and(|(best, own)| pairs::on_the_same_images(best, own))
        };
        let ranked: Vec<usize> = (0..self.arms.len()).filter(|&index| alike(&self.arms[index])).collect();
        let means = ranked.par_iter().map(|&index| {
            let runs = self.arms[index].runs.iter();
            drawn.means(&runs.filter_map(|run| Some((run.trial.seed, place(run)?))).collect::<Vec<_>>())
        });
        let mut of_arms = vec![None; self.arms.len()];
        for (index, rank) in ranked.iter().zip(ranks::ranks(&means.collect::<Vec<_>>())) {
            of_arms[*index] = Some(rank);
        }
        (self.pairs, self.ranks) = (pairs, of_arms);
    }

    /// Each measured arm with the most accurate, and with its baseline, the less accurate first; each pair once.
    fn wanted_pairs(&self) -> Vec<(usize, usize)> {
        let measured = self.measured().len(); // they come first
        let mut pairs: BTreeSet<(usize, usize)> = (1..measured).map(|arm| (arm, 0)).collect();
        let baselines = (0..measured).filter_map(|arm| Some((arm, self.arms[arm].baseline?)));
        pairs.extend(
            baselines
                .filter(|(arm, base)| arm != base && *base < measured)
                .map(|(arm, base)| (arm.max(base), arm.min(base))),
        );
        pairs.into_iter().collect()
    }

    /// The mean over an arm's trials of their wall time and their part of the pretraining that they start from, which all finished
    /// trials that start from it share alike, and of the arm's tuning.
    pub fn total_shared(&self, arm: &Arm<'_>) -> Option<f64> {
        let sharing = |trunk: &str| {
            let of = |run: &Run<'_>| {
                run.finished()
                    .and_then(|outcome| outcome.pretraining.as_ref())
                    .is_some_and(|p| p.trunk == trunk)
            };
            self.runs().filter(|(_, run)| of(run)).count()
        };
        let finished = arm.runs.iter().filter(|run| run.finished().is_some()).count();
        let tuning = arm.tuning_seconds() / finished.max(1) as f64;
        mean(&arm.values(|outcome| {
            let before = outcome.pretraining.as_ref();
            let part = before.map_or(0.0, |before| before.wall_seconds / sharing(&before.trunk) as f64);
            Some(outcome.seconds.wall + part + tuning)
        }))
    }

    /// An arm against another, whichever of the two was held against the other.
    pub fn pair(&self, arm: usize, other: usize) -> Option<Pair> {
        let find = |a, b| self.pairs.iter().find(|pair| (pair.arm, pair.other) == (a, b));
        find(arm, other).cloned().or_else(|| find(other, arm).map(Pair::reversed))
    }

    /// The difference of any two arms, first less second; none where they share no seed on the same images.
    pub fn difference(&self, arm: &Arm<'_>, other: &Arm<'_>) -> Option<Crossed> {
        pairs::difference(arm, other)
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
    let tuned = tuning::tunings(plan, stored);
    for trial in plan.trials.iter().filter(|trial| tuned.is_of_an_arm(trial)) {
        let place = *places.entry(trial.arm()).or_insert_with(|| {
            arms.push(Arm {
                number: 0,
                label: label(trial, &keys),
                model: &trial.model,
                variant: label(trial, &variants),
                place: place_in_grid(plan, trial),
                runs: Vec::new(),
                baseline: None,
                time_ratio: None,
                training_ratio: None,
                tuning: tuned.of(&trial.arm()),
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
        Some(match *key {
            "model" | "strategy" => value,
            "weights" if value == "none" => "random weights".to_owned(),
            "weights" if value.contains(':') => value,
            _ => format!("{key} {value}"),
        })
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

/// The place of the arm that is what the plan takes for a baseline and agrees with the given one in every other axis but the seed.
fn baseline(plan: &Plan, arms: &[Arm<'_>], index: usize) -> Option<usize> {
    let trial = arms[index].trial();
    let named = |key: &str| plan.baseline.iter().any(|(name, _)| name == key);
    let mut keys: Vec<&str> = plan.axes.iter().map(|axis| axis.key.as_str()).collect();
    keys.push("model");
    keys.retain(|key| *key != "seed" && !named(key));
    let fits = |other: &Trial| {
        plan.baseline.iter().all(|(key, value)| other.value_of(key).as_ref() == Some(value))
            && keys.iter().all(|key| other.value_of(key) == trial.value_of(key))
    };
    arms.iter().position(|arm| fits(arm.trial()))
}

/// A time of an arm's trials over that of another's, within seeds.
fn ratios(arm: &Arm<'_>, base: &Arm<'_>, time: fn(&Seconds) -> f64) -> Vec<f64> {
    let ratio = |run: &Run<'_>| {
        Some(time(&run.finished()?.seconds) / time(&base.finished(run.trial.seed)?.seconds))
            .filter(|r| r.is_finite())
    };
    arm.runs.iter().filter_map(ratio).collect()
}
