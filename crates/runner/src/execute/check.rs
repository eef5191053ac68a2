//! What a worker sees to before the first trial: that images give trials and pretrainings their splits, that weights have the head
//! that is asked for, and that there are the room and the memory that the trials will take.

use frostline_data::DataError;
use frostline_experiment::{Footprint, TrainSpec, Trial, Trunk};
use frostline_text::plural;

use super::error::SweepError;
use super::graph::{Decode, Id, Pretrain, Start, Train};
use super::keep::check_room;
use super::worker::{Done, Worker};
use super::{memory, pretrain, start, train};

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
        let setting = |problem: String| SweepError::Setting { trial: trial.id.clone(), problem };
        let splits = train::split(trial, &decoded.dataset)?;
        full_batch(&trial.train, splits.train.len()).map_err(setting)?;
        let Start::Pretrained(trunk) = start else { return Ok(Done::default()) };
        let Pretrain { trunk, data } = &self.graph.trunks[*trunk];
        let (own, images) = (&trunk.pretraining.data.source, &self.made.data[*data]);
        if *own != trial.data.source && images.source_digest == decoded.source_digest {
            let problem = format!(
                "{own} and {} are the same images, so validation images cannot be kept out of [pretrain.{}]; write \
                 both sources alike",
                trial.data.source, trunk.name
            );
            return Err(setting(problem));
        }
        let learnt = pretrain::split(trunk, &images.dataset)?.train;
        let of_trunk = |problem: String| setting(format!("[pretrain.{}]: {problem}", trunk.name));
        full_batch(&trunk.pretraining.train, learnt.len()).map_err(of_trunk)?;
        // Over the folds, all images test.
        let tested = if trial.data.fold.is_some() { &decoded.dataset.train } else { &decoded.dataset.test };
        let same = images.dataset.train.is(tested);
        let seen = if same { 0 } else { images.dataset.train.also_in(&learnt, tested) };
        if seen > 0 {
            let what = seen_before(&trunk.name, seen);
            if trial.data.duplicates != "keep" {
                let tested = &trial.data.source;
                return Err(setting(format!(
                    "{what} ({tested}); remove them from one of the two, or set duplicates = \"keep\" to be told and go on"
                )));
            }
            self.say_once(format!("note: {what}"));
            self.seen.insert(trial.id.clone(), what);
        }
        Ok(Done::default())
    }

    /// Says how much room the checkpoints of the trials that are due take, and that there is as much, and for pretrained weights too.
    pub(super) fn check_room(&self) -> Result<Done, SweepError> {
        let mut footprint = Footprint::default();
        if !self.checkpoints.is_none() {
            let trials = self.due.iter().map(|id| &self.graph.trials[*id]);
            footprint = Footprint::of(
                trials.map(|train| (&train.trial, self.made.data[train.data].dataset.classes.len())),
            );
            self.progress.say(&format!("checkpoints {}: {footprint}", self.checkpoints));
        }
        let mut trunks: Vec<&Trunk> = Vec::new();
        for id in &self.due {
            if let Start::Pretrained(trunk) = self.graph.trials[*id].start {
                let trunk = &self.graph.trunks[trunk].trunk;
                if trunks.iter().all(|known| known.id != trunk.id) && self.store.trunk(&trunk.id)?.is_none() {
                    trunks.push(trunk);
                }
            }
        }
        footprint = footprint.and(Footprint::of_trunks(trunks.into_iter()));
        let folder = self.store.folder().to_owned();
        check_room(footprint, self.store.free_bytes()).map_err(|free| SweepError::NoRoom {
            footprint,
            free,
            folder,
        })?;
        Ok(Done::default())
    }

    /// Which trials will not be run, as they would take more memory than there is; says so before the first trial.
    pub(super) fn check_memory(&mut self) -> Result<Done, SweepError> {
        for id in self.due.clone() {
            let Train { trial, data, start, .. } = &self.graph.trials[id];
            let Some(free) = self.room(trial) else { continue };
            let writes = !self.checkpoints.is_none();
            self.weigh((&trial.id, &trial.label()), trial, (*data, writes), free);
            if let Start::Pretrained(trunk) = start {
                let Pretrain { trunk, data } = &self.graph.trunks[*trunk];
                if self.store.trunk(&trunk.id)?.is_none() {
                    self.weigh((&trunk.id, &trunk.label()), &alike(trunk), (*data, true), free);
                }
            }
        }
        Ok(Done::default())
    }

    /// Notes a training, whose weights are written or not, that would take more memory than there is, and says so, once.
    fn weigh(
        &mut self,
        (id, label): (&str, &str),
        trial: &Trial,
        (data, writes): (Id<Decode>, bool),
        free: u64,
    ) {
        if self.too_large.contains_key(id) {
            return;
        }
        let dataset = &self.made.data[data].dataset;
        let sizes = (dataset.classes.len(), dataset.train.len());
        if let Some(problem) = memory::shortage(trial, sizes, writes, free) {
            self.progress.say(&format!("{id} ({label}) is not run: {problem}"));
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

/// A trial that takes as much memory as a pretraining: one of the same model and recipe that trains everything from scratch.
fn alike(trunk: &Trunk) -> Trial {
    let Trunk { model, resolution, pretraining, .. } = trunk;
    let (model, train) = (model.clone(), pretraining.train.clone());
    Trial { model, resolution: *resolution, train, ..Trial::default() }
}

/// That a recipe which drops what does not fill a batch has one batch at least.
///
/// # Errors
/// What is too little, and what to do.
fn full_batch(recipe: &TrainSpec, images: usize) -> Result<(), String> {
    let batch = recipe.batch;
    if recipe.ragged != "drop" || images >= batch {
        return Ok(());
    }
    let images = plural(images, "training image");
    Err(format!(
        "ragged = \"drop\" leaves nothing of {images} in batches of {batch}; lower batch, or set ragged = \"keep\""
    ))
}

/// That images which a trial tests with were seen in its pretraining.
fn seen_before(pretraining: &str, images: usize) -> String {
    let (count, verb) =
        (plural(images, "image"), if images == 1 { "shows a picture" } else { "show pictures" });
    format!("{count} of [pretrain.{pretraining}] {verb} that the trials are tested with")
}
