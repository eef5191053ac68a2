//! What several models have of a pass over images: [`features`] gives each what its frozen stages come to, computed once for all
//! that have them alike or taken from the shelf; [`evaluate_together`] and [`test_together`] go on from there.

use std::ops::ControlFlow;

use candle_core::Device;
use frostline_data::Images;
use frostline_kernels::{Hwnc, Tape};
use frostline_models::{Activation, Model, Pass};

use crate::audit::Hashes;
use crate::evaluate::{Answers, loader};
use crate::prefix::{Prefix, Tree};
use crate::shelf::{Key, Paid, Shelf};
use crate::{EngineError, Evaluation, Event, Observer, Section};

/// An observer, and whether it has asked for the end.
pub(crate) struct Voice<'a> {
    observer: &'a mut dyn Observer,
    pub(crate) stopped: bool,
}

impl<'a> Voice<'a> {
    pub(crate) fn of(observer: &'a mut dyn Observer) -> Self {
        Self { observer, stopped: false }
    }

    /// What asks for the end is heard where work can stop.
    pub(crate) fn tell(&mut self, event: Event<'_>) {
        self.stopped |= self.observer.on(event) == ControlFlow::Break(());
    }
}

/// A model that takes part.
pub(crate) struct Seat<'m, 'v, 'a> {
    pub(crate) prefix: Prefix<'m>,
    pub(crate) voice: &'v mut Voice<'a>,
    pub(crate) paid: &'v mut Paid,
}

/// All that take part; none in the place of one that has ended.
pub(crate) type Seats<'m, 'v, 'a> = Vec<Option<Seat<'m, 'v, 'a>>>;

/// What a model has of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// It takes no part.
    Unwanted,
    /// Its features are to be computed.
    Wanted,
    /// What its frozen stages gave, or the images where it has none.
    Have(Activation),
}

/// What is told, and timed: work for some of the seats.
pub(crate) fn shared<T>(
    seats: &mut Seats<'_, '_, '_>,
    users: &[usize],
    section: Section,
    work: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let mut tell = |event: Event<'_>| {
        users.iter().for_each(|user| {
            if let Some(seat) = &mut seats[*user] {
                seat.voice.tell(event.clone());
            }
        });
    };
    tell(Event::Enter { section, sharers: users.len() });
    let done = work();
    tell(Event::Leave(section));
    done
}

/// The places of those that take part.
pub(crate) fn present(seats: &Seats<'_, '_, '_>) -> Vec<usize> {
    (0..seats.len()).filter(|index| seats[*index].is_some()).collect()
}

/// Where all models are; none where all have ended.
fn device_of(seats: &Seats<'_, '_, '_>) -> Option<Device> {
    seats.iter().flatten().next().map(|seat| seat.prefix.model.device().clone())
}

/// Where the features of each seat's frozen stages are kept, of images that look the same whenever they are asked for.
pub(crate) fn keys(
    seats: &Seats<'_, '_, '_>,
    tree: &Tree,
    images: &Images,
    normalisation: ([f32; 3], [f32; 3]),
    view: Option<(u64, u64)>,
) -> Vec<Option<Key>> {
    let key = |index| Some(Key { prefix: tree.key(index)?, images: images.clone(), normalisation, view });
    (0..seats.len()).map(|index| seats[index].as_ref().and_then(|_| key(index))).collect()
}

/// Tells each seat what others have spent on features that it is about to use, as it would have spent that alone.
pub(crate) fn charge(
    seats: &mut Seats<'_, '_, '_>,
    keys: &[Option<Key>],
    shelf: &Shelf,
    examples: &[u32],
    section: Section,
) {
    for (seat, key) in seats.iter_mut().zip(keys) {
        if let (Some(seat), Some(key)) = (seat, key) {
            let seconds = seat.paid.owes(shelf, key, examples);
            if seconds > 0.0 {
                seat.voice.tell(Event::Reused { section, seconds });
            }
        }
    }
}

/// What the frozen stages of each seat give for `examples`: what has a key is taken from the shelf where it is there, and put there
/// where it was computed. `input` makes the images of the batch, and is asked only where some are needed.
pub(crate) fn features(
    seats: &mut Seats<'_, '_, '_>,
    tree: &Tree,
    shelf: &mut Shelf,
    (section, keys): (Section, &[Option<Key>]),
    examples: &[u32],
    input: &mut dyn FnMut() -> Result<Hwnc, EngineError>,
) -> Result<Vec<Slot>, EngineError> {
    let mut slots: Vec<Slot> =
        seats.iter().map(|seat| if seat.is_some() { Slot::Wanted } else { Slot::Unwanted }).collect();
    let Some(device) = device_of(seats) else { return Ok(slots) };
    for (key, users) in by_key(keys) {
        if let Some(found) = shared(seats, &users, section, || shelf.gather(key, examples, &device))? {
            users.iter().for_each(|user| slots[*user] = Slot::Have(found.clone()));
        }
    }
    let wanted = |slots: &[Slot]| -> Vec<usize> {
        (0..slots.len()).filter(|index| matches!(slots[*index], Slot::Wanted)).collect()
    };
    let users = wanted(&slots);
    if users.is_empty() {
        return Ok(slots);
    }
    let input = Activation::from(shared(seats, &users, section, input)?);
    let prefixes: Vec<Option<Prefix<'_>>> =
        seats.iter().map(|seat| seat.as_ref().map(|s| s.prefix)).collect();
    let mut spent = vec![0.0; seats.len()];
    let began = || shelf.now();
    tree.features(&prefixes, &input, &mut slots, &mut |users, work| {
        let start = began();
        shared(seats, users, section, work)?;
        users.iter().for_each(|user| spent[*user] += began() - start);
        Ok(())
    })?;
    let computed: Vec<usize> =
        users.into_iter().filter(|user| matches!(slots[*user], Slot::Have(_))).collect();
    for (key, users) in by_key(keys) {
        if let Some(user) = users.iter().find(|user| computed.contains(user))
            && let Slot::Have(features) = &slots[*user]
        {
            shelf.put(key, examples, features, spent[*user])?;
        }
    }
    // Nothing is frozen before the rest of these.
    wanted(&slots).into_iter().for_each(|index| slots[index] = Slot::Have(input.clone()));
    Ok(slots)
}

/// Those that have the same key, by that key.
fn by_key(keys: &[Option<Key>]) -> Vec<(&Key, Vec<usize>)> {
    let mut groups: Vec<(&Key, Vec<usize>)> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(index),
            None => groups.push((key, vec![index])),
        }
    }
    groups
}

/// What each seat comes to; none in the place of one that has ended.
pub(crate) type Evaluated = Vec<Option<Result<Evaluation, EngineError>>>;

/// Evaluates all seats on the images of `indices`; what each says, or why nothing came of it. None where an observer asks for the end.
pub(crate) fn evaluate_together(
    seats: &mut Seats<'_, '_, '_>,
    tree: &Tree,
    shelf: &mut Shelf,
    (images, indices): (&Images, &[u32]),
    (mean, std): ([f32; 3], [f32; 3]),
) -> Result<Option<Evaluated>, EngineError> {
    let section = Section::Evaluation;
    let loader = loader(images, indices, mean, std)?;
    let keys = keys(seats, tree, images, (mean, std), None);
    charge(seats, &keys, shelf, indices, section);
    let mut answers: Vec<Answers> = seats.iter().map(|_| Answers::default()).collect();
    for examples in loader.order(0) {
        let Some(device) = device_of(seats) else { break };
        let mut input = || {
            let batch = loader.batch(0, &examples);
            let dims = (batch.height, batch.width, batch.labels.len(), 3);
            Ok(Hwnc::from_vec(batch.pixels, dims, &device)?)
        };
        let slots = features(seats, tree, shelf, (section, &keys), &examples, &mut input)?;
        for (index, slot) in slots.into_iter().enumerate() {
            let (Slot::Have(features), Some(seat)) = (slot, &seats[index]) else { continue };
            let Prefix { model, stages } = seat.prefix;
            let logits = shared(seats, &[index], section, || {
                let answer = model.forward_range(stages..model.stages().len(), features, &Pass::Evaluate)?;
                Ok(answer.into_tensor()?.to_vec2::<f32>()?)
            });
            answers[index].add(logits?, images.labels(), &examples);
        }
        if seats.iter().flatten().any(|seat| seat.voice.stopped) {
            return Ok(None);
        }
    }
    let evaluated =
        answers.into_iter().zip(seats).map(|(answers, seat)| seat.as_ref().map(|_| answers.evaluation()));
    Ok(Some(evaluated.collect()))
}

/// A trained model that is to be tested.
pub struct Candidate<'a> {
    /// The model.
    pub model: &'a Model,
    /// How many of its leading stages did not move in the training ([`crate::Trained::still`]).
    pub still: usize,
    /// Who hears of it.
    pub observer: &'a mut dyn Observer,
}

/// Tests models of the same normalisation (`mean` and `std` of pixel values in [0, 1]) on the images at `indices`: stages that did not move
/// and that several have alike are computed once.
///
/// # Errors
/// For each its own: where it gives anything but finite numbers. For all: where a tensor operation fails, the split is empty, or an
/// observer asks for the end.
pub fn test_together(
    candidates: Vec<Candidate<'_>>,
    (images, indices): (&Images, &[u32]),
    normalisation: ([f32; 3], [f32; 3]),
    shelf: &mut Shelf,
) -> Result<Vec<Result<Evaluation, EngineError>>, EngineError> {
    let mut parties: Vec<(Prefix<'_>, Voice<'_>, Paid)> = Vec::new();
    for Candidate { model, still, observer } in candidates {
        parties.push((Prefix { model, stages: still }, Voice::of(observer), Paid::default()));
    }
    let mut seats: Seats<'_, '_, '_> =
        parties.iter_mut().map(|(prefix, voice, paid)| Some(Seat { prefix: *prefix, voice, paid })).collect();
    let prefixes: Vec<Option<Prefix<'_>>> =
        seats.iter().map(|seat| seat.as_ref().map(|s| s.prefix)).collect();
    let evaluate = || {
        let tree = Tree::of(&prefixes, &mut Hashes::default())?;
        evaluate_together(&mut seats, &tree, shelf, (images, indices), normalisation)
    };
    let evaluated = rayon::scope(|_| Tape::apart(evaluate))?;
    let evaluated = evaluated.ok_or(EngineError::Interrupted)?;
    Ok(evaluated.into_iter().flatten().collect())
}
