//! The loader alone: augmentation and normalisation of images into HWNC, on one thread.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frostline_data::{Augment, Images, Loader, LoaderOptions};
use std::hint::black_box;

const CASES: [(&str, &[&str]); 8] = [
    ("plain", &[]),
    ("flip and crop", &["flip", "crop:4"]),
    ("resized crop", &["flip", "resized-crop"]),
    ("jitter", &["flip", "jitter:0.4"]),
    ("trivial", &["flip", "trivial"]),
    ("rand-augment", &["flip", "rand-augment"]),
    ("erase", &["flip", "crop:4", "erase"]),
    ("mixup", &["flip", "crop:4", "mixup"]),
];

fn epochs(criterion: &mut Criterion) {
    frostline_allocator::keep_freed_memory();
    for (count, side) in [(4096, 32), (256, 224)] {
        let pixels = (0..count * side * side * 3).map(|i| (i % 251) as u8).collect();
        let images = Images::new(side, side, pixels, vec![0; count]).expect("images");
        let mut group = criterion.benchmark_group(format!("loader, {side} px"));
        group.throughput(Throughput::Elements(count as u64));
        for (name, strings) in CASES {
            let augment = Augment::parse_all(strings).expect("augmentations");
            let options = LoaderOptions {
                batch: 64,
                augment,
                views: None,
                mean: [0.5; 3],
                std: [0.5; 3],
                seed: 0,
                shuffle: true,
                ragged: frostline_data::Ragged::Keep,
                balanced: false,
            };
            let loader = Loader::new(&images, (0..count as u32).collect(), options).expect("a loader");
            group.bench_function(name, |bencher| {
                bencher.iter(|| loader.epoch(1).for_each(|b| drop(black_box(b))))
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = epochs
}
criterion_main!(benches);
