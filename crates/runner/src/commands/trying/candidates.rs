//! Which models are asked, and how fast they are here: [`find`] and [`Candidate`].

use frostline_data::Images;
use frostline_engine::classify;
use frostline_hub::{Hub, Progress};
use frostline_models::{BuildSpec, ModelCard, WeightsSource, build, card, resolve};
use frostline_recipe::{Parts, Strategy};

use super::look::Subject;
use crate::cli::SubjectArgs;
use crate::error::Error;
use crate::machine::seconds;

/// Who is asked where nobody is named: of each family what is fast on a processor, as far as weights are known for it.
const USUAL: [&str; 12] = [
    "resnet18",
    "mobilenetv3_large",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_small_patch14_dinov2",
    "deit_small_patch16",
    "vit_small_patch16",
    "resnet50",
    "regnety_008",
    "densenet121",
    "swin_tiny_patch4_window7",
    "vit_base_patch32_clip",
];

/// Images that a model's speed is measured with.
const MEASURED_WITH: usize = 32;

/// A model that may be asked.
pub(super) struct Candidate {
    pub(super) card: &'static ModelCard,
    /// As experiment files write them.
    pub(super) weights: String,
    /// Multiply-adds of each stage for an image.
    stages: Vec<f64>,
    parts: Parts,
    /// Seconds of a forward pass for an image.
    forward: f64,
}

/// The models that the arguments name, or the usual ones, with what keeps others out.
///
/// # Errors
/// A name or weights that nothing knows; none that can be asked.
pub(super) fn find(
    args: &SubjectArgs,
    (resolution, classes): (usize, usize),
) -> Result<(Vec<Candidate>, Vec<String>), Error> {
    let named = !args.models.is_empty();
    let other = args.weights.iter().map(|text| match text.split_once('=') {
        Some((model, weights)) => Ok((known(model)?.name, spelt(weights)?)),
        None => Err(Error::usage(
            format!("--weights {text} names no model"),
            "write --weights MODEL=hub:OWNER/NAME/FILE",
        )),
    });
    let other: Vec<(&str, String)> = other.collect::<Result<_, Error>>()?;
    let usual = || USUAL.iter().filter_map(|name| card(name).ok()).collect::<Vec<_>>();
    let mut cards: Vec<&'static ModelCard> = match named {
        true => args.models.iter().map(|name| known(name)).collect::<Result<_, _>>()?,
        false => usual(),
    };
    for (name, _) in &other {
        if cards.iter().all(|card| card.name != *name) {
            cards.push(known(name)?);
        }
    }
    let (mut found, mut left_out): (Vec<Candidate>, Vec<String>) = (Vec::new(), Vec::new());
    for card in cards {
        if found.iter().any(|known| known.card.name == card.name) {
            continue;
        }
        let own = other.iter().find(|(name, _)| *name == card.name).map(|(_, weights)| weights.clone());
        let Some(weights) = own.or_else(|| card.pinned.map(|_| "hub".to_owned())) else {
            left_out.push(format!("{}: no weights are pinned for it; name some with --weights", card.name));
            continue;
        };
        match card.summary(classes, resolution, resolution) {
            Err(error) => left_out.push(format!("{}: {error}", card.name)),
            Ok(summary) => found.push(Candidate {
                card,
                weights,
                stages: summary.iter().map(|stage| stage.multiply_adds as f64).collect(),
                parts: Parts::new(card, classes),
                forward: 0.0,
            }),
        }
    }
    if found.is_empty() {
        return Err(Error::usage(
            format!("no model can be asked: {}", left_out.join("; ")),
            "name others with --models",
        ));
    }
    Ok((found, left_out))
}

fn known(name: &str) -> Result<&'static ModelCard, Error> {
    card(name.trim()).map_err(|unknown| Error::Model(unknown.into()))
}

/// The one spelling of weights.
fn spelt(weights: &str) -> Result<String, Error> {
    let source = weights.parse::<WeightsSource>().map_err(|error| Error::usage(error.to_string(), ""))?;
    Ok(source.to_string())
}

impl Candidate {
    pub(super) fn name(&self) -> &'static str {
        self.card.name
    }

    /// Fetches the weights; what keeps them away otherwise.
    pub(super) fn fetch(&self, hub: &Hub, progress: &dyn Progress) -> Result<(), String> {
        let source: WeightsSource =
            self.weights.parse().map_err(|error: frostline_zoo::WeightsSourceError| error.to_string())?;
        resolve(self.card, &source, hub, progress).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Takes the time of a forward pass over some images.
    pub(super) fn measure(&mut self, subject: &Subject) -> Result<(), Error> {
        let (side, classes) = (subject.resolution, subject.classes());
        let model = build(self.card.name, &BuildSpec { classes, height: side, width: side, seed: 0 })?;
        let all = &subject.dataset.train;
        let pixels =
            (0..MEASURED_WITH).flat_map(|image| all.image(image % all.len()).iter().copied()).collect();
        let images = Images::new(side, side, pixels, vec![0; MEASURED_WITH])?;
        let pass = || -> Result<f64, Error> {
            let began = seconds();
            classify(&model, &images, [0.5; 3], [0.25; 3], 1)?;
            Ok((seconds() - began) / MEASURED_WITH as f64)
        };
        pass()?; // What is allocated and read for the first time.
        self.forward = pass()?.min(pass()?);
        Ok(())
    }

    /// Seconds of a forward pass over so many images.
    pub(super) fn pass(&self, images: usize) -> f64 {
        self.forward * images as f64
    }

    /// Seconds that a strategy should take for so many images to train and so many to evaluate, in each of some epochs, and the test images
    /// at the end. What trains runs both ways, which takes three times as long.
    pub(super) fn expected(
        &self,
        strategy: &str,
        (train, validation, test): (usize, usize, usize),
        epochs: usize,
    ) -> f64 {
        let all: f64 = self.stages.iter().sum();
        let frozen = strategy.parse::<Strategy>().ok().and_then(|strategy| {
            let phases = strategy.phases(&self.parts, epochs).ok()?;
            phases.iter().map(|phase| phase.frozen_prefix).min()
        });
        let moving: f64 = self.stages.iter().skip(frozen.unwrap_or(0)).sum();
        let step = 1.0 + 2.0 * moving / all.max(1.0);
        epochs as f64 * (self.pass(train) * step + self.pass(validation)) + self.pass(test)
    }

    /// Strategies that train, from the shallowest to the deepest: one stage, half of the trunk, all.
    pub(super) fn depths(&self) -> [String; 3] {
        let trunk = self.card.stages.len() - 1;
        let last = |k: usize| if k >= trunk { "full".to_owned() } else { format!("last-{k}") };
        [last(1), last(trunk.div_ceil(2).max(2)), "full".to_owned()]
    }
}
