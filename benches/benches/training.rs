//! A training step (forward, loss, backward, Adam) and an inference pass for each (model, resolution, strategy), batch 64.
//! The throughput is in images.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frostline_benches::{BATCH, Work};
use std::time::Duration;

/// Those of one depth, the deepest first; then all at several rates, and a few numbers of every stage.
const STRATEGIES: [&str; 7] = ["full", "first-1", "last-2", "last-1", "head", "layer-decay:0.5", "bias-only"];
/// Each family at a resolution, and whether all strategies are timed, or the two ends alone.
const MODELS: [(&str, usize, bool); 7] = [
    ("resnet18", 32, true),
    ("resnet34", 32, false),
    ("resnet50", 64, false),
    ("alexnet", 64, true),
    ("vgg16", 32, false),
    ("googlenet", 64, false),
    ("vit_tiny_patch4", 32, false),
];

fn steps(criterion: &mut Criterion) {
    frostline_allocator::keep_freed_memory();
    for (group, whats) in [("training step", &STRATEGIES[..]), ("inference", &["inference"][..])] {
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(BATCH as u64));
        for (model, side, every) in MODELS {
            for what in whats.iter().filter(|what| every || ["full", "head", "inference"].contains(what)) {
                // Made only if the bench is asked for.
                let mut work = None;
                group.bench_function(format!("{model} {side}px {what}"), |bencher| {
                    let work = work.get_or_insert_with(|| Work::new(model, side, what).expect("a model"));
                    bencher.iter(|| work.step().expect("a step"));
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = steps
}
criterion_main!(benches);
