//! [`Model`]: an architecture with numbers. [`build`](crate::build()) makes one with PyTorch's initial values; its forward pass is in
//! `forward.rs`, loading in `load.rs`. It trains nothing itself.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Tensor};
use frostline_kernels::Hwnc;
use frostline_streams::Streams;
use frostline_zoo::description::{Architecture, Fold, ModelCard, ParameterSpec};
use frostline_zoo::{StageSummary, Traced, summarise};
use rayon::prelude::*;

use crate::classifier::Classifier;
use crate::error::ModelError;
use crate::forward::{Activation, AuxiliaryLogits, Pass};
use crate::norm::BatchNorm;
use crate::parameter::Parameter;

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

/// A model as ordered stages. Parameters and norms have torchvision's names and stand in torchvision's order, those of
/// auxiliary heads last.
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
    /// The bits of the rate of stochastic depth in the last block.
    stochastic_depth: AtomicU32,
    /// Whether activations are bf16.
    half: AtomicBool,
    /// What answers in place of the head's last linear layer.
    pub(crate) classifier: OnceLock<Arc<dyn Classifier>>,
}

/// What parameters begin as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Drawn, each from its own stream.
    Drawn,
    /// Zero.
    Blank,
}

/// Gives an architecture its numbers.
pub(crate) fn assemble(
    card: &'static ModelCard,
    architecture: Architecture,
    traced: Vec<Traced>,
    spec: &BuildSpec,
    (device, start): (&Device, Start),
) -> Result<Model, ModelError> {
    let streams = Streams::new(spec.seed);
    let parameter = |spec: &ParameterSpec| match start {
        Start::Drawn => Parameter::new(spec.clone(), streams, device).map(Arc::new),
        Start::Blank => Parameter::blank(spec.clone(), device).map(Arc::new),
    };
    let parameters = architecture.parameters.par_iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
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
        stochastic_depth: AtomicU32::new(0.0f32.to_bits()),
        half: AtomicBool::new(false),
        classifier: OnceLock::new(),
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

impl Model {
    /// A model with the same numbers, whose parameters and statistics move by themselves where the flags say that they do, in the model's
    /// order. The others are this model's own, in the same memory, and must not be trained in either. Dropout, stochastic depth and precision
    /// are as when built.
    ///
    /// # Errors
    /// Where numbers cannot be copied on their device.
    pub fn twin(&self, parameters: &[bool], statistics: &[bool]) -> Result<Self, ModelError> {
        let parameter = |(known, moves): (&Arc<Parameter>, &bool)| match moves {
            true => known.copied().map(Arc::new),
            false => Ok(Arc::clone(known)),
        };
        let parameters: Vec<Arc<Parameter>> =
            self.parameters.iter().zip(parameters).map(parameter).collect::<Result<_, _>>()?;
        let norms = self.norms.iter().zip(&self.architecture.norms).zip(statistics);
        let norms = norms.map(|((norm, spec), moves)| norm.twin(spec, &parameters, *moves).map(Arc::new));
        Ok(Self {
            card: self.card,
            spec: self.spec,
            device: self.device.clone(),
            architecture: self.architecture.clone(),
            traced: self.traced.clone(),
            stages: self.stages.clone(),
            norms: norms.collect::<Result<_, _>>()?,
            parameters,
            dropout: AtomicU32::new(f32::NAN.to_bits()),
            stochastic_depth: AtomicU32::new(0.0f32.to_bits()),
            half: AtomicBool::new(false),
            classifier: OnceLock::new(),
        })
    }

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

    /// Replaces the probability of every dropout layer (torchvision's argument `dropout`). Auxiliary heads keep their own; 0
    /// turns it off everywhere.
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

    /// Sets the rate of stochastic depth (Huang et al. 2016): how often an image skips a branch of the last block in a
    /// training pass. It rises linearly from 0 in the first block, as timm's argument `drop_path_rate`; 0 when built. Without effect
    /// in models that [have none](ModelCard::has_stochastic_depth).
    ///
    /// # Errors
    /// [`ModelError::Input`] outside [0, 1).
    pub fn set_stochastic_depth(&self, rate: f32) -> Result<(), ModelError> {
        if !(0.0..1.0).contains(&rate) {
            return Err(ModelError::Input(format!(
                "a rate of stochastic depth lies in [0, 1), not at {rate}"
            )));
        }
        self.stochastic_depth.store(rate.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Sets what activations are kept in from stage to stage, and what products take: f32, as when built, or bf16 as in PyTorch's
    /// autocast. Parameters, statistics, and what the last stage gives are f32 all the same.
    ///
    /// # Errors
    /// [`ModelError::Input`] for any other type, and for bf16 on Metal, where it was never tried.
    pub fn set_precision(&self, precision: DType) -> Result<(), ModelError> {
        let half = match precision {
            DType::F32 => false,
            DType::BF16 if !self.device.is_metal() => true,
            other => {
                let place = self.device.location();
                return Err(ModelError::Input(format!(
                    "a model computes in f32 or, on the CPU and with CUDA, in bf16, not in {other:?} on {place:?}"
                )));
            }
        };
        self.half.store(half, Ordering::Relaxed);
        Ok(())
    }

    /// What activations are kept in.
    pub fn precision(&self) -> DType {
        if self.half.load(Ordering::Relaxed) { DType::BF16 } else { DType::F32 }
    }

    pub(crate) fn stochastic_depth(&self) -> f32 {
        f32::from_bits(self.stochastic_depth.load(Ordering::Relaxed))
    }

    pub(crate) fn dropout_override(&self) -> Option<f32> {
        let probability = f32::from_bits(self.dropout.load(Ordering::Relaxed));
        (!probability.is_nan()).then_some(probability)
    }

    /// Changes what it is, and makes the parameters that it has then besides.
    pub(crate) fn extend(
        &mut self,
        change: impl FnOnce(&mut Architecture) -> usize,
    ) -> Result<usize, ModelError> {
        let count = change(&mut self.architecture);
        for spec in &self.architecture.parameters[self.parameters.len()..] {
            let parameter = Parameter::new(spec.clone(), Streams::new(self.spec.seed), &self.device)?;
            self.parameters.push(Arc::new(parameter));
        }
        Ok(count)
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
        self.run(range, x.into(), pass, None)
    }

    /// As [`Model::forward_range`], with what the auxiliary heads on these stages give, in order: in a training pass of a
    /// model that has them ([`build_with_auxiliary`](crate::build_with_auxiliary)), else nothing.
    ///
    /// # Errors
    /// As [`Model::forward_range`].
    pub fn forward_range_with_auxiliary(
        &self,
        range: Range<usize>,
        x: impl Into<Activation>,
        pass: &Pass<'_>,
    ) -> Result<(Activation, Vec<AuxiliaryLogits>), ModelError> {
        let mut auxiliary = Vec::new();
        let x = self.run(range, x.into(), pass, Some(&mut auxiliary))?;
        Ok((x, auxiliary))
    }

    pub(crate) fn run(
        &self,
        range: Range<usize>,
        mut x: Activation,
        pass: &Pass<'_>,
        mut auxiliary: Option<&mut Vec<AuxiliaryLogits>>,
    ) -> Result<Activation, ModelError> {
        let stages = self.architecture.stages.get(range.clone()).ok_or_else(|| {
            let count = self.stages.len();
            ModelError::Input(format!("stages {range:?} were asked for, and {} has {count}", self.card.title))
        })?;
        if range.start == 0 && !range.is_empty() {
            self.check_images(&x)?;
        }
        let failed = |stage: &str, cause| ModelError::Stage { stage: stage.to_owned(), cause };
        for (index, stage) in range.clone().zip(stages) {
            if let Some(classifier) = self.classifier.get().filter(|_| index == self.head()) {
                let features = self.features(index, x)?;
                let logits = classifier.logits(&features).map_err(|cause| failed(stage.name, cause))?;
                return Ok(Activation::Rows(logits));
            }
            x = x
                .kept_as(self.precision())
                .and_then(|x| self.run_layers(&stage.layers, x, pass, auxiliary.as_deref_mut()))
                .map_err(|cause| failed(stage.name, cause))?;
        }
        match stages.last() {
            Some(last) if range.end == self.stages.len() => {
                x.kept_as(DType::F32).map_err(|cause| failed(last.name, cause))
            }
            _ => Ok(x),
        }
    }

    pub(crate) fn check_images(&self, x: &Activation) -> Result<(), ModelError> {
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
