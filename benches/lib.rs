//! What Criterion's benches and the comparison with peers share: [`Work`], a training step or an inference pass of one
//! (model, resolution, strategy) on images that need no data set.
//!
//! `cargo bench --package frostline-benches` runs the files below `benches/`, each of which measures one thing; `just peers`
//! runs the comparison below `peers/`.

use std::io::BufRead;

use candle_core::Device;
use frostline_engine::{BatchNormPolicy, Keep, Optimizer, OptimizerKind, Recipe, Schedule, Strategy};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{Activation, BatchNormMode, BuildSpec, Model, Pass, build};
use frostline_streams::Streams;

/// Images in a step.
pub const BATCH: usize = 64;

/// Any failure; a bench has nothing to do about one but to tell.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const RECIPE: Recipe = Recipe {
    epochs: 1,
    batch: BATCH,
    optimizer: OptimizerKind::Adam,
    learning_rate: 1e-3,
    weight_decay: 0.0,
    schedule: Schedule::Constant,
    warmup: 0.0,
    label_smoothing: 0.0,
    clip_norm: None,
    batch_norm: BatchNormPolicy::Follow,
    keep: Keep::Last,
};

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
        let model = build(model, &BuildSpec { classes: 10, height: side, width: side, seed: 0 })?;
        let count = side * side * BATCH * 3;
        let pixels = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
        let images = Hwnc::from_vec(pixels, (side, side, BATCH, 3), &Device::Cpu)?;
        let training = match what {
            "inference" => None,
            strategy => {
                let prefix = freeze(&model, strategy.parse()?)?;
                Some((Optimizer::new(&RECIPE, model.parameters()), prefix))
            }
        };
        let labels = (0..BATCH as u32).map(|i| i % 10).collect();
        Ok(Self { model, images, labels, examples: (0..BATCH as u32).collect(), training })
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
        optimizer.step(&tape.backward(&loss)?, 1e-3)?;
        Ok(())
    }
}

/// Freezes as `strategy` says; the frozen prefix's length.
fn freeze(model: &Model, strategy: Strategy) -> Result<usize, Failure> {
    let stages: Vec<&str> = model.stages().iter().map(|stage| stage.name.as_str()).collect();
    let phase = strategy.phases(model.name(), &stages, 1)?.remove(0);
    for parameter in model.parameters() {
        parameter.set_trainable(phase.trains[parameter.stage()]);
    }
    for norm in model.norms() {
        let mode = if phase.trains[norm.stage()] { BatchNormMode::Batch } else { BatchNormMode::Running };
        norm.set_mode(mode);
    }
    Ok(phase.frozen_prefix())
}

/// Speaks the protocol of `peers/torch_worker.py` on standard input and output: after three steps says `ready`, then for
/// each line `N` runs one step untimed, as another process had the caches before, then N steps, and gives the seconds per
/// step; for `peak`, the most memory that the process has had.
///
/// # Errors
/// A step that fails, or a line that is neither.
#[expect(clippy::disallowed_methods, reason = "timing is what a peer does")]
pub fn serve(mut step: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 0..3 {
        step()?;
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim() == "peak" {
            println!("{}", peak_bytes().unwrap_or(0));
            continue;
        }
        let steps: u32 = line.trim().parse()?;
        step()?;
        let start = std::time::Instant::now();
        for _ in 0..steps {
            step()?;
        }
        println!("{}", start.elapsed().as_secs_f64() / f64::from(steps));
    }
    Ok(())
}

/// In bytes, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
