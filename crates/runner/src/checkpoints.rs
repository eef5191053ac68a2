//! Which weights of a trial are kept: [`Checkpoints`], a root key of the experiment file, and [`Footprint`], the room that
//! they take. No number of a trial depends on it, so it is no part of a trial's id.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use frostline_models::{ModelCard, Role, card};
use serde::{Deserialize, Serialize};

use crate::plan::Trial;
use crate::report::numbers::bytes;

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

impl Footprint {
    /// A checkpoint for each trial with its number of classes: parameters, and means and variances of norms, four bytes each.
    /// Weights that are drawn come with auxiliary heads.
    pub fn of<'a>(trials: impl Iterator<Item = (&'a Trial, usize)>) -> Self {
        trials.fold(Self::default(), |sum, (trial, classes)| {
            let drawn = trial.weights == "none";
            let parameters = |card: &ModelCard| match drawn {
                true => card.parameters_with_auxiliary(classes),
                false => card.parameters(classes),
            };
            let parameters = card(&trial.model).map(parameters).unwrap_or_default();
            let elements = |parameter: &frostline_models::ParameterInfo| match parameter.role {
                Role::NormWeight | Role::NormBias => 2 * parameter.elements,
                Role::Weight | Role::Bias | Role::Embedding => parameter.elements,
            };
            let elements: usize = parameters.iter().map(elements).sum();
            Self { files: sum.files + 1, bytes: sum.bytes + 4 * elements as u64 }
        })
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.files == 1 { "1 file".to_owned() } else { format!("{} files", self.files) };
        write!(f, "{files}, about {}", bytes(self.bytes))
    }
}

/// What this process may still write to the file system of `folder`, in bytes; none where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    fs4::available_space(folder).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_models::{BuildSpec, build, build_with_auxiliary};

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
    fn the_footprint_is_that_of_the_files() {
        for (name, weights) in [("resnet18", "none"), ("googlenet", "none"), ("googlenet", "hub")] {
            let spec = BuildSpec { classes: 10, height: 64, width: 64, seed: 0 };
            let model =
                if weights == "none" { build_with_auxiliary(name, &spec) } else { build(name, &spec) };
            let file = model.unwrap().state_dict().unwrap().to_safetensors().unwrap().len() as u64;
            let (model, weights) = (name.to_owned(), weights.to_owned());
            let trial = Trial { model, weights, ..Trial::default() };
            let footprint = Footprint::of([(&trial, 10), (&trial, 10)].into_iter());
            assert_eq!(footprint.files, 2);
            assert!((2 * file).abs_diff(footprint.bytes) < file / 100, "{name}: {file}, {footprint:?}");
        }
        assert_eq!(Footprint { files: 2, bytes: 85 << 20 }.to_string(), "2 files, about 85 MiB");
    }

    #[test]
    fn free_space_is_known_where_there_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_bytes(&folder.path().join("none")), None);
    }
}
