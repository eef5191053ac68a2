//! Where trainings under way stand, kept on disk while they go on: [`Places`] finds what an earlier sweep has left, [`Saver`] keeps
//! new ones, at intervals and in the background.

use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::{Bookmark, Position, State};
use frostline_results::{Inputs, Place, StoreError, Underway};

use super::witness::{Log, locked};
use crate::machine::Taken;
use crate::terminal::Progress;

/// What is kept of a training that an earlier sweep began.
pub(super) struct Begun {
    pub(super) place: Place,
    pub(super) state: State,
}

impl Begun {
    pub(super) fn taken(&self) -> Taken {
        let Place { seconds, share_seconds, together, .. } = &self.place;
        Taken::again(seconds, *share_seconds, *together)
    }
}

/// The places of several trainings, each with the latest that it can go on from. What is damaged, or was made of other inputs, is
/// said and not used.
pub(super) fn begun(
    underway: &Underway,
    trainings: &[(&str, &Inputs)],
    progress: &Progress,
) -> Result<Vec<Option<Begun>>, StoreError> {
    let mut all: Vec<Vec<Place>> = Vec::new();
    for (id, inputs) in trainings {
        let (mut places, broken) = underway.places(id)?;
        for error in broken {
            progress.say(&format!("note: {error}; the place before it is taken"));
        }
        if let Some(difference) = places.iter().find_map(|place| place.inputs.difference(inputs)) {
            progress.say(&format!("{id} was begun with {difference}, and begins anew"));
            underway.forget(id)?;
            places.clear();
        }
        all.push(places);
    }
    let at = |place: &Place| Position { epochs: place.done, steps: place.steps };
    // The last place that all of those have which have any; each its own last one, where there is none such.
    let latest = all.iter().filter_map(|places| places.first().map(at)).min();
    let common = latest.filter(|latest| {
        let has = |places: &Vec<Place>| places.is_empty() || places.iter().any(|place| at(place) == *latest);
        all.iter().all(has)
    });
    let mut found = Vec::new();
    for places in all {
        let place = match common {
            Some(common) => places.into_iter().find(|place| at(place) == common),
            None => places.into_iter().next(),
        };
        let Some(place) = place else {
            found.push(None);
            continue;
        };
        match State::from_bytes(&underway.state(&place)?) {
            Ok(state) => found.push(Some(Begun { place, state })),
            Err(error) => {
                progress.say(&format!("{} begins anew: {error}", place.of));
                found.push(None);
            }
        }
    }
    Ok(found)
}

/// Of a training, what a place says beside its numbers.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) inputs: Inputs,
    pub(super) started_at: String,
}

/// Keeps places while trainings go on. The writing is done by a thread of its own, one place of all trainings at a time.
pub(super) struct Saver<'a> {
    underway: Underway,
    every: Duration,
    members: Vec<Member>,
    logs: Vec<&'a Mutex<Log>>,
    last: Instant,
    writing: Option<JoinHandle<Result<(), StoreError>>>,
    /// The first write that failed.
    failed: Option<StoreError>,
}

impl<'a> Saver<'a> {
    pub(super) fn new(
        underway: Underway,
        every: Duration,
        members: Vec<Member>,
        logs: Vec<&'a Mutex<Log>>,
    ) -> Self {
        Self { underway, every, members, logs, last: now(), writing: None, failed: None }
    }

    /// Waits for what is being written.
    ///
    /// # Errors
    /// The first write that failed.
    pub(super) fn end(mut self) -> Result<(), StoreError> {
        self.wait();
        self.failed.map_or(Ok(()), Err)
    }

    fn wait(&mut self) {
        if let Some(writing) = self.writing.take() {
            let written = writing.join().unwrap_or(Ok(())); // A panic there has been told, and loses a place alone.
            self.failed = self.failed.take().or(written.err());
        }
    }
}

impl Bookmark for Saver<'_> {
    fn is_due(&mut self) -> bool {
        let idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        idle && self.failed.is_none() && self.last.elapsed() >= self.every
    }

    fn keep(&mut self, states: Vec<(usize, State)>) {
        self.wait();
        let place = |index: usize, position: Position| {
            let (Member { id, inputs, started_at }, log) = (&self.members[index], locked(self.logs[index]));
            let (share_seconds, together) = log.taken().share();
            Place {
                of: id.clone(),
                inputs: inputs.clone(),
                done: position.epochs,
                steps: position.steps,
                epochs: log.epochs.clone(),
                seconds: log.taken().seconds(),
                share_seconds,
                together,
                started_at: started_at.clone(),
                sha256: String::new(),
            }
        };
        let places: Vec<(Place, State)> =
            states.into_iter().map(|(index, state)| (place(index, state.position()), state)).collect();
        let underway = self.underway.clone();
        let write = move || {
            places.into_iter().try_for_each(|(place, state)| underway.keep(&place, |out| state.write_to(out)))
        };
        self.writing = Some(std::thread::spawn(write));
        self.last = now();
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "places are kept at intervals")]
    Instant::now()
}
