//! Reading a results folder: what is stored as [`Results`], which the tables and the report are made from. It takes no lock: every file
//! it reads is whole at any time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::inputs::FOLDER;
use super::listing::folders_in;
use super::records::PlanRecord;
use super::store::{PICTURES, WEIGHTS};
use crate::{
    Answers, Broken, Environment, Halved, Invocation, Results, Store, StoreError, StoredTrial, StoredTrunk,
    Superseded, json, ledger, tables,
};

impl Results {
    /// The same where trials have no folders of their own, as in a checkout of a repository that keeps reports alone: they are made first, of
    /// what stands beside the report.
    ///
    /// # Errors
    /// As [`Results::read`]; another process that writes to the folder.
    pub fn read_back(folder: &Path) -> Result<Self, StoreError> {
        if folder.join("plan.json").exists() && !folder.join("trials").exists() {
            drop(Store::open(folder)?);
        }
        Self::read(folder)
    }

    /// Reads the results folder of an experiment.
    ///
    /// # Errors
    /// No plan in it, a file of a newer format, or a failure of the file system. Damaged trials are no error.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let plan = folder.join("plan.json");
        if !plan.exists() {
            return Err(StoreError::NoPlan { folder: folder.to_owned() });
        }
        ledger::check(folder)?;
        let (trials, broken) = trials(&folder.join("trials"))?;
        let record: PlanRecord = json::read(&plan, "sweep")?;
        let mut trunks = trunks(&folder.join("pretrained"))?;
        trunks.extend(ledger::trunks(folder, &trunks)?);
        trunks.sort_by(|a, b| a.trunk.id.cmp(&b.trunk.id));
        let (plan, asked) = (record.plan.clone(), record.asked());
        let environments = environments(folder)?;
        let halved = plan.halving.map_or(Ok(None), |_| Halved::read(folder))?;
        let superseded = superseded(folder)?;
        Ok(Self { plan, asked, trials, broken, trunks, superseded, environments, halved, folds: None })
    }
}

/// How the sweep of a folder was asked for, as far as it tells.
pub(super) fn asked(folder: &Path) -> Invocation {
    let record = json::read::<PlanRecord>(&folder.join("plan.json"), "sweep");
    record.map(|record| record.asked()).unwrap_or_default()
}

/// The environments that trials ran in, by id; none where the file is not there yet.
pub(super) fn environments(folder: &Path) -> Result<BTreeMap<String, Environment>, StoreError> {
    let path = folder.join("environment.json");
    if path.exists() { json::read(&path, "environments") } else { Ok(BTreeMap::new()) }
}

/// All trials under `trials/`, whole and broken ones, each in the order of their ids.
pub(super) fn trials(folder: &Path) -> Result<(Vec<StoredTrial>, Vec<Broken>), StoreError> {
    let (mut stored, mut broken) = (Vec::new(), Vec::new());
    for path in folders_in(folder)? {
        match trial(&path) {
            Ok(trial) => stored.push(trial),
            Err(error @ StoreError::Newer { .. }) => return Err(error),
            Err(error) => {
                let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                broken.push(Broken { id, reason: error.to_string() });
            }
        }
    }
    Ok((stored, broken))
}

pub(super) fn trial(folder: &Path) -> Result<StoredTrial, StoreError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    named_trial(folder, &name)
}

/// What is in a trial's folder, whatever the folder is called.
pub(super) fn named_trial(folder: &Path, id: &str) -> Result<StoredTrial, StoreError> {
    let mut stored = StoredTrial {
        trial: json::read(&folder.join("trial.json"), "trial")?,
        outcome: json::read(&folder.join("outcome.json"), "outcome")?,
        epochs: json::read(&folder.join("epochs.json"), "epochs")?,
        answers: Answers::default(),
    };
    belongs(folder, "trial", id, [&stored.trial.id, &stored.outcome.trial])?;
    stored.answers = tables::answers(&folder.join("predictions.parquet"), &stored.trial, &stored.outcome)?;
    Ok(stored)
}

/// A folder holds what it should.
fn belongs(folder: &Path, what: &str, wanted: &str, ids: [&String; 2]) -> Result<(), StoreError> {
    match ids.into_iter().find(|id| **id != wanted) {
        Some(id) => {
            let reason = format!("it belongs to {what} {id}");
            Err(StoreError::Damaged { path: folder.to_owned(), reason })
        }
        None => Ok(()),
    }
}

fn trunks(folder: &Path) -> Result<Vec<StoredTrunk>, StoreError> {
    let mut trunks = Vec::new();
    for path in folders_in(folder)? {
        match trunk(&path) {
            Ok(trunk) => trunks.push(trunk),
            Err(error @ StoreError::Newer { .. }) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(trunks)
}

/// What is in a trunk's folder, but for the weights.
pub(super) fn trunk(folder: &Path) -> Result<StoredTrunk, StoreError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    named_trunk(folder, &name)
}

/// What was put aside; what is damaged of it is left out.
fn superseded(folder: &Path) -> Result<Superseded, StoreError> {
    let at = |kind: &str| folders_in(&folder.join(FOLDER).join(kind));
    let trials = at("trials")?.into_iter().filter_map(|path| named_trial(&path, &id_in(&path)).ok());
    let trunks = at("pretrained")?.into_iter().filter_map(|path| named_trunk(&path, &id_in(&path)).ok());
    let (trials, mut trunks) = (trials.collect(), trunks.collect::<Vec<_>>());
    trunks.extend(ledger::superseded_trunks(folder, &trunks)?);
    Ok(Superseded { trials, trunks })
}

/// The id in the name of what was put aside.
fn id_in(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('-').next().unwrap_or_default().to_owned()
}

fn named_trunk(folder: &Path, id: &str) -> Result<StoredTrunk, StoreError> {
    let stored = StoredTrunk {
        trunk: json::read(&folder.join("trunk.json"), "trunk")?,
        outcome: json::read(&folder.join("outcome.json"), "outcome")?,
        epochs: json::read(&folder.join("epochs.json"), "epochs")?,
    };
    belongs(folder, "trunk", id, [&stored.trunk.id, &stored.outcome.trunk])?;
    Ok(stored)
}

/// The picture of what a trunk's autoencoder gives back, where there is one.
pub fn trunk_pictures(folder: &Path, id: &str) -> Option<PathBuf> {
    Some(folder.join("pretrained").join(id).join(PICTURES)).filter(|path| path.exists())
}

/// Where the picture of a test image is, or will be, for the gallery; `digest` is that of the images in memory.
pub fn gallery_picture(folder: &Path, digest: &str, image: usize) -> PathBuf {
    folder.join("gallery").join(format!("{}-{image}.png", &digest[..digest.len().min(12)]))
}

/// What a stored trial said of some test images: the label and the predicted class of each.
///
/// # Errors
/// Predictions that are damaged, or have no such image.
pub fn predicted(folder: &Path, id: &str, images: &[usize]) -> Result<Vec<(u32, u32)>, StoreError> {
    tables::predicted(&folder.join("trials").join(id).join("predictions.parquet"), images)
}

/// The file of a trial's weights, where there is one.
pub fn trial_weights(folder: &Path, id: &str) -> Option<PathBuf> {
    Some(folder.join("trials").join(id).join(WEIGHTS)).filter(|path| path.exists())
}
