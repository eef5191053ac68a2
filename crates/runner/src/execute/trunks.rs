//! The trunks that trials start from: [`Sweep::trunk`] makes one before the first trial that needs it, and stores it, so
//! that all others find it.

use frostline_data::{Augment, DataError, Dataset, Splits};
use frostline_engine::{EngineError, Objective, Pretrained, Strategy, Task, fold, pretrain, reconstruct};
use frostline_models::{Lineage, Resolved, WeightsSource, card, resolve_file};

use super::records::{data_record, weights_record};
use super::{Attempt, Sweep, SweepError, Witness, attempt, dataset_key, models};
use crate::measure::timestamp;
use crate::recipe::{objective_of, recipe_of};
use crate::results::{
    Pictures, PretrainingRecord, Seconds, Status, StoredTrunk, TrunkOutcome, TrunkResult, WeightsRecord,
    sha256,
};
use crate::trial::{Trial, Trunk};

/// Images in the picture of what an autoencoder gives back.
const PICTURES: usize = 10;

/// What became of a trunk.
#[derive(Clone, Debug)]
pub(super) enum Made {
    /// Its weights lie here.
    Ready(Box<Resolved>, PretrainingRecord),
    /// It failed, and so do the trials that need it.
    Failed(String),
    /// The user asked for the end.
    Interrupted,
}

impl Sweep<'_> {
    /// The trunk, from the store or made now. One that was stored and is damaged is made again.
    pub(super) fn trunk(&mut self, trunk: &Trunk) -> Result<Made, SweepError> {
        if let Some(made) = self.trunks.get(&trunk.id) {
            return Ok(made.clone());
        }
        let made = match self.stored(trunk)? {
            Some(Made::Failed(_)) if self.force => self.make(trunk)?,
            Some(made) if !self.remake => made,
            _ => self.make(trunk)?,
        };
        if !matches!(made, Made::Interrupted) {
            self.trunks.insert(trunk.id.clone(), made.clone());
        }
        Ok(made)
    }

    /// Whether the trunk that a trial starts from is stored and was not a failure.
    pub(super) fn is_pretrained(&self, trial: &Trial) -> bool {
        let stored = trial.trunk().and_then(|trunk| self.store.trunk(&trunk.id).ok().flatten());
        stored.is_some_and(|stored| stored.outcome.status == Status::Finished)
    }

    /// What an earlier sweep left of it, where that is whole.
    fn stored(&self, trunk: &Trunk) -> Result<Option<Made>, SweepError> {
        let Some(StoredTrunk { outcome, .. }) = self.store.trunk(&trunk.id)? else { return Ok(None) };
        match (&outcome.status, &outcome.weights) {
            (Status::Failed { reason }, _) => Ok(Some(failed(trunk, reason))),
            (Status::Finished, Some(weights)) => Ok(self.ready(trunk, weights, &outcome.seconds)),
            (Status::Finished, None) => Ok(None),
        }
    }

    /// The weights of a trunk, if the file is what was written.
    fn ready(&self, trunk: &Trunk, weights: &WeightsRecord, seconds: &Seconds) -> Option<Made> {
        let path = self.store.trunk_weights(&trunk.id);
        let found = resolve_file(card(&trunk.model).ok()?, &WeightsSource::File(path.clone()), &path).ok()?;
        if found.lineage.sha256 != weights.sha256 {
            return None;
        }
        let (mean, std, source) = (weights.mean, weights.std, format!("pretrain:{}", trunk.name));
        let file = weights.file.clone();
        let resolved = Resolved { lineage: Lineage { source, file, mean, std, ..found.lineage }, ..found };
        let record = PretrainingRecord { trunk: trunk.id.clone(), wall_seconds: seconds.wall };
        Some(Made::Ready(Box::new(resolved), record))
    }

    fn make(&mut self, trunk: &Trunk) -> Result<Made, SweepError> {
        self.progress.training_begins(&trunk.label(), trunk.pretraining.train.epochs);
        let dataset = &self.datasets[&dataset_key(&trunk.pretraining.data, trunk.resolution)];
        let mut outcome = TrunkOutcome {
            trunk: trunk.id.clone(),
            status: Status::Finished,
            chosen_epoch: None,
            seconds: Seconds::default(),
            peak_memory_bytes: None,
            parameters: None,
            data: None,
            weights: None,
            threads: self.threads,
            started_at: timestamp(),
            environment: self.environment.clone(),
        };
        let mut witness = Witness::new(self.progress, self.interrupted);
        let done = attempt(|| run(trunk, dataset, &mut outcome, &mut witness));
        let epochs = std::mem::take(&mut witness.epochs);
        let (weights, pictures) = match done {
            Ok((weights, pictures)) => (Some(weights), pictures),
            Err(Attempt::Interrupted) => return Ok(Made::Interrupted),
            Err(Attempt::Failed(reason)) => {
                (outcome.seconds, outcome.peak_memory_bytes) = witness.measured();
                outcome.status = Status::Failed { reason };
                (None, None)
            }
        };
        let result = TrunkResult { outcome, epochs, weights, pictures };
        self.store.save_trunk(trunk, &result)?;
        let outcome = result.outcome;
        self.progress.pretraining_ends(trunk, &outcome);
        Ok(match (&outcome.status, &outcome.weights) {
            (Status::Failed { reason }, _) => failed(trunk, reason),
            (Status::Finished, weights) => weights
                .as_ref()
                .and_then(|weights| self.ready(trunk, weights, &outcome.seconds))
                .unwrap_or_else(|| failed(trunk, "its file cannot be read back; check the disk, and make it again with `frostline pretrain --force`")),
        })
    }
}

fn failed(trunk: &Trunk, reason: &str) -> Made {
    Made::Failed(format!("[pretrain.{}] failed: {reason}", trunk.name))
}

/// Whether a trial's failure was its pretraining's.
pub(super) fn failed_before(reason: &str) -> bool {
    reason.starts_with("[pretrain.")
}

/// The images that a trunk learns from and those that its curves are measured on. Where they are the trials' own, the
/// trials' validation images are those, and are not learnt from.
pub(super) fn split(trunk: &Trunk, dataset: &Dataset) -> Result<Splits, DataError> {
    let data = &trunk.pretraining.data;
    let Some(held_out) = &trunk.held_out else {
        return frostline_data::split(dataset, data.validation, data.per_class, trunk.seed);
    };
    let validation =
        frostline_data::split(dataset, held_out.validation, held_out.per_class, trunk.seed)?.validation;
    let mut train = frostline_data::split(dataset, 0.0, data.per_class, trunk.seed)?.train;
    train.retain(|image| validation.binary_search(image).is_err()); // both are ascending
    if train.is_empty() {
        let what = format!(
            "[pretrain.{}] has no image that the trials do not validate on; raise its per-class or lower validation",
            trunk.name
        );
        return Err(DataError::Split { what });
    }
    Ok(Splits { train, validation })
}

/// Builds and trains: the weights as a safetensors file, and what an autoencoder gives back. What is known on the way
/// goes into `outcome`.
fn run(
    trunk: &Trunk,
    dataset: &Dataset,
    outcome: &mut TrunkOutcome,
    witness: &mut Witness<'_>,
) -> Result<(Vec<u8>, Option<Pictures>), EngineError> {
    let unfit = |problem: String| EngineError::Unfit(problem);
    let splits = split(trunk, dataset)?;
    outcome.data = Some(data_record(dataset, &splits));
    let objective = objective_of(&trunk.pretraining).map_err(unfit)?;
    let mut model = models::for_trunk(trunk, objective, dataset.classes.len())?;
    let (mean, std) = (model.card().normalisation.mean, model.card().normalisation.std);
    outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
    let recipe = recipe_of(&trunk.pretraining.train).map_err(unfit)?;
    fold(&mut model, &recipe, &Strategy::Full)?;
    let task = Task {
        model: &model,
        dataset,
        splits: &splits,
        augment: Augment::parse_all(&trunk.pretraining.data.augment)?,
        mean,
        std,
        recipe: &recipe,
        strategy: &Strategy::Full,
        seed: trunk.seed,
    };
    witness.restart();
    let Pretrained { chosen_epoch, .. } = pretrain(&task, objective, witness)?;
    (outcome.seconds, outcome.peak_memory_bytes) = witness.measured();
    outcome.chosen_epoch = Some(chosen_epoch);
    let weights = match objective {
        Objective::Labels => model.state_dict()?,
        Objective::Rotations | Objective::Reconstruction { .. } => model.trunk_state_dict()?,
    };
    let bytes = weights.to_safetensors()?;
    outcome.weights = Some(weights_record(&Lineage {
        source: format!("pretrain:{}", trunk.name),
        repo: None,
        revision: None,
        file: format!("pretrained/{}/model.safetensors", trunk.id),
        sha256: sha256(&bytes),
        size: bytes.len() as u64,
        licence: None,
        mean,
        std,
    }));
    let pictures = match objective {
        Objective::Reconstruction { noise } => Some(pictures(&task, noise)?),
        _ => None,
    };
    Ok((bytes, pictures))
}

/// The first images that were not learnt from, or that were, where all were.
fn pictures(task: &Task<'_>, noise: f32) -> Result<Pictures, EngineError> {
    let Splits { train, validation } = task.splits;
    let indices = if validation.is_empty() { train } else { validation };
    let indices = &indices[..indices.len().min(PICTURES)];
    let images = &task.dataset.train;
    let made = reconstruct(task.model, images, indices, (task.mean, task.std), noise, task.seed)?;
    let mut rows = vec![("image".to_owned(), made.iter().map(|one| one.original.clone()).collect())];
    if noise > 0.0 {
        rows.push(("with noise".to_owned(), made.iter().map(|one| one.encoded.clone()).collect()));
    }
    rows.push(("decoded".to_owned(), made.into_iter().map(|one| one.decoded).collect()));
    Ok((rows, (images.height(), images.width())))
}
