//! Tests of learning rates: [`Sweep::rates`] trains each trial for some steps whose rate rises, and gives the losses. Nothing is stored.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_engine::{Event, Member, NoBookmark, Objective, Observer, Shelf, train_together};
use frostline_experiment::Trial;
use frostline_hub::{Hub, HubOptions};
use frostline_results::Status;

use super::attempt::{Attempt, attempt};
use super::error::SweepError;
use super::graph::{Graph, Id, Train};
use super::schedule::{Goal, Schedule, Step};
use super::train::{Base, Ready};
use super::worker::Worker;
use super::{Sweep, label, varied};
use crate::terminal::Progress;

/// A loss of so many times the lowest is the end of a test: beyond it there is nothing to see.
const ENDS_AT: f64 = 4.0;
/// Steps before which no loss ends a test.
const LEAST: usize = 10;

/// The rates that a test goes through, each from the one before by the same factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The rate of the first step.
    pub from: f64,
    /// That of the last.
    pub to: f64,
    /// Steps of the optimizer.
    pub steps: usize,
}

impl Range {
    fn ratio(&self) -> f64 {
        (self.to / self.from).powf(1.0 / (self.steps.max(2) - 1) as f64)
    }

    /// The rate of a step, from 0.
    pub fn rate(&self, step: usize) -> f64 {
        self.from * self.ratio().powi(step as i32)
    }
}

/// What came of a trial's test.
#[derive(Clone, Debug)]
pub struct RateTest {
    /// The trial.
    pub trial: Trial,
    /// What a user knows it by.
    pub label: String,
    /// The loss of each step that was taken, as it was before the step; those of all batches of a step, their mean.
    pub losses: Vec<f64>,
    /// Why there are none.
    pub failed: Option<String>,
}

impl Sweep<'_> {
    /// Tests the rates of the plan's trials, one after another; those that were reached, where the user asks for the end. Pretrained weights
    /// are made where they are not stored.
    ///
    /// # Errors
    /// As [`Sweep::run`], before the first test.
    pub fn rates(mut self, hub: &Hub, range: Range) -> Result<Vec<RateTest>, SweepError> {
        let graph = Graph::of(self.whole)?;
        let (asked, varied) = (self.asked(&graph), varied(self.whole));
        let (progress, interrupted) = (self.progress, self.interrupted);
        let cache = Hub::new(HubOptions { offline: true, ..hub.options().clone() });
        let cache = cache.map_err(frostline_data::DataError::from)?;
        let mut worker = self.worker(&graph, Goal::Trials, (hub, &cache));
        let Schedule { steps, due, cohorts, .. } =
            Schedule::of(&graph, &asked, worker.store, Goal::Trials, true);
        (worker.due, worker.cohorts) = (due.clone(), cohorts);
        progress.sweep_begins(due.len(), 0);
        for step in steps.into_iter().filter(|step| !matches!(step, Step::Train(_) | Step::CheckRoom)) {
            if worker.step(step)?.interrupted {
                return Ok(Vec::new());
            }
        }
        let mut tests = Vec::new();
        for id in due {
            let trial = &graph.trials[id].trial;
            let Some(came) = worker.rate(id, range)? else { break };
            let (losses, failed) = came.map_or_else(|why| (Vec::new(), Some(why)), |losses| (losses, None));
            tests.push(RateTest { trial: trial.clone(), label: label(trial, &varied), losses, failed });
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
        }
        progress.sweep_ends();
        Ok(tests)
    }
}

impl Worker<'_> {
    /// The losses of a trial's test, or why there are none; nothing where the user asked for the end.
    fn rate(&self, id: Id<Train>, range: Range) -> Result<Option<Result<Vec<f64>, String>>, SweepError> {
        let trial = &self.graph.trials[id].trial;
        let ready = match self.entrant(id, &mut Base::Own)? {
            Ok(entrant) => entrant.ready,
            Err(ended) => match ended.result.outcome.status {
                Status::Failed { reason } => return Ok(Some(Err(reason))),
                Status::Finished => return Ok(Some(Err("it came to nothing".to_owned()))),
            },
        };
        let label = self.label(trial);
        let came = attempt(|| {
            let ready = ready.with_rising_rate(range.from, range.ratio(), range.steps)?;
            self.progress.training_begins(&label, 1, trial.train.batch);
            let mut ear = Ear {
                progress: self.progress,
                interrupted: self.interrupted,
                ready: &ready,
                steps: range.steps,
                losses: Vec::new(),
            };
            let member = Member { task: ready.task(), observer: &mut ear, from: None, until: None };
            // However it ends, by its steps, by a loss that is no number, or by the user, what was heard counts.
            let ended = train_together(vec![member], Objective::Labels, &mut Shelf::none(), &mut NoBookmark);
            if let (true, Some(Err(error))) = (ear.losses.is_empty(), ended.into_iter().next()) {
                return Err(error);
            }
            let means = ear.losses.iter().map(|(sum, count)| sum / *count as f64);
            Ok(means.collect::<Vec<f64>>())
        });
        Ok(match came {
            Ok(_) if self.interrupted.load(Ordering::Relaxed) => None,
            Ok(losses) => Some(Ok(losses)),
            Err(Attempt::Interrupted) => None,
            Err(Attempt::Failed(reason)) => Some(Err(reason)),
        })
    }
}

/// Hears the losses of a test and ends it.
struct Ear<'a> {
    progress: &'a Progress,
    interrupted: &'a AtomicBool,
    ready: &'a Ready<'a>,
    steps: usize,
    /// For each step, the sum of the losses of its batches, and how many there were.
    losses: Vec<(f64, usize)>,
}

impl Observer for Ear<'_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if let Event::Step { epoch, step, steps, loss, .. } = event {
            let update = self.ready.update((epoch, step), steps);
            if update > self.steps {
                return ControlFlow::Break(());
            }
            self.progress.step(1, update, self.steps, loss);
            match self.losses.get_mut(update - 1) {
                Some((sum, count)) => (*sum, *count) = (*sum + loss, *count + 1),
                None => self.losses.push((loss, 1)),
            }
            let lowest =
                self.losses.iter().map(|(sum, count)| sum / *count as f64).fold(f64::INFINITY, f64::min);
            let is_lost = update > LEAST && loss > ENDS_AT * lowest;
            if is_lost {
                return ControlFlow::Break(());
            }
        }
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
