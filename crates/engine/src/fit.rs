//! Phases that take no step: [`gather`] takes the features of all images once for all runs of a cohort that have them alike, and
//! [`Run::fit`] fits each run's classifier on them.

use std::sync::Arc;

use candle_core::Tensor;
use frostline_kernels::Hwnc;
use frostline_models::Classifier;
use frostline_probes::{Features, Judge, Linear, Neighbours, logistic, ridge};
use frostline_recipe::Probe;

use crate::evaluate::{Sums, loader, log_loss, most_likely, share_right};
use crate::prefix::Tree;
use crate::run::Run;
use crate::seat::{Seats, Slot, charge, features, keys, shared};
use crate::shelf::{Key, Shelf};
use crate::{EngineError, Section, Task};

/// The features of some images and their labels.
#[derive(Debug)]
pub(crate) struct Table {
    values: Vec<f32>,
    width: usize,
    labels: Vec<u32>,
}

impl Table {
    fn features(&self, classes: usize) -> Result<Features<'_>, EngineError> {
        Ok(Features::new(&self.values, self.width, &self.labels, classes)?)
    }
}

/// Which of a task's images are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Validation,
}

/// What each seat's head is given for the images of a part, as they are; one table for all that have it alike. None where an observer
/// asks for the end.
pub(crate) fn gather(
    seats: &mut Seats<'_, '_, '_>,
    tree: &Tree,
    shelf: &mut Shelf,
    task: &Task<'_>,
    part: Part,
) -> Result<Option<Vec<Option<Arc<Table>>>>, EngineError> {
    let (images, normalisation) = (&task.dataset.train, (task.mean, task.std));
    let (indices, section) = match part {
        Part::Train => (&task.splits.train, Section::Train),
        Part::Validation => (&task.splits.validation, Section::Evaluation),
    };
    let keys = keys(seats, tree, images, normalisation, None);
    charge(seats, &keys, shelf, indices, section);
    let groups = alike(seats, &keys);
    let mut tables: Vec<Table> =
        groups.iter().map(|_| Table { values: Vec::new(), width: 0, labels: Vec::new() }).collect();
    let device = task.model.device();
    let loader = loader(images, indices, task.mean, task.std)?;
    for examples in loader.order(0) {
        let mut input = || {
            let batch = loader.batch(0, &examples);
            let dims = (batch.height, batch.width, batch.labels.len(), 3);
            Ok(Hwnc::from_vec(batch.pixels, dims, device)?)
        };
        let slots = features(seats, tree, shelf, (section, &keys), &examples, &mut input)?;
        for (users, table) in groups.iter().zip(&mut tables) {
            let (Slot::Have(given), Some(seat)) = (&slots[users[0]], &seats[users[0]]) else { continue };
            let prefix = seat.prefix;
            let rows = shared(seats, users, section, || {
                let rows = prefix.model.features(prefix.stages, given.clone())?;
                Ok((rows.dim(1)?, rows.flatten_all()?.to_vec1::<f32>()?))
            });
            let (width, mut values) = rows?;
            table.width = width;
            table.values.append(&mut values);
            table.labels.extend(examples.iter().map(|&example| images.labels()[example as usize]));
        }
        if seats.iter().flatten().any(|seat| seat.voice.stopped) {
            return Ok(None);
        }
    }
    let mut found: Vec<Option<Arc<Table>>> = seats.iter().map(|_| None).collect();
    for (users, table) in groups.into_iter().zip(tables) {
        let table = Arc::new(table);
        users.into_iter().for_each(|user| found[user] = Some(Arc::clone(&table)));
    }
    Ok(Some(found))
}

/// The seats that are taken, in groups whose features are the same.
fn alike(seats: &Seats<'_, '_, '_>, keys: &[Option<Key>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in (0..seats.len()).filter(|index| seats[*index].is_some()) {
        match groups.iter_mut().find(|group| keys[index].is_some() && keys[group[0]] == keys[index]) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

impl Run<'_> {
    /// Fits the classifier of the phase, puts it into the model, and holds it to the images that it was fitted on.
    pub(crate) fn fit(&mut self, train: &Table, validation: Option<&Table>) -> Result<(), EngineError> {
        let (model, classes) = (self.task.model, self.task.model.spec().classes);
        let Some(probe) = self.phase().fit else { return Ok(()) };
        let counting = self.task.recipe.validation_counts;
        let (logits, told) = self.timed(Section::Train, |_| {
            let features = train.features(classes)?;
            let no_validation =
                || EngineError::Unfit(format!("{probe} chooses on validation, and there is none"));
            let fit_linear = |fit: fn(
                &Features<'_>,
                &Features<'_>,
                usize,
                &Judge<'_>,
            ) -> Result<Linear, frostline_probes::ProbeError>| {
                let validation = validation.ok_or_else(no_validation)?.features(classes)?;
                let found = fit(&features, &validation, classes, &|answers| share_right(answers, counting))?;
                model.set_head(&found.weight, &found.bias)?;
                Ok::<_, EngineError>((
                    found.logits(&train.values, train.width),
                    format!("penalty {}", found.strength),
                ))
            };
            match probe {
                Probe::Ridge => fit_linear(ridge),
                Probe::Logistic => fit_linear(logistic),
                Probe::Neighbours(count) => {
                    let vote = Vote(Neighbours::new(&features, classes, count)?);
                    let logits = vote.0.logits(&train.values);
                    model.set_classifier(Arc::new(vote))?;
                    Ok((logits, "votes".to_owned()))
                }
            }
        })?;
        self.fitted = Some(told);
        self.sums = Sums::default();
        for (row, label) in logits.chunks_exact(classes).zip(&train.labels) {
            let loss = log_loss(row, *label);
            let right = usize::from(most_likely(row).0 == *label);
            self.sums.add(&Sums { loss, right: Some(right), examples: 1 });
        }
        Ok(())
    }
}

/// A vote of neighbours as a model's classifier.
#[derive(Debug)]
struct Vote(Neighbours);

impl Classifier for Vote {
    fn logits(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let rows = features.dim(0)?;
        let logits = self.0.logits(&features.flatten_all()?.to_vec1::<f32>()?);
        let classes = logits.len() / rows.max(1);
        Tensor::from_vec(logits, (rows, classes), features.device())
    }
}
