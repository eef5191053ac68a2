//! What an arm's values were chosen from: [`Tuning`].

use std::collections::BTreeMap;

use frostline_experiment::{Choice, Family, Plan, Trial, Tried, Tune};
use frostline_results::StoredTrial;

use super::Run;

/// How an arm came to its values.
#[derive(Clone, Debug)]
pub struct Tuning<'a> {
    /// What was tried, in the order of the file.
    pub candidates: Vec<Candidate<'a>>,
    /// Whether all are tried; else the arm is shown with the best so far, or the first.
    pub decided: bool,
}

/// Values that were tried on one seed.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The tuned keys with its values.
    pub values: Vec<(&'a str, String)>,
    /// The trial that tried them.
    pub run: Run<'a>,
    /// Whether the arm has these values.
    pub chosen: bool,
}

impl Tuning<'_> {
    /// The wall time of the candidates that were not chosen; they would not have been trained but for the choice.
    pub fn seconds(&self) -> f64 {
        let others = self.candidates.iter().filter(|candidate| !candidate.chosen);
        others.filter_map(|candidate| Some(candidate.run.stored?.outcome.seconds.wall)).sum()
    }
}

/// The tunings of a plan's arms.
pub(super) struct Tunings<'a> {
    tune: Option<&'a Tune>,
    /// By the arm that was chosen.
    arms: BTreeMap<String, Tuning<'a>>,
}

impl<'a> Tunings<'a> {
    /// Whether a trial is one of an arm, and not of values that were not chosen.
    pub(super) fn is_of_an_arm(&self, trial: &Trial) -> bool {
        self.tune.is_none() || self.arms.contains_key(&trial.arm())
    }

    /// How an arm came to its values; none where it had no choice.
    pub(super) fn of(&self, arm: &str) -> Option<Tuning<'a>> {
        self.arms.get(arm).filter(|tuning| tuning.candidates.len() > 1).cloned()
    }
}

pub(super) fn tunings<'a>(plan: &'a Plan, stored: &BTreeMap<&str, &'a StoredTrial>) -> Tunings<'a> {
    let mut all = Tunings { tune: plan.tune.as_ref(), arms: BTreeMap::new() };
    let Some(tune) = &plan.tune else { return all };
    for family in tune.families(plan) {
        let (shown, decided) = shown(&family, stored);
        let Some(shown) = shown else { continue };
        let candidate = |trial: &&'a Trial| Candidate {
            values: tune.values(trial),
            run: Run { trial, stored: stored.get(trial.id.as_str()).copied() },
            chosen: trial.id == shown.id,
        };
        let candidates = family.candidates.iter().map(candidate).collect();
        all.arms.insert(shown.arm(), Tuning { candidates, decided });
    }
    all
}

/// The candidate that an arm is shown with, and whether that is decided.
fn shown<'a>(family: &Family<'a>, stored: &BTreeMap<&str, &StoredTrial>) -> (Option<&'a Trial>, bool) {
    let tried = |trial: &Trial| stored.get(trial.id.as_str()).map_or(Tried::Not, |stored| stored.tried());
    let first = family.candidates.first().copied();
    match family.choose(tried) {
        Choice::Of(trial) => (Some(trial), true),
        Choice::Nothing => (first, true),
        Choice::Open => {
            let known = family.candidates.iter().copied().filter(|trial| tried(trial) != Tried::Not);
            match (Family { candidates: known.collect(), trials: Vec::new() }).choose(tried) {
                Choice::Of(trial) => (Some(trial), false),
                _ => (first, false),
            }
        }
    }
}
