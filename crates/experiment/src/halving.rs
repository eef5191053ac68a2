//! Stopping what cannot win, where an experiment asks for it: [`Halving`], successive halving (Jamieson and Talwalkar 2016), and where it is
//! asked for without waiting (ASHA; Li et al. 2020). What goes on is decided from how far arms have come, and from nothing else.

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
    /// Whether an arm goes on as soon as it is among the best of those that have come as far, before all others have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
}

/// How far an arm has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Climb {
    /// Its validation accuracy at each comparison that it has come to; none where one of its trials failed.
    pub at: Vec<Option<f64>>,
    /// Whether it has trained beyond the last of them.
    pub beyond: bool,
}

impl Climb {
    fn has_passed(&self, rung: usize) -> bool {
        self.at.len() > rung + 1 || self.at.len() == rung + 1 && self.beyond
    }
}

/// What is decided by how far all arms have come.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The comparisons that are over, in order.
    pub rungs: Vec<Comparison>,
    /// The epochs that each arm may train to.
    pub leave: Vec<usize>,
    /// Whether nothing is left to be compared.
    pub complete: bool,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// After so many epochs.
    pub epochs: usize,
    /// The arms that have come to it, with their accuracies, and whether they went on.
    pub arms: Vec<(usize, Option<f64>, bool)>,
}

impl Halving {
    /// The epochs after which arms of so many are compared.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        std::iter::successors(Some(self.first), |rung| rung.checked_mul(self.factor))
            .take_while(|rung| *rung < epochs)
            .collect()
    }

    /// What follows from how far arms of so many epochs have come. Arms that stand at a comparison wait there until all have come to it that
    /// may; asynchronously those go on before that are among the best one in `factor` of those that have come, and who went on stays so.
    pub fn decide(&self, epochs: usize, arms: &[Climb]) -> Decided {
        let mut leave = vec![epochs; arms.len()];
        let mut alive: Vec<usize> = (0..arms.len()).collect();
        let (mut rungs, mut complete) = (Vec::new(), true);
        for (rung, after) in self.rungs(epochs).into_iter().enumerate() {
            alive.iter().for_each(|arm| leave[*arm] = after);
            let mut here = alive.clone();
            here.retain(|arm| arms[*arm].at.len() > rung);
            complete &= here.len() == alive.len();
            if !complete && !self.asynchronous {
                alive.clear();
                break;
            }
            let accuracies: Vec<Option<f64>> = here.iter().map(|arm| arms[*arm].at[rung]).collect();
            let places = here.len() / self.factor;
            let places = if complete { here.len().div_ceil(self.factor).max(1) } else { places };
            let best = best(&accuracies, places);
            let went_on = |arm: usize| self.asynchronous && arms[arm].has_passed(rung);
            let compared = here.iter().zip(accuracies).zip(best);
            let compared: Vec<_> = compared
                .map(|((&arm, accuracy), best)| (arm, accuracy, accuracy.is_some() && (best || went_on(arm))))
                .collect();
            alive = compared.iter().filter(|(_, _, goes_on)| *goes_on).map(|(arm, _, _)| *arm).collect();
            if complete {
                rungs.push(Comparison { epochs: after, arms: compared });
            }
        }
        alive.iter().for_each(|arm| leave[*arm] = epochs);
        Decided { rungs, leave, complete }
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
        let counts = |trial: &crate::Trial| trial.train.validation_counts.clone();
        if plan.trials.windows(2).any(|pair| counts(&pair[0]) != counts(&pair[1])) {
            return Some(
                "halving compares arms by validation accuracy, so `validation-counts` must be the same in all trials"
                    .to_owned(),
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

/// Which of some are among the best so many, or level with the last of these; what has no accuracy never is.
fn best(accuracies: &[Option<f64>], places: usize) -> Vec<bool> {
    let mut known: Vec<f64> = accuracies.iter().flatten().copied().collect();
    known.sort_by(|a, b| b.total_cmp(a));
    let level = places.min(known.len()).checked_sub(1).map(|last| known[last]);
    accuracies
        .iter()
        .map(|accuracy| accuracy.is_some_and(|one| level.is_some_and(|level| one >= level)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVING: Halving = Halving { first: 1, factor: 3, asynchronous: false };
    const AT_ONCE: Halving = Halving { asynchronous: true, ..HALVING };

    fn climbs(arms: &[&[f64]]) -> Vec<Climb> {
        let of = |arm: &&[f64]| Climb { at: arm.iter().map(|one| Some(*one)).collect(), beyond: false };
        arms.iter().map(of).collect()
    }

    /// Those that go on after a comparison.
    fn going(decided: &Decided, rung: usize) -> Vec<usize> {
        let arms = decided.rungs[rung].arms.iter();
        arms.filter(|(_, _, goes_on)| *goes_on).map(|(arm, _, _)| *arm).collect()
    }

    #[test]
    fn rungs_grow_by_the_factor_and_one_in_so_many_goes_on() {
        assert_eq!(HALVING.rungs(10), [1, 3, 9]);
        assert_eq!(HALVING.rungs(9), [1, 3]);
        let accuracies = [Some(0.5), Some(0.9), None, Some(0.7), Some(0.8), Some(0.1), Some(0.2)];
        let best = |places: usize, of: &[Option<f64>]| -> Vec<usize> {
            (0..of.len()).filter(|arm| super::best(of, places)[*arm]).collect()
        };
        assert_eq!(best(3, &accuracies), [1, 3, 4], "three of seven");
        assert_eq!(best(1, &[Some(0.5), Some(0.5), Some(0.5)]), [0, 1, 2], "all are level");
        assert!(best(1, &[None, None]).is_empty());
        assert_eq!(best(1, &[Some(0.1)]), [0]);
        assert!(best(0, &[Some(0.1)]).is_empty());
    }

    #[test]
    fn all_are_waited_for_and_then_the_best_go_on() {
        let begun = HALVING.decide(9, &climbs(&[&[0.5], &[0.9], &[], &[0.7]]));
        assert_eq!((begun.rungs.len(), &begun.leave[..], begun.complete), (0, &[1, 1, 1, 1][..], false));
        let first = HALVING.decide(9, &climbs(&[&[0.5], &[0.9], &[0.2], &[0.7]]));
        assert_eq!(
            (going(&first, 0), &first.leave[..], first.complete),
            (vec![1, 3], &[1, 3, 1, 3][..], false)
        );
        let second = HALVING.decide(9, &climbs(&[&[0.5], &[0.9, 0.8], &[0.2], &[0.7, 0.85]]));
        assert_eq!((going(&second, 1), &second.leave[..]), (vec![3], &[1, 3, 1, 9][..]));
        assert!(second.complete);
        // Who came further without halving is held to the same comparisons.
        let further = HALVING.decide(9, &climbs(&[&[0.5, 0.99], &[0.9, 0.8], &[0.2], &[0.7, 0.85]]));
        assert_eq!(further, second);
    }

    #[test]
    fn an_arm_of_which_a_trial_failed_does_not_go_on() {
        let failed = Climb { at: vec![None; 2], beyond: false };
        let decided = HALVING.decide(9, &[failed.clone(), Climb { at: vec![Some(0.1)], beyond: false }]);
        assert_eq!(decided.leave, [1, 3]);
        let none = HALVING.decide(9, &[failed.clone(), failed.clone()]);
        assert_eq!((&none.leave[..], none.complete), (&[1, 1][..], true), "nobody is left to go on");
        assert_eq!(AT_ONCE.decide(9, &[failed.clone(), failed]).leave, [1, 1]);
    }

    #[test]
    fn who_is_among_the_best_goes_on_at_once_and_for_good() {
        // Two of five have come: a third of them is nobody yet.
        assert_eq!(AT_ONCE.decide(9, &climbs(&[&[0.5], &[0.4], &[], &[], &[]])).leave, [1; 5]);
        let three = AT_ONCE.decide(9, &climbs(&[&[0.5], &[0.4], &[0.3], &[], &[]]));
        assert_eq!((three.rungs.len(), &three.leave[..]), (0, &[3, 1, 1, 1, 1][..]));
        // It went on, and better ones come later: it stays, and they follow.
        let mut arms = climbs(&[&[0.5], &[0.4], &[0.3], &[0.9], &[0.8]]);
        arms[0].beyond = true;
        let all = AT_ONCE.decide(9, &arms);
        assert_eq!((going(&all, 0), all.complete), (vec![0, 3, 4], false));
        assert_eq!(all.leave, [3, 1, 1, 3, 3]);
        // Where all are there that may come, the best go on as if they had been waited for.
        let end = climbs(&[&[0.5, 0.5], &[0.4], &[0.3], &[0.9, 0.9], &[0.8, 0.8]]);
        let end = AT_ONCE.decide(9, &end);
        assert_eq!((going(&end, 1), &end.leave[..], end.complete), (vec![3], &[3, 1, 1, 9, 3][..], true));
    }

    #[test]
    fn at_once_comes_to_an_end_in_any_order_and_with_who_would_have_been_best_everywhere() {
        // Arm 4 is best at every comparison; whatever the order, it comes to the end.
        let accuracy = |arm: usize, rung: usize| {
            Some(0.1 * ((arm * 7 + rung * 3) % 5) as f64 + if arm == 4 { 1.0 } else { 0.0 })
        };
        for start in 0..60 {
            let mut arms = vec![Climb::default(); 9];
            let (mut turn, mut ended) = (start, vec![false; 9]);
            loop {
                let decided = AT_ONCE.decide(10, &arms);
                let rungs = AT_ONCE.rungs(10);
                let behind = |arm: &usize| match arms[*arm].at.len().checked_sub(1) {
                    Some(last) => decided.leave[*arm] > rungs[last] && !ended[*arm],
                    None => true,
                };
                let due: Vec<usize> = (0..9).filter(behind).collect();
                if due.is_empty() {
                    assert!(decided.complete);
                    break;
                }
                turn += 7;
                let arm = due[turn % due.len()];
                let rung = arms[arm].at.len();
                if rung < rungs.len() { arms[arm].at.push(accuracy(arm, rung)) } else { ended[arm] = true }
            }
            assert!(ended[4], "from {start}");
            assert!(ended.iter().filter(|ended| **ended).count() <= 3, "from {start}");
        }
    }

    #[test]
    fn arms_whose_validation_accuracies_count_other_things_are_not_compared() {
        let text = "question = \"q\"\n[data]\nsource = \"digits\"\n[grid]\nmodel = [\"resnet18\"]\nvalidation-counts = \
                    [\"images\", \"classes\"]\n[halving]\nfirst = 2\n";
        let plan = |flags: &[String]| {
            let read = crate::Experiment::read(std::path::Path::new("x.toml"), text, flags).unwrap();
            crate::expand(&read).map_err(|problems| problems.list[0].to_string())
        };
        let error = plan(&[]).unwrap_err();
        assert!(error.contains("`validation-counts` must be the same in all trials"), "{error}");
        assert_eq!(plan(&["validation-counts=classes".to_owned()]).unwrap().trials.len(), 1);
    }
}
