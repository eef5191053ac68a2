//! How long the rest of a sweep may take: [`Left`], from the measured time of the trials that are finished.

use frostline_experiment::Trial;
use frostline_results::{Stand, Standing};

/// What is left of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Left {
    /// By the clock, if as many processes go on.
    pub(super) seconds: f64,
    /// The processes that run now; one where none does.
    pub(super) processes: usize,
    /// The finished trials that it is reckoned from.
    pub(super) measured: usize,
    /// Pretrainings that are not done and not counted, as none is measured.
    pub(super) uncounted: usize,
}

/// What a trial's time is likened to, the most alike first.
const ALIKE: [fn(&Trial, &Trial) -> bool; 3] = [
    |a, b| (&a.model, a.resolution, &a.strategy) == (&b.model, b.resolution, &b.strategy),
    |a, b| (&a.model, a.resolution) == (&b.model, b.resolution),
    |_, _| true,
];

impl Left {
    /// Each trial that is not done takes as long for its work (multiply-adds, one number a trial) as the finished ones took for theirs that
    /// are most alike: of the same model, resolution and strategy, of the same model and resolution, or all. Epochs that are done are taken
    /// off, and the rest is divided by the processes that run. None where nothing is left, or no trial is finished.
    pub(super) fn of(standing: &Standing, works: &[f64]) -> Option<Self> {
        let each = each_left(standing, works)?;
        let mut seconds: f64 = each.iter().sum();
        let is_open = |stand: &Stand| open_share(stand, 1).is_some();
        let mut open = standing.trials.iter().any(is_open);
        let trunks = standing.trunks.iter().filter_map(|(_, stand)| match stand {
            Stand::Done { seconds } => Some(*seconds),
            _ => None,
        });
        let made: Vec<f64> = trunks.collect();
        let usual = (!made.is_empty()).then(|| made.iter().sum::<f64>() / made.len() as f64);
        let mut uncounted = 0;
        for (trunk, stand) in &standing.trunks {
            let Some(share) = open_share(stand, trunk.pretraining.train.epochs) else { continue };
            open = true;
            match usual {
                Some(usual) => seconds += usual * share,
                None => uncounted += 1,
            }
        }
        let processes = standing.running().len().max(1);
        let measured = standing.trials.iter().filter(|stand| matches!(stand, Stand::Done { .. })).count();
        open.then_some(Self { seconds: seconds / processes as f64, processes, measured, uncounted })
    }
}

/// Seconds that are left of each trial of a plan, in its order, if it runs on what the finished ones ran on; 0 for those that have ended.
/// None where no trial is finished.
pub(super) fn each_left(standing: &Standing, works: &[f64]) -> Option<Vec<f64>> {
    let trials = standing.plan.trials.iter().zip(&standing.trials).zip(works);
    let done = trials.clone().filter_map(|((trial, stand), work)| match stand {
        Stand::Done { seconds } if *work > 0.0 => Some((trial, *seconds, *work)),
        _ => None,
    });
    let done: Vec<(&Trial, f64, f64)> = done.collect();
    let mut rates = Rates { done: &done, known: Vec::new() };
    let left = trials.map(|((trial, stand), work)| match open_share(stand, trial.train.epochs) {
        Some(share) => Some(rates.of(trial)? * work * share),
        None => Some(0.0),
    });
    left.collect::<Option<Vec<f64>>>().filter(|_| !done.is_empty())
}

/// The share of its epochs that is left of something that will be run; none of what has ended.
fn open_share(stand: &Stand, of: usize) -> Option<f64> {
    match stand {
        Stand::Done { .. } | Stand::Failed { .. } | Stand::Unchosen => None,
        Stand::Running { epochs, .. } | Stand::Stopped { epochs, .. } => {
            Some(1.0 - (*epochs).min(of) as f64 / of.max(1) as f64)
        }
        Stand::Waiting | Stand::Damaged { .. } => Some(1.0),
    }
}

/// Seconds for a multiply-add, of each kind of trials that was asked for.
struct Rates<'a> {
    /// Trials with their seconds and their work.
    done: &'a [(&'a Trial, f64, f64)],
    known: Vec<(&'a Trial, f64)>,
}

impl<'a> Rates<'a> {
    fn of(&mut self, trial: &'a Trial) -> Option<f64> {
        let known = self.known.iter().find(|(known, _)| ALIKE[0](known, trial));
        if let Some((_, rate)) = known {
            return Some(*rate);
        }
        let rate = ALIKE.iter().find_map(|alike| {
            let alike = self.done.iter().filter(|(done, ..)| alike(done, trial));
            let (seconds, work) =
                alike.fold((0.0, 0.0), |(s, w), (_, seconds, work)| (s + seconds, w + work));
            (work > 0.0).then(|| seconds / work)
        })?;
        self.known.push((trial, rate));
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use frostline_results::{Holder, Invocation, samples};

    use super::*;

    #[test]
    fn what_is_left_by_hand() {
        let plan = samples::plan(&["resnet18"], &["head", "full"], 2);
        let epochs = plan.trials[0].train.epochs;
        let kind = |trial: &Trial| trial.strategy == "full";
        let works: Vec<f64> = plan.trials.iter().map(|trial| if kind(trial) { 3.0 } else { 1.0 }).collect();
        let mut standing = Standing {
            asked: Invocation::default(),
            trials: vec![Stand::Waiting; 4],
            trunks: Vec::new(),
            plan: plan.clone(),
        };
        assert_eq!(Left::of(&standing, &works), None);
        // The first `head` took 2 s: a second one takes as long, and a `full` three times as long.
        let head = plan.trials.iter().position(|trial| !kind(trial)).unwrap();
        standing.trials[head] = Stand::Done { seconds: 2.0 };
        let left = Left::of(&standing, &works).unwrap();
        assert!((left.seconds - 14.0).abs() < 1e-9 && left.measured == 1, "{left:?}");
        // A `full` took 30 s, and the other one has half of its epochs behind it, in one of two processes.
        let full = plan.trials.iter().position(kind).unwrap();
        let other = plan.trials.iter().rposition(kind).unwrap();
        standing.trials[full] = Stand::Done { seconds: 30.0 };
        let by = |pid| Holder { host: "a".to_owned(), pid, job: None };
        standing.trials[other] = Stand::Running { by: by(1), epochs: epochs / 2 };
        let rest = plan.trials.iter().rposition(|trial| !kind(trial)).unwrap();
        standing.trials[rest] = Stand::Running { by: by(2), epochs: 0 };
        let half = 1.0 - (epochs / 2) as f64 / epochs as f64;
        let left = Left::of(&standing, &works).unwrap();
        assert!((left.seconds - (2.0 + 30.0 * half) / 2.0).abs() < 1e-9 && left.processes == 2, "{left:?}");
        standing.trials[other] = Stand::Failed { reason: String::new() };
        standing.trials[rest] = Stand::Done { seconds: 2.0 };
        assert_eq!(Left::of(&standing, &works), None, "nothing is left");
    }
}
