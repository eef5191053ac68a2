//! One trial with everything resolved: [`Trial`], the id that its numbers depend on, and the [`keys`] that an experiment
//! file spells its values with. It names what to do and does nothing.

pub mod keys;
mod phases;
mod pretraining;
mod specs;

pub use phases::PhaseWords;
pub use pretraining::{HeldOut, Pretraining, Trunk, pretraining_name};
pub use specs::{DataSpec, TrainSpec};

use frostline_recipe::Strategy;
use frostline_sources::Augment;
use frostline_text::id;
use frostline_zoo::{ModelCard, card};
use serde::{Deserialize, Serialize};

use specs::{
    cpu, drawn, is_cpu, is_images, is_kept, is_one, is_shuffled, is_single, is_unweighted, over_trial,
};

/// Part of every id. Raised when a change of the code changes what the same settings compute on processors with AVX-512;
/// others may differ from those in the last bits.
pub const NUMERICS: u32 = 3;

/// One cell of the grid with everything resolved. Two trials with the same [`Trial::id`] have the same numbers.
///
/// A field that is added later must be left out of the JSON where it has no effect
/// (`skip_serializing_if`), so that the ids of finished trials stay what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trial {
    /// The first 12 hex digits of the SHA-256 over everything below and [`NUMERICS`].
    pub id: String,
    /// The model's name in the zoo.
    pub model: String,
    /// Where its weights come from: `none`, `hub`, `hub:OWNER/NAME/FILE[@REV]`, `file:PATH`, `pretrain:NAME`.
    pub weights: String,
    /// What trains when: a name that the engine knows, or one that the experiment defines as `phases`.
    pub strategy: String,
    /// The seed of every random draw.
    pub seed: u64,
    /// Height and width in pixels that images are resized to.
    pub resolution: usize,
    /// The images.
    pub data: DataSpec,
    /// The recipe.
    pub train: TrainSpec,
    /// What the experiment's own strategy of that name is; none where the engine knows the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<PhaseWords>>,
    /// What `pretrain:NAME` means for it; none with other weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<Pretraining>,
    /// What computes: `cpu`, `cuda`, `metal`. Each rounds otherwise.
    #[serde(default = "cpu", skip_serializing_if = "is_cpu")]
    pub device: String,
}

impl Trial {
    /// Clears what has no effect on the numbers, and gives the trial its id.
    pub fn sealed(mut self) -> Self {
        if self.fits() {
            let TrainSpec { precision, validation_counts, .. } = self.train;
            let keep = "last".to_owned();
            self.train = TrainSpec { epochs: 1, precision, validation_counts, keep, ..TrainSpec::default() };
            self.data.augment.clear();
        }
        if !self.uses("momentum") {
            (self.train.momentum, self.train.nesterov) = (0.0, false);
        }
        if !self.uses("step-every") {
            (self.train.step_every, self.train.step_factor) = (1, 1.0);
        }
        if !self.uses("schedule-over") {
            self.train.schedule_over = over_trial();
        }
        if !self.uses("dropout") {
            self.train.dropout = None;
        }
        if !self.uses("stochastic-depth") {
            self.train.stochastic_depth = 0.0;
        }
        if !self.uses("views") {
            self.data.views = None;
        }
        if !self.uses("head") {
            self.train.head = drawn();
        }
        if !self.uses("recalibrate") {
            self.train.recalibrate = false;
        }
        self.id = id(&format!("numerics {NUMERICS}\n{}", self.settings()));
        self
    }

    /// The value of one key of the experiment file, in its one spelling: `model` is `resnet18`, `learning-rate` is
    /// `0.001`, `augment` is `flip+crop:4`. Also `trial`, which is the id. None where there is no such key.
    pub fn value_of(&self, key: &str) -> Option<String> {
        if key == "trial" { Some(self.id.clone()) } else { keys::key(key).map(|key| key.show(self)) }
    }

    /// Whether it fits a classifier on frozen features, and takes no step.
    pub fn fits(&self) -> bool {
        self.phases.is_none()
            && self.strategy.parse::<Strategy>().is_ok_and(|strategy| strategy.probe().is_some())
    }

    /// Whether what it learns is in its weights, so that they can be kept; a vote of neighbours is not.
    pub fn has_weights(&self) -> bool {
        !self.fits() || !self.strategy.starts_with("knn:")
    }

    /// Whether a key has an effect, given the others.
    pub fn uses(&self, key: &str) -> bool {
        match key {
            key if IN_STEPS.contains(&key) && self.fits() => false,
            "momentum" | "nesterov" => self.train.optimizer == "sgd",
            "step-every" | "step-factor" => self.train.schedule == "step",
            "schedule-over" => self.train.schedule != "constant" || self.train.warmup > 0.0,
            // What mixes a batch is drawn for each anew.
            "views" => Augment::parse_all(&self.data.augment)
                .is_ok_and(|augment| !Augment { mixup: None, cutmix: None, ..augment }.is_none()),
            "head" => !self.fits() && self.weights != "none" && pretraining_name(&self.weights).is_none(),
            "recalibrate" => {
                self.train.batch_norm != "eval" && card(&self.model).is_ok_and(ModelCard::has_batch_norm)
            }
            "dropout" => card(&self.model).is_ok_and(ModelCard::has_dropout),
            "stochastic-depth" => card(&self.model).is_ok_and(ModelCard::has_stochastic_depth),
            _ => true,
        }
    }

    /// Whether a key is worth a word: it has an effect, and does not say what is so anyway and hardly ever otherwise.
    pub fn shows(&self, key: &str) -> bool {
        let data = &self.data;
        let plain = match key {
            "image-column" => data.image_column.is_none(),
            "label-column" => data.label_column.is_none(),
            "views" => data.views.is_none(),
            "splits" => data.splits.is_none(),
            "fold" => data.fold.is_none(),
            "duplicates" => is_kept(&data.duplicates),
            "ragged" => is_kept(&self.train.ragged),
            "recalibrate" => !self.train.recalibrate,
            "sampling" => is_shuffled(&self.train.sampling),
            "accumulate" => is_one(&self.train.accumulate),
            "class-weights" => is_unweighted(&self.train.class_weights),
            "ema" => self.train.ema.is_none(),
            "patience" => self.train.patience.is_none(),
            "validation-counts" => is_images(&self.train.validation_counts),
            "precision" => is_single(&self.train.precision),
            "device" => is_cpu(&self.device),
            _ => false,
        };
        self.uses(key) && !plain
    }

    /// A key that trials share if and only if they differ in the seed, or in the fold that they test, alone.
    pub fn arm(&self) -> String {
        let mut arm = Self { seed: 0, ..self.clone() };
        arm.data.fold = None;
        id(&arm.settings())
    }

    /// What a user knows it by while it runs.
    pub fn label(&self) -> String {
        let Self { model, strategy, resolution, seed, .. } = self;
        let weights = match self.weights.as_str() {
            "none" => String::new(),
            weights => format!(" {}", pretraining_name(weights).unwrap_or(weights)),
        };
        format!("{model}{weights} {strategy} {resolution} px seed {seed}")
    }

    /// The fields that determine the numbers, as JSON in the order of their declaration.
    fn settings(&self) -> String {
        let settings = Self { id: String::new(), ..self.clone() };
        serde_json::to_string(&settings).expect("a trial holds nothing that JSON cannot")
    }
}

/// Keys that say how steps are taken, which a strategy that takes none leaves out of account.
const IN_STEPS: [&str; 27] = [
    "augment",
    "views",
    "epochs",
    "batch",
    "ragged",
    "sampling",
    "accumulate",
    "optimizer",
    "learning-rate",
    "momentum",
    "nesterov",
    "weight-decay",
    "schedule",
    "schedule-over",
    "warmup",
    "step-every",
    "step-factor",
    "label-smoothing",
    "class-weights",
    "clip-norm",
    "dropout",
    "stochastic-depth",
    "batch-norm",
    "recalibrate",
    "ema",
    "keep",
    "patience",
];

impl Default for Trial {
    /// What holds where an experiment file says nothing. Model and source have no default.
    fn default() -> Self {
        Self {
            id: String::new(),
            model: String::new(),
            weights: "none".to_owned(),
            strategy: "full".to_owned(),
            seed: 0,
            resolution: 32,
            data: DataSpec::default(),
            train: TrainSpec::default(),
            phases: None,
            pretraining: None,
            device: cpu(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        let mut trial = Trial { model: "resnet18".to_owned(), ..Trial::default() };
        trial.data.source = "digits".to_owned();
        trial
    }

    #[test]
    fn ids_stay_what_they_are() {
        // Finished trials are found by their id: where this changes, raise NUMERICS or leave a new field out.
        assert_eq!(trial().sealed().id, "798203c1c531");
    }

    #[test]
    fn each_kind_of_device_has_ids_of_its_own_and_the_cpu_those_that_it_had() {
        let on = |device: &str| Trial { device: device.to_owned(), ..trial() }.sealed();
        assert_eq!(on("cpu").id, trial().sealed().id);
        let ids = ["cpu", "cuda", "metal"].map(|device| on(device).id);
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert!(!serde_json::to_string(&on("cpu")).unwrap().contains("device"));
        assert!(on("cuda").shows("device") && !on("cpu").shows("device"));
        assert_eq!(on("cuda").value_of("device").as_deref(), Some("cuda"));
    }

    #[test]
    fn what_determines_the_numbers_is_in_the_id_and_nothing_else() {
        let id = trial().sealed().id;
        let mut other = trial();
        (other.train.momentum, other.train.nesterov, other.train.step_every) = (0.5, true, 7);
        other.id = "anything".to_owned();
        assert_eq!(other.sealed().id, id);
        for key in keys::keys() {
            let mut other = trial();
            let value = match key.form() {
                keys::Form::TextOr(_) => "other",
                keys::Form::Text => key.choices().last().copied().unwrap_or("other"),
                keys::Form::Texts => "flip",
                keys::Form::Flag => "true",
                keys::Form::Integer | keys::Form::IntegerOr(_) => "7",
                keys::Form::Number | keys::Form::NumberOr(_) => "0.7",
            };
            let idle = [
                "momentum",
                "nesterov",
                "step-every",
                "step-factor",
                "schedule-over",
                "dropout",
                "stochastic-depth",
                "views",
                "head",
            ];
            key.set(&mut other, value).unwrap();
            assert_eq!(other.sealed().id == id, idle.contains(&key.name), "{}", key.name);
        }
    }

    #[test]
    fn views_count_where_pictures_are_drawn() {
        for (augment, counts) in
            [("none", false), ("mixup:0.2", false), ("erase", true), ("flip+cutmix", true)]
        {
            let of = |views: &str| {
                let mut trial = Trial::default();
                keys::key("augment").unwrap().set(&mut trial, augment).unwrap();
                keys::key("views").unwrap().set(&mut trial, views).unwrap();
                trial.sealed().id
            };
            assert_eq!(of("2") != of("fresh"), counts, "{augment}");
        }
    }

    #[test]
    fn what_says_how_steps_are_taken_is_no_part_of_a_trial_that_takes_none() {
        let probe = Trial { strategy: "probe:ridge".to_owned(), ..trial() };
        let id = probe.clone().sealed().id;
        for key in keys::keys() {
            let mut other = probe.clone();
            let value = match key.name {
                "augment" => "flip",
                "model" => "resnet34",
                "strategy" => "knn:5",
                _ => match key.form() {
                    keys::Form::TextOr(_) => "other",
                    keys::Form::Text => key.choices().last().copied().unwrap_or("other"),
                    keys::Form::Texts => "other",
                    keys::Form::Flag => "true",
                    keys::Form::Integer | keys::Form::IntegerOr(_) => "7",
                    keys::Form::Number | keys::Form::NumberOr(_) => "0.7",
                },
            };
            key.set(&mut other, value).unwrap();
            let counts = other.sealed().id != id;
            assert_eq!(counts, probe.uses(key.name) && key.name != "head", "{}", key.name);
        }
        assert!(trial().uses("epochs") && !probe.uses("epochs"));
    }

    #[test]
    fn dropout_and_stochastic_depth_count_in_the_models_that_have_them() {
        for (model, counts) in
            [("resnet18", [false; 2]), ("alexnet", [true, false]), ("deit_tiny_patch16", [true; 2])]
        {
            let plain = Trial { model: model.to_owned(), ..trial() };
            let id = plain.clone().sealed().id;
            for (key, counts) in ["dropout", "stochastic-depth"].into_iter().zip(counts) {
                let mut other = plain.clone();
                keys::key(key).unwrap().set(&mut other, "0.25").unwrap();
                assert_eq!(other.sealed().id != id, counts, "{key} of {model}");
            }
        }
    }

    #[test]
    fn an_arm_is_everything_but_the_seed() {
        let seeded = Trial { seed: 9, ..trial() }.sealed();
        assert_eq!(seeded.arm(), trial().sealed().arm());
        assert_ne!(Trial { strategy: "head".to_owned(), ..trial() }.sealed().arm(), seeded.arm());
        assert_eq!(seeded.value_of("seed").as_deref(), Some("9"));
        assert_eq!(seeded.value_of("trial"), Some(seeded.id.clone()));
        assert_eq!(seeded.value_of("colour"), None);
    }

    #[test]
    fn a_trial_survives_its_json() {
        let trial = trial().sealed();
        let json = serde_json::to_string(&trial).unwrap();
        assert!(json.contains("\"learning-rate\":0.001"), "{json}");
        assert_eq!(serde_json::from_str::<Trial>(&json).unwrap(), trial);
        assert!(serde_json::from_str::<Trial>(&json.replace("\"seed\"", "\"sede\"")).is_err());
    }
}
