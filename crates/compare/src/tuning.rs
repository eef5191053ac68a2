//! What an arm's values were chosen from: [`Tuning`].

use std::collections::{BTreeMap, BTreeSet};

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
    pub values: String,
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
    /// Arms whose candidates all failed, of which no other seed is trained.
    given_up: BTreeSet<String>,
}

impl<'a> Tunings<'a> {
    /// Whether a trial is one of an arm, and not of values that were not chosen.
    pub(super) fn is_of_an_arm(&self, trial: &Trial) -> bool {
        let Some(tune) = self.tune else { return true };
        let arm = trial.arm();
        self.arms.contains_key(&arm) && (trial.seed == tune.seed || !self.given_up.contains(&arm))
    }

    /// How an arm came to its values; none where it had no choice.
    pub(super) fn of(&self, arm: &str) -> Option<Tuning<'a>> {
        self.arms.get(arm).filter(|tuning| tuning.candidates.len() > 1).cloned()
    }
}

pub(super) fn tunings<'a>(plan: &'a Plan, stored: &BTreeMap<&str, &'a StoredTrial>) -> Tunings<'a> {
    let mut all = Tunings { tune: plan.tune.as_ref(), arms: BTreeMap::new(), given_up: BTreeSet::new() };
    let Some(tune) = &plan.tune else { return all };
    for family in tune.families(plan) {
        let (shown, choice) = shown(&family, stored);
        let Some(shown) = shown else { continue };
        let decided = choice != Choice::Open;
        if choice == Choice::Nothing {
            all.given_up.insert(shown.arm());
        }
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

/// The candidate that an arm is shown with: what is chosen, else the best so far or the first. And the choice.
fn shown<'a>(family: &Family<'a>, stored: &BTreeMap<&str, &StoredTrial>) -> (Option<&'a Trial>, Choice<'a>) {
    let tried = |trial: &Trial| stored.get(trial.id.as_str()).map_or(Tried::Not, |stored| stored.tried());
    let choice = family.choose(tried);
    let known = || family.candidates.iter().copied().filter(|trial| tried(trial) != Tried::Not).collect();
    let so_far = match choice {
        Choice::Open => Family { candidates: known(), trials: Vec::new() }.choose(tried),
        decided => decided,
    };
    match so_far {
        Choice::Of(trial) => (Some(trial), choice),
        Choice::Open | Choice::Nothing => (family.candidates.first().copied(), choice),
    }
}
