//! What changed from one sweep to another: [`Changes`], arm by arm, in accuracy and in time, and whether it is more than noise.

use std::collections::{BTreeMap, BTreeSet};

use frostline_experiment::Trial;
use frostline_experiment::keys::keys;
use frostline_results::{Results, StoredTrial};

use super::crossed::{Answered, Crossed};
use super::hypotheses::{holm, mcnemar};
use super::pairs::{LEVEL, on_the_same_images};
use super::statistics::{interval, mean};
use super::{Arm, Comparison, Run};

/// A mean ratio of times that is nearer to 1 than this is not told from noise, whatever its interval: the same work on the same
/// machine differs by as much from day to day.
const NOISE: f64 = 0.05;

/// What changed from one results folder to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Arms that both have, in the order of the second, the most accurate first.
    pub arms: Vec<Change>,
    /// Labels of arms that the first alone has finished trials of.
    pub gone: Vec<String>,
    /// Labels of arms that the second alone has.
    pub new: Vec<String>,
    /// Wall time, second over first, over all pairs of trials; none where they ran on different machines.
    pub time: Option<Ratio>,
}

/// What changed of one arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The arm.
    pub label: String,
    /// Settings that are not the same, each as (key, first, second).
    pub settings: Vec<(String, String, String)>,
    /// Mean test accuracies, first and second, over the common seeds, in [0, 1].
    pub accuracies: (f64, f64),
    /// Seeds that both finished.
    pub seeds: usize,
    /// Second less first; none where they were tested on other images.
    pub difference: Option<Crossed>,
    /// How likely such a difference is by chance, by Holm over all arms; 1 without a difference.
    pub p: f64,
    /// Whether both answered every image alike, as far as right and wrong go.
    pub same_answers: bool,
    /// Wall time, second over first; none on different machines.
    pub time: Option<Ratio>,
}

/// A mean of ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Their geometric mean.
    pub mean: f64,
    /// Its 95 % interval by Student's t on the logarithms; none of fewer than three.
    pub interval: Option<(f64, f64)>,
    /// How many there are.
    pub trials: usize,
}

impl Ratio {
    fn of(ratios: &[f64]) -> Option<Self> {
        let logarithms: Vec<f64> =
            ratios.iter().filter(|r| r.is_finite() && **r > 0.0).map(|r| r.ln()).collect();
        let interval = interval(&logarithms).map(|(low, high)| (low.exp(), high.exp()));
        Some(Self { mean: mean(&logarithms)?.exp(), interval, trials: logarithms.len() })
    }

    /// Whether it is not 1, as far as its interval tells, by more than machines differ from day to day.
    pub fn is_beyond_noise(&self) -> bool {
        let apart = self.interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
        apart && self.mean.ln().abs() > (1.0 + NOISE).ln()
    }
}

impl Change {
    /// Whether the accuracy is another one, beyond noise.
    pub fn is_accuracy_beyond_noise(&self) -> bool {
        self.p < LEVEL && !self.same_answers
    }
}

impl Changes {
    /// From the first sweep to the second. Arms are matched by their labels, trials by their seeds.
    pub fn of(first: &Results, second: &Results) -> Self {
        let machines = |results: &Results| -> BTreeSet<(String, usize)> {
            results.environments.values().map(|e| (e.processor.clone(), e.threads)).collect()
        };
        let same_machine = machines(first) == machines(second) && machines(first).len() == 1;
        let (before, after) = (Comparison::of(first), Comparison::of(second));
        let by_label: BTreeMap<&str, &Arm<'_>> =
            before.measured().into_iter().map(|arm| (arm.label.as_str(), arm)).collect();
        let mut ratios = Vec::new();
        let mut arms: Vec<Change> = Vec::new();
        for arm in after.measured() {
            let Some(old) = by_label.get(arm.label.as_str()) else { continue };
            let Some((change, times)) = change(old, arm, same_machine) else { continue };
            arms.push(change);
            ratios.extend(times);
        }
        let adjusted = holm(&arms.iter().map(|arm| arm.p).collect::<Vec<_>>());
        arms.iter_mut().zip(adjusted).for_each(|(arm, p)| arm.p = p);
        let labels = |comparison: &Comparison<'_>| -> Vec<String> {
            let all = comparison.measured().into_iter().map(|arm| arm.label.clone());
            all.filter(|label| arms.iter().all(|arm| arm.label != *label)).collect()
        };
        let (gone, new) = (labels(&before), labels(&after));
        Self { gone, new, time: Ratio::of(&ratios).filter(|_| same_machine), arms }
    }

    /// Whether an accuracy or the time of all is another one, beyond noise.
    pub fn are_beyond_noise(&self) -> bool {
        self.arms.iter().any(Change::is_accuracy_beyond_noise)
            || self.time.is_some_and(|time| time.is_beyond_noise())
    }
}

/// What changed of an arm, and the ratios of its trials' times. None without a seed that both finished.
fn change(old: &Arm<'_>, new: &Arm<'_>, same_machine: bool) -> Option<(Change, Vec<f64>)> {
    let finished = |run: &Run<'_>| run.finished().is_some();
    let pairs: Vec<(u64, &StoredTrial, &StoredTrial)> = new
        .runs
        .iter()
        .filter(|run| finished(run))
        .filter_map(|run| {
            let seed = run.trial.seed;
            let twin = old.runs.iter().find(|twin| twin.trial.seed == seed && finished(twin))?;
            Some((seed, twin.stored?, run.stored?))
        })
        .collect();
    let accuracy = |first: bool| {
        let side = |(_, a, b): &(u64, &StoredTrial, &StoredTrial)| {
            let stored: &StoredTrial = if first { a } else { b };
            stored.outcome.test_accuracy
        };
        mean(&pairs.iter().filter_map(side).collect::<Vec<_>>())
    };
    let accuracies = (accuracy(true)?, accuracy(false)?);
    let comparable = pairs.iter().all(|(_, a, b)| on_the_same_images(a, b));
    let marks: Vec<_> = pairs.iter().map(|(_, a, b)| (&b.answers.right, &a.answers.right)).collect();
    let answered = comparable.then(|| Answered::of(&marks));
    let difference = answered.as_ref().and_then(Crossed::of);
    let p = match (answered.as_ref().map(|answered| answered.only.as_slice()), difference) {
        (Some([(a, b)]), _) => mcnemar(*a, *b),
        (_, Some(difference)) => difference.p(),
        _ => 1.0,
    };
    let times: Vec<f64> =
        pairs.iter().map(|(_, a, b)| b.outcome.seconds.wall / a.outcome.seconds.wall).collect();
    let change = Change {
        label: new.label.clone(),
        settings: settings(old.trial(), new.trial()),
        accuracies,
        seeds: pairs.len(),
        difference,
        p,
        same_answers: answered.is_some_and(|answered| answered.only.iter().all(|only| *only == (0, 0))),
        time: Ratio::of(&times).filter(|_| same_machine),
    };
    Some((change, times))
}

/// The settings that two trials do not share, but for the seed.
fn settings(old: &Trial, new: &Trial) -> Vec<(String, String, String)> {
    let differ = keys().iter().filter(|key| key.name != "seed" && key.show(old) != key.show(new));
    differ.map(|key| (key.name.to_owned(), key.show(old), key.show(new))).collect()
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{plan, results};

    use super::*;

    fn sweep(accuracy: f64, seconds: f64) -> Results {
        results(plan(&["resnet18"], &["full", "head"], 3), |t| {
            let own = if t.strategy == "full" { accuracy } else { 0.6 };
            (own, seconds * (1.0 + 0.01 * t.seed as f64))
        })
    }

    #[test]
    fn the_same_sweep_has_not_changed() {
        let changes = Changes::of(&sweep(0.9, 10.0), &sweep(0.9, 10.0));
        assert!(!changes.are_beyond_noise());
        assert!(changes.arms.iter().all(|arm| arm.same_answers && arm.p == 1.0 && arm.settings.is_empty()));
        assert_eq!(changes.time.unwrap().mean, 1.0);
    }

    #[test]
    fn accuracy_and_time_change_beyond_noise_or_not() {
        let worse = Changes::of(&sweep(0.9, 10.0), &sweep(0.8, 10.0));
        assert!(worse.are_beyond_noise());
        let [full, head] = worse.arms.as_slice() else { panic!() };
        assert!(full.is_accuracy_beyond_noise() && !head.is_accuracy_beyond_noise());
        assert!((full.difference.unwrap().mean + 0.1).abs() < 1e-12);
        assert!(!Changes::of(&sweep(0.9, 10.0), &sweep(0.901, 10.0)).are_beyond_noise(), "1 image of 1000");
        let slower = Changes::of(&sweep(0.9, 10.0), &sweep(0.9, 12.0));
        assert!(slower.are_beyond_noise() && (slower.time.unwrap().mean - 1.2).abs() < 1e-9);
        assert!(!Changes::of(&sweep(0.9, 10.0), &sweep(0.9, 10.3)).are_beyond_noise(), "3 % are noise");
    }

    #[test]
    fn what_one_alone_has_and_other_settings_are_told_and_other_machines_are_not_timed() {
        let mut second = results(plan(&["resnet18"], &["full", "thaw"], 3), |_| (0.9, 30.0));
        for trial in second.plan.trials.iter_mut().chain(second.trials.iter_mut().map(|s| &mut s.trial)) {
            trial.train.batch = 32;
        }
        for environment in second.environments.values_mut() {
            environment.processor = "Another".to_owned();
        }
        let changes = Changes::of(&sweep(0.9, 10.0), &second);
        assert_eq!(
            (changes.gone, changes.new),
            (vec!["resnet18 · head".to_owned()], vec!["resnet18 · thaw".to_owned()])
        );
        assert_eq!(changes.arms[0].settings, [("batch".to_owned(), "64".to_owned(), "32".to_owned())]);
        assert!(changes.time.is_none() && changes.arms[0].time.is_none());
    }
}
