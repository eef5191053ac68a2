//! Trials drawn from what recipes, strategies and ways to change and draw images there are.

use candle_core::DType;
use frostline_data::{Augment, Policy};
use frostline_engine::{
    BatchNormPolicy, ClassWeights, Counting, Keep, OptimizerKind, Recipe, Sampling, Schedule, ScheduleOver,
    Strategy,
};
use frostline_streams::{Purpose, Streams};

use crate::harness::{Trial, recipe};

/// A trial of a cohort.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) strategy: Strategy,
    pub(crate) recipe: Recipe,
    pub(crate) precision: DType,
}

/// How images are changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) augment: Augment,
    pub(crate) views: Option<usize>,
}

pub(crate) const LOOKS: [Look; 4] = [
    Look { augment: Augment::NONE, views: None },
    Look { augment: Augment { flip: true, crop: Some(1), ..Augment::NONE }, views: None },
    Look {
        augment: Augment { crop: Some(1), erase: Some(0.5), policy: Some(Policy::Trivial), ..Augment::NONE },
        views: Some(2),
    },
    Look { augment: Augment { mixup: Some(0.4), cutmix: Some(1.0), ..Augment::NONE }, views: Some(1) },
];

/// Any of the first so many, by a counter.
pub(crate) fn any(counter: &mut u64, below: usize) -> usize {
    *counter += 1;
    Streams::new(41).draws(Purpose::Plan, *counter, 0).below(below as u32) as usize
}

/// A trial drawn from what recipes and strategies there are.
pub(crate) fn case(counter: &mut u64, look: Look, sampling: Sampling) -> Case {
    const STRATEGIES: [&str; 9] = [
        "head",
        "last-1",
        "last-2",
        "lp-ft",
        "thaw",
        "three-phase",
        "bn-only",
        "freeze-then-thaw:1",
        "l2-sp:0.1",
    ];
    let strategy = STRATEGIES[any(counter, STRATEGIES.len())].parse().unwrap();
    let optimizers = [
        OptimizerKind::Sgd { momentum: 0.9, nesterov: true },
        OptimizerKind::Sgd { momentum: 0.0, nesterov: false },
        OptimizerKind::Adam,
        OptimizerKind::AdamW,
    ];
    let recipe = Recipe {
        optimizer: optimizers[any(counter, 4)],
        learning_rate: [1e-2, 1e-3][any(counter, 2)],
        weight_decay: [0.0, 1e-2][any(counter, 2)],
        schedule: [Schedule::Constant, Schedule::Cosine][any(counter, 2)],
        schedule_over: [ScheduleOver::Trial, ScheduleOver::Phase][any(counter, 2)],
        batch_norm: [
            BatchNormPolicy::Follow,
            BatchNormPolicy::Follow,
            BatchNormPolicy::Train,
            BatchNormPolicy::Eval,
        ][any(counter, 4)],
        recalibrate: any(counter, 3) == 0,
        keep: [Keep::Best, Keep::Last][any(counter, 2)],
        label_smoothing: [0.0, 0.1][any(counter, 2)],
        clip_norm: [None, Some(0.5)][any(counter, 2)],
        ..recipe(3 + any(counter, 2))
    };
    let precision = if any(counter, 3) == 0 { DType::BF16 } else { DType::F32 };
    let patience = [None, Some(1), Some(2)][any(counter, 3)].filter(|_| recipe.keep == Keep::Best);
    let class_weights = match look.augment.mixes() {
        true => ClassWeights::Equal,
        false => [ClassWeights::Equal, ClassWeights::Balanced][any(counter, 2)],
    };
    let accumulate = [1, 1, 2, 3][any(counter, 4)];
    let ema = [None, Some(0.9)][any(counter, 2)];
    let validation_counts = if accumulate > 1 { Counting::Classes } else { Counting::Images };
    let recipe = Recipe { patience, class_weights, accumulate, ema, sampling, validation_counts, ..recipe };
    Case { strategy, recipe, precision }
}

/// The trial of a round, some of whose classes have fewer images, and how its images are changed and drawn.
pub(crate) fn uneven(round: usize) -> (Trial, Look, Sampling) {
    let mut trial = Trial::new(6);
    let labels = trial.dataset.train.labels().to_vec();
    trial.splits.train.retain(|index| labels[*index as usize] < 7 || index % 3 == 0);
    (trial, LOOKS[round % LOOKS.len()], [Sampling::Shuffled, Sampling::Balanced][round / LOOKS.len() % 2])
}
