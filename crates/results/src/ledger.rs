//! A results folder without its `trials/`: what was stored of them stands in `stored.json` and `predictions.parquet` too, of
//! which [`restore`] makes the folders again; [`gather`] writes both. A checkout of a repository that keeps reports has no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic::publish_folder;
use super::inputs::FOLDER;
use super::{
    Inputs, Outcome, Results, StoreError, StoredTrial, StoredTrunk, Superseded, json, listing, read, tables,
    write_file,
};

/// The file's name.
const LEDGER: &str = "stored.json";

/// Everything that is stored of an experiment's trials and trunks but predictions, weights and pictures.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Ledger {
    trials: Vec<StoredTrial>,
    trunks: Vec<StoredTrunk>,
    #[serde(default, skip_serializing_if = "Superseded::is_empty")]
    superseded: Superseded,
}

/// Writes the tables of a results folder, and what trials can be read back from; each file whole or not at all.
///
/// # Errors
/// A predictions file that is damaged, or a failed write.
pub fn gather(folder: &Path, results: &Results) -> Result<(), StoreError> {
    tables::write_all(folder, results)?;
    let path = folder.join(LEDGER);
    let Results { trials, trunks, superseded, .. } = results.clone();
    let ledger = Ledger { trials, trunks, superseded };
    write_file(&path, &json::to_bytes(&path, "stored", &ledger)?)
}

/// That no table speaks of trials that are stored nowhere.
///
/// # Errors
/// An earlier version wrote such tables.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    if folder.join(LEDGER).exists() {
        return Ok(());
    }
    let there: BTreeSet<String> = listing::names_in(&folder.join("trials"))?.into_iter().collect();
    let lost = tables::trial_ids(folder)?.into_iter().filter(|id| !there.contains(id)).count();
    if lost == 0 { Ok(()) } else { Err(StoreError::OldTables { folder: folder.to_owned(), count: lost }) }
}

/// What the trials that the file knows came to, by their ids; none where there is no file.
pub(super) fn outcomes(folder: &Path) -> Result<BTreeMap<String, Outcome>, StoreError> {
    let path = folder.join(LEDGER);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let Ledger { trials, .. } = json::read(&path, "stored")?;
    Ok(trials.into_iter().map(|stored| (stored.trial.id, stored.outcome)).collect())
}

/// The trunks that have no folder.
pub(super) fn trunks(folder: &Path, there: &[StoredTrunk]) -> Result<Vec<StoredTrunk>, StoreError> {
    let path = folder.join(LEDGER);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let Ledger { mut trunks, .. } = json::read(&path, "stored")?;
    trunks.retain(|stored| there.iter().all(|known| known.trunk.id != stored.trunk.id));
    Ok(trunks)
}

/// The trunks that were put aside and have no folder.
pub(super) fn superseded_trunks(
    folder: &Path,
    there: &[StoredTrunk],
) -> Result<Vec<StoredTrunk>, StoreError> {
    let path = folder.join(LEDGER);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let Ledger { superseded: Superseded { mut trunks, .. }, .. } = json::read(&path, "stored")?;
    trunks.retain(|stored| !there.contains(stored));
    Ok(trunks)
}

/// Makes the folders of those trials that have none and that the file knows, and gives their number, but for those that were put aside. Weights are not in it: trials that had kept some
/// have them no more, and trunks are made again where they are needed.
///
/// # Errors
/// A damaged file; a failed write.
pub(super) fn restore(folder: &Path) -> Result<usize, StoreError> {
    let (trials, aside) = (folder.join("trials"), folder.join(FOLDER).join("trials"));
    let there: BTreeSet<String> = listing::names_in(&trials)?.into_iter().collect();
    let path = folder.join(LEDGER);
    if !path.exists() {
        return Ok(0);
    }
    let Ledger { trials: stored, superseded, .. } = json::read(&path, "stored")?;
    let put_aside: BTreeSet<String> = listing::names_in(&aside)?.into_iter().collect();
    let name_aside = |stored: &StoredTrial| Inputs::of(&stored.outcome).name(&stored.trial.id);
    let missing: Vec<(PathBuf, String, &StoredTrial)> = stored
        .iter()
        .filter(|stored| !there.contains(&stored.trial.id) && !put_aside.contains(&name_aside(stored)))
        .map(|stored| (trials.join(&stored.trial.id), stored.trial.id.clone(), stored))
        .collect();
    let count = missing.len();
    let gone = superseded.trials.iter().map(|stored| (name_aside(stored), stored));
    let taken_back = |name: &str, stored: &StoredTrial| {
        let current = read::trial(&trials.join(&stored.trial.id));
        current.is_ok_and(|current| name_aside(&current) == name)
    };
    let gone = gone.filter(|(name, stored)| !put_aside.contains(name) && !taken_back(name, stored));
    let all: Vec<(PathBuf, String, &StoredTrial)> =
        missing.into_iter().chain(gone.map(|(name, stored)| (aside.join(&name), name, stored))).collect();
    if all.is_empty() {
        return Ok(0);
    }
    let predictions = tables::Predictions::read(folder)?;
    for (place, name, StoredTrial { trial, outcome, epochs, .. }) in all {
        let parent = place.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| StoreError::writing(parent, error))?;
        publish_folder(&place, |at| super::store::fill(at, trial, outcome, epochs, &predictions.of(&name)?))?;
    }
    Ok(count)
}
