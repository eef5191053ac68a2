//! Choosing values for each arm, where an experiment asks for it: [`Tune`]. On the first seed every value is tried, and the other seeds
//! train with the one that validates best. So arms are compared each at its best, and what that cost can be counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::trial::keys;
use crate::{Axis, Plan, Trial};

/// The keys that each arm chooses values for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tune {
    /// The keys with the values that are tried, in the order of the file.
    pub axes: Vec<Axis>,
    /// The seed that they are tried on.
    pub seed: u64,
}

/// Trials that are the same but for the seed and the tuned keys.
#[derive(Clone, Debug)]
pub struct Family<'a> {
    /// Those of the seed that values are tried on, in the order of the file's values; one where a tuned key has no effect.
    pub candidates: Vec<&'a Trial>,
    /// All of them, in the plan's order.
    pub trials: Vec<&'a Trial>,
}

/// What came of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tried {
    /// It is not stored.
    Not,
    /// It failed, or nothing was validated.
    Failed,
    /// It finished.
    Validated {
        /// Of the chosen epoch, in [0, 1].
        accuracy: f64,
        /// Of the same epoch, where it is known.
        loss: Option<f64>,
    },
}

/// What a family has chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice<'a> {
    /// Some candidates are not stored yet.
    Open,
    /// All candidates failed.
    Nothing,
    /// The values of this candidate.
    Of(&'a Trial),
}

impl Tune {
    /// The families of a plan, in the order in which it names them first.
    pub fn families<'a>(&self, plan: &'a Plan) -> Vec<Family<'a>> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut families: Vec<Family<'a>> = Vec::new();
        for trial in &plan.trials {
            let place = *places.entry(self.family(trial)).or_insert_with(|| {
                families.push(Family { candidates: Vec::new(), trials: Vec::new() });
                families.len() - 1
            });
            families[place].trials.push(trial);
            if trial.seed == self.seed {
                families[place].candidates.push(trial);
            }
        }
        for family in &mut families {
            family.candidates.sort_by_cached_key(|trial| self.place(trial));
        }
        families
    }

    /// The values that a trial has for the tuned keys: `learning-rate 0.01, weight-decay 0`.
    pub fn values(&self, trial: &Trial) -> String {
        let used = self.axes.iter().filter(|axis| trial.uses(&axis.key));
        let values = used.filter_map(|axis| Some(format!("{} {}", axis.key, trial.value_of(&axis.key)?)));
        values.collect::<Vec<_>>().join(", ")
    }

    /// The trials that need not be trained, by id: those whose family has chosen other values, or has none to choose; where it is not
    /// decided, all but the first candidate's, as one of them will be.
    pub fn unchosen<'a>(&self, plan: &'a Plan, tried: impl Fn(&Trial) -> Tried) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        for family in self.families(plan) {
            let chosen = match family.choose(&tried) {
                Choice::Open => family.candidates.first().map(|trial| trial.arm()),
                Choice::Nothing => None,
                Choice::Of(trial) => Some(trial.arm()),
            };
            let others = family.trials.iter().filter(|trial| trial.seed != self.seed);
            all.extend(others.filter(|trial| Some(trial.arm()) != chosen).map(|trial| trial.id.as_str()));
        }
        all
    }

    /// What trials share that are of one family.
    fn family(&self, trial: &Trial) -> String {
        let mut one = trial.clone();
        for axis in &self.axes {
            if let (Some(key), Some(value)) = (keys::key(&axis.key), axis.values.first()) {
                // The plan's own values can be set.
                let _ = key.set(&mut one, value);
            }
        }
        one.sealed().arm()
    }

    /// Where a trial's values stand among those that are tried.
    fn place(&self, trial: &Trial) -> Vec<usize> {
        let place = |axis: &Axis| {
            let value = trial.value_of(&axis.key);
            axis.values.iter().position(|known| Some(known) == value.as_ref()).unwrap_or(axis.values.len())
        };
        self.axes.iter().map(place).collect()
    }

    /// What keeps a plan from being tuned; none where nothing does.
    pub(crate) fn problem(&self, plan: &Plan) -> Option<String> {
        if plan.halving.is_some() {
            return Some(
                "[halving] stops arms before their values are chosen, so an experiment has it or [tune]"
                    .to_owned(),
            );
        }
        for family in self.families(plan) {
            let tried: BTreeSet<String> = family.candidates.iter().map(|trial| trial.arm()).collect();
            if let Some(trial) = family.trials.iter().find(|trial| !tried.contains(&trial.arm())) {
                return Some(format!(
                    "values are tried on the first seed, {}, of which an [[except]] or an [[override]] leaves none like {}",
                    self.seed,
                    trial.label()
                ));
            }
        }
        let unvalidated = plan.trials.iter().any(|trial| trial.data.validation == 0.0);
        unvalidated.then(|| {
            "values are chosen on validation, so `validation` must be above 0 in all trials".to_owned()
        })
    }
}

impl<'a> Family<'a> {
    /// The candidate that validates best: the highest accuracy, of equals the lowest loss, of those the first in the file.
    pub fn choose(&self, tried: impl Fn(&Trial) -> Tried) -> Choice<'a> {
        let mut best: Option<(&'a Trial, (f64, f64))> = None;
        for candidate in &self.candidates {
            let score = match tried(candidate) {
                Tried::Not => return Choice::Open,
                Tried::Failed => continue,
                Tried::Validated { accuracy, loss } => (accuracy, -loss.unwrap_or(f64::INFINITY)),
            };
            if best.is_none_or(|(_, known)| score > known) {
                best = Some((candidate, score));
            }
        }
        best.map_or(Choice::Nothing, |(trial, _)| Choice::Of(trial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> (Plan, Tune) {
        let text = "question = \"q\"\n[data]\nsource = \"digits\"\n[grid]\nmodel = [\"resnet18\"]\nstrategy = [\"head\", \
                    \"full\", \"probe:ridge\"]\nseed = [3, 1]\n[tune]\nlearning-rate = [0.1, 0.01, 0.001]\n";
        let experiment =
            crate::Experiment::read(std::path::Path::new("x.toml"), text, &[]).expect("it is right");
        let plan = crate::expand(&experiment).expect("it is right");
        let tune = plan.tune.clone().expect("it tunes");
        (plan, tune)
    }

    #[test]
    fn a_family_is_an_arm_with_all_values_of_the_tuned_keys() {
        let (plan, tune) = plan();
        assert_eq!((plan.trials.len(), tune.seed), (2 * (3 + 3 + 1), 3), "a ridge has no rate");
        assert!(plan.axes.iter().all(|axis| axis.key != "learning-rate"));
        let families = tune.families(&plan);
        assert_eq!(families.len(), 3);
        for family in &families {
            let rates: Vec<f64> = family.candidates.iter().map(|trial| trial.train.learning_rate).collect();
            let probe = family.trials[0].fits();
            assert_eq!(rates, if probe { vec![0.001] } else { vec![0.1, 0.01, 0.001] });
            assert!(family.candidates.iter().all(|trial| trial.seed == 3));
            assert_eq!(family.trials.len(), 2 * rates.len());
            let values = tune.values(family.candidates[0]);
            assert_eq!(values, if probe { "" } else { "learning-rate 0.1" });
        }
    }

    #[test]
    fn the_best_on_validation_is_chosen_and_only_once_all_are_known() {
        let (plan, tune) = plan();
        let family = &tune.families(&plan)[0];
        let full = tune.families(&plan).into_iter().find(|family| family.trials.len() == 6).unwrap();
        let validated = |accuracy, loss| Tried::Validated { accuracy, loss: Some(loss) };
        let choose = |of: [Tried; 3]| {
            let tried = |trial: &Trial| {
                of[full.candidates.iter().position(|candidate| candidate.id == trial.id).unwrap()]
            };
            match full.choose(tried) {
                Choice::Of(trial) => Ok(trial.train.learning_rate),
                other => Err(other),
            }
        };
        assert_eq!(choose([validated(0.5, 1.0), validated(0.7, 1.0), Tried::Not]), Err(Choice::Open));
        assert_eq!(choose([validated(0.5, 1.0), validated(0.7, 1.0), Tried::Failed]), Ok(0.01));
        assert_eq!(choose([validated(0.7, 0.9), validated(0.7, 0.8), validated(0.6, 0.1)]), Ok(0.01));
        assert_eq!(choose([validated(0.7, 0.8), validated(0.7, 0.8), validated(0.7, 0.9)]), Ok(0.1));
        assert_eq!(choose([Tried::Failed; 3]), Err(Choice::Nothing));
        assert!(!family.candidates.is_empty());
    }

    #[test]
    fn other_seeds_train_with_what_was_chosen_and_with_nothing_else() {
        let (plan, tune) = plan();
        assert_eq!(tune.unchosen(&plan, |_| Tried::Not).len(), 2 + 2, "one of three will be chosen");
        let best = |trial: &Trial| Tried::Validated {
            accuracy: if trial.train.learning_rate == 0.01 { 0.9 } else { 0.8 },
            loss: None,
        };
        let unchosen = tune.unchosen(&plan, best);
        let left: Vec<&Trial> =
            plan.trials.iter().filter(|trial| !unchosen.contains(trial.id.as_str())).collect();
        assert_eq!(left.len(), 7 + 3);
        assert!(left.iter().filter(|t| t.seed == 1 && !t.fits()).all(|t| t.train.learning_rate == 0.01));
        assert_eq!(tune.unchosen(&plan, |_| Tried::Failed).len(), 7, "none of the other seed");
    }

    #[test]
    fn a_plan_that_cannot_be_tuned_is_refused_with_the_reason() {
        let read = |more: &str, tune: &str| {
            let text = format!(
                "question = \"q\"\n{more}[grid]\nmodel = [\"resnet18\"]\nstrategy = [\"head\", \"full\"]\nseed = [0, 1]\n[tune]\n{tune}\n"
            );
            let path = std::path::Path::new("x.toml");
            let found = crate::Experiment::read(path, &text, &[]).and_then(|read| crate::expand(&read));
            let told = |problems: crate::Problems| {
                problems.list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            };
            found.map(|_| ()).map_err(told)
        };
        let data = "[data]\nsource = \"digits\"\n";
        let rates = "learning-rate = [0.1, 0.01]";
        assert_eq!(read(data, rates), Ok(()));
        for (more, tune, said) in [
            (
                "[data]\nsource = \"digits\"\nvalidation = 0.0\n[train]\nkeep = \"last\"\n",
                rates,
                "chosen on validation",
            ),
            ("[data]\nsource = \"digits\"\n[halving]\nfirst = 1\n", rates, "it or [tune]"),
            (
                "[data]\nsource = \"digits\"\n[train]\nlearning-rate = 0.1\n",
                rates,
                "in [train] and in [tune]",
            ),
            (
                data,
                "learning-rate = [0.1, 0.01]\n[[except]]\nwhen = { strategy = \"full\", seed = 0 }",
                "leaves none like",
            ),
            (
                data,
                "learning-rate = [0.1, 0.01]\n[[except]]\nwhen = { learning-rate = 0.1, seed = 0 }",
                "leaves none like",
            ),
            (data, "learning-rate = [0.1]", "at least two values"),
            (data, "seed = [1, 2]", "cannot be tuned"),
            (data, "model = [\"resnet18\", \"alexnet\"]", "cannot be tuned"),
            (data, "validation-counts = [\"images\", \"classes\"]", "cannot be tuned"),
            (data, "learning-rat = [1, 2]", "unknown key `learning-rat` in [tune]"),
            (data, "learning-rate = [-0.1, 1.0]", "learning-rate"),
        ] {
            let error = read(more, tune).unwrap_err();
            assert!(error.contains(said), "{tune}: {error}");
        }
    }

    #[test]
    fn set_replaces_a_tuned_key() {
        let text = "question = \"q\"\n[data]\nsource = \"digits\"\n[grid]\nmodel = [\"resnet18\"]\n[tune]\nlearning-rate = \
                    [0.1, 0.01]\n";
        let trials = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let read = crate::Experiment::read(std::path::Path::new("x.toml"), text, &flags).unwrap();
            let plan = crate::expand(&read).unwrap();
            (plan.trials.len(), plan.tune.map(|tune| tune.axes[0].values.len()))
        };
        assert_eq!(trials(&[]), (2, Some(2)));
        assert_eq!(trials(&["tune.learning-rate=[1.0, 0.1, 0.01]"]), (3, Some(3)));
        assert_eq!(trials(&["learning-rate=0.5"]), (1, None));
        assert_eq!(trials(&["learning-rate=[0.5, 0.25, 0.2]"]), (3, Some(3)), "it stays where it was");
        assert_eq!(trials(&["grid.learning-rate=[0.5, 0.25]"]), (2, None));
    }
}
