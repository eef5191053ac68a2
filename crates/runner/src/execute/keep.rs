//! The weights that a trial leaves behind, as its experiment's `checkpoints` asks: [`Keeper`] takes them while it trains,
//! and [`check_room`] looks beforehand whether they fit.

use std::ops::ControlFlow;

use frostline_engine::{Event, Observer, Section};
use frostline_models::{Model, ModelError, StateDict};

use super::{Sweep, SweepError, Witness, dataset_key};
use crate::checkpoints::{Checkpoints, Footprint, free_bytes};
use crate::plan::Trial;
use crate::results::{Checkpoint, CheckpointRecord, sha256};

impl Sweep<'_> {
    /// Says how much room the checkpoints of the trials that are due take.
    ///
    /// # Errors
    /// The file system has less.
    pub(super) fn check_room(&self, due: &[&Trial]) -> Result<(), SweepError> {
        if self.plan.checkpoints.is_none() || due.is_empty() {
            return Ok(());
        }
        let classes =
            |trial: &Trial| self.datasets[&dataset_key(&trial.data, trial.resolution)].classes.len();
        let footprint = Footprint::of(due.iter().map(|trial| (*trial, classes(trial))));
        let free = free_bytes(self.store.folder());
        self.progress.say(&format!("checkpoints {}: {footprint}", self.plan.checkpoints));
        check_room(footprint, free).map_err(|free| SweepError::NoRoom {
            footprint,
            free,
            folder: self.store.folder().to_owned(),
        })
    }
}

/// The free bytes, where they are known and too few.
fn check_room(footprint: Footprint, free: Option<u64>) -> Result<(), u64> {
    match free {
        Some(free) if free < footprint.bytes => Err(free),
        _ => Ok(()),
    }
}

/// Hands what it hears on to a [`Witness`], and takes the weights at the end of the last epoch where those are kept.
pub(super) struct Keeper<'w, 'a> {
    pub(super) witness: &'w mut Witness<'a>,
    policy: Checkpoints,
    model: &'w Model,
    epochs: usize,
    last: Option<Result<StateDict, ModelError>>,
}

impl<'w, 'a> Keeper<'w, 'a> {
    pub(super) fn new(
        witness: &'w mut Witness<'a>,
        policy: Checkpoints,
        model: &'w Model,
        epochs: usize,
    ) -> Self {
        Self { witness, policy, model, epochs, last: None }
    }

    /// The checkpoint, after the training; its model holds the weights of the chosen epoch. None where none is kept.
    pub(super) fn checkpoint(
        self,
        chosen_epoch: usize,
        (mean, std): ([f32; 3], [f32; 3]),
    ) -> Result<Option<Checkpoint>, ModelError> {
        let (epoch, weights) = match (self.policy, self.last) {
            (Checkpoints::None, _) => return Ok(None),
            (Checkpoints::Last, Some(last)) => (self.epochs, last?),
            (Checkpoints::Best | Checkpoints::Last, _) => (chosen_epoch, self.model.state_dict()?),
        };
        let bytes = weights.to_safetensors()?;
        let sha256 = sha256(&bytes);
        let size = bytes.len() as u64;
        let record = CheckpointRecord { kept: self.policy, epoch, sha256, size, mean, std };
        Ok(Some(Checkpoint { record, bytes }))
    }
}

impl Observer for Keeper<'_, '_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let ends = matches!(&event, Event::Epoch(report) if report.epoch == self.epochs)
            && self.policy == Checkpoints::Last;
        self.witness.on(event)?;
        if ends {
            self.witness.on(Event::Enter(Section::Checkpoint))?;
            self.last = Some(self.model.state_dict());
            self.witness.on(Event::Leave(Section::Checkpoint))?;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_where_it_is_known() {
        let footprint = Footprint { files: 2, bytes: 100 };
        assert_eq!(check_room(footprint, Some(99)), Err(99));
        assert_eq!(check_room(footprint, Some(100)), Ok(()));
        assert_eq!(check_room(footprint, None), Ok(()));
    }
}
