//! Time to accuracy: when an arm's validation accuracy first reached a level, read off the epochs.

use std::collections::BTreeSet;

use super::{Arm, Comparison, Floor, Run, mean};

/// Shares of the way from what needs no image to the best arm's highest validation accuracy that levels are set at.
const SHARES: [f64; 3] = [0.5, 0.8, 0.95];

/// The time in which an arm reached a level.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Wall time of the trial to the end of the epoch that reached it: the mean over the seeds, which all did. None where some did
    /// not, as a mean over the others would fall where a level loses its slowest seed.
    pub seconds: Option<f64>,
    /// The same with the whole of the pretraining before it; none where there was none.
    pub with_pretraining: Option<f64>,
    /// How many seeds reached it, one at least.
    pub seeds: usize,
}

impl Comparison<'_> {
    /// Validation accuracies to ask for, in (0, 1) and ascending: whole per cents on the way from what always naming the largest
    /// class gives to the highest that an arm reached on average. Empty without validation, where nothing rose above that, and where arms count
    /// different things in it.
    pub fn levels(&self) -> Vec<f64> {
        let counts = |arm: &Arm<'_>| arm.trial().train.validation_counts.clone();
        let counted: BTreeSet<String> = self.arms.iter().map(counts).collect();
        if counted.len() > 1 {
            return Vec::new();
        }
        let highest = |run: &Run<'_>| {
            run.finished()?;
            run.stored?.epochs.iter().filter_map(|epoch| epoch.validation_accuracy).max_by(f64::total_cmp)
        };
        let of_arm = |arm: &Arm<'_>| mean(&arm.runs.iter().filter_map(highest).collect::<Vec<_>>());
        let Some(best) = self.arms.iter().filter_map(of_arm).max_by(f64::total_cmp) else {
            return Vec::new();
        };
        let of_classes = counted.contains("classes");
        let share = |floor: Floor| if of_classes { 1.0 / floor.classes as f64 } else { floor.largest };
        let floor = self.arms.iter().find_map(Arm::floor).map_or(0.0, share);
        let level = |share: &f64| (100.0 * (floor + share * (best - floor))).floor() / 100.0;
        let mut levels: Vec<f64> = SHARES.iter().map(level).collect();
        levels.retain(|level| *level > floor);
        levels.dedup();
        levels
    }
}

impl Arm<'_> {
    /// When it reached a level; none where no seed did.
    pub fn reached(&self, level: f64) -> Option<Reached> {
        let times: Vec<(f64, Option<f64>)> = self.runs.iter().filter_map(|run| reached(run, level)).collect();
        let finished = self.runs.iter().filter(|run| run.finished().is_some()).count();
        let seconds = mean(&times.iter().map(|(trial, _)| *trial).collect::<Vec<_>>())?;
        let with: Option<Vec<f64>> = times.iter().map(|(trial, before)| Some(trial + (*before)?)).collect();
        let all = times.len() == finished;
        Some(Reached {
            seconds: all.then_some(seconds),
            with_pretraining: with.filter(|_| all).and_then(|with| mean(&with)),
            seeds: times.len(),
        })
    }
}

/// A trial's time to a level, and its pretraining's.
fn reached(run: &Run<'_>, level: f64) -> Option<(f64, Option<f64>)> {
    let outcome = run.finished()?;
    let epochs = &run.stored?.epochs;
    let at = epochs.iter().position(|epoch| epoch.validation_accuracy.is_some_and(|share| share >= level))?;
    let seconds = epochs[..=at].iter().map(|epoch| epoch.seconds.wall).sum();
    Some((seconds, outcome.pretraining.as_ref().map(|before| before.wall_seconds)))
}

#[cfg(test)]
mod tests {
    use frostline_results::PretrainingRecord;
    use frostline_results::samples::{plan, results};

    use super::*;

    #[test]
    fn times_are_read_off_the_curve_with_and_without_pretraining() {
        let plan = plan(&["resnet18"], &["full", "head"], 2);
        let mut results = results(plan, |trial| {
            (if trial.strategy == "full" { 0.9 } else { 0.5 }, if trial.seed == 0 { 60.0 } else { 120.0 })
        });
        for stored in results.trials.iter_mut().filter(|stored| stored.trial.strategy == "head") {
            let trunk = "0123456789ab".to_owned();
            stored.outcome.pretraining = Some(PretrainingRecord { trunk, wall_seconds: 30.0 });
        }
        let comparison = Comparison::of(&results);
        // The sample's curve is accuracy * (1 - 0.6 exp(-0.7 epoch)) over six epochs: 0.892 at the most.
        // Ten classes alike: 0.1 + (0.5, 0.8, 0.95) * 0.792.
        assert_eq!(comparison.levels(), [0.49, 0.73, 0.85]);
        let arm = |strategy: &str| comparison.arms.iter().find(|a| a.trial().strategy == strategy).unwrap();
        // 0.767 after the second of six epochs: a third of 60 and of 120 seconds.
        let full = Reached { seconds: Some(30.0), with_pretraining: None, seeds: 2 };
        assert_eq!(arm("full").reached(0.71), Some(full));
        assert_eq!(arm("head").reached(0.71), None);
        // 0.426 after the second.
        let head = Reached { seconds: Some(30.0), with_pretraining: Some(60.0), seeds: 2 };
        assert_eq!(arm("head").reached(0.4), Some(head));
    }
    #[test]
    fn a_time_never_falls_as_the_level_rises() {
        // Seed 0 is quick and stops at 0.6; seed 1 is slow and gets to 0.9.
        let results = results(plan(&["resnet18"], &["full"], 2), |trial| {
            if trial.seed == 0 { (0.9, 240.0) } else { (0.6, 12.0) }
        });
        let comparison = Comparison::of(&results);
        let arm = &comparison.arms[0];
        let times: Vec<Option<Reached>> = [0.3, 0.5, 0.8].map(|level| arm.reached(level)).into();
        let seconds: Vec<Option<f64>> = times.iter().map(|r| r.as_ref().and_then(|r| r.seconds)).collect();
        assert!(seconds[0] < seconds[1] && seconds[2].is_none(), "{seconds:?}");
        assert_eq!(times[2].as_ref().map(|reached| reached.seeds), Some(1));
    }

    #[test]
    fn levels_are_of_one_measure_and_above_what_needs_no_image() {
        let levels = |classes: &[&str]| {
            let mut plan = plan(&["resnet18"], &["full", "head"], 2);
            for trial in &mut plan.trials {
                if classes.contains(&trial.strategy.as_str()) {
                    trial.train.validation_counts = "classes".to_owned();
                }
            }
            plan.trials = plan.trials.into_iter().map(frostline_experiment::Trial::sealed).collect();
            let results = results(plan, |_| (0.9, 60.0));
            Comparison::of(&results).levels()
        };
        assert!(levels(&["head"]).is_empty(), "a mean over classes is no share of images");
        assert_eq!((levels(&[]).len(), levels(&["full", "head"]).len()), (3, 3));
    }
}
