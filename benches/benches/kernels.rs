//! Each kernel over shapes that the zoo really has, batch 64, beside the machine's matrix product. Where a kernel
//! multiplies, its throughput is in multiply-adds that reach a pixel of the map, so that each reads as a share of the
//! product's; elsewhere it is in bytes that are read and written once. Before it is timed, a kernel's output is compared with
//! the same operation composed from candle's.

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frostline_kernels::optim::{AdamStep, Moments, adam};
use frostline_kernels::{
    AttentionSpec, ConvSpec, Hwnc, NormSpec, Normalisation, PoolSpec, Tape, attention, composed, conv_norm,
    conv2d, cross_entropy, gelu, layer_norm, linear, max_pool2d,
};
use std::hint::black_box;
use std::time::Duration;

const BATCH: usize = 64;

/// Side, kernel, stride, padding, channels in and out: ResNet-18 at 32x32, then at 224x224, AlexNet at 64x64, VGG-16 at
/// 32x32, ResNet-50 at 64x64.
const CONVOLUTIONS: [(usize, usize, usize, usize, usize, usize); 15] = [
    (32, 7, 2, 3, 3, 64),
    (8, 3, 1, 1, 64, 64),
    (8, 3, 2, 1, 64, 128),
    (4, 3, 1, 1, 128, 128),
    (4, 3, 2, 1, 128, 256),
    (2, 3, 1, 1, 256, 256),
    (2, 3, 2, 1, 256, 512),
    (1, 3, 1, 1, 512, 512),
    (56, 3, 1, 1, 64, 64),
    (7, 5, 1, 2, 64, 192),
    (3, 3, 1, 1, 192, 384),
    (32, 3, 1, 1, 64, 64),
    (8, 3, 1, 1, 256, 256),
    (16, 1, 1, 0, 64, 256),
    (4, 1, 1, 0, 1024, 256),
];

/// Rows, inputs, outputs: AlexNet, ResNet's head, and the tokens of ViT-Ti/4 at 32x32.
const LINEAR: [(usize, usize, usize); 7] = [
    (BATCH, 9216, 4096),
    (BATCH, 4096, 4096),
    (BATCH, 512, 10),
    (TOKENS * BATCH, 192, 576),
    (TOKENS * BATCH, 192, 192),
    (TOKENS * BATCH, 192, 768),
    (TOKENS * BATCH, 768, 192),
];

/// 8x8 patches and the class token.
const TOKENS: usize = 65;

fn values(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i: usize| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn map(shape: &[usize]) -> Result<Hwnc> {
    Hwnc::new(values(shape)?)
}

/// A map that is trained, so that its gradient is computed as well.
fn tracked(x: &Hwnc) -> Result<Hwnc> {
    Hwnc::new(Var::from_tensor(x.tensor())?.as_tensor().clone())
}

/// Panics unless a kernel's output is the reference's.
fn same(name: &str, kernel: &Tensor, reference: &Tensor) -> Result<()> {
    let scale = reference.abs()?.max_all()?.to_scalar::<f32>()?;
    let difference = (kernel - reference)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(difference <= 1e-4 * scale, "{name} differs from its reference by {difference} of {scale}");
    Ok(())
}

/// Pairs of output pixel and tap that fall inside the map, along one side.
fn live(side: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let outputs = (side + 2 * padding - kernel) / stride + 1;
    let inside = |o: usize, k: usize| (padding..padding + side).contains(&(o * stride + k));
    (0..outputs).map(|o| (0..kernel).filter(|&k| inside(o, k)).count()).sum()
}

fn convolution(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("convolution");
    for (side, kernel, stride, padding, from, to) in CONVOLUTIONS {
        let x = map(&[side, side, BATCH, from])?;
        let weights = Var::from_tensor(&values(&[kernel, kernel, from, to])?)?;
        let (frozen, spec) = (weights.as_detached_tensor(), ConvSpec::square(stride, padding));
        let name = format!("{side}px {kernel}x{kernel}/{stride} {from}->{to}");
        if side < 56 {
            let reference = composed::conv2d(&x, &frozen, None, spec)?;
            same(&name, conv2d(&x, &frozen, None, spec)?.tensor(), reference.tensor())?;
        }
        let pairs = live(side, kernel, stride, padding).pow(2) * BATCH * from * to;
        group.throughput(Throughput::Elements(pairs as u64));
        group.bench_function(format!("{name} forward"), |bencher| {
            bencher.iter(|| black_box(conv2d(&x, &frozen, None, spec).expect("a convolution")));
        });
        let x = tracked(&x)?;
        group.throughput(Throughput::Elements(3 * pairs as u64));
        group.bench_function(format!("{name} forward and backward"), |bencher| {
            bencher.iter(|| {
                let forward = || conv2d(&x, weights.as_tensor(), None, spec);
                let (y, tape) = Tape::record(forward).expect("a convolution");
                black_box(tape.backward_from(y.tensor(), y.tensor()).expect("gradients"))
            });
        });
    }
    group.finish();
    Ok(())
}

/// A block's second half: 3x3 convolution, batch norm, addition and ReLU.
fn convolution_and_norm(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("convolution, norm, add, ReLU");
    for (side, channels) in [(8, 64), (4, 128), (2, 256), (1, 512)] {
        let x = map(&[side, side, BATCH, channels])?;
        let weights = Var::from_tensor(&values(&[3, 3, channels, channels])?)?;
        let (gamma, beta) =
            (Var::from_tensor(&values(&[channels])?)?, Var::from_tensor(&values(&[channels])?)?);
        let spec = NormSpec { eps: 1e-5, relu: true };
        let norm = Normalisation { gamma: &gamma, beta: &beta, running: None, spec };
        let conv = ConvSpec::square(1, 1);
        let name = format!("{side}px {channels}");
        let reference = composed::conv_norm(&x, &weights, None, conv, norm, Some(&x))?.0;
        same(
            &name,
            conv_norm(&x, &weights, None, conv, norm, Some(&x))?.0.tensor(),
            &reference.tensor().detach(),
        )?;
        let x = tracked(&x)?;
        group.throughput(Throughput::Elements(
            (3 * live(side, 3, 1, 1).pow(2) * BATCH * channels.pow(2)) as u64,
        ));
        group.bench_function(format!("{name} forward and backward"), |bencher| {
            bencher.iter(|| {
                let forward = || conv_norm(&x, &weights, None, conv, norm, Some(&x));
                let ((y, _), tape) = Tape::record(forward).expect("a layer");
                black_box(tape.backward_from(y.tensor(), y.tensor()).expect("gradients"))
            });
        });
    }
    group.finish();
    Ok(())
}

/// Forward, and with one gradient or both. Where the gradient of the weights is larger than its factors, the optimizer
/// multiplies them, and it is not timed here.
fn linear_layers(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("linear");
    for (rows, from, to) in LINEAR {
        let x = Var::from_tensor(&values(&[rows, from])?)?;
        let weights = Var::from_tensor(&values(&[from, to])?)?;
        let (fixed, frozen) = (x.as_detached_tensor(), weights.as_detached_tensor());
        same("linear", &linear(&fixed, &frozen, None)?, &composed::linear(&fixed, &frozen, None)?)?;
        let products = (rows * from * to) as u64;
        let put_off = rows * (from + to) <= from * to;
        for (what, x, weights, count) in [
            ("forward", &fixed, &frozen, 1),
            ("forward and data gradient", x.as_tensor(), &frozen, 2),
            ("forward and weight gradient", &fixed, weights.as_tensor(), 2),
            ("forward and backward", x.as_tensor(), weights.as_tensor(), 3),
        ] {
            if put_off && weights.is_variable() {
                continue;
            }
            group.throughput(Throughput::Elements(count * products));
            group.bench_function(format!("{rows} rows {from}->{to} {what}"), |bencher| {
                bencher.iter(|| {
                    let (y, tape) = Tape::record(|| linear(x, weights, None)).expect("a layer");
                    if count > 1 {
                        black_box(tape.backward_from(&y, &y).expect("gradients"));
                    }
                });
            });
        }
    }
    group.finish();
    Ok(())
}

/// What a transformer's block has beside its linear layers, at the sizes of ViT-Ti/4 at 32x32.
fn transformer(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("transformer");
    let (rows, channels) = (TOKENS * BATCH, 192);
    let spec = AttentionSpec { tokens: TOKENS, heads: 3, queries: TOKENS };
    let qkv = Var::from_tensor(&values(&[rows, 3 * channels])?)?;
    let fixed = qkv.as_detached_tensor();
    same("attention", &attention(&fixed, spec)?, &composed::attention(&fixed, spec)?)?;
    group.throughput(Throughput::Elements((2 * TOKENS * TOKENS * BATCH * channels) as u64));
    group.bench_function("attention forward", |bencher| {
        bencher.iter(|| black_box(attention(&fixed, spec).expect("attention")));
    });
    group.throughput(Throughput::Elements((7 * TOKENS * TOKENS * BATCH * channels) as u64));
    group.bench_function("attention forward and backward", |bencher| {
        bencher.iter(|| {
            let (y, tape) = Tape::record(|| attention(&qkv, spec)).expect("attention");
            black_box(tape.backward_from(&y, &y).expect("gradients"))
        });
    });
    let x = Var::from_tensor(&values(&[rows, channels])?)?;
    let (weight, bias) = (Var::from_tensor(&values(&[channels])?)?, Var::from_tensor(&values(&[channels])?)?);
    let fixed = [&x, &weight, &bias].map(|one| one.as_detached_tensor());
    let normed = layer_norm(&fixed[0], &fixed[1], &fixed[2], 1e-6)?;
    same("layer norm", &normed, &composed::layer_norm(&fixed[0], &fixed[1], &fixed[2], 1e-6)?)?;
    group.throughput(Throughput::Bytes((5 * rows * channels * 4) as u64));
    group.bench_function("layer norm forward and backward", |bencher| {
        bencher.iter(|| {
            let (y, tape) = Tape::record(|| layer_norm(&x, &weight, &bias, 1e-6)).expect("a norm");
            black_box(tape.backward_from(&y, &y).expect("gradients"))
        });
    });
    let x = Var::from_tensor(&values(&[rows, 4 * channels])?)?;
    same("GELU", &gelu(&x.as_detached_tensor())?, &composed::gelu(&x.as_detached_tensor())?)?;
    group.throughput(Throughput::Bytes((5 * rows * 4 * channels * 4) as u64));
    group.bench_function("GELU forward and backward", |bencher| {
        bencher.iter(|| {
            let (y, tape) = Tape::record(|| gelu(&x)).expect("an activation");
            black_box(tape.backward_from(&y, &y).expect("gradients"))
        });
    });
    group.finish();
    Ok(())
}

fn passes_over_memory(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("passes over memory");
    let x = map(&[16, 16, BATCH, 64])?;
    let spec = PoolSpec::square(3, 2, 1);
    same("max pool", max_pool2d(&x, spec)?.tensor(), composed::max_pool2d(&x, spec)?.tensor())?;
    let x = tracked(&x)?;
    group.throughput(Throughput::Bytes((16 * 16 * BATCH * 64 * 4) as u64));
    group.bench_function("max pool 16px 3x3/2, forward and backward", |bencher| {
        bencher.iter(|| {
            let (y, tape) = Tape::record(|| max_pool2d(&x, spec)).expect("a pool");
            black_box(tape.backward_from(y.tensor(), y.tensor()).expect("gradients"))
        });
    });
    let logits = Var::from_tensor(&values(&[BATCH, 1000])?)?;
    let labels: Vec<u32> = (0..BATCH as u32).collect();
    let reference = composed::cross_entropy(&logits.as_detached_tensor(), &labels, 0.1)?;
    same("cross-entropy", &cross_entropy(&logits, &labels, 0.1)?, &reference)?;
    group.throughput(Throughput::Bytes((BATCH * 1000 * 4) as u64));
    group.bench_function("cross-entropy of 1000 classes, forward and backward", |bencher| {
        bencher.iter(|| {
            let (loss, tape) = Tape::record(|| cross_entropy(&logits, &labels, 0.1)).expect("a loss");
            black_box(tape.backward(&loss).expect("gradients"))
        });
    });
    for millions in [1usize, 16] {
        let count = millions << 20;
        let (parameter, gradient) = (Var::from_tensor(&values(&[count])?)?, values(&[count])?);
        let mut moments = Moments::zeros_like(&parameter)?;
        let (lr, beta1, beta2, eps) = (1e-3, 0.9, 0.999, 1e-8);
        let step =
            AdamStep { lr, beta1, beta2, eps, weight_decay: 0.0, decoupled: false, step: 1, grad_scale: 1.0 };
        group.throughput(Throughput::Bytes((count * 28) as u64));
        group.bench_function(format!("Adam, {millions} Mi values"), |bencher| {
            bencher.iter(|| adam(&parameter, &gradient.clone().into(), &mut moments, &step).expect("a step"));
        });
    }
    group.finish();
    Ok(())
}

/// What the machine's cores multiply at best: a square product by the `gemm` crate, through candle.
fn ceiling(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("matrix product");
    for side in [512usize, 1024] {
        let (a, b) = (values(&[side, side])?, values(&[side, side])?);
        group.throughput(Throughput::Elements(side.pow(3) as u64));
        group.bench_function(format!("{side}x{side}x{side}"), |bencher| {
            bencher.iter(|| black_box(a.matmul(&b).expect("a product")));
        });
    }
    group.finish();
    Ok(())
}

fn all(criterion: &mut Criterion) {
    frostline_allocator::keep_freed_memory();
    for bench in [ceiling, convolution, convolution_and_norm, linear_layers, transformer, passes_over_memory]
    {
        bench(criterion).expect("every kernel runs");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = all
}
criterion_main!(benches);
