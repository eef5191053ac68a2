//! What successive halving decided: [`Halved`], for the report. Sweeps decide anew from what is stored of the trials.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StoreError, json, write_file};

/// The decisions of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Halved {
    /// Whether arms went on before all others had come as far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
    /// In order.
    pub rungs: Vec<Rung>,
}

/// One comparison of arms while they train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rung {
    /// After so many epochs.
    pub epochs: usize,
    /// The arms that had come so far.
    pub arms: Vec<RungArm>,
}

/// An arm in a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RungArm {
    /// `Trial::arm` of its trials.
    pub arm: String,
    /// The mean over its seeds of the validation accuracy after that epoch; none where a trial failed.
    pub validation_accuracy: Option<f64>,
    /// Whether it goes on.
    pub goes_on: bool,
}

impl Halved {
    fn path(folder: &Path) -> std::path::PathBuf {
        folder.join("halving.json")
    }

    /// What a results folder holds; none where nothing was halved.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = Self::path(folder);
        if path.exists() { json::read(&path, "halving").map(Some) } else { Ok(None) }
    }

    /// Stores it.
    ///
    /// # Errors
    /// A failed write.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = Self::path(folder);
        write_file(&path, &json::to_bytes(&path, "halving", self)?)
    }

    /// The comparison in which an arm was stopped.
    pub fn stopped(&self, arm: &str) -> Option<(&Rung, &RungArm)> {
        self.rungs.iter().find_map(|rung| {
            let stopped = rung.arms.iter().find(|known| known.arm == arm && !known.goes_on)?;
            Some((rung, stopped))
        })
    }
}
