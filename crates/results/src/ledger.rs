//! A results folder without its `trials/`: what was stored of them stands in `stored.json` and `predictions.parquet` too, of
//! which [`restore`] makes the folders again; [`gather`] writes both. A checkout of a repository that keeps reports has no more than that.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::atomic::publish_folder;
use super::{Results, StoreError, StoredTrial, StoredTrunk, json, read, tables, write_file};

/// The file's name.
const LEDGER: &str = "stored.json";

/// Everything that is stored of an experiment's trials and trunks but predictions, weights and pictures.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Ledger {
    trials: Vec<StoredTrial>,
    trunks: Vec<StoredTrunk>,
}

/// Writes the tables of a results folder, and what trials can be read back from; each file whole or not at all.
///
/// # Errors
/// A predictions file that is damaged, or a failed write.
pub fn gather(folder: &Path, results: &Results) -> Result<(), StoreError> {
    tables::write_all(folder, results)?;
    let path = folder.join(LEDGER);
    let ledger = Ledger { trials: results.trials.clone(), trunks: results.trunks.clone() };
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
    let there: BTreeSet<String> = read::names_in(&folder.join("trials"))?.into_iter().collect();
    let lost = tables::trial_ids(folder)?.into_iter().filter(|id| !there.contains(id)).count();
    if lost == 0 { Ok(()) } else { Err(StoreError::OldTables { folder: folder.to_owned(), count: lost }) }
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

/// Makes the folders of those trials that have none and that the file knows, and gives their number. Weights are not in it: trials that had kept some
/// have them no more, and trunks are made again where they are needed.
///
/// # Errors
/// A damaged file; a failed write.
pub(super) fn restore(folder: &Path) -> Result<usize, StoreError> {
    let trials = folder.join("trials");
    let there: BTreeSet<String> = read::names_in(&trials)?.into_iter().collect();
    let path = folder.join(LEDGER);
    if !path.exists() {
        return Ok(0);
    }
    let Ledger { trials: stored, .. } = json::read(&path, "stored")?;
    let missing: Vec<&StoredTrial> =
        stored.iter().filter(|stored| !there.contains(&stored.trial.id)).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let count = missing.len();
    let predictions = tables::Predictions::read(folder)?;
    for StoredTrial { trial, outcome, epochs } in missing {
        publish_folder(&trials.join(&trial.id), |at| {
            let predictions = predictions.of(&trial.id)?;
            super::store::fill(at, trial, outcome, epochs, &predictions)
        })?;
    }
    Ok(count)
}
