//! Convolutions over ResNet-18's shapes at 32x32, batch 64: forward, and forward with both gradients. The throughput is
//! in multiply-adds that reach a pixel of the map.

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frostline_kernels::{ConvSpec, Hwnc, Tape, conv2d};
use std::hint::black_box;

/// As in the `frostline` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;

/// Side, kernel, stride, padding, channels in and out.
const SHAPES: [(usize, usize, usize, usize, usize, usize); 8] = [
    (32, 7, 2, 3, 3, 64),
    (8, 3, 1, 1, 64, 64),
    (8, 3, 2, 1, 64, 128),
    (4, 3, 1, 1, 128, 128),
    (4, 3, 2, 1, 128, 256),
    (2, 3, 1, 1, 256, 256),
    (2, 3, 2, 1, 256, 512),
    (1, 3, 1, 1, 512, 512),
];

fn values(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i: usize| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Pairs of output pixel and tap that fall inside the map, along one side.
fn live(side: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let outputs = (side + 2 * padding - kernel) / stride + 1;
    let inside = |o: usize, k: usize| (padding..padding + side).contains(&(o * stride + k));
    (0..outputs).map(|o| (0..kernel).filter(|&k| inside(o, k)).count()).sum()
}

fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolution");
    for (side, kernel, stride, padding, from, to) in SHAPES {
        let x = values(&[side, side, BATCH, from]).and_then(Hwnc::new).expect("images");
        let tracked = Var::from_tensor(x.tensor()).expect("a variable");
        let tracked = Hwnc::new(tracked.as_tensor().clone()).expect("images");
        let weights =
            Var::from_tensor(&values(&[kernel, kernel, from, to]).expect("weights")).expect("a variable");
        let spec = ConvSpec::square(stride, padding);
        let name = format!("{side}px {kernel}x{kernel}/{stride} {from}->{to}");
        let pairs = live(side, kernel, stride, padding).pow(2) * BATCH * from * to;
        group.throughput(Throughput::Elements(pairs as u64));
        let frozen = weights.as_detached_tensor();
        group.bench_function(format!("{name} forward"), |bencher| {
            bencher.iter(|| black_box(conv2d(&x, &frozen, None, spec).expect("a convolution")));
        });
        group.throughput(Throughput::Elements(3 * pairs as u64));
        group.bench_function(format!("{name} forward and backward"), |bencher| {
            bencher.iter(|| {
                let forward = || conv2d(&tracked, weights.as_tensor(), None, spec);
                let (y, tape) = Tape::record(forward).expect("a convolution");
                black_box(tape.backward_from(y.tensor(), y.tensor()).expect("gradients"))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = convolutions
}
criterion_main!(benches);
