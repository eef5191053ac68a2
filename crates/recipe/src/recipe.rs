//! How a trial trains: [`Recipe`], with every value resolved and checked. It knows nothing of files or keys.

use std::fmt;
use std::str::FromStr;

use crate::{OptimizerKind, Schedule};

/// What BatchNorm layers do while a phase trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNormPolicy {
    /// Layers that train use and update batch statistics; frozen layers use and keep their running statistics.
    Follow,
    /// Every layer uses and updates batch statistics, frozen or not: what `model.train()` does in a PyTorch script.
    Train,
    /// Every layer uses its running statistics and keeps them.
    Eval,
}

/// Which epoch's weights a trial ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The epoch with the highest validation accuracy, the earliest of equals.
    Best,
    /// The last epoch.
    Last,
}

/// What becomes of the last images of an epoch, where they do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ragged {
    /// They are a smaller batch; a single one joins the batch before it.
    Keep,
    /// They are left out of the epoch.
    Drop,
    /// They join the batch before them.
    Merge,
}

/// How much the images of a class count in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassWeights {
    /// As much as those of any other.
    Equal,
    /// In inverse proportion to how many of them there are, so that all classes count alike: `n / (K · n_class)`, of `n` training images
    /// in `K` classes (King and Zeng 2001).
    Balanced,
}

/// Which images an epoch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Each once.
    Shuffled,
    /// As many as there are, and of each class as many as of any other: images of rare ones several times, each time drawn for anew.
    Balanced,
}

/// What counts alike in a validation accuracy, by which epochs, strengths, values and arms are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Images: the share of them that is right.
    #[default]
    Images,
    /// Classes: the mean, over those that have images, of the share that is right in each (balanced accuracy; Brodersen et al. 2010).
    Classes,
}

/// What a schedule is laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleOver {
    /// The whole trial, whatever the strategy's phases are.
    Trial,
    /// Each phase: it starts again with its warm-up where a phase begins.
    Phase,
}

/// A training recipe. [`Recipe::check`] says what is wrong with one.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training split, at least 1.
    pub epochs: usize,
    /// Images a step, at least 2.
    pub batch: usize,
    /// What becomes of images that do not fill a batch.
    pub ragged: Ragged,
    /// Which images an epoch has.
    pub sampling: Sampling,
    /// Batches whose gradients make one step of the optimizer, weighted by their images as in one batch of all of them; at least 1. What is
    /// left of them at the end of an epoch makes a step too.
    pub accumulate: usize,
    /// The rule that updates parameters.
    pub optimizer: OptimizerKind,
    /// The base learning rate, which the schedule scales.
    pub learning_rate: f64,
    /// As the optimizer means it: added to the gradient by SGD and Adam, decoupled in AdamW.
    pub weight_decay: f64,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// What the schedule is laid over.
    pub schedule_over: ScheduleOver,
    /// Epochs of linear warm-up before the schedule's own course.
    pub warmup: f64,
    /// The share of the target that is spread evenly over all classes, in [0, 1) (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// How much the images of a class count in the loss.
    pub class_weights: ClassWeights,
    /// The largest allowed norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// What BatchNorm layers do.
    pub batch_norm: BatchNormPolicy,
    /// Whether the running statistics of BatchNorm layers that train are computed anew, over all training images, before each
    /// evaluation.
    pub recalibrate: bool,
    /// The decay, in [0, 1), of an exponential moving average over steps of all that trains (Polyak and Juditsky 1992; Tarvainen and Valpola 2017),
    /// BatchNorm's statistics among it, which is evaluated, chosen and kept instead of the weights; none for the weights themselves. It begins
    /// anew with each phase. After `t` steps the decay is at most `(1 + t) / (10 + t)`, so that short trainings do not end near where they began.
    pub ema: Option<f64>,
    /// Which epoch counts.
    pub keep: Keep,
    /// The last phase ends after so many epochs without a higher validation accuracy (early stopping; Prechelt 1998); none where all epochs are
    /// trained.
    pub patience: Option<usize>,
    /// What counts alike in validation accuracies.
    pub validation_counts: Counting,
}

/// A value of a recipe that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct RecipeError {
    /// The key as an experiment file spells it.
    pub key: &'static str,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl Default for Recipe {
    /// What a beginner's script does: Adam at 1e-3 throughout, ten epochs of batches of 64, the best of them on validation.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            ragged: Ragged::Keep,
            sampling: Sampling::Shuffled,
            accumulate: 1,
            optimizer: OptimizerKind::Adam,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            schedule_over: ScheduleOver::Trial,
            warmup: 0.0,
            label_smoothing: 0.0,
            class_weights: ClassWeights::Equal,
            clip_norm: None,
            batch_norm: BatchNormPolicy::Follow,
            recalibrate: false,
            ema: None,
            keep: Keep::Best,
            patience: None,
            validation_counts: Counting::Images,
        }
    }
}

impl Recipe {
    /// The optimizer's steps in an epoch of so many batches.
    pub fn updates(&self, batches: usize) -> usize {
        batches.div_ceil(self.accumulate.max(1))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value is out of its range, and the range.
    pub fn check(&self) -> Result<(), RecipeError> {
        let demand = |holds: bool, key: &'static str, value: &dyn fmt::Display, rule: &str| {
            let problem = format!("{value} will not do; {rule}");
            if holds { Ok(()) } else { Err(RecipeError { key, problem }) }
        };
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let rate = self.learning_rate;
        demand(self.epochs >= 1, "epochs", &self.epochs, "at least 1 is needed")?;
        demand(
            self.batch >= 2,
            "batch",
            &self.batch,
            "at least 2 images are needed for a batch's statistics",
        )?;
        demand(positive(rate), "learning-rate", &rate, "it must be a number above 0")?;
        let decay = self.weight_decay;
        demand(decay >= 0.0 && decay.is_finite(), "weight-decay", &decay, "it must be 0 or more")?;
        let warmup = self.warmup;
        let epochs = self.epochs as f64;
        demand(
            (0.0..epochs).contains(&warmup),
            "warmup",
            &warmup,
            "it must be 0 or more and less than the epochs",
        )?;
        let one_cycle = self.schedule == Schedule::OneCycle;
        demand(
            !one_cycle || warmup == 0.0,
            "warmup",
            &warmup,
            "one-cycle has a warm-up of its own; leave it at 0",
        )?;
        if let Schedule::Step { every, factor } = self.schedule {
            demand(every >= 1, "step-every", &every, "at least 1 epoch is needed")?;
            demand(
                positive(factor) && factor <= 1.0,
                "step-factor",
                &factor,
                "it must be above 0 and at most 1",
            )?;
        }
        let smoothing = self.label_smoothing;
        demand((0.0..1.0).contains(&smoothing), "label-smoothing", &smoothing, "it must be in [0, 1)")?;
        if let Some(norm) = self.clip_norm {
            demand(positive(norm), "clip-norm", &norm, "it must be a number above 0")?;
        }
        demand(self.accumulate >= 1, "accumulate", &self.accumulate, "at least 1 batch is needed")?;
        if let Some(decay) = self.ema {
            demand((0.0..1.0).contains(&decay), "ema", &decay, "it must be in [0, 1)")?;
        }
        if let Some(patience) = self.patience {
            demand(patience >= 1, "patience", &patience, "at least 1 epoch is needed")?;
            demand(
                self.keep == Keep::Best,
                "patience",
                &patience,
                "it waits for a better epoch, so keep must be \"best\"",
            )?;
        }
        if let OptimizerKind::Sgd { momentum, nesterov } = self.optimizer {
            demand((0.0..1.0).contains(&momentum), "momentum", &momentum, "it must be in [0, 1)")?;
            demand(
                !nesterov || momentum > 0.0,
                "nesterov",
                &nesterov,
                "Nesterov's step needs a momentum above 0",
            )?;
        }
        Ok(())
    }
}

/// Names for the values of an enumeration, for `FromStr` and `Display`.
macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The names that an experiment file may use.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    other => Err(format!("unknown {} `{other}`; one of {}", $what, Self::NAMES.join(", "))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }
    };
}

named!(BatchNormPolicy, "BatchNorm policy", Follow = "follow", Train = "train", Eval = "eval");
named!(Ragged, "way with a last batch", Keep = "keep", Drop = "drop", Merge = "merge");
named!(ClassWeights, "weights of classes", Equal = "none", Balanced = "balanced");
named!(Sampling, "way to draw images", Shuffled = "shuffled", Balanced = "balanced");
named!(Counting, "thing to count", Images = "images", Classes = "classes");
named!(ScheduleOver, "stretch for a schedule", Trial = "trial", Phase = "phase");
named!(Keep, "epoch to keep", Best = "best", Last = "last");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_named() {
        type Spoil = fn(&mut Recipe);
        let bad: [(&str, Spoil); 12] = [
            ("epochs", |r| r.epochs = 0),
            ("batch", |r| r.batch = 1),
            ("patience", |r| r.patience = Some(0)),
            ("patience", |r| (r.patience, r.keep) = (Some(2), Keep::Last)),
            ("learning-rate", |r| r.learning_rate = f64::NAN),
            ("weight-decay", |r| r.weight_decay = -1.0),
            ("warmup", |r| r.warmup = 10.0),
            ("warmup", |r| (r.schedule, r.warmup) = (Schedule::OneCycle, 1.0)),
            ("step-factor", |r| r.schedule = Schedule::Step { every: 1, factor: 0.0 }),
            ("label-smoothing", |r| r.label_smoothing = 1.0),
            ("clip-norm", |r| r.clip_norm = Some(0.0)),
            ("nesterov", |r| r.optimizer = OptimizerKind::Sgd { momentum: 0.0, nesterov: true }),
        ];
        assert_eq!(Recipe::default().check(), Ok(()));
        for (key, spoil) in bad {
            let mut recipe = Recipe::default();
            spoil(&mut recipe);
            assert_eq!(recipe.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn names_round_trip() {
        for name in BatchNormPolicy::NAMES {
            assert_eq!(name.parse::<BatchNormPolicy>().unwrap().to_string(), *name);
        }
        for name in ScheduleOver::NAMES {
            assert_eq!(name.parse::<ScheduleOver>().unwrap().to_string(), *name);
        }
        for name in Ragged::NAMES {
            assert_eq!(name.parse::<Ragged>().unwrap().to_string(), *name);
        }
        for name in Counting::NAMES {
            assert_eq!(name.parse::<Counting>().unwrap().to_string(), *name);
        }
        for name in Keep::NAMES {
            assert_eq!(name.parse::<Keep>().unwrap().to_string(), *name);
        }
    }
}
