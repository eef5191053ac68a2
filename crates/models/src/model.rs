//! [`Model`]: an architecture with numbers. [`build`] makes one with PyTorch's initial values; its forward pass is in
//! `forward.rs`, loading in `load.rs`. It trains nothing itself.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::{Device, Tensor};
use frostline_kernels::Hwnc;
use frostline_streams::Streams;

use crate::architecture::{Architecture, ParameterSpec};
use crate::copies::Fold;
use crate::error::ModelError;
use crate::forward::{Activation, Pass};
use crate::norm::BatchNorm;
use crate::parameter::{Parameter, ParameterInfo};
use crate::trace::{Traced, smallest_side, trace};
use crate::zoo::{ModelCard, card};

/// What a model is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildSpec {
    /// Outputs of the head.
    pub classes: usize,
    /// Height of the images, in pixels.
    pub height: usize,
    /// Width of the images, in pixels.
    pub width: usize,
    /// The seed of the initial values.
    pub seed: u64,
}

/// A freezable slice of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageInfo {
    /// Its name, for instance `layer1`.
    pub name: String,
}

/// What a stage costs and gives, for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSummary {
    /// The stage's name.
    pub name: String,
    /// How many numbers its parameters have.
    pub parameters: usize,
    /// Multiply-adds of its convolutions and linear layers, counted densely.
    pub multiply_adds: u64,
    /// Height, width and channels of its output; rows have height and width 1.
    pub output: (usize, usize, usize),
}

/// A model as ordered stages. Parameters and norms have torchvision's names and stand in torchvision's order.
#[derive(Debug)]
pub struct Model {
    card: &'static ModelCard,
    spec: BuildSpec,
    device: Device,
    architecture: Architecture,
    traced: Vec<Traced>,
    stages: Vec<StageInfo>,
    parameters: Vec<Arc<Parameter>>,
    norms: Vec<Arc<BatchNorm>>,
    /// The bits of the probability that replaces every dropout's own; NaN for none.
    dropout: AtomicU32,
}

/// Builds the model `name` on the CPU, with the initial values that `torchvision.models` gives it. Taps of convolutions
/// that reach no pixel at this resolution are left out of the computation, which changes no output and no gradient;
/// [`Parameter::torch_values`] has them.
///
/// # Errors
/// [`ModelError::Unknown`]; [`ModelError::TooSmall`] with the smallest resolution that works; [`ModelError::Input`] for
/// no classes.
pub fn build(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    build_on(name, spec, &Device::Cpu)
}

/// [`build`] on another device.
///
/// # Errors
/// As [`build`], and where the device fails.
pub fn build_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = plan(card, spec.classes, spec.height, spec.width)?;
    assemble_shrunk(card, architecture, traced, spec, device)
}

/// Gives an architecture its numbers, without the taps that reach no pixel.
pub(crate) fn assemble_shrunk(
    card: &'static ModelCard,
    mut architecture: Architecture,
    traced: Vec<Traced>,
    spec: &BuildSpec,
    device: &Device,
) -> Result<Model, ModelError> {
    for stage in &traced {
        architecture.shrink(&stage.live_taps);
    }
    assemble(card, architecture, traced, spec, device)
}

/// [`build`] with every tap of every convolution, also those that reach no pixel at this resolution: what the shrunk
/// network is held against.
///
/// # Errors
/// As [`build`].
pub fn build_unshrunk(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = plan(card, spec.classes, spec.height, spec.width)?;
    assemble(card, architecture, traced, spec, &Device::Cpu)
}

fn assemble(
    card: &'static ModelCard,
    architecture: Architecture,
    traced: Vec<Traced>,
    spec: &BuildSpec,
    device: &Device,
) -> Result<Model, ModelError> {
    let streams = Streams::new(spec.seed);
    let parameters = architecture
        .parameters
        .iter()
        .map(|parameter| Parameter::new(parameter.clone(), streams, device).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let norms = architecture
        .norms
        .iter()
        .map(|norm| BatchNorm::new(norm, &parameters, device).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let stages = architecture.stages.iter().map(|s| StageInfo { name: s.name.to_owned() }).collect();
    Ok(Model {
        card,
        spec: *spec,
        device: device.clone(),
        architecture,
        traced,
        stages,
        parameters,
        norms,
        dropout: AtomicU32::new(f32::NAN.to_bits()),
    })
}

impl Model {
    /// Has linear layers that meet copies of pixels, as adaptive pooling makes them, store and train the sums of their
    /// weights: the same function, with as many times less work and memory as there are copies. [`Copies`](crate::Copies)
    /// says how an optimizer treats them, and which recipe rules it out; [`Parameter::torch_values`] spreads the sums again.
    /// Gives the number of parameters that are now sums; a model that is folded stays so.
    ///
    /// # Errors
    /// Where the weights cannot be read from their device.
    pub fn fold(&mut self) -> Result<usize, ModelError> {
        let folds: Vec<Fold> = self.traced.iter().flat_map(|stage| &stage.folds).copied().collect();
        for fold in &folds {
            let parameter = &mut self.parameters[fold.weight.0];
            if parameter.copies().is_none() {
                *parameter = Arc::new(parameter.in_layout(fold.layout(parameter.layout()))?);
                self.architecture.fold(*fold);
            }
        }
        Ok(folds.len())
    }
}

impl ModelCard {
    /// Per stage: parameters, multiply-adds and output at a resolution, without building the model.
    ///
    /// # Errors
    /// [`ModelError::TooSmall`] with the smallest resolution that works; [`ModelError::Input`] for no classes.
    pub fn summary(
        &self,
        classes: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<StageSummary>, ModelError> {
        let (architecture, traced) = plan(self, classes, height, width)?;
        Ok(summarise(&architecture, &traced))
    }

    /// The parameters in the model's order, without building it.
    pub fn parameters(&self, classes: usize) -> Vec<ParameterInfo> {
        let info = |spec: ParameterSpec| ParameterInfo {
            elements: spec.shape.iter().product(),
            name: spec.name,
            stage: spec.stage,
            role: spec.role,
        };
        (self.architecture)(classes).parameters.into_iter().map(info).collect()
    }

    /// The least side in pixels of an image that the model takes, square or not.
    pub fn smallest_side(&self) -> Option<usize> {
        smallest_side(&(self.architecture)(1))
    }
}

/// The architecture and its trace at a resolution.
fn plan(
    card: &ModelCard,
    classes: usize,
    height: usize,
    width: usize,
) -> Result<(Architecture, Vec<Traced>), ModelError> {
    if classes == 0 {
        return Err(ModelError::Input(format!("{} needs at least one class", card.title)));
    }
    let architecture = (card.architecture)(classes);
    let traced = traced(card, &architecture, height, width)?;
    Ok((architecture, traced))
}

/// [`trace`] with its failure as an error of the model.
pub(crate) fn traced(
    card: &ModelCard,
    architecture: &Architecture,
    height: usize,
    width: usize,
) -> Result<Vec<Traced>, ModelError> {
    trace(architecture, height, width).map_err(|failure| ModelError::TooSmall {
        title: card.title,
        height,
        width,
        stage: failure.stage,
        layer: failure.layer,
        map: failure.input,
        smallest: smallest_side(architecture),
    })
}

fn summarise(architecture: &Architecture, traced: &[Traced]) -> Vec<StageSummary> {
    let stages = architecture.stages.iter().zip(traced).enumerate();
    stages
        .map(|(index, (stage, traced))| StageSummary {
            name: stage.name.to_owned(),
            parameters: architecture
                .parameters
                .iter()
                .filter(|parameter| parameter.stage == index)
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum(),
            multiply_adds: traced.multiply_adds,
            output: (traced.output.height, traced.output.width, traced.output.channels),
        })
        .collect()
}

impl Model {
    /// The name in experiment files.
    pub fn name(&self) -> &'static str {
        self.card.name
    }

    /// What is known about the model.
    pub fn card(&self) -> &'static ModelCard {
        self.card
    }

    /// What it was built for.
    pub fn spec(&self) -> BuildSpec {
        self.spec
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The stages from input to output; the last is the head.
    pub fn stages(&self) -> &[StageInfo] {
        &self.stages
    }

    /// The index of the head among the stages.
    pub fn head(&self) -> usize {
        self.stages.len() - 1
    }

    /// Every parameter, in torchvision's order.
    pub fn parameters(&self) -> &[Arc<Parameter>] {
        &self.parameters
    }

    /// Every BatchNorm, in torchvision's order.
    pub fn norms(&self) -> &[Arc<BatchNorm>] {
        &self.norms
    }

    /// Per stage: parameters, multiply-adds and output for one image.
    pub fn summary(&self) -> Vec<StageSummary> {
        summarise(&self.architecture, &self.traced)
    }

    /// Replaces the probability of every dropout layer (torchvision's argument `dropout`); 0 turns it off.
    ///
    /// # Errors
    /// [`ModelError::Input`] outside [0, 1).
    pub fn set_dropout(&self, probability: f32) -> Result<(), ModelError> {
        if !(0.0..1.0).contains(&probability) {
            return Err(ModelError::Input(format!(
                "a dropout probability lies in [0, 1), not at {probability}"
            )));
        }
        self.dropout.store(probability.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn dropout_override(&self) -> Option<f32> {
        let probability = f32::from_bits(self.dropout.load(Ordering::Relaxed));
        (!probability.is_nan()).then_some(probability)
    }

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The streams that initial values are drawn from.
    pub(crate) fn streams(&self) -> Streams {
        Streams::new(self.spec.seed)
    }

    /// Logits `[N, classes]` of a batch of normalised images `[H, W, N, 3]`.
    ///
    /// # Errors
    /// [`ModelError::Input`] for images of another size than the model was built for; [`ModelError::Stage`] where a
    /// stage fails, for instance by BatchNorm over a single value per channel.
    pub fn forward(&self, x: &Hwnc, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        self.forward_range(0..self.stages.len(), x.clone(), pass)?.into_tensor()
    }

    /// Runs the stages of `range` alone on what the stage before them gave (images, before the first); an empty range
    /// gives its input back.
    ///
    /// # Errors
    /// As [`Model::forward`]; [`ModelError::Input`] for a range beyond the stages.
    pub fn forward_range(
        &self,
        range: Range<usize>,
        x: impl Into<Activation>,
        pass: &Pass<'_>,
    ) -> Result<Activation, ModelError> {
        let mut x = x.into();
        let stages = self.architecture.stages.get(range.clone()).ok_or_else(|| {
            let count = self.stages.len();
            ModelError::Input(format!("stages {range:?} were asked for, and {} has {count}", self.card.title))
        })?;
        if range.start == 0 && !range.is_empty() {
            self.check_images(&x)?;
        }
        for stage in stages {
            x = self
                .apply_all(&stage.layers, x, pass)
                .map_err(|source| ModelError::Stage { stage: stage.name.to_owned(), source })?;
        }
        Ok(x)
    }

    fn check_images(&self, x: &Activation) -> Result<(), ModelError> {
        let (height, width) = (self.spec.height, self.spec.width);
        match x {
            Activation::Map(map) if matches!(map.dims(), (h, w, n, 3) if (h, w) == (height, width) && n > 0) => {
                Ok(())
            }
            _ => Err(ModelError::Input(format!(
                "{} was built for images [{height}, {width}, N, 3], and {:?} came",
                self.card.title,
                x.tensor().dims()
            ))),
        }
    }
}
