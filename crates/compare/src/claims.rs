//! Claims held against what was measured: [`check`] gives one [`Verdict`] per claimed number and arm, in words that
//! say no more than the numbers do.

use frostline_experiment::Claim;

use super::statistics::{interval, mean, wilson};
use super::{Arm, Comparison};

/// What a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A share in [0, 1].
    TestAccuracy,
    /// Wall time of a trial.
    Minutes,
}

/// One claimed number beside what one arm measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Who claims it.
    pub source: String,
    /// The arm, or the claim's condition where it meets none.
    pub about: String,
    /// What the numbers are.
    pub quantity: Quantity,
    /// As claimed.
    pub claimed: f64,
    /// The arm's mean; none where nothing has finished.
    pub measured: Option<f64>,
    /// How many seeds `measured` is the mean of.
    pub seeds: usize,
    /// How the two compare.
    pub finding: Finding,
}

/// How a measured number compares with the claimed one.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The claim's condition meets no trial of the plan.
    NoTrial,
    /// It meets trials, and none has finished.
    NotMeasured,
    /// The claim lies in the 95 % interval over seeds.
    WithinSeeds {
        /// That interval.
        interval: (f64, f64),
    },
    /// The claim lies in the 95 % interval by the choice of test images (Wilson).
    WithinSampling {
        /// That interval, as shares.
        interval: (f64, f64),
    },
    /// It lies outside of that.
    Beyond {
        /// The 95 % interval by the choice of test images, as shares; none where the split's size is unknown.
        interval: Option<(f64, f64)>,
    },
    /// `--set` made the trials others than the experiment file has them, of which the claim speaks.
    NotComparable {
        /// Each as (key, value here, value in the file).
        differs: Vec<(String, String, String)>,
    },
    /// Times of different machines; the ratio is measured over claimed.
    OtherMachine {
        /// Measured over claimed.
        ratio: f64,
    },
}

/// Checks one claim against every arm that it speaks of.
pub(super) fn check(claim: &Claim, comparison: &Comparison<'_>) -> Vec<Verdict> {
    let meant: Vec<&Arm<'_>> = comparison.arms.iter().filter(|arm| speaks_of(claim, arm)).collect();
    let mut verdicts = Vec::new();
    for (quantity, claimed) in
        [(Quantity::TestAccuracy, claim.test_accuracy), (Quantity::Minutes, claim.minutes)]
    {
        let Some(claimed) = claimed else { continue };
        let verdict = |about: String, values: &[f64], finding| Verdict {
            source: claim.source.clone(),
            about,
            quantity,
            claimed,
            measured: mean(values),
            seeds: values.len(),
            finding,
        };
        if meant.is_empty() {
            let condition: Vec<String> =
                claim.when.iter().map(|(key, value)| format!("{key} {value}")).collect();
            verdicts.push(verdict(condition.join(", "), &[], Finding::NoTrial));
        }
        for arm in &meant {
            let values = match quantity {
                Quantity::TestAccuracy => arm.accuracies(),
                Quantity::Minutes => arm.wall_seconds().iter().map(|seconds| seconds / 60.0).collect(),
            };
            let differs = differs(claim, arm);
            let finding = mean(&values).map_or(Finding::NotMeasured, |measured| match quantity {
                _ if !differs.is_empty() => Finding::NotComparable { differs },
                Quantity::TestAccuracy => accuracy(claimed, measured, &values, comparison.test_images),
                Quantity::Minutes => Finding::OtherMachine { ratio: measured / claimed },
            });
            verdicts.push(verdict(arm.label.clone(), &values, finding));
        }
    }
    verdicts
}

fn speaks_of(claim: &Claim, arm: &Arm<'_>) -> bool {
    arm.runs
        .iter()
        .any(|run| claim.when.iter().all(|(key, value)| run.trial.value_of(key).as_ref() == Some(value)))
}

fn accuracy(claimed: f64, measured: f64, values: &[f64], test_images: Option<usize>) -> Finding {
    let by_images = test_images.and_then(|n| wilson(measured, n));
    let holds = |interval: &(f64, f64)| interval.0 <= claimed && claimed <= interval.1;
    match (by_images.filter(holds), interval(values).filter(holds)) {
        (Some(interval), _) => Finding::WithinSampling { interval },
        (None, Some(interval)) => Finding::WithinSeeds { interval },
        (None, None) => Finding::Beyond { interval: by_images },
    }
}

/// What of an arm is otherwise than the file has it for the trials that the claim speaks of.
fn differs(claim: &Claim, arm: &Arm<'_>) -> Vec<(String, String, String)> {
    let here = |key: &str| arm.trial().value_of(key).unwrap_or_else(|| "nothing".to_owned());
    let changed = claim.written.iter().filter(|(key, values)| !values.contains(&here(key)));
    changed.map(|(key, values)| (key.clone(), here(key), values.join(" or "))).collect()
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{claim, plan, results};

    use super::*;

    #[test]
    fn an_accuracy_is_held_against_sampling_first_and_seeds_second() {
        // 10,000 images at 0.85: Wilson's half width is 0.0070 (1.96 * sqrt(0.85 * 0.15 / 10,000)).
        let values = [0.84, 0.85, 0.86];
        assert!(matches!(accuracy(0.8565, 0.85, &values, Some(10_000)), Finding::WithinSampling { .. }));
        // Over seeds: 4.303 * 0.01 / sqrt(3) = 0.0248.
        assert!(matches!(accuracy(0.87, 0.85, &values, Some(10_000)), Finding::WithinSeeds { .. }));
        let Finding::Beyond { interval } = accuracy(0.90, 0.85, &values, Some(10_000)) else { panic!() };
        assert!((interval.unwrap().1 - 0.8569).abs() < 1e-4);
        assert_eq!(accuracy(0.86, 0.85, &[0.85], None), Finding::Beyond { interval: None });
    }

    #[test]
    fn a_claim_on_a_run_that_was_cut_down_is_not_comparable() {
        let mut plan = plan(&["resnet18"], &["full"], 3);
        plan.claims = vec![claim()];
        let finding = |plan: &frostline_experiment::Plan| {
            let results = results(plan.clone(), |_| (0.852, 1.0));
            Comparison::of(&results).verdicts[0].finding.clone()
        };
        assert!(matches!(finding(&plan), Finding::WithinSampling { .. }));
        plan.claims[0].written = vec![("epochs".to_owned(), vec!["10".to_owned()])];
        let differs = vec![("epochs".to_owned(), "6".to_owned(), "10".to_owned())];
        assert_eq!(finding(&plan), Finding::NotComparable { differs });
        plan.claims[0].written = vec![("epochs".to_owned(), vec!["6".to_owned(), "10".to_owned()])];
        assert!(
            matches!(finding(&plan), Finding::WithinSampling { .. }),
            "one of the file's trials is as it was"
        );
    }
}
