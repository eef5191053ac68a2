//! What comes before a trial: [`Pretraining`], as an experiment's `[pretrain.NAME]` comes out for a cell, and [`Trunk`], the
//! weights that it makes, which all trials that ask for the same share.

use frostline_text::id;
use serde::{Deserialize, Serialize};

use super::specs::{cpu, is_cpu, is_zero};
use super::{DataSpec, NUMERICS, TrainSpec, Trial};

/// How the weights of a trial are made before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pretraining {
    /// `supervised`, `autoencoder`, `rotation`.
    pub method: String,
    /// The standard deviation of the noise that an autoencoder takes away; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub denoise: f64,
    /// The seed of every draw; the trial's own where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The images.
    pub data: DataSpec,
    /// The recipe.
    pub train: TrainSpec,
}

/// Weights that a pretraining makes, with everything resolved. Two trunks with the same id are the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trunk {
    /// The first 12 hex digits of the SHA-256 over everything below but the name, and [`NUMERICS`].
    pub id: String,
    /// What the experiment calls the pretraining.
    pub name: String,
    /// The model's name in the zoo.
    pub model: String,
    /// Height and width in pixels that images are resized to.
    pub resolution: usize,
    /// The seed of every draw.
    pub seed: u64,
    /// How it is made; its seed is above.
    pub pretraining: Pretraining,
    /// Where it learns from the images of the trials themselves: the split whose validation images are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// What computes: that of the trials.
    #[serde(default = "cpu", skip_serializing_if = "is_cpu")]
    pub device: String,
}

/// The split of the trials that share a trunk's images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HeldOut {
    /// As [`DataSpec::validation`].
    pub validation: f64,
    /// As [`DataSpec::per_class`].
    pub per_class: Option<usize>,
    /// As [`DataSpec::fold`]: what a fold tests is not learnt from either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
}

/// The pretraining that `weights` names, where it names one: `pretrain:NAME`.
pub fn pretraining_name(weights: &str) -> Option<&str> {
    weights.strip_prefix("pretrain:")
}

impl Pretraining {
    /// Whether it learns from the images of trials with `data`, in which case their validation images are left out.
    pub fn shares_images(&self, data: &DataSpec) -> bool {
        self.data.same_images(data)
    }
}

impl Trunk {
    /// What a user knows it by while it is made.
    pub fn label(&self) -> String {
        let Self { name, model, resolution, seed, .. } = self;
        format!("{model} {name} {resolution} px seed {seed}")
    }
}

impl Trial {
    /// The trunk that it starts from; none where its weights are not pretrained by its experiment.
    pub fn trunk(&self) -> Option<Trunk> {
        let pretraining = self.pretraining.as_ref()?;
        let DataSpec { validation, per_class, fold, .. } = self.data.clone();
        let mut trunk = Trunk {
            id: String::new(),
            name: String::new(),
            model: self.model.clone(),
            resolution: self.resolution,
            seed: pretraining.seed.unwrap_or(self.seed),
            pretraining: Pretraining { seed: None, ..pretraining.clone() },
            held_out: pretraining.shares_images(&self.data).then_some(HeldOut {
                validation,
                per_class,
                fold,
            }),
            device: self.device.clone(),
        };
        let settings = serde_json::to_string(&trunk).expect("a trunk holds nothing that JSON cannot");
        trunk.id = id(&format!("trunk, numerics {NUMERICS}\n{settings}"));
        trunk.name = pretraining_name(&self.weights).unwrap_or_default().to_owned();
        Some(trunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        let data = DataSpec { source: "digits".to_owned(), ..DataSpec::default() };
        let pretraining = Pretraining {
            method: "rotation".to_owned(),
            denoise: 0.0,
            seed: None,
            data: data.clone(),
            train: TrainSpec::default(),
        };
        let model = "resnet18".to_owned();
        Trial {
            model,
            weights: "pretrain:turns".to_owned(),
            data,
            pretraining: Some(pretraining),
            ..Trial::default()
        }
    }

    #[test]
    fn trials_share_a_trunk_unless_something_that_makes_it_differs() {
        let id = |trial: &Trial| trial.trunk().unwrap().id;
        let (one, trial) = (id(&trial()), trial());
        let mut same = Trial { strategy: "head".to_owned(), ..trial.clone() };
        same.train.learning_rate = 0.5;
        same.weights = "pretrain:another-name".to_owned();
        assert_eq!(id(&same), one);
        let with = |change: fn(&mut Trial)| {
            let mut other = trial.clone();
            change(&mut other);
            id(&other)
        };
        assert_ne!(with(|t| t.seed = 1), one);
        assert_ne!(with(|t| t.resolution = 64), one);
        assert_ne!(with(|t| t.data.per_class = Some(10)), one, "other validation images are left out");
        assert_ne!(with(|t| t.pretraining.as_mut().unwrap().train.epochs = 1), one);
        assert!(Trial { pretraining: None, ..trial.clone() }.trunk().is_none());
    }

    #[test]
    fn a_fixed_seed_is_the_trunks_and_other_images_are_all_used() {
        let mut trial = trial();
        trial.pretraining.as_mut().unwrap().seed = Some(5);
        trial.data.classes = vec!["0".to_owned(), "1".to_owned()];
        let trunk = trial.trunk().unwrap();
        assert_eq!((trunk.seed, trunk.held_out.clone(), trunk.name.as_str()), (5, None, "turns"));
        trial.seed = 3;
        assert_eq!(trial.trunk().unwrap(), trunk);
    }
}
