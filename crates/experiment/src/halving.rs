//! Stopping what cannot win, where an experiment asks for it: [`Halving`], successive halving (Jamieson and Talwalkar 2016).

use serde::{Deserialize, Serialize};

use crate::Plan;

/// When arms are compared while they train, and how many of them go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Halving {
    /// Epochs before the first comparison; each further one comes after `factor` times as many.
    pub first: usize,
    /// One in so many arms goes on, at least one, and those that are level with the last of them.
    pub factor: usize,
}

impl Halving {
    /// The epochs after which arms of so many are compared.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        std::iter::successors(Some(self.first), |rung| rung.checked_mul(self.factor))
            .take_while(|rung| *rung < epochs)
            .collect()
    }

    /// Which of some arms go on, by their accuracies; those that have none do not.
    pub fn go_on(&self, accuracies: &[Option<f64>]) -> Vec<bool> {
        let mut known: Vec<f64> = accuracies.iter().flatten().copied().collect();
        known.sort_by(|a, b| b.total_cmp(a));
        let last = accuracies.len().div_ceil(self.factor).max(1).min(known.len());
        let level = last.checked_sub(1).map(|last| known[last]);
        accuracies
            .iter()
            .map(|accuracy| accuracy.is_some_and(|one| level.is_some_and(|level| one >= level)))
            .collect()
    }

    /// What keeps a plan from being halved; none where nothing does.
    pub(crate) fn problem(&self, plan: &Plan) -> Option<String> {
        let epochs = plan.trials.first().map_or(0, |trial| trial.train.epochs);
        if plan.trials.iter().any(|trial| trial.train.epochs != epochs) {
            return Some(
                "halving compares arms after as many epochs, so all trials must have the same `epochs`"
                    .to_owned(),
            );
        }
        if plan.trials.iter().any(|trial| trial.train.patience.is_some()) {
            return Some(
                "halving compares arms after as many epochs, and `patience` ends trials at others; keep one of them"
                    .to_owned(),
            );
        }
        if plan.trials.iter().any(|trial| trial.data.validation == 0.0) {
            return Some(
                "halving chooses on validation, so `validation` must be above 0 in all trials".to_owned(),
            );
        }
        self.rungs(epochs).is_empty().then(|| {
            format!(
                "halving first compares after {}, which all {epochs} of a trial do not exceed",
                frostline_text::plural(self.first, "epoch")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_and_one_in_so_many_goes_on() {
        let halving = Halving { first: 1, factor: 3 };
        assert_eq!(halving.rungs(10), [1, 3, 9]);
        assert_eq!(halving.rungs(9), [1, 3]);
        let accuracies = [Some(0.5), Some(0.9), None, Some(0.7), Some(0.8), Some(0.1), Some(0.2)];
        let go_on: Vec<usize> = (0..7).filter(|arm| halving.go_on(&accuracies)[*arm]).collect();
        assert_eq!(go_on, [1, 3, 4], "three of seven");
        assert_eq!(halving.go_on(&[Some(0.5), Some(0.5), Some(0.5)]), [true; 3], "all are level");
        assert_eq!(halving.go_on(&[None, None]), [false; 2]);
        assert_eq!(halving.go_on(&[Some(0.1)]), [true]);
    }
}
