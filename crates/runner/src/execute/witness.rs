//! What is heard of a training under way: [`Witness`], which writes it into a [`Log`].

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use frostline_engine::{EpochReport, Event, Observer};
use frostline_experiment::Trial;
use frostline_results::{EpochRecord, Seconds, Shared};
use frostline_trackers::Trackers;

use crate::machine::{Meter, Taken};
use crate::terminal::Progress;

/// The times and the epochs of a trial or a pretraining.
#[derive(Debug)]
pub(super) struct Log {
    meter: Meter,
    /// Bytes of features that others have left, which are no part of its peak of memory.
    held: u64,
    before: Seconds,
    pub(super) epochs: Vec<EpochRecord>,
}

impl Log {
    /// A log that goes on from what was noted before. Building the model and reading weights are not part of a trial's time.
    pub(super) fn begin(taken: Taken, epochs: Vec<EpochRecord>, held: usize) -> Mutex<Self> {
        let mut before = Seconds::default();
        for EpochRecord { seconds, .. } in &epochs {
            before = before.plus(seconds);
        }
        Mutex::new(Self { meter: Meter::start(taken), held: held as u64, before, epochs })
    }

    /// The time up to now.
    pub(super) fn taken(&self) -> &Taken {
        self.meter.taken()
    }

    /// The time up to now, what of it was shared, and the peak of memory.
    pub(super) fn measured(&mut self) -> (Seconds, Option<Shared>, Option<u64>) {
        self.meter.leave();
        let taken = self.meter.taken();
        let (wall_seconds, trials) = taken.share();
        let shared = (trials > 1).then_some(Shared { trials, wall_seconds });
        let peak = self.meter.peak_memory_bytes().map(|peak| peak.saturating_sub(self.held));
        (taken.seconds(), shared, peak)
    }

    fn epoch(&mut self, report: &EpochReport) {
        let now = self.meter.taken().seconds();
        let number = |x: f64| Some(x).filter(|x| x.is_finite());
        self.epochs.push(EpochRecord {
            epoch: report.epoch,
            phase: report.phase.clone(),
            learning_rate: report.learning_rate,
            rates: report.rates.iter().map(|rate| (rate.part.clone(), rate.learning_rate)).collect(),
            train_loss: number(report.train_loss),
            train_accuracy: report.train_accuracy,
            validation_loss: report.validation_loss.and_then(number),
            validation_accuracy: report.validation_accuracy,
            seconds: now.since(&self.before),
        });
        self.before = now;
    }
}

/// A log that nobody else writes to now.
pub(super) fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // A panic in a training leaves times that are still fit to store.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to a trial or a pretraining: takes its times, keeps its epochs, moves the bar, and ends it when the user asks.
pub(super) struct Witness<'a> {
    pub(super) progress: &'a Progress,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) log: &'a Mutex<Log>,
    /// What the user knows it by.
    pub(super) label: String,
    /// A trial whose epochs other tools are told of.
    pub(super) tracked: Option<Tracked<'a>>,
}

/// A trial that trains, for the tools that are told of it.
pub(super) struct Tracked<'a> {
    pub(super) trackers: &'a Trackers,
    pub(super) experiment: &'a str,
    pub(super) trial: &'a Trial,
    pub(super) started_at: String,
}

impl Witness<'_> {
    /// Tells other tools how the trial stands. A tool that cannot be told, which is said, is no reason to stop.
    fn track(&mut self) {
        let Some(Tracked { trackers, experiment, trial, started_at }) = &self.tracked else { return };
        let told = trackers.underway(experiment, trial, started_at, &locked(self.log).epochs);
        if let Err(error) = told {
            self.progress
                .say(&format!("note: {} is not shown to other tools while it trains: {error}", self.label));
            self.tracked = None;
        }
    }
}

impl Observer for Witness<'_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Enter { section, sharers } => locked(self.log).meter.enter(section, sharers),
            Event::Leave(_) => locked(self.log).meter.leave(),
            Event::Reused { section, seconds } => locked(self.log).meter.reuse(section, seconds),
            Event::Step { epoch, step, steps, loss, .. } => self.progress.step(epoch, step, steps, loss),
            Event::Epoch(report) => {
                locked(self.log).epoch(report);
                self.progress.epoch(&self.label, report);
                self.track();
            }
            Event::Phase { .. } => {}
        }
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
