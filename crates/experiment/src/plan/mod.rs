//! The plan: [`Plan`], the ordered trials of an experiment without duplicates, and the claims to check. It is pure:
//! the same experiment gives the same plan anywhere, and nothing is downloaded or trained to make it.

mod expand;
mod folds;
mod select;
#[cfg(test)]
mod tests;

pub use expand::expand;
pub use select::SelectError;

use serde::{Deserialize, Serialize};

use crate::checkpoints::Checkpoints;
use crate::comparing;
use crate::halving::Halving;
use crate::trial::{Trial, Trunk};
use crate::tune::Tune;

/// What a sweep will do, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// The experiment's name: the stem of its file.
    pub experiment: String,
    /// The question it asks.
    pub question: String,
    /// The grid's axes in the order of the file.
    pub axes: Vec<Axis>,
    /// The trials in the order in which they run: seeds outermost, arms shuffled within a seed.
    pub trials: Vec<Trial>,
    /// The claims that results are checked against, in the order of the file.
    pub claims: Vec<Claim>,
    /// Which weights are kept.
    #[serde(default, skip_serializing_if = "Checkpoints::is_none")]
    pub checkpoints: Checkpoints,
    /// What the arms are held against: the arm with these values beside their keys that is otherwise the same.
    #[serde(default = "comparing::full", skip_serializing_if = "comparing::is_full")]
    pub baseline: Vec<(String, String)>,
    /// Within how many points of accuracy arms are as good as equal.
    #[serde(default = "comparing::one_point", skip_serializing_if = "comparing::is_one_point")]
    pub margin: f64,
    /// How arms that cannot win are stopped; none where all are trained to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving: Option<Halving>,
    /// The keys that each arm chooses values for; none where all values are the grid's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
}

impl Plan {
    /// What the trials start from, where that is pretrained: each trunk once, in the order of the trials.
    pub fn trunks(&self) -> Vec<Trunk> {
        let mut trunks: Vec<Trunk> = Vec::new();
        for trunk in self.trials.iter().filter_map(Trial::trunk) {
            if trunks.iter().all(|known| known.id != trunk.id) {
                trunks.push(trunk);
            }
        }
        trunks
    }
}

/// One key of the grid and its values, as [`Trial::value_of`] writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Axis {
    /// `model`, `learning-rate`, …
    pub key: String,
    /// In the order of the file.
    pub values: Vec<String>,
}

/// A number from elsewhere that results are held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Claim {
    /// The trials that it speaks of: those whose [`Trial::value_of`] each key is the value beside it.
    pub when: Vec<(String, String)>,
    /// The claimed accuracy on the test split, in [0, 1].
    pub test_accuracy: Option<f64>,
    /// The claimed training time in minutes.
    pub minutes: Option<f64>,
    /// Who claims it.
    pub source: String,
    /// The settings that `--set` changed for the trials that it speaks of, each with the values that the file has for them; such
    /// trials are not what was claimed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<(String, Vec<String>)>,
}
