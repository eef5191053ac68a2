//! Trials that advance together: [`train_together`] takes runs over the same batches in step with each other. A batch is loaded
//! once, goes once through each stage that several runs have frozen alike, and then each run trains its own rest.
//!
//! A run's numbers do not depend on the others: what is shared is the same function of the same images, bit by bit.

use std::sync::{Arc, mpsc};

use frostline_data::Loader;
use frostline_kernels::{Hwnc, Tape};
use frostline_streams::Streams;

use crate::audit::Hashes;
use crate::evaluate::{Validated, batch_size, review};
use crate::fit::{Part, Table, gather};
use crate::member::{options, position, sees_the_same};
use crate::objective::Lesson;
use crate::prefix::{Prefix, Tree, part};
use crate::run::Run;
use crate::seat::{Seat, Seats, Slot, charge, evaluate_together, features, keys, present, shared};
use crate::shelf::{Key, Paid, Shelf};
use crate::state::{Position, State};
use crate::{Bookmark, EngineError, Member, Objective, Section, Trained};

/// Trains each member's model for `objective`; no image of the test split is looked at. A member that fails leaves the others
/// alone. Where an observer asks for the end, all end, and `bookmark` is given where they stand.
///
/// The members have the same images, splits, augmentation, normalisation, batches and seed, and stand at the same position.
///
/// # Errors
/// For each member its own, as [`crate::train`]; [`EngineError::Unfit`] for all where they do not see the same batches.
pub fn train_together(
    members: Vec<Member<'_>>,
    objective: Objective,
    shelf: &mut Shelf,
    bookmark: &mut dyn Bookmark,
) -> Vec<Result<Trained, EngineError>> {
    let count = members.len();
    // On a thread of the pool: handing each operation over to it, and waiting for it, would cost more than some take.
    let train = || {
        let mut cohort = Cohort::new(members, objective, shelf)?;
        cohort.train(bookmark)?;
        Ok::<_, EngineError>(cohort.results)
    };
    let all = rayon::scope(|_| Tape::apart(train));
    let lost = |reason: &str| Err(EngineError::Unfit(reason.to_owned()));
    match all {
        Ok(results) => {
            results.into_iter().map(|result| result.unwrap_or_else(|| lost("a run came to no end"))).collect()
        }
        Err(error) if count == 1 => vec![Err(error)],
        Err(error) => (0..count).map(|_| lost(&error.to_string())).collect(),
    }
}

struct Cohort<'a, 's> {
    /// None in the place of one that has ended.
    runs: Vec<Option<Run<'a>>>,
    results: Vec<Option<Result<Trained, EngineError>>>,
    /// The epoch at whose end each waits.
    waits: Vec<Option<usize>>,
    paid: Vec<Paid>,
    tree: Tree,
    shelf: &'s mut Shelf,
    objective: Objective,
    loader: Loader,
    streams: Streams,
    /// Where all runs stand.
    at: Position,
}

impl<'a, 's> Cohort<'a, 's> {
    fn new(
        members: Vec<Member<'a>>,
        objective: Objective,
        shelf: &'s mut Shelf,
    ) -> Result<Self, EngineError> {
        let unfit = |what: &str| EngineError::Unfit(what.to_owned());
        let first = members.first().ok_or_else(|| unfit("a cohort has a member"))?;
        let (task, at) = (first.task, position(first));
        let other = |member: &Member<'_>| !sees_the_same(&task, &member.task) || position(member) != at;
        if members.iter().any(other) {
            return Err(unfit("the members of a cohort see other batches, or stand elsewhere"));
        }
        task.recipe.check()?;
        if objective != Objective::Labels && task.augment.mixes() {
            return Err(unfit(
                "mixup and cutmix mix labels, and what is learnt here has none; leave them out",
            ));
        }
        let loader = Loader::new(&task.dataset.train, task.splits.train.clone(), options(&task))?;
        let (mut runs, mut results, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for Member { task, observer, from, until } in members {
            let run = Run::new(task, objective, loader.batches(), observer).and_then(|mut run| {
                from.as_ref().map_or(Ok(()), |state| run.resume(state))?;
                Ok(run)
            });
            let (run, result) = match run {
                Ok(run) => (Some(run), None),
                Err(error) => (None, Some(Err(error))),
            };
            runs.push(run);
            results.push(result);
            waits.push(until);
        }
        let (paid, tree) = (runs.iter().map(|_| Paid::default()).collect(), Tree::default());
        let streams = Streams::new(task.seed);
        Ok(Self { runs, results, waits, paid, tree, shelf, objective, loader, streams, at })
    }

    /// Epoch by epoch until no run is left.
    fn train(&mut self, bookmark: &mut dyn Bookmark) -> Result<(), EngineError> {
        let (mut hashes, mut grown) = (Hashes::default(), false);
        while self.runs.iter().any(Option::is_some) {
            let mut began = !grown;
            self.each(|run, _| {
                began |= run.begin_phase(&mut hashes)?;
                Ok(())
            });
            if began {
                let prefixes: Vec<Option<Prefix<'_>>> =
                    self.runs.iter().map(|run| run.as_ref().map(prefix)).collect();
                self.tree = Tree::of(&prefixes, &mut hashes)?;
                grown = true;
            }
            if self.runs.iter().flatten().any(|run| run.phase().fit.is_some()) {
                self.fit()?;
            } else {
                self.epoch(bookmark)?;
            }
            let validated = if self.is_stopped() { None } else { self.validate()? };
            let Some(validated) = validated else { return self.stop(bookmark) };
            hashes = Hashes::default();
            self.each(|run, index| {
                run.end_epoch(validated[index], &mut hashes)?;
                run.show_average(run.is_done())
            });
            self.at = Position { epochs: self.at.epochs + 1, steps: 0 };
            self.finish();
            self.wait(bookmark)?;
        }
        Ok(())
    }

    /// An epoch without steps: the runs fit their classifiers.
    fn fit(&mut self) -> Result<(), EngineError> {
        let Some(task) = self.runs.iter().flatten().next().map(|run| run.task) else { return Ok(()) };
        if self.runs.iter().flatten().any(|run| run.phase().fit.is_none()) {
            return Err(EngineError::Unfit("a cohort takes steps or fits classifiers, not both".to_owned()));
        }
        let Self { runs, paid, tree, shelf, .. } = self;
        let mut seats = seats(runs, paid);
        let Some(train) = gather(&mut seats, tree, shelf, &task, Part::Train)? else { return Ok(()) };
        let validation = match task.splits.validation.is_empty() {
            true => Some(train.iter().map(|_| None).collect()),
            false => gather(&mut seats, tree, shelf, &task, Part::Validation)?,
        };
        let Some(validation): Option<Vec<Option<Arc<Table>>>> = validation else { return Ok(()) };
        self.each(|run, index| match &train[index] {
            Some(train) => run.fit(train, validation[index].as_deref()),
            None => Err(EngineError::Unfit("a run has no features".to_owned())),
        });
        Ok(())
    }

    /// All steps of the epoch under way that are left; the next batches are made on another thread meanwhile.
    fn epoch(&mut self, bookmark: &mut dyn Bookmark) -> Result<(), EngineError> {
        let (epoch, skipped) = (self.at.epochs as u64 + 1, self.at.steps);
        let order = self.loader.order(epoch);
        let keys = self.keys(epoch);
        let all: Vec<u32> = order.iter().flatten().copied().collect();
        let Self { runs, paid, shelf, .. } = self;
        charge(&mut seats(runs, paid), &keys, shelf, &all, Section::Train);
        let kept = |key: &Option<Key>| key.as_ref().is_some_and(|key| self.shelf.has(key, &all));
        let known = self.runs.iter().zip(&keys).all(|(run, key)| run.is_none() || kept(key));
        let Some(device) = self.runs.iter().flatten().next().map(|run| run.task.model.device().clone())
        else {
            return Ok(());
        };
        let (loader, streams, objective) = (self.loader.clone(), self.streams, self.objective);
        let ahead = self.ahead();
        let groups = (skipped..).step_by(ahead).zip(order[skipped..].chunks(ahead));
        let groups: Vec<(usize, &[Vec<u32>])> = groups.collect();
        // On the thread that calls it: there a batch is also copied to the device, while the batch before trains.
        let prepare = |(index, group): (usize, &[Vec<u32>])| {
            let batch = match group {
                [batch] => loader.mixed(epoch, index, batch),
                batches => loader.batch(epoch, &batches.concat()),
            };
            objective.lesson(batch, &streams, epoch, &device)
        };
        if known {
            for group in groups {
                if !self.steps(&mut || prepare(group), group.1, &keys, bookmark)? {
                    break;
                }
            }
            return Ok(());
        }
        std::thread::scope(|scope| {
            let (sender, batches) = mpsc::sync_channel(2);
            let (prepare, all) = (&prepare, groups.clone());
            scope.spawn(move || all.into_iter().try_for_each(|group| sender.send(prepare(group))));
            for group in groups {
                let Self { runs, paid, .. } = self;
                let mut seats = seats(runs, paid);
                let users = present(&seats);
                let batch = shared(&mut seats, &users, Section::Data, || {
                    batches.recv().map_err(|_| EngineError::Unfit("the loader stopped early".to_owned()))
                })?;
                let mut batch = Some(batch);
                let mut make = || batch.take().unwrap_or_else(|| prepare(group));
                if !self.steps(&mut make, group.1, &keys, bookmark)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Batches that go through frozen stages at once: where every run has some, as many images as in an evaluation, since products of
    /// more rows are faster and give each image the same. One where images are mixed within a batch.
    fn ahead(&self) -> usize {
        let all_frozen = self.runs.iter().flatten().all(|run| run.prefix() > 0);
        let images = self.loader.images();
        let at_once = batch_size(images.height(), images.width());
        match self.objective {
            Objective::Labels if all_frozen && !self.loader.mixes() => {
                (at_once / self.loader.batch_size()).max(1)
            }
            _ => 1,
        }
    }

    /// A step of every run on each batch of a group, whose images `make` makes together where they are needed. Whether to go on.
    fn steps(
        &mut self,
        make: &mut dyn FnMut() -> Result<(Hwnc, Lesson), EngineError>,
        group: &[Vec<u32>],
        keys: &[Option<Key>],
        bookmark: &mut dyn Bookmark,
    ) -> Result<bool, EngineError> {
        let epoch = self.at.epochs + 1;
        let Self { runs, paid, tree, shelf, loader, .. } = self;
        let mut made = None;
        let mut input = || -> Result<Hwnc, EngineError> {
            let (input, lesson) = make()?;
            made = Some(lesson);
            Ok(input)
        };
        let mut seats = seats(runs, paid);
        let slots = features(&mut seats, tree, shelf, (Section::Train, keys), &group.concat(), &mut input)?;
        let images = loader.images().clone();
        let mut start = 0;
        for examples in group {
            let lesson = match made.take() {
                Some(lesson) if group.len() == 1 => lesson,
                _ => Lesson::of_labels(&images, examples),
            };
            let (step, end) = (self.at.steps + 1, start + examples.len());
            self.each(|run, index| match &slots[index] {
                Slot::Have(all) if group.len() == 1 => run.step((epoch, step), &lesson, all.clone()),
                Slot::Have(all) => run.step((epoch, step), &lesson, part(all, start..end)?),
                _ => Err(EngineError::Unfit("a run has no features".to_owned())),
            });
            start = end;
            self.at.steps = step;
            if bookmark.is_due() && !self.is_stopped() {
                bookmark.keep(self.states()?);
            }
            if self.is_stopped() || self.runs.iter().all(Option::is_none) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What each run comes to on the validation split; none where the end was asked for.
    fn validate(&mut self) -> Result<Option<Vec<Option<Validated>>>, EngineError> {
        self.each(|run, _| run.show_average(true));
        let none = || self.runs.iter().map(|_| None).collect();
        let Some(task) = self.runs.iter().flatten().next().map(|run| run.task) else {
            return Ok(Some(none()));
        };
        let (images, indices) = (&task.dataset.train, &task.splits.validation[..]);
        let mut seen: Vec<Option<Validated>> = none();
        if indices.is_empty() {
            self.each(|run, _| if run.is_last_epoch() { run.recalibrate() } else { Ok(()) }); // for the test
            return Ok(Some(seen));
        }
        self.each(|run, _| run.recalibrate());
        if self.objective != Objective::Labels {
            let (objective, streams, normalisation) = (self.objective, self.streams, (task.mean, task.std));
            self.each(|run, index| {
                let sums = run.timed(Section::Evaluation, |run| {
                    review(run.task.model, images, indices, normalisation, objective, &streams)
                })?;
                seen[index] = Some(sums.into());
                Ok(())
            });
            return Ok(Some(seen));
        }
        let Self { runs, paid, tree, shelf, .. } = self;
        let mut seats = seats(runs, paid);
        let found = evaluate_together(&mut seats, tree, shelf, (images, indices), (task.mean, task.std))?;
        let Some(mut found) = found else { return Ok(None) };
        self.each(|run, index| {
            let evaluation = found[index].take().transpose()?;
            let counting = run.task.recipe.validation_counts;
            seen[index] = evaluation.map(|evaluation| Validated::of(&evaluation, counting));
            Ok(())
        });
        Ok(Some(seen))
    }

    /// What the features of each run's prefix are kept under; none where they do not come again in later epochs.
    fn keys(&mut self, epoch: u64) -> Vec<Option<Key>> {
        let repeats = self.loader.repeats() && self.objective == Objective::Labels;
        let view = self.loader.view(epoch).map(|view| (self.streams.seed(), view));
        let Self { runs, paid, tree, loader, .. } = self;
        let Some(task) = runs.iter().flatten().next().map(|run| run.task).filter(|_| repeats) else {
            return runs.iter().map(|_| None).collect();
        };
        keys(&seats(runs, paid), tree, loader.images(), (task.mean, task.std), view)
    }

    /// Work of each run by itself; one that fails ends.
    fn each(&mut self, mut work: impl FnMut(&mut Run<'a>, usize) -> Result<(), EngineError>) {
        for (index, place) in self.runs.iter_mut().enumerate() {
            let Some(run) = place else { continue };
            if let Err(error) = work(run, index) {
                self.results[index] = Some(Err(error));
                *place = None;
            }
        }
    }

    /// Ends the runs that have all their epochs behind them.
    fn finish(&mut self) {
        for (place, result) in self.runs.iter_mut().zip(&mut self.results) {
            if let Some(run) = place.as_mut().filter(|run| run.is_done()) {
                *result = Some(run.choose());
                *place = None;
            }
        }
    }

    /// Ends the runs that are to wait here, and keeps where they stand.
    fn wait(&mut self, bookmark: &mut dyn Bookmark) -> Result<(), EngineError> {
        let epochs = self.at.epochs;
        let waits = |index: &usize| self.waits[*index].is_some_and(|until| until <= epochs);
        let waiting: Vec<usize> =
            (0..self.runs.len()).filter(|index| self.runs[*index].is_some() && waits(index)).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        bookmark.keep(self.states()?.into_iter().filter(|(index, _)| waiting.contains(index)).collect());
        for index in waiting {
            self.runs[index] = None;
            self.results[index] = Some(Err(EngineError::Waiting));
        }
        Ok(())
    }

    fn states(&self) -> Result<Vec<(usize, State)>, EngineError> {
        let runs = self.runs.iter().enumerate().filter_map(|(index, run)| Some((index, run.as_ref()?)));
        runs.map(|(index, run)| Ok((index, run.state(self.at.steps)?))).collect()
    }

    fn is_stopped(&self) -> bool {
        self.runs.iter().flatten().any(|run| run.voice.stopped)
    }

    /// The end that was asked for.
    fn stop(&mut self, bookmark: &mut dyn Bookmark) -> Result<(), EngineError> {
        self.each(|run, _| run.show_average(false));
        if self.at.steps > 0 {
            bookmark.keep(self.states()?);
        }
        self.each(|_, _| Err(EngineError::Interrupted));
        Ok(())
    }
}

/// Those of the runs that have not ended, with their frozen prefixes.
fn seats<'r, 'a>(runs: &'r mut [Option<Run<'a>>], paid: &'r mut [Paid]) -> Seats<'a, 'r, 'a> {
    let seat = |(run, paid): (&'r mut Option<Run<'a>>, &'r mut Paid)| {
        let run = run.as_mut()?;
        Some(Seat { prefix: prefix(run), voice: &mut run.voice, paid })
    };
    runs.iter_mut().zip(paid).map(seat).collect()
}

fn prefix<'a>(run: &Run<'a>) -> Prefix<'a> {
    Prefix { model: run.task.model, stages: run.prefix() }
}
