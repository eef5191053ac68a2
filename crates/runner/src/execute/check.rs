//! What a worker sees to before the first trial: that images give trials and pretrainings their splits, that weights have the head
//! that is asked for, and that there are the room and the memory that the trials will take.

use frostline_data::DataError;
use frostline_experiment::{Footprint, Trial, Trunk};
use frostline_text::plural;

use super::error::SweepError;
use super::graph::{Decode, Id, Pretrain, Start, Train};
use super::keep::check_room;
use super::worker::{Done, Worker};
use super::{memory, pretrain, start, train};
use crate::machine::available_memory;

impl Worker<'_> {
    /// That images give a trial and its pretraining their splits, and that those do not meet under two names.
    pub(super) fn check(&mut self, id: Id<Train>) -> Result<Done, SweepError> {
        let Train { trial, data, start, .. } = &self.graph.trials[id];
        let decoded = &self.made.data[*data];
        if let Start::Fetched(weights) = start {
            let (resolved, classes) = (&self.made.weights[*weights], &decoded.dataset.classes);
            start::check_head(trial, resolved, classes)
                .map_err(|problem| SweepError::Setting { trial: trial.id.clone(), problem })?;
            if let Some(note) = start::head_note(trial, resolved, classes.len()) {
                self.say_once(format!("weights for {} ({}): {note}", trial.model, trial.weights));
            }
        }
        if let [class] = decoded.dataset.classes.as_slice() {
            let what = format!(
                "has images of one class, `{class}`, so there is nothing to tell apart; give it another"
            );
            return Err(DataError::Classes { set: trial.data.source.clone(), what }.into());
        }
        let (splits, batch) = (train::split(trial, &decoded.dataset)?, trial.train.batch);
        if trial.train.ragged == "drop" && splits.train.len() < batch {
            let problem = format!(
                "ragged = \"drop\" leaves nothing of {} in batches of {batch}; lower batch, or set ragged = \"keep\"",
                plural(splits.train.len(), "training image")
            );
            return Err(SweepError::Setting { trial: trial.id.clone(), problem });
        }
        let Start::Pretrained(trunk) = start else { return Ok(Done::Made) };
        let Pretrain { trunk, data } = &self.graph.trunks[*trunk];
        let (own, images) = (&trunk.pretraining.data.source, &self.made.data[*data]);
        if *own != trial.data.source && images.source_digest == decoded.source_digest {
            let problem = format!(
                "{own} and {} are the same images, so validation images cannot be kept out of [pretrain.{}]; write \
                 both sources alike",
                trial.data.source, trunk.name
            );
            return Err(SweepError::Setting { trial: trial.id.clone(), problem });
        }
        let learnt = pretrain::split(trunk, &images.dataset)?.train;
        let seen = images.dataset.train.also_in(&learnt, &decoded.dataset.test);
        if seen > 0 {
            let what = seen_before(&trunk.name, seen);
            if trial.data.duplicates != "keep" {
                let set = trial.data.source.clone();
                return Err(DataError::Duplicates { set, what }.into());
            }
            self.say_once(format!("note: {what}"));
            self.seen.insert(trial.id.clone(), what);
        }
        Ok(Done::Made)
    }

    /// Says how much room the checkpoints of the trials that are due take, and that there is as much.
    pub(super) fn check_room(&self) -> Result<Done, SweepError> {
        if self.checkpoints.is_none() {
            return Ok(Done::Made);
        }
        let trials = self.due.iter().map(|id| &self.graph.trials[*id]);
        let footprint = Footprint::of(
            trials.map(|train| (&train.trial, self.made.data[train.data].dataset.classes.len())),
        );
        self.progress.say(&format!("checkpoints {}: {footprint}", self.checkpoints));
        let folder = self.store.folder().to_owned();
        check_room(footprint, self.store.free_bytes()).map_err(|free| SweepError::NoRoom {
            footprint,
            free,
            folder,
        })?;
        Ok(Done::Made)
    }

    /// Which trials will not be run, as they would take more memory than there is; says so before the first trial.
    pub(super) fn check_memory(&mut self) -> Result<Done, SweepError> {
        let Some(free) = available_memory() else { return Ok(Done::Made) };
        for id in self.due.clone() {
            let Train { trial, data, start, .. } = &self.graph.trials[id];
            self.weigh(&trial.id, trial, *data, free);
            if let Start::Pretrained(trunk) = start {
                let Pretrain { trunk, data } = &self.graph.trunks[*trunk];
                let Trunk { id, model, resolution, pretraining, .. } = trunk;
                let alike = Trial {
                    model: model.clone(),
                    resolution: *resolution,
                    train: pretraining.train.clone(),
                    strategy: format!("[pretrain.{}]", trunk.name),
                    ..Trial::default()
                };
                let made = self.store.trunk(id).ok().flatten().is_some();
                if !made {
                    self.weigh(id, &alike, *data, free);
                }
            }
        }
        Ok(Done::Made)
    }

    /// Notes a training that would take more memory than there is, and says so, once.
    fn weigh(&mut self, id: &str, trial: &Trial, data: Id<Decode>, free: u64) {
        if self.too_large.contains_key(id) {
            return;
        }
        if let Some(problem) = memory::shortage(trial, &self.made.data[data].dataset, free) {
            self.progress.say(&format!("{id} ({}) is not run: {problem}", trial.label()));
            self.too_large.insert(id.to_owned(), problem);
        }
    }

    /// Says a line that was not said before.
    fn say_once(&self, line: String) {
        let mut said = self.said.borrow_mut();
        if !said.contains(&line) {
            self.progress.say(&line);
            said.push(line);
        }
    }
}

/// That images which a trial tests with were seen in its pretraining.
fn seen_before(pretraining: &str, images: usize) -> String {
    let (count, verb) =
        (plural(images, "image"), if images == 1 { "shows a picture" } else { "show pictures" });
    format!("{count} of [pretrain.{pretraining}] {verb} that the trials are tested with")
}
