//! What a worker does for a cohort: it builds the models, trains them together from where each stands, tests them and stores each trial.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use frostline_engine::{
    Candidate, EngineError, Evaluation, Objective, Shelf, Trained, test_together, train_together,
};
use frostline_experiment::{Memory, Trial};
use frostline_results::{EpochRecord, Inputs, Outcome, State, Status, TrialResult};

use super::attempt::{Attempt, attempt};
use super::bookmark::{Begun, Member, Saver, begun};
use super::cohort::parts;
use super::error::SweepError;
use super::graph::{Id, Start, Train};
use super::keep::Keeper;
use super::pretrain::Pretrained;
use super::train::{Base, Ready, tested};
use super::witness::{Log, Tracked, Witness, locked};
use super::worker::{Done, Worker};
use crate::machine::{Taken, timestamp};

/// A trial that is about to run.
pub(super) struct Entrant<'a> {
    id: Id<Train>,
    outcome: Outcome,
    pub(super) ready: Ready<'a>,
    begun: Option<Begun>,
}

/// What came of a trial that was run: it is to be stored so.
pub(super) struct Ended {
    id: Id<Train>,
    pub(super) result: TrialResult,
}

impl Worker<'_> {
    /// Trains, tests and stores the trials of a cohort, in as many parts as memory asks for; but for those that another process has
    /// stored, or runs.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn train(&mut self, cohort: &[Id<Train>]) -> Result<Done, SweepError> {
        let (mut done, mut claimed, mut claims) = (Done::default(), Vec::new(), Vec::new());
        for &id in cohort {
            let trial = &self.graph.trials[id].trial;
            let before = self.store.state(&trial.id).cloned();
            let Some(claim) = self.store.claim(&trial.id)? else {
                done.elsewhere.push(id);
                continue;
            };
            match self.store.state(&trial.id) {
                // Another process has ended it since.
                now if now == before.as_ref() => {}
                Some(State::Finished) => {
                    done.found += 1;
                    continue;
                }
                Some(State::Failed { reason }) => {
                    done.stored.push(Status::Failed { reason: reason.clone() });
                    continue;
                }
                _ => {}
            }
            claims.push(claim);
            claimed.push(id);
        }
        for part in self.parts(&claimed) {
            let mut shelf = std::mem::replace(&mut self.shelf, Shelf::none());
            let came = self.part(&part, &mut shelf);
            self.shelf = shelf;
            let (ended, interrupted) = came?;
            for Ended { id, result } in ended {
                done.stored.push(self.store(id, result)?);
            }
            done.interrupted = interrupted;
            if interrupted {
                break;
            }
        }
        Ok(done)
    }

    fn parts(&mut self, cohort: &[Id<Train>]) -> Vec<Vec<Id<Train>>> {
        let host = self.free_memory().map(|free| free + self.shelf.held() as u64);
        let first = cohort.first().map(|id| &self.graph.trials[*id].trial);
        let elsewhere = first.filter(|trial| !self.settings.devices.of(&trial.device).is_cpu());
        let free = elsewhere.map_or(host, |trial| self.room(trial));
        let writes = !self.checkpoints.is_none();
        let memory = |id: Id<Train>| {
            let Train { trial, data, .. } = &self.graph.trials[id];
            let dataset = &self.made.data[*data].dataset;
            let memory = Memory::of(trial, dataset.classes.len())?.with_features(trial, dataset.train.len());
            Some(if writes { memory.with_written_weights() } else { memory })
        };
        let parts = parts(cohort, memory, free);
        let most = parts.iter().map(|part| {
            let all = part.iter().filter_map(|id| memory(*id));
            all.reduce(|a, b| a.and(&b)).unwrap_or_default().bytes()
        });
        // Half of what the trainings leave is for features that come again, which are kept in the host's memory.
        let taken = if elsewhere.is_some() { 0 } else { most.max().unwrap_or(0) };
        let left = host.map(|free| free.saturating_sub(taken) / 2);
        self.shelf.set_budget(usize::try_from(left.unwrap_or(0)).unwrap_or(0));
        parts
    }

    /// Trials that fit into memory together: those that ended, and whether the user asked for the end.
    fn part(&self, part: &[Id<Train>], shelf: &mut Shelf) -> Result<(Vec<Ended>, bool), SweepError> {
        let mut ended = Vec::new();
        let mut entrants = Vec::new();
        let mut base = Base::of(part.len());
        if let Some(first) = part.first() {
            let Trial { train, .. } = &self.graph.trials[*first].trial;
            self.progress.training_begins(&self.name(part), train.epochs, train.batch);
        }
        for &id in part {
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok((ended, true));
            }
            match self.entrant(id, &mut base)? {
                Ok(entrant) => entrants.push(entrant),
                Err(failed) => ended.push(failed),
            }
        }
        drop(base);
        let inputs: Vec<(String, Inputs)> = entrants
            .iter()
            .map(|entrant| (entrant.outcome.trial.clone(), Inputs::of(&entrant.outcome)))
            .collect();
        let named: Vec<(&str, &Inputs)> = inputs.iter().map(|(id, inputs)| (id.as_str(), inputs)).collect();
        let places = begun(&self.store.underway(), &named, self.progress)?;
        entrants.iter_mut().zip(places).for_each(|(entrant, begun)| entrant.begun = begun);
        let at = |entrant: &Entrant<'_>| {
            entrant.begun.as_ref().map(|begun| begun.state.position()).unwrap_or_default()
        };
        entrants.sort_by_key(|entrant| std::cmp::Reverse(at(entrant)));
        while !entrants.is_empty() {
            let here = at(&entrants[0]);
            let others = entrants.iter().position(|entrant| at(entrant) != here).unwrap_or(entrants.len());
            let later = entrants.split_off(others);
            let (mut done, interrupted) = self.together(entrants, shelf)?;
            ended.append(&mut done);
            if interrupted {
                return Ok((ended, true));
            }
            entrants = later;
        }
        Ok((ended, false))
    }

    /// A trial with its model, or why it came to nothing.
    pub(super) fn entrant<'a>(
        &'a self,
        id: Id<Train>,
        base: &mut Base,
    ) -> Result<Result<Entrant<'a>, Ended>, SweepError> {
        let Train { trial, data, start, .. } = &self.graph.trials[id];
        let mut outcome =
            Outcome::started(trial, self.settings.threads, timestamp(), self.settings.environment.id());
        if let Some(problem) = self.too_large.get(&trial.id) {
            return Ok(Err(failed(id, outcome, Vec::new(), problem.clone())));
        }
        let weights = match start {
            Start::Drawn(_) => None,
            Start::Fetched(weights) => self.made.weights.get(*weights),
            Start::Pretrained(trunk) => match &self.made.trunks[*trunk] {
                Pretrained::Failed(reason) => {
                    return Ok(Err(failed(id, outcome, Vec::new(), reason.clone())));
                }
                Pretrained::Ready(resolved, record) => {
                    outcome.pretraining = Some(record.clone());
                    Some(&**resolved)
                }
            },
        };
        let dataset = &self.made.data[*data].dataset;
        let device = self.settings.devices.of(&trial.device);
        match attempt(|| Ready::new(trial, dataset, (weights, device), base, &mut outcome)) {
            Ok(ready) => Ok(Ok(Entrant { id, outcome, ready, begun: None })),
            Err(Attempt::Interrupted) => Ok(Err(failed(id, outcome, Vec::new(), "interrupted".to_owned()))),
            Err(Attempt::Failed(reason)) => Ok(Err(failed(id, outcome, Vec::new(), reason))),
        }
    }

    /// Trains and tests trials that stand at the same place.
    fn together(
        &self,
        mut entrants: Vec<Entrant<'_>>,
        shelf: &mut Shelf,
    ) -> Result<(Vec<Ended>, bool), SweepError> {
        let logs: Vec<Mutex<Log>> =
            entrants.iter().map(|entrant| log(entrant.begun.as_ref(), shelf.held())).collect();
        let mut members = Vec::new();
        for entrant in &mut entrants {
            if let Some(begun) = &entrant.begun {
                entrant.outcome.started_at.clone_from(&begun.place.started_at);
                self.goes_on(&begun.place);
            } else {
                self.begun.borrow_mut().insert(entrant.outcome.trial.clone());
            }
            let (id, started_at) = (entrant.outcome.trial.clone(), entrant.outcome.started_at.clone());
            members.push(Member { id, inputs: Inputs::of(&entrant.outcome), started_at });
        }
        let mut saver =
            Saver::new(self.store.underway(), self.settings.save_every, members, logs.iter().collect());
        let from: Vec<_> = entrants.iter_mut().map(|entrant| entrant.begun.take().map(|b| b.state)).collect();
        let mut keepers: Vec<Keeper<'_, '_>> = Vec::new();
        for (entrant, log) in entrants.iter().zip(&logs) {
            let trial = &self.graph.trials[entrant.id].trial;
            keepers.push(Keeper {
                witness: Witness {
                    progress: self.progress,
                    interrupted: self.interrupted,
                    log,
                    label: self.label(trial),
                    tracked: Some(Tracked {
                        trackers: &self.settings.trackers,
                        experiment: self.experiment,
                        trial,
                        started_at: entrant.outcome.started_at.clone(),
                    }),
                },
                policy: self.checkpoints,
                model: &entrant.ready.model,
                epochs: trial.train.epochs,
                last: None,
            });
        }
        let all = entrants.iter().zip(&mut keepers).zip(from);
        let all = all.map(|((entrant, observer), from)| frostline_engine::Member {
            task: entrant.ready.task(),
            observer,
            from,
            until: self.until,
        });
        let all = all.collect();
        let count = entrants.len();
        let trained = attempt(|| Ok(train_together(all, Objective::Labels, &mut *shelf, &mut saver)));
        let saved = saver.end();
        if let Err(error) = saved {
            self.progress.say(&format!(
                "note: where trainings stand could not be kept, so that an interruption would lose them: {error}"
            ));
        }
        let trained = match trained {
            Ok(trained) => trained,
            Err(Attempt::Failed(reason)) => {
                (0..count).map(|_| Err(EngineError::Unfit(reason.clone()))).collect()
            }
            Err(Attempt::Interrupted) => (0..count).map(|_| Err(EngineError::Interrupted)).collect(),
        };
        let evaluated = self.test(&entrants, &trained, &mut keepers, shelf);
        let lasts: Vec<_> = keepers.into_iter().map(|keeper| keeper.last).collect();
        let (mut ended, mut interrupted) = (Vec::new(), false);
        let results = entrants.into_iter().zip(&logs).zip(trained).zip(evaluated).zip(lasts);
        for ((((entrant, log), trained), evaluation), last) in results {
            let Entrant { id, mut outcome, ready, .. } = entrant;
            let mut log = locked(log);
            (outcome.seconds, outcome.shared, outcome.peak_memory_bytes) = log.measured();
            let epochs = std::mem::take(&mut log.epochs);
            let completed = trained.and_then(|trained| {
                let evaluation = evaluation.unwrap_or(Err(EngineError::Interrupted))?;
                if let (Some(seen), Some(data)) = (self.seen.get(&outcome.trial), &mut outcome.data) {
                    data.duplicates.push(seen.clone());
                }
                tested(&ready, &trained, &evaluation, (self.checkpoints, last), &mut outcome)
            });
            match completed {
                Ok((predictions, checkpoint)) => {
                    ended
                        .push(Ended { id, result: TrialResult { outcome, epochs, predictions, checkpoint } });
                }
                Err(EngineError::Interrupted) => interrupted = true,
                Err(EngineError::Waiting) => {}
                Err(error) => ended.push(failed(id, outcome, epochs, error.to_string())),
            }
        }
        Ok((ended, interrupted))
    }

    /// What the trained ones say of the test split; none for the others.
    fn test(
        &self,
        entrants: &[Entrant<'_>],
        trained: &[Result<Trained, EngineError>],
        keepers: &mut [Keeper<'_, '_>],
        shelf: &mut Shelf,
    ) -> Vec<Option<Result<Evaluation, EngineError>>> {
        let mut evaluated: Vec<Option<Result<Evaluation, EngineError>>> =
            trained.iter().map(|_| None).collect();
        let (mut candidates, mut places, mut party) = (Vec::new(), Vec::new(), None);
        for (place, (keeper, trained)) in keepers.iter_mut().zip(trained).enumerate() {
            if let Ok(Trained { still, .. }) = trained {
                let ready = &entrants[place].ready;
                candidates.push(Candidate { model: &ready.model, still: *still, observer: keeper });
                places.push(place);
                party = Some((ready.normalisation, ready.tested()));
            }
        }
        let Some((normalisation, (images, indices))) = party else { return evaluated };
        match attempt(|| test_together(candidates, (images, &indices), normalisation, shelf)) {
            Ok(found) => places.into_iter().zip(found).for_each(|(place, one)| evaluated[place] = Some(one)),
            Err(Attempt::Interrupted) => {}
            Err(Attempt::Failed(reason)) => places
                .into_iter()
                .for_each(|place| evaluated[place] = Some(Err(EngineError::Unfit(reason.clone())))),
        }
        evaluated
    }

    /// What the user knows a part of a cohort by.
    fn name(&self, part: &[Id<Train>]) -> String {
        let label = |id: &Id<Train>| self.label(&self.graph.trials[*id].trial);
        match part {
            [] => String::new(),
            [one] => label(one),
            [first, others @ ..] => format!("{} and {} more", label(first), others.len()),
        }
    }
}

fn log(begun: Option<&Begun>, held: usize) -> Mutex<Log> {
    match begun {
        Some(begun) => Log::begin(begun.taken(), begun.place.epochs.clone(), held),
        None => Log::begin(Taken::default(), Vec::new(), held),
    }
}

/// What a failure leaves behind.
fn failed(id: Id<Train>, mut outcome: Outcome, epochs: Vec<EpochRecord>, reason: String) -> Ended {
    outcome.status = Status::Failed { reason };
    Ended { id, result: TrialResult { outcome, epochs, predictions: Vec::new(), checkpoint: None } }
}
