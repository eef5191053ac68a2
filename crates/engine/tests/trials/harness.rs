//! A trial on the embedded digits that tests can look into.

use std::sync::{Mutex, PoisonError};

use frostline_data::{Augment, Dataset, Reading, Source, Splits};
use frostline_engine::{
    EngineError, EpochReport, Evaluation, Objective, Observer, Optimizer, Phase, Recipe, Strategy, Task,
    Trained, test, train,
};
use frostline_hub::{Hub, HubOptions};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{Activation, BuildSpec, Model, Pass, build};
use frostline_streams::Streams;

const SIDE: usize = 16;

fn digits(side: usize) -> Dataset {
    let cache = std::env::temp_dir();
    let hub = Hub::new(HubOptions { offline: true, ..HubOptions::standard(cache) }).unwrap();
    let prepared =
        frostline_data::prepare(&Source::Digits, &Reading::default(), &hub, &frostline_hub::Silent).unwrap();
    frostline_data::open(&prepared, Some((side, side))).unwrap()
}

/// A model of its own, drawn when the first trial asks for it: drawing takes longer than many a trial here.
pub(crate) fn drawn(model: &str, spec: BuildSpec) -> Model {
    static DRAWN: Mutex<Vec<Model>> = Mutex::new(Vec::new());
    let mut all = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.iter().position(|known| known.name() == model && known.spec() == spec);
    let known = known.unwrap_or_else(|| {
        all.push(build(model, &spec).unwrap());
        all.len() - 1
    });
    let (parameters, norms) = (all[known].parameters().len(), all[known].norms().len());
    all[known].twin(&vec![true; parameters], &vec![true; norms]).unwrap()
}

pub(crate) fn recipe(epochs: usize) -> Recipe {
    Recipe { epochs, batch: 16, ..Recipe::default() }
}

pub(crate) struct Trial {
    pub(crate) dataset: Dataset,
    pub(crate) splits: Splits,
    pub(crate) model: Model,
}

/// What a trial came to, the test split included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ran {
    pub(crate) epochs: Vec<EpochReport>,
    pub(crate) chosen_epoch: usize,
    pub(crate) trainable_parameters: usize,
    pub(crate) test: Evaluation,
}

impl Trial {
    /// A ResNet-18 at 16x16.
    pub(crate) fn new(per_class: usize) -> Self {
        Self::of("resnet18", SIDE, per_class)
    }

    pub(crate) fn of(model: &str, side: usize, per_class: usize) -> Self {
        let dataset = digits(side);
        let splits = frostline_data::split(&dataset, 0.25, Some(per_class), None, 3).unwrap();
        let spec = BuildSpec { classes: dataset.classes.len(), height: side, width: side, seed: 3 };
        Self { dataset, splits, model: drawn(model, spec) }
    }

    pub(crate) fn run(
        &self,
        strategy: &Strategy,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<Ran, EngineError> {
        let task = Task {
            model: &self.model,
            dataset: &self.dataset,
            splits: &self.splits,
            augment: Augment { crop: Some(1), ..Augment::NONE },
            views: None,
            mean: [0.5; 3],
            std: [0.5; 3],
            recipe,
            strategy,
            seed: 3,
        };
        let Trained { epochs, chosen_epoch, trainable_parameters, .. } =
            train(&task, Objective::Labels, observer)?;
        Ok(Ran {
            epochs,
            chosen_epoch,
            trainable_parameters,
            test: test(&self.model, &self.dataset, (task.mean, task.std), observer)?,
        })
    }

    /// One step on a batch of eight training images.
    pub(crate) fn step(&self, optimizer: &mut Optimizer, phase: &Phase, batch: usize) {
        let examples: Vec<u32> = self.splits.train[batch * 8..(batch + 1) * 8].to_vec();
        let images = &self.dataset.train;
        let mut pixels = vec![0.0; SIDE * SIDE * 8 * 3];
        for (position, &example) in examples.iter().enumerate() {
            for (at, pixel) in images.image(example as usize).chunks_exact(3).enumerate() {
                for (channel, value) in pixel.iter().enumerate() {
                    pixels[(at * 8 + position) * 3 + channel] = f32::from(*value) / 127.5 - 1.0;
                }
            }
        }
        let labels: Vec<u32> = examples.iter().map(|&example| images.labels()[example as usize]).collect();
        let x = Hwnc::from_vec(pixels, (SIDE, SIDE, 8, 3), self.model.device()).unwrap();
        let pass = Pass::Train { streams: Streams::new(3), epoch: 1, examples: &examples };
        let (loss, tape) = Tape::record(|| {
            let features = self.model.forward_range(0..phase.frozen_prefix, x, &Pass::Evaluate).unwrap();
            let all = self.model.stages().len();
            let logits = self.model.forward_range(phase.frozen_prefix..all, features, &pass).unwrap();
            cross_entropy(&Activation::into_tensor(logits).unwrap(), &labels, 0.0)
        })
        .unwrap();
        optimizer.step(&tape.backward(&loss).unwrap(), 1e-3).unwrap();
    }

    pub(crate) fn state(&self) -> Vec<(String, Vec<f32>)> {
        Self::state_of(&self.model)
    }

    pub(crate) fn state_of(model: &Model) -> Vec<(String, Vec<f32>)> {
        let mut state = Vec::new();
        for parameter in model.parameters() {
            state.push((parameter.name().to_owned(), values(&parameter.detached())));
        }
        for norm in model.norms() {
            state.push((format!("{}.running_mean", norm.name()), values(&norm.running_mean())));
            state.push((format!("{}.running_var", norm.name()), values(&norm.running_variance())));
        }
        state
    }
}

fn values(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn moved(before: &[(String, Vec<f32>)], after: &[(String, Vec<f32>)]) -> Vec<String> {
    before.iter().zip(after).filter(|(a, b)| a != b).map(|(a, _)| a.0.clone()).collect()
}
