//! Which weights of a trial are kept: [`Checkpoints`], a root key of the experiment file, and [`Footprint`], the room that
//! they take. No number of a trial depends on it, so it is no part of a trial's id.

use std::fmt;
use std::str::FromStr;

use frostline_text::bytes;
use frostline_zoo::{ModelCard, Role, card};
use serde::{Deserialize, Serialize};

use crate::trial::{Trial, Trunk};

/// What is kept of a trained model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checkpoints {
    /// Nothing.
    #[default]
    None,
    /// The weights of the chosen epoch, which the test accuracy is of.
    Best,
    /// The weights after the last epoch.
    Last,
}

impl Checkpoints {
    /// The values of the key.
    pub const NAMES: [&str; 3] = ["none", "best", "last"];

    /// Whether nothing is kept.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for Checkpoints {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::None, Self::Best, Self::Last].into_iter().find(|kept| kept.to_string() == text).ok_or(())
    }
}

/// Files and their size together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// How many files.
    pub files: usize,
    /// Their bytes, but for their headers.
    pub bytes: u64,
}

/// Classes of a trunk's head, where it has one: next to nothing beside the trunk.
const HEAD: usize = 10;

impl Footprint {
    /// A checkpoint for each trial with its number of classes: parameters, and means and variances of norms, four bytes each.
    /// Weights that are drawn come with auxiliary heads.
    pub fn of<'a>(trials: impl Iterator<Item = (&'a Trial, usize)>) -> Self {
        trials.filter(|(trial, _)| trial.has_weights()).fold(Self::default(), |sum, (trial, classes)| {
            let drawn = trial.weights == "none";
            let parameters = |card: &ModelCard| match drawn {
                true => card.parameters_with_auxiliary(classes),
                false => card.parameters(classes),
            };
            let parameters = card(&trial.model).map(parameters).unwrap_or_default();
            let elements = |parameter: &frostline_zoo::ParameterInfo| match parameter.role {
                Role::NormWeight | Role::NormBias => 2 * parameter.elements,
                Role::Weight | Role::Bias | Role::Embedding => parameter.elements,
            };
            let elements: usize = parameters.iter().map(elements).sum();
            Self { files: sum.files + 1, bytes: sum.bytes + 4 * elements as u64 }
        })
    }

    /// The weights of trunks, which are kept whatever the policy is.
    pub fn of_trunks<'a>(trunks: impl Iterator<Item = &'a Trunk>) -> Self {
        let alike = |trunk: &Trunk| Trial {
            model: trunk.model.clone(),
            weights: "hub".to_owned(),
            ..Trial::default()
        };
        let trials: Vec<Trial> = trunks.map(alike).collect();
        Self::of(trials.iter().map(|trial| (trial, HEAD)))
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.files == 1 { "1 file".to_owned() } else { format!("{} files", self.files) };
        write!(f, "{files}, about {}", bytes(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_its_name() {
        for name in Checkpoints::NAMES {
            let policy: Checkpoints = name.parse().unwrap();
            assert_eq!(policy.to_string(), name);
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{name}\""));
        }
        assert!("all".parse::<Checkpoints>().is_err());
    }

    #[test]
    fn a_footprint_is_told_in_files_and_bytes() {
        assert_eq!(Footprint { files: 2, bytes: 85 << 20 }.to_string(), "2 files, about 85 MiB");
    }
}
