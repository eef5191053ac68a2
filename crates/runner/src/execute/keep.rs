//! The weights that a trial leaves behind, as its experiment's `checkpoints` asks: [`Keeper`] takes those of the last epoch
//! while it trains, [`checkpoint`] makes the file, and [`check_room`] looks beforehand whether all of them fit.

use std::ops::ControlFlow;

use frostline_engine::{Event, Observer, Section};
use frostline_experiment::{Checkpoints, Footprint};
use frostline_models::{Model, ModelError, StateDict};
use frostline_results::{Checkpoint, CheckpointRecord};
use frostline_text::sha256;

use super::witness::Witness;

/// The free bytes, where they are known and too few.
pub(super) fn check_room(footprint: Footprint, free: Option<u64>) -> Result<(), u64> {
    match free {
        Some(free) if free < footprint.bytes => Err(free),
        _ => Ok(()),
    }
}

/// The weights after the last epoch, where those are kept.
pub(super) type LastWeights = Option<Result<StateDict, ModelError>>;

/// Hands what it hears on to a [`Witness`], and takes the weights at the end of the last epoch where those are kept.
pub(super) struct Keeper<'w, 'a> {
    pub(super) witness: Witness<'a>,
    pub(super) policy: Checkpoints,
    pub(super) model: &'w Model,
    pub(super) epochs: usize,
    pub(super) last: LastWeights,
}

impl Observer for Keeper<'_, '_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let ends = matches!(&event, Event::Epoch(report) if report.epoch == self.epochs)
            && self.policy == Checkpoints::Last;
        self.witness.on(event)?;
        if ends {
            self.witness.on(Event::Enter { section: Section::Checkpoint, sharers: 1 })?;
            self.last = Some(self.model.state_dict());
            self.witness.on(Event::Leave(Section::Checkpoint))?;
        }
        ControlFlow::Continue(())
    }
}

/// The checkpoint of a model that holds the weights of the chosen epoch; none where none is kept.
///
/// # Errors
/// Weights cannot be read from their device.
pub(super) fn checkpoint(
    policy: Checkpoints,
    model: &Model,
    last: LastWeights,
    (epochs, chosen_epoch): (usize, usize),
    (mean, std): ([f32; 3], [f32; 3]),
) -> Result<Option<Checkpoint>, ModelError> {
    let (epoch, weights) = match (policy, last) {
        (Checkpoints::None, _) => return Ok(None),
        _ if model.has_classifier() => return Ok(None),
        (Checkpoints::Last, Some(last)) => (epochs, last?),
        (Checkpoints::Best | Checkpoints::Last, _) => (chosen_epoch, model.state_dict()?),
    };
    let bytes = weights.to_safetensors()?;
    let (sha256, size) = (sha256(&bytes), bytes.len() as u64);
    let record = CheckpointRecord { kept: policy, epoch, sha256, size, mean, std };
    Ok(Some(Checkpoint { record, bytes }))
}

#[cfg(test)]
mod tests {
    use frostline_experiment::Trial;
    use frostline_models::{BuildSpec, build, build_with_auxiliary};

    use super::*;

    #[test]
    fn too_little_room_is_told_where_it_is_known() {
        let footprint = Footprint { files: 2, bytes: 100 };
        assert_eq!(check_room(footprint, Some(99)), Err(99));
        assert_eq!(check_room(footprint, Some(100)), Ok(()));
        assert_eq!(check_room(footprint, None), Ok(()));
    }

    #[test]
    fn the_footprint_is_that_of_the_files() {
        for (name, weights) in [("resnet18", "none"), ("googlenet", "none"), ("googlenet", "hub")] {
            let spec = BuildSpec { classes: 10, height: 64, width: 64, seed: 0 };
            let model =
                if weights == "none" { build_with_auxiliary(name, &spec) } else { build(name, &spec) };
            let file = model.unwrap().state_dict().unwrap().to_safetensors().unwrap().len() as u64;
            let (model, weights) = (name.to_owned(), weights.to_owned());
            let trial = Trial { model, weights, ..Trial::default() };
            let footprint = Footprint::of([(&trial, 10), (&trial, 10)].into_iter());
            assert_eq!(footprint.files, 2);
            assert!((2 * file).abs_diff(footprint.bytes) < file / 100, "{name}: {file}, {footprint:?}");
        }
    }
}
