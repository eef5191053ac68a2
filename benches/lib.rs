//! What Criterion's benches and the comparison with peers share: [`Work`], a training step or an inference pass of one
//! (model, resolution, strategy) on images that need no data set.
//!
//! `cargo bench --package frostline-benches` runs the files below `benches/`, each of which measures one thing; `just peers`
//! runs the comparison below `peers/`.

use candle_core::{DType, Device};
use frostline_engine::{Optimizer, Recipe, Strategy, fold, freeze, parts_of};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{Activation, BuildSpec, Model, Pass, build_on};
use frostline_streams::Streams;
pub use protocol::{Failure, serve};

#[path = "peers/protocol.rs"]
mod protocol;

/// Images in a step.
pub const BATCH: usize = 64;

/// The learning rate, for all peers: so low that the one batch is not learnt by heart while it is timed. Gradients would
/// then become denormal numbers, with which processors are slow.
const RATE: f64 = 1e-5;

/// A piece of work that can be done again and again.
pub struct Work {
    model: Model,
    images: Hwnc,
    labels: Vec<u32>,
    examples: Vec<u32>,
    /// What trains, and behind how many frozen stages; none for inference.
    training: Option<(Optimizer, usize)>,
}

impl Work {
    /// `what` is a strategy's name, or `inference`. The models have 10 classes and random weights.
    ///
    /// # Errors
    /// An unknown model or strategy, or a resolution that is too small.
    pub fn new(model: &str, side: usize, what: &str) -> Result<Self, Failure> {
        Self::on(model, side, what, &Device::Cpu)
    }

    /// As [`Work::new`], on another device.
    ///
    /// # Errors
    /// As [`Work::new`], and where the device fails.
    pub fn on(model: &str, side: usize, what: &str, device: &Device) -> Result<Self, Failure> {
        let spec = BuildSpec { classes: 10, height: side, width: side, seed: 0 };
        let mut model = build_on(model, &spec, device)?;
        let count = side * side * BATCH * 3;
        let pixels = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
        let images = Hwnc::from_vec(pixels, (side, side, BATCH, 3), device)?;
        let training = match what {
            "inference" => None,
            strategy => {
                let recipe = Recipe::default();
                let strategy: Strategy = strategy.parse()?;
                fold(&mut model, &recipe, &strategy)?;
                let phases = strategy.phases(&parts_of(&model), recipe.epochs)?;
                let phase = phases.last().ok_or("a strategy without phases")?;
                freeze(&model, phase, &recipe);
                let mut optimizer = Optimizer::new(&recipe, model.parameters(), &phases)?;
                optimizer.begin(phase);
                Some((optimizer, phase.frozen_prefix))
            }
        };
        let labels = (0..BATCH as u32).map(|i| i % 10).collect();
        Ok(Self { model, images, labels, examples: (0..BATCH as u32).collect(), training })
    }

    /// Computes as with `precision = "bf16"` from now on.
    ///
    /// # Errors
    /// A device that has no bf16.
    pub fn round_to_bf16(&mut self) -> Result<(), Failure> {
        Ok(self.model.set_precision(DType::BF16)?)
    }

    /// Multiply-adds of a step's convolutions, linear layers and attention, those that meet padding left out: a stage that trains
    /// has its forward pass and the gradients of its weights and of its input, but for the first, whose input are images.
    ///
    /// # Errors
    /// An unknown model, or a resolution that is too small.
    pub fn multiply_adds(&self) -> Result<u64, Failure> {
        let (height, width, ..) = self.images.dims();
        let stages = self.model.card().summary(10, height, width)?;
        let prefix = self.training.as_ref().map_or(stages.len(), |(_, prefix)| *prefix);
        let passes = |stage: usize| if stage < prefix { 1 } else { 3 - u64::from(stage == 0) };
        let counts = stages.iter().enumerate().map(|(index, stage)| passes(index) * stage.live_multiply_adds);
        Ok(BATCH as u64 * counts.sum::<u64>())
    }

    /// A training step (forward, loss, backward, Adam), or an inference pass.
    ///
    /// # Errors
    /// Where the model fails.
    pub fn step(&mut self) -> Result<(), Failure> {
        rayon::scope(|_| self.step_here()) // as a trial trains
    }

    fn step_here(&mut self) -> Result<(), Failure> {
        let images = self.images.clone();
        let Some((optimizer, prefix)) = &mut self.training else {
            std::hint::black_box(self.model.forward(&images, &Pass::Evaluate)?);
            return Ok(());
        };
        let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &self.examples };
        let (loss, tape) = Tape::record(|| {
            let features = self.model.forward_range(0..*prefix, images, &Pass::Evaluate)?;
            let logits = self.model.forward_range(*prefix..self.model.stages().len(), features, &pass)?;
            Ok::<_, Failure>(cross_entropy(&Activation::into_tensor(logits)?, &self.labels, 0.0)?)
        })?;
        optimizer.step(&tape.backward(&loss)?, RATE)?;
        Ok(())
    }
}
