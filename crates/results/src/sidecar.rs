//! What goes with the weights of a trained model when they leave the results folder: [`Sidecar`], a JSON file beside the
//! safetensors file, with all that is needed to use them and all that they came from.

use std::path::{Path, PathBuf};

use frostline_experiment::Trial;
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointRecord, DataRecord, Environment, Invocation, PretrainingRecord, Status, StoreError,
    StoredTrial, WeightsRecord, json, write_file,
};

/// The key of the JSON file.
const KEY: &str = "model";

/// A trained model, without its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sidecar {
    /// The model's name in the zoo.
    pub architecture: String,
    /// The classes in the order of the labels: what the logits are of.
    pub classes: Vec<String>,
    /// Height and width in pixels that images are resized to.
    pub resolution: usize,
    /// What becomes of an image file before it is normalised.
    #[serde(default)]
    pub preparation: Preparation,
    /// The file: hash and size, the epoch, and the normalisation of images.
    pub weights: CheckpointRecord,
    /// What it came to, measured with the weights of the chosen epoch.
    pub results: Measured,
    /// What it came from.
    pub lineage: Lineages,
    /// How it was trained: model, strategy, data and recipe.
    pub trial: Trial,
    /// Where it was trained; none where that is not stored.
    pub environment: Option<Environment>,
    /// The version of Frostline that wrote this.
    pub frostline: String,
}

/// What becomes of an image file, in training and in prediction alike; in words, for who does the same with other code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preparation {
    /// Which way is up.
    pub orientation: String,
    /// Which channels there are.
    pub channels: String,
    /// How it comes to the resolution.
    pub resize: String,
}

impl Default for Preparation {
    fn default() -> Self {
        let [orientation, channels, resize] = [
            "as EXIF says, applied before anything else",
            "RGB in [0, 1]; grey three times, alpha dropped",
            "bilinear with antialiasing, each side by itself, without a crop",
        ]
        .map(str::to_owned);
        Self { orientation, channels, resize }
    }
}

/// What a trial measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Measured {
    /// In [0, 1].
    pub test_accuracy: Option<f64>,
    /// Mean cross-entropy.
    pub test_loss: Option<f64>,
    /// In [0, 1]; none without a validation split.
    pub validation_accuracy: Option<f64>,
    /// Counted from 1.
    pub chosen_epoch: Option<usize>,
}

/// What a trained model came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lineages {
    /// The weights that it started from; none where they were drawn from the seed.
    pub weights: Option<WeightsRecord>,
    /// The pretraining that made those.
    pub pretraining: Option<PretrainingRecord>,
    /// The images.
    pub data: DataRecord,
}

impl Sidecar {
    /// What goes with the weights of a trial.
    ///
    /// # Errors
    /// Why there is nothing, and what to do: the trial failed, or has kept no weights.
    pub fn of(
        stored: &StoredTrial,
        environment: Option<&Environment>,
        asked: &Invocation,
    ) -> Result<Self, (String, String)> {
        let StoredTrial { trial, outcome, .. } = stored;
        if let Status::Failed { reason } = &outcome.status {
            let help = "its settings have to change; another trial of its experiment may have finished";
            return Err((format!("trial {} failed: {reason}", trial.id), help.to_owned()));
        }
        let (Some(weights), Some(data)) = (&outcome.checkpoint, &outcome.data) else {
            return Err(none_kept(trial, asked));
        };
        Ok(Self {
            architecture: trial.model.clone(),
            classes: data.class_names.clone(),
            resolution: trial.resolution,
            preparation: Preparation::default(),
            weights: weights.clone(),
            results: Measured {
                test_accuracy: outcome.test_accuracy,
                test_loss: outcome.test_loss,
                validation_accuracy: outcome.validation_accuracy,
                chosen_epoch: outcome.chosen_epoch,
            },
            lineage: Lineages {
                weights: outcome.weights.clone(),
                pretraining: outcome.pretraining.clone(),
                data: DataRecord { class_names: Vec::new(), ..data.clone() },
            },
            trial: trial.clone(),
            environment: environment.cloned(),
            frostline: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// That a file of weights is the one this was written for, by the file's SHA-256.
    ///
    /// # Errors
    /// It is another, or damaged.
    pub fn check(&self, weights: &Path, sha256: &str) -> Result<(), StoreError> {
        if sha256 == self.weights.sha256 {
            return Ok(());
        }
        let reason = format!(
            "its SHA-256 is {sha256}, and {} was written down for it; copy or export it again, or {}",
            self.weights.sha256,
            train_again(&self.trial.id, &Invocation::default())
        );
        Err(StoreError::Damaged { path: weights.to_owned(), reason })
    }

    /// Writes the JSON file, whole or not at all.
    ///
    /// # Errors
    /// A failed write.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        write_file(path, &json::to_bytes(path, KEY, self)?)
    }

    /// Reads what [`Sidecar::write`] wrote.
    ///
    /// # Errors
    /// A file that is missing, cut off, something else, or of a newer format.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        json::read(path, KEY)
    }
}

/// That a trial has no weights, and how it gets some.
pub fn none_kept(trial: &Trial, asked: &Invocation) -> (String, String) {
    let id = &trial.id;
    if !trial.has_weights() {
        let message = format!(
            "trial {id} ({}) is a vote of training images, which no file of weights holds",
            trial.strategy
        );
        return (message, "`probe:logistic` and `probe:ridge` make a head of the same features".to_owned());
    }
    (format!("trial {id} has kept no weights"), train_again(id, asked))
}

/// How a trial gets weights.
fn train_again(id: &str, asked: &Invocation) -> String {
    format!("train it again with them: `{}`", asked.keeping_weights(id))
}

/// The sidecar's place: the name of the safetensors file, ending in `.json`.
pub fn beside(weights: &Path) -> PathBuf {
    weights.with_extension("json")
}

#[cfg(test)]
mod tests {
    use frostline_experiment::Checkpoints;

    use super::*;
    use crate::TrialResult;
    use crate::samples::{environment, failed, plan, result};

    fn stored(result: TrialResult) -> StoredTrial {
        let trial = plan(&["resnet18"], &["head"], 1).trials.remove(0);
        let TrialResult { outcome, epochs, .. } = result;
        StoredTrial { trial, outcome, epochs, answers: crate::Answers::default() }
    }

    fn kept() -> StoredTrial {
        let trial = plan(&["resnet18"], &["head"], 1).trials.remove(0);
        let mut stored = stored(result(&trial, 0.75, 4.0));
        let (sha256, mean, std) = ("ab".repeat(32), [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]);
        let record = CheckpointRecord { kept: Checkpoints::Best, epoch: 6, sha256, size: 7, mean, std };
        stored.outcome.checkpoint = Some(record);
        stored
    }

    #[test]
    fn it_has_what_use_and_lineage_need_and_survives_its_file() {
        let stored = kept();
        let sidecar = Sidecar::of(&stored, Some(&environment()), &Invocation::default()).unwrap();
        assert_eq!((sidecar.classes.len(), sidecar.classes[3].as_str()), (10, "3"));
        assert_eq!((sidecar.resolution, sidecar.weights.std), (32, [0.4, 0.5, 0.6]));
        assert_eq!((sidecar.results.test_accuracy, sidecar.results.chosen_epoch), (Some(0.75), Some(6)));
        assert!(sidecar.preparation.orientation.contains("EXIF"));
        assert_eq!(sidecar.lineage.data.digest, "d1".repeat(32));
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("m.safetensors"));
        assert!(path.ends_with("m.json"));
        sidecar.write(&path).unwrap();
        assert_eq!(Sidecar::read(&path).unwrap(), sidecar);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("{\n  \"format\": 1,\n  \"sha256\": \"")
                && text.contains("\n  \"model\": {\n    \"architecture\": \"resnet18\""),
            "{text}"
        );
        std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
        assert!(matches!(Sidecar::read(&path), Err(StoreError::Newer { found: 9, .. })));
    }

    #[test]
    fn weights_of_another_hash_are_refused_with_what_to_do() {
        let sidecar = Sidecar::of(&kept(), None, &Invocation::default()).unwrap();
        let path = Path::new("m.safetensors");
        assert!(sidecar.check(path, &"ab".repeat(32)).is_ok());
        let error = sidecar.check(path, &"cd".repeat(32)).unwrap_err().to_string();
        assert!(error.contains("m.safetensors") && error.contains("export it again"), "{error}");
        assert!(error.contains("--set checkpoints=best --only trial="), "{error}");
    }

    #[test]
    fn a_trial_without_weights_has_none_and_says_what_to_do() {
        let asked = Invocation { file: Some("x.toml".to_owned()), ..Invocation::default() };
        let trial = plan(&["resnet18"], &["head"], 1).trials.remove(0);
        let (message, _) =
            Sidecar::of(&stored(failed(&trial, "the loss became NaN")), None, &asked).unwrap_err();
        assert_eq!(message, format!("trial {} failed: the loss became NaN", trial.id));
        let (message, help) = Sidecar::of(&stored(result(&trial, 0.5, 1.0)), None, &asked).unwrap_err();
        assert!(message.ends_with("has kept no weights"), "{message}");
        assert!(
            help.contains(&format!("x.toml --set checkpoints=best --only trial={} --force", trial.id)),
            "{help}"
        );
    }

    #[test]
    fn which_epoch_was_kept_decides_what_a_policy_still_lacks() {
        let mut stored = kept();
        for (epoch, chosen, best, last) in [(6, 6, true, true), (4, 4, true, false), (6, 4, false, true)] {
            stored.outcome.checkpoint.as_mut().unwrap().epoch = epoch;
            stored.outcome.chosen_epoch = Some(chosen);
            assert_eq!((stored.keeps(Checkpoints::Best), stored.keeps(Checkpoints::Last)), (best, last));
        }
        stored.outcome.checkpoint = None;
        let keeps = Checkpoints::NAMES.map(|name| stored.keeps(name.parse().unwrap()));
        assert_eq!(keeps, [true, false, false]);
    }
}
