//! What is heard of a training under way: [`Witness`], which writes it into a [`Log`].

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_engine::{EpochReport, Event, Observer};
use frostline_results::{EpochRecord, Seconds};

use crate::machine::Meter;
use crate::terminal::Progress;

/// The times and the epochs of a trial or a pretraining.
#[derive(Debug)]
pub(super) struct Log {
    meter: Meter,
    before: Seconds,
    pub(super) epochs: Vec<EpochRecord>,
}

impl Log {
    pub(super) fn begin() -> Self {
        Self { meter: Meter::start(), before: Seconds::default(), epochs: Vec::new() }
    }

    /// Starts the clock anew: building the model and reading weights are not part of a trial's time.
    pub(super) fn restart(&mut self) {
        (self.meter, self.before) = (Meter::start(), Seconds::default());
    }

    /// The time up to now, and the peak of memory.
    pub(super) fn measured(&mut self) -> (Seconds, Option<u64>) {
        self.meter.leave();
        (self.meter.seconds(), self.meter.peak_memory_bytes())
    }

    fn epoch(&mut self, report: &EpochReport) {
        let now = self.meter.seconds();
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

/// Listens to a trial or a pretraining: takes its times, keeps its epochs, moves the bar, and ends it when the user asks.
pub(super) struct Witness<'a> {
    pub(super) progress: &'a Progress,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) log: &'a mut Log,
}

impl Observer for Witness<'_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Enter(section) => self.log.meter.enter(section),
            Event::Leave(_) => self.log.meter.leave(),
            Event::Step { epoch, step, steps, loss, .. } => self.progress.step(epoch, step, steps, loss),
            Event::Epoch(report) => {
                self.log.epoch(report);
                self.progress.epoch(report);
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
