//! A training step (forward, loss, backward, Adam) and an inference pass for each (model, resolution, strategy), batch 64.
//! The throughput is in images.

use candle_core::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frostline_engine::{BatchNormPolicy, Keep, Optimizer, OptimizerKind, Recipe, Schedule, Strategy};
use frostline_kernels::{Hwnc, cross_entropy};
use frostline_models::{BatchNormMode, BuildSpec, Model, Pass, build};
use frostline_streams::Streams;
use std::hint::black_box;

const BATCH: usize = 64;
const WORK: [(&str, usize); 3] = [("resnet18", 32), ("resnet34", 32), ("alexnet", 64)];
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

fn images(side: usize) -> Hwnc {
    let count = side * side * BATCH * 3;
    let values = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    Hwnc::from_vec(values, (side, side, BATCH, 3), &Device::Cpu).expect("images")
}

fn built(name: &str, side: usize) -> Model {
    build(name, &BuildSpec { classes: 10, height: side, width: side, seed: 0 }).expect("a model")
}

/// Freezes as `strategy` says; the frozen prefix's length.
fn freeze(model: &Model, strategy: Strategy) -> usize {
    let stages: Vec<&str> = model.stages().iter().map(|stage| stage.name.as_str()).collect();
    let phase = strategy.phases(model.name(), &stages, 1).expect("phases").remove(0);
    for parameter in model.parameters() {
        parameter.set_trainable(phase.trains[parameter.stage()]);
    }
    for norm in model.norms() {
        let mode = if phase.trains[norm.stage()] { BatchNormMode::Batch } else { BatchNormMode::Running };
        norm.set_mode(mode);
    }
    phase.frozen_prefix()
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training step");
    group.throughput(Throughput::Elements(BATCH as u64));
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| i % 10).collect();
    let examples: Vec<u32> = (0..BATCH as u32).collect();
    for (name, side) in WORK {
        let x = images(side);
        for strategy in [Strategy::Full, Strategy::Last(1), Strategy::Head] {
            let model = built(name, side);
            let prefix = freeze(&model, strategy);
            let mut optimizer = Optimizer::new(&RECIPE, model.parameters());
            let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
            group.bench_function(format!("{name} {side}px {strategy}"), |bencher| {
                bencher.iter(|| {
                    let features =
                        model.forward_range(0..prefix, x.clone(), &Pass::Evaluate).expect("a prefix");
                    let logits = model.forward_range(prefix..model.stages().len(), features, &pass);
                    let logits = logits.and_then(frostline_models::Activation::into_tensor).expect("logits");
                    let loss = cross_entropy(&logits, &labels, 0.0).expect("a loss");
                    optimizer.step(&loss.backward().expect("gradients"), 1e-3).expect("a step");
                });
            });
        }
    }
    group.finish();
}

fn inference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inference");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, side) in WORK {
        let (model, x) = (built(name, side), images(side));
        group.bench_function(format!("{name} {side}px"), |bencher| {
            bencher.iter(|| black_box(model.forward(&x, &Pass::Evaluate).expect("logits")));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = steps, inference
}
criterion_main!(benches);
