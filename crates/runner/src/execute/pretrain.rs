//! A kind of node, the weights that an experiment makes before its trials: [`stored`] finds what an earlier sweep left of
//! them, [`learn`] makes them.

use candle_core::Device;
use frostline_data::{Augment, DataError, Dataset, Splits};
use frostline_engine::{
    EngineError, Member, Objective, Reconstruction, Shelf, State, Strategy, Task, Trained, fold, reconstruct,
    train_together,
};
use frostline_experiment::{METHODS, Pretraining, Trunk, recipe_of};
use frostline_models::{Lineage, Resolved, WeightsSource, card, resolve_file};
use frostline_pictures::{Picture, picture_rows};
use frostline_results::{
    PretrainingRecord, Seconds, Status, Store, StoreError, StoredTrunk, TrunkOutcome, WeightsRecord,
};
use frostline_text::sha256;

use super::bookmark::Saver;
use super::lineage::{data_record, weights_record};
use super::model::for_trunk;
use super::train::fold_of;
use super::witness::Witness;

/// Images in the picture of what an autoencoder gives back.
const PICTURES: usize = 10;

/// What became of a pretraining.
#[derive(Clone, Debug)]
pub(super) enum Pretrained {
    /// Its weights lie here.
    Ready(Box<Resolved>, PretrainingRecord),
    /// It failed, and so do the trials that need it.
    Failed(String),
}

impl Pretrained {
    /// A failure, with the pretraining's name.
    pub(super) fn failed(trunk: &Trunk, reason: &str) -> Self {
        Self::Failed(format!("[pretrain.{}] failed: {reason}", trunk.name))
    }

    /// What a stored outcome comes to; none where its weights are not what was written.
    pub(super) fn of(store: &Store, trunk: &Trunk, outcome: &TrunkOutcome) -> Option<Self> {
        match (&outcome.status, &outcome.weights) {
            (Status::Failed { reason }, _) => Some(Self::failed(trunk, reason)),
            (Status::Finished, Some(weights)) => ready(store, trunk, weights, &outcome.seconds),
            (Status::Finished, None) => None,
        }
    }
}

/// Whether a trial's failure was its pretraining's.
pub(super) fn failed_before(reason: &str) -> bool {
    reason.starts_with("[pretrain.")
}

/// What an earlier sweep left of a pretraining, where that is whole.
///
/// # Errors
/// It is of a newer format.
pub(super) fn stored(store: &Store, trunk: &Trunk) -> Result<Option<Pretrained>, StoreError> {
    let stored = store.trunk(&trunk.id)?;
    Ok(stored.and_then(|StoredTrunk { outcome, .. }| Pretrained::of(store, trunk, &outcome)))
}

/// The weights of a trunk, if the file is what was written.
fn ready(store: &Store, trunk: &Trunk, weights: &WeightsRecord, seconds: &Seconds) -> Option<Pretrained> {
    let path = store.trunk_weights(&trunk.id);
    let found = resolve_file(card(&trunk.model).ok()?, &WeightsSource::File(path.clone()), &path).ok()?;
    if found.lineage.sha256 != weights.sha256 {
        return None;
    }
    let (mean, std, source) = (weights.mean, weights.std, format!("pretrain:{}", trunk.name));
    let file = weights.file.clone();
    let resolved = Resolved { lineage: Lineage { source, file, mean, std, ..found.lineage }, ..found };
    let record = PretrainingRecord { trunk: trunk.id.clone(), wall_seconds: seconds.wall };
    Some(Pretrained::Ready(Box::new(resolved), record))
}

/// What a pretraining learns.
///
/// # Errors
/// A method that the engine does not know.
pub(super) fn objective_of(pretraining: &Pretraining) -> Result<Objective, String> {
    match pretraining.method.as_str() {
        "supervised" => Ok(Objective::Labels),
        "rotation" => Ok(Objective::Rotations),
        "autoencoder" => Ok(Objective::Reconstruction { noise: pretraining.denoise as f32 }),
        other => Err(format!("method: unknown method `{other}`; one of {}", METHODS.join(", "))),
    }
}

/// The images that a trunk learns from and those that its curves are measured on. Where they are the trials' own, the
/// trials' validation images are those, and are not learnt from.
pub(super) fn split(trunk: &Trunk, dataset: &Dataset) -> Result<Splits, DataError> {
    let data = &trunk.pretraining.data;
    let Some(held_out) = &trunk.held_out else {
        return frostline_data::split(dataset, data.validation, data.per_class, None, trunk.seed);
    };
    let fold = fold_of(held_out.fold.as_deref())?;
    let validation =
        frostline_data::split(dataset, held_out.validation, held_out.per_class, fold, trunk.seed)?.validation;
    let mut train = frostline_data::split(dataset, 0.0, data.per_class, fold, trunk.seed)?.train;
    train.retain(|image| validation.binary_search(image).is_err()); // both are ascending
    if train.is_empty() {
        let what = format!(
            "[pretrain.{}] has no image that the trials do not validate on; raise its per-class or lower validation",
            trunk.name
        );
        return Err(DataError::Split { what });
    }
    Ok(Splits { train, validation, test: None })
}

/// Builds on a device and trains, from where it stood if it was begun: the weights as a safetensors file, and what an autoencoder gives back. What is known on the way
/// goes into `outcome`.
pub(super) fn learn(
    trunk: &Trunk,
    dataset: &Dataset,
    device: &Device,
    from: Option<State>,
    outcome: &mut TrunkOutcome,
    (witness, saver): (&mut Witness<'_>, &mut Saver<'_>),
) -> Result<(Vec<u8>, Option<Vec<u8>>), EngineError> {
    let splits = split(trunk, dataset)?;
    outcome.data = Some(data_record(dataset, &splits));
    let objective = objective_of(&trunk.pretraining).map_err(EngineError::Unfit)?;
    let mut model = for_trunk(trunk, objective, dataset.classes.len(), device)?;
    let (mean, std) = (model.card().normalisation.mean, model.card().normalisation.std);
    outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
    let recipe = recipe_of(&trunk.pretraining.train).map_err(EngineError::Unfit)?;
    fold(&mut model, &recipe, &Strategy::Full)?;
    let task = Task {
        model: &model,
        dataset,
        splits: &splits,
        augment: Augment::parse_all(&trunk.pretraining.data.augment).map_err(DataError::from)?,
        views: trunk.pretraining.data.views,
        mean,
        std,
        recipe: &recipe,
        strategy: &Strategy::Full,
        seed: trunk.seed,
    };
    let member = Member { task, observer: witness, from, until: None };
    let trained = train_together(vec![member], objective, &mut Shelf::none(), saver).pop();
    let Trained { chosen_epoch, .. } = trained.unwrap_or(Err(EngineError::Interrupted))?;
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
        notes: Vec::new(),
    }));
    let pictures = match objective {
        Objective::Reconstruction { noise } => Some(pictures(&task, noise)?),
        _ => None,
    };
    Ok((bytes, pictures))
}

/// The first images that were not learnt from, or that were, where all were.
fn pictures(task: &Task<'_>, noise: f32) -> Result<Vec<u8>, EngineError> {
    let Splits { train, validation, .. } = task.splits;
    let indices = if validation.is_empty() { train } else { validation };
    let indices = &indices[..indices.len().min(PICTURES)];
    let images = &task.dataset.train;
    let made = reconstruct(task.model, images, indices, (task.mean, task.std), noise, task.seed)?;
    let (height, width) = (images.height(), images.width());
    let row = |name: &str, of: fn(&Reconstruction) -> &Vec<u8>| {
        let picture = |one| Picture { height, width, pixels: of(one).clone() };
        (name.to_owned(), made.iter().map(picture).collect())
    };
    let mut rows: Vec<(String, Vec<Picture>)> = vec![row("image", |one| &one.original)];
    if noise > 0.0 {
        rows.push(row("with noise", |one| &one.encoded));
    }
    rows.push(row("decoded", |one| &one.decoded));
    picture_rows(&rows, (height, width)).png().map_err(EngineError::Unfit)
}
