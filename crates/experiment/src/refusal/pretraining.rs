//! What makes a cell's pretraining impossible: [`pretraining`].

use frostline_sources::{Augment, Policy};

use super::{Refusal, classes, keep, recipe, weighted};
use crate::trial::{Pretraining, TrainSpec, Trial, pretraining_name};

/// The ways to pretrain.
pub const METHODS: [&str; 3] = ["supervised", "autoencoder", "rotation"];

/// The first thing that is wrong with the pretraining of a cell whose `weights` name one.
pub(super) fn pretraining(trial: &Trial) -> Option<Refusal> {
    let name = pretraining_name(&trial.weights)?;
    let refuse = |message: String| Some(Refusal::new(&["weights"], &message));
    let Some(pretraining) = &trial.pretraining else {
        return refuse(format!(
            "there is no pretraining `{name}`; write [pretrain.{name}] with a method and epochs, or name one that is there"
        ));
    };
    let Pretraining { method, seed, data, train, .. } = pretraining;
    let supervised = method == "supervised";
    if pretraining.shares_images(&trial.data) {
        if supervised {
            return refuse(format!(
                "[pretrain.{name}] learns the labels that the trials learn; give it another source, or classes that they \
                 do not have"
            ));
        }
        if seed.is_some() {
            return refuse(format!(
                "[pretrain.{name}] has a seed of its own and the images of the trials, so it would see images that other \
                 seeds validate on; remove its seed"
            ));
        }
        if data.validation != trial.data.validation {
            return refuse(format!(
                "[pretrain.{name}] has the images of the trials and another validation share than theirs; remove it"
            ));
        }
    } else if data.source == trial.data.source && overlap(&data.classes, &trial.data.classes) {
        return refuse(format!(
            "[pretrain.{name}] and the trials share classes of one source, so it would see images that they validate on; \
             name classes in both that do not overlap, or neither source nor classes in [pretrain.{name}]"
        ));
    }
    let own = Trial { data: data.clone(), train: train.clone(), ..trial.clone() };
    if method == "autoencoder" && train.keep == "best" {
        return refuse(format!(
            "[pretrain.{name}]: keep = \"best\" chooses by accuracy, which a reconstruction does not have; remove it"
        ));
    }
    let augment = Augment::parse_all(&data.augment).unwrap_or_default();
    if !supervised && augment.mixes() {
        return refuse(format!(
            "[pretrain.{name}]: `mixup` and `cutmix` mix labels, and the method `{method}` learns none of them; set augment in \
             [pretrain.{name}], without them"
        ));
    }
    let by_label = [
        ("class-weights", train.class_weights != TrainSpec::default().class_weights),
        ("sampling", train.sampling != TrainSpec::default().sampling),
    ];
    if let (false, Some((key, _))) = (supervised, by_label.iter().find(|(_, given)| *given)) {
        return refuse(format!(
            "[pretrain.{name}]: {key} goes by the labels of images, and the method `{method}` learns none of them; remove it"
        ));
    }
    if method == "rotation" && augment.policy == Some(Policy::Trivial) {
        return refuse(format!(
            "[pretrain.{name}]: `trivial` turns images by up to 135 degrees, and by how much they are turned is what is \
             learnt; set augment in [pretrain.{name}], without it"
        ));
    }
    let classes = if supervised { classes(&own) } else { None };
    let refusal = classes.or_else(|| recipe(&own)).or_else(|| keep(&own)).or_else(|| weighted(&own))?;
    Some(Refusal {
        keys: vec!["weights"],
        message: format!("[pretrain.{name}]: {}", refusal.message),
        ..refusal
    })
}

/// Whether two choices of classes have a class in common; a choice of none is all.
fn overlap(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|class| other.contains(class))
}
