//! What the crates below say of an experiment's words and cells before anything is fetched or trained: [`canonical`] for
//! one name, [`cell`] for a whole trial. It builds no model and opens no file.

mod pretraining;

pub use pretraining::METHODS;

use frostline_recipe::{Keep, Strategy, StrategyError};
use frostline_sources::{Augment, Fold, Source, SplitNames};
use frostline_zoo::{ModelCard, WeightsSource, card};

use crate::kinds::Kinds;
use crate::meaning::{recipe_of, strategy_of};
use crate::trial::keys::key;
use crate::trial::{Trial, pretraining_name};

/// The classes that a shape is tried with, as the true number is known only with the data.
const ANY_CLASSES: usize = 2;

/// Why a value or a cell will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The keys that have to do with it, the one to blame first.
    pub(crate) keys: Vec<&'static str>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do; may be empty.
    pub(crate) help: String,
}

impl Refusal {
    /// From a message of the form "what is wrong; what to do".
    fn new(keys: &[&'static str], message: &impl ToString) -> Self {
        let message = message.to_string();
        let (message, help) = message.split_once("; ").unwrap_or((&message, ""));
        Self { keys: keys.to_vec(), message: message.to_owned(), help: help.to_owned() }
    }
}

/// The one spelling of a name, as the crate that it belongs to writes it. Other keys' values pass through.
///
/// # Errors
/// Where that crate does not know the name.
pub(crate) fn canonical(name: &'static str, text: &str) -> Result<String, Refusal> {
    match name {
        "model" => card(text).map(|card| card.name.to_owned()).map_err(|error| Refusal::new(&[name], &error)),
        "weights" => match pretraining_name(text) {
            // Whether the experiment has it is known only when its cells are made.
            Some(pretraining) if plain_name(pretraining) => Ok(text.to_owned()),
            Some(other) => {
                let message =
                    format!("`{other}` names no pretraining; write pretrain:NAME for a [pretrain.NAME]");
                Err(Refusal::new(&[name], &message))
            }
            None => respelt::<WeightsSource>(name, text),
        },
        "strategy" => match text.parse::<Strategy>() {
            Ok(strategy) => Ok(strategy.to_string()),
            // Perhaps the experiment's own, which is known only when its cells are made.
            Err(StrategyError::Unknown(_)) if own_name(text) => Ok(text.to_owned()),
            Err(error) => Err(Refusal::new(&[name], &error)),
        },
        "source" => respelt::<Source>(name, text),
        "splits" if text != "usual" => respelt::<SplitNames>(name, text),
        "fold" if text != "none" => respelt::<Fold>(name, text),
        "augment" => {
            let items: Vec<&str> = text.split('+').filter(|item| *item != "none").collect();
            Augment::parse_all(&items)
                .map(|augment| augment.to_string())
                .map_err(|error| Refusal::new(&[name], &error))
        }
        _ => Ok(text.to_owned()),
    }
}

/// Whether an experiment may give this name to a strategy of its own.
pub(crate) fn own_name(text: &str) -> bool {
    plain_name(text) && text.parse::<Strategy>() == Err(StrategyError::Unknown(text.to_owned()))
}

/// Small letters, digits and hyphens.
pub(crate) fn plain_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(plain)
}

fn respelt<T>(name: &'static str, text: &str) -> Result<String, Refusal>
where
    T: std::str::FromStr + ToString,
    T::Err: ToString,
{
    text.parse::<T>().map(|value| value.to_string()).map_err(|error| Refusal::new(&[name], &error))
}

/// What was found of cells that differ in numbers alone.
#[derive(Debug, Default)]
pub(crate) struct Found {
    resolutions: Kinds<Option<Refusal>>,
    strategies: Kinds<Option<Refusal>>,
}

/// Everything that makes a trial impossible.
pub(crate) fn cell(trial: &Trial, found: &mut Found) -> Vec<Refusal> {
    let Ok(card) = card(&trial.model) else {
        return Vec::new(); // Names are checked where they are read.
    };
    let checks = [
        found.resolutions.of(trial, ANY_CLASSES, |trial| resolution(card, trial)),
        crop(trial),
        classes(trial),
        reading(trial),
        found.strategies.of(trial, ANY_CLASSES, |trial| strategy(card, trial)),
        weights(card, trial),
        pretraining::pretraining(trial),
        recipe(trial),
        keep(trial),
        probe(trial),
        precision(trial),
        weighted(trial),
    ];
    checks.into_iter().flatten().collect()
}

fn resolution(card: &ModelCard, trial: &Trial) -> Option<Refusal> {
    let side = trial.resolution;
    let error = card.summary(ANY_CLASSES, side, side).err()?;
    let mut refusal = Refusal::new(&["model", "resolution"], &error);
    if let Some(smallest) = card.smallest_side().filter(|smallest| *smallest > side) {
        refusal.help = format!(
            "the smallest resolution that works is {smallest}; set it in [data], or for this model alone:\n\
             [[override]]\nwhen = {{ model = \"{}\" }}\nresolution = {}",
            card.name,
            smallest.next_power_of_two()
        );
    }
    Some(refusal)
}

/// A crop that can miss the image altogether.
fn crop(trial: &Trial) -> Option<Refusal> {
    let pad = Augment::parse_all(&trial.data.augment).ok()?.crop.filter(|pad| *pad >= trial.resolution)?;
    let side = trial.resolution;
    let message = format!(
        "crop:{pad} on images of {side} pixels cuts out windows that show nothing of them; pad by less than {side}, as by {}",
        (side / 8).max(1)
    );
    Some(Refusal::new(&["augment", "resolution"], &message))
}

fn classes(trial: &Trial) -> Option<Refusal> {
    let message = match trial.data.classes.as_slice() {
        [only] => format!("`{only}` alone leaves nothing to tell apart; name two classes or more"),
        names => {
            let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
            format!("the class `{}` is named twice; remove one", twice?.1)
        }
    };
    Some(Refusal::new(&["classes"], &message))
}

/// Columns and splits of sources that have none.
fn reading(trial: &Trial) -> Option<Refusal> {
    let source: Source = trial.data.source.parse().ok()?;
    let (is_table, is_folder) = (matches!(source, Source::Hub { .. }), matches!(source, Source::Folder(_)));
    let data = &trial.data;
    let given = [
        ("image-column", data.image_column.is_some(), is_table, "hub:"),
        ("label-column", data.label_column.is_some(), is_table, "hub:"),
        ("splits", data.splits.is_some(), is_table || is_folder, "hub: or folder:"),
    ];
    let (key, .., kinds) = given.into_iter().find(|(_, given, fits, _)| *given && !fits)?;
    let message = format!("{key} is for sources that begin with {kinds}, and {source} is none; remove it");
    Some(Refusal::new(&[key, "source"], &message))
}

fn strategy(card: &ModelCard, trial: &Trial) -> Option<Refusal> {
    let strategy = match strategy_of(trial) {
        Ok(strategy) => strategy,
        Err(error) => return Some(Refusal::new(&["strategy"], &error)),
    };
    let error = strategy.phases(&strategy.parts(card, ANY_CLASSES), trial.train.epochs).err()?;
    let keys: &[&'static str] = if matches!(error, StrategyError::Epochs { .. }) {
        &["strategy", "epochs"]
    } else {
        &["strategy", "model"]
    };
    Some(Refusal::new(keys, &error))
}

fn weights(card: &ModelCard, trial: &Trial) -> Option<Refusal> {
    let pinned = trial.weights.parse() == Ok(WeightsSource::Pinned);
    (pinned && card.pinned.is_none()).then(|| {
        let message = format!(
            "no weights are pinned for {}; write none, hub:OWNER/NAME/FILE[@REV] or file:PATH",
            card.name
        );
        Refusal::new(&["weights", "model"], &message)
    })
}

fn recipe(trial: &Trial) -> Option<Refusal> {
    let error = recipe_of(&trial.train).err()?;
    let name = error.split(':').next().unwrap_or_default();
    let keys: Vec<&'static str> = key(name).map(|key| key.name).into_iter().collect();
    Some(Refusal::new(&keys, &error))
}

/// A probe without images to choose its penalty on.
fn probe(trial: &Trial) -> Option<Refusal> {
    let chooses = trial.strategy.starts_with("probe:") && trial.data.validation == 0.0;
    let message = format!(
        "{} chooses the strength of its penalty on validation, and there is no validation split; set validation above 0, or use \
         knn:K, which chooses nothing",
        trial.strategy
    );
    chooses.then(|| Refusal::new(&["validation", "strategy"], &message))
}

fn keep(trial: &Trial) -> Option<Refusal> {
    let best = trial.train.keep.parse() == Ok(Keep::Best);
    let message = "keep = \"best\" chooses on validation, and there is no validation split; set validation above 0, \
                   or keep = \"last\"";
    (best && trial.data.validation == 0.0 && !trial.fits())
        .then(|| Refusal::new(&["validation", "keep"], &message))
}

/// Weights of classes where a target is of two of them.
fn weighted(trial: &Trial) -> Option<Refusal> {
    let mixes = Augment::parse_all(&trial.data.augment).is_ok_and(|augment| augment.mixes());
    (mixes && trial.train.class_weights != "none" && !trial.fits()).then(|| {
        let message = "a picture that mixup or cutmix made has two classes, so class-weights do not say how much it counts; leave one \
                       of them out, or set sampling = \"balanced\" instead";
        Refusal::new(&["class-weights", "augment"], &message)
    })
}

/// bf16 where it was never tried.
fn precision(trial: &Trial) -> Option<Refusal> {
    let untried = trial.device == "metal" && trial.train.precision == "bf16";
    untried.then(|| {
        Refusal::new(
            &["precision", "device"],
            &"bf16 is for cpu and cuda, not for metal; set precision = \"f32\"",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &[(&str, &str)]) -> Vec<Refusal> {
        let mut trial = Trial::default();
        for (name, value) in settings {
            key(name).unwrap().set(&mut trial, value).unwrap();
        }
        cell(&trial, &mut Found::default())
    }

    #[test]
    fn names_are_looked_up_where_they_belong() {
        for (key, text) in [
            ("model", "resnet34"),
            ("weights", "hub:timm/resnet18.tv_in1k/model.safetensors@main"),
            ("strategy", "last-2"),
            ("source", "hub:uoft-cs/cifar10"),
            ("augment", "flip+crop:4"),
            ("augment", "none"),
            ("augment", "crop:1"),
            ("augment", "flip+resized-crop:0.3+jitter:0.4+rand-augment:2,5+erase"),
            ("splits", "train=a+b,test=c"),
            ("splits", "usual"),
            ("optimizer", "anything"),
        ] {
            assert_eq!(canonical(key, text).as_deref(), Ok(text));
        }
        assert_eq!(canonical("augment", "crop:4+flip").as_deref(), Ok("flip+crop:4"));
        assert_eq!(canonical("augment", "erase:0.5+trivial").as_deref(), Ok("trivial+erase"));
        for (key, text, part) in [
            ("model", "resnet-18", "resnet18"),
            ("weights", "hub:", ""),
            ("strategy", "last-0", "head"),
            ("source", "cifar", "cifar"),
            ("augment", "flip+crop", "crop:4"),
            ("augment", "flip+flip", "twice"),
            ("augment", "RandAugment", "write `rand-augment`"),
            ("augment", "crop:4+resized-crop", "keep one"),
        ] {
            let refusal = canonical(key, text).unwrap_err();
            assert!(format!("{} {}", refusal.message, refusal.help).contains(part), "{refusal:?}");
        }
    }

    #[test]
    fn a_trial_that_can_run_is_not_refused() {
        assert_eq!(refused(&[("model", "resnet18"), ("weights", "hub")]), []);
        assert_eq!(refused(&[("model", "alexnet"), ("resolution", "64"), ("strategy", "last-1")]), []);
    }

    #[test]
    fn what_cannot_be_trained_blames_the_keys_that_make_it_so() {
        for (settings, keys, part) in [
            (vec![("model", "alexnet"), ("resolution", "32")], vec!["model", "resolution"], "63"),
            (vec![("model", "resnet18"), ("augment", "crop:32")], vec!["augment", "resolution"], "nothing"),
            (vec![("model", "resnet18"), ("strategy", "last-9")], vec!["strategy", "model"], "last-9"),
            (
                vec![("model", "resnet18"), ("source", "digits"), ("label-column", "label")],
                vec!["label-column", "source"],
                "hub:",
            ),
            (
                vec![("model", "resnet18"), ("source", "cifar:x"), ("splits", "train=a")],
                vec!["splits", "source"],
                "folder:",
            ),
            (vec![("model", "resnet18"), ("warmup", "10")], vec!["warmup"], "epochs"),
            (
                vec![("model", "resnet18"), ("optimizer", "sgd"), ("momentum", "0"), ("nesterov", "true")],
                vec!["nesterov"],
                "momentum",
            ),
            (vec![("model", "resnet18"), ("validation", "0")], vec!["validation", "keep"], "last"),
            (
                vec![("model", "resnet18"), ("precision", "bf16"), ("device", "metal")],
                vec!["precision", "device"],
                "f32",
            ),
        ] {
            let refusals = refused(&settings);
            assert_eq!(refusals.len(), 1, "{refusals:?}");
            assert_eq!(refusals[0].keys, keys);
            let text = format!("{} {}", refusals[0].message, refusals[0].help);
            assert!(text.contains(part), "{text}");
        }
    }
}
