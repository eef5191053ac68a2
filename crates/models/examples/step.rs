use std::time::Duration;
#[derive(Clone, Copy)]
struct Instant(u64);
impl Instant {
    fn now() -> Self {
        if std::env::var("WALL").is_ok() {
            return Self(
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
            );
        }
        let mut total = 0u64;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
        }
        Self(total)
    }
}
impl std::ops::Sub for Instant {
    type Output = Duration;
    fn sub(self, o: Self) -> Duration {
        Duration::from_nanos(self.0 - o.0)
    }
}

use candle_core::{Device, Tensor};
use frostline_kernels::optim::{AdamStep, Moments, adam};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{BuildSpec, ModelError, Pass, build};
use frostline_streams::Streams;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let name = &args[1];
    let side: usize = args[2].parse().unwrap();
    let batch: usize = args[3].parse().unwrap();
    let steps: usize = args[4].parse().unwrap();
    let model = build(name, &BuildSpec { classes: 10, height: side, width: side, seed: 0 }).unwrap();
    let values: Vec<f32> =
        (0..side * side * batch * 3).map(|i| ((i * 7919 % 1013) as f32) / 506.5 - 1.0).collect();
    let x = Hwnc::from_vec(values, (side, side, batch, 3), &Device::Cpu).unwrap();
    let examples: Vec<u32> = (0..batch as u32).collect();
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
    let mut moments: Vec<Moments> =
        model.parameters().iter().map(|p| Moments::zeros_like(p.var().as_tensor()).unwrap()).collect();
    let mut times = vec![];
    for step in 0..steps {
        let t0 = Instant::now();
        let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
        let (loss, tape) = Tape::record(|| {
            let l: Tensor = model.forward(&x, &pass)?;
            Ok::<_, ModelError>(cross_entropy(&l, &labels, 0.0)?)
        })
        .unwrap();
        let t1 = Instant::now();
        let g = tape.backward(&loss).unwrap();
        let t2 = Instant::now();
        let s = AdamStep {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            step: step as u64 + 1,
            grad_scale: 1.0,
        };
        for (p, m) in model.parameters().iter().zip(&mut moments) {
            adam(p.var(), g.get(p.var()).unwrap(), m, &s).unwrap();
        }
        let t3 = Instant::now();
        times.push([t1 - t0, t2 - t1, t3 - t2, t3 - t0].map(|d| d.as_secs_f64() * 1e3));
    }
    let med = |k: usize| {
        let mut v: Vec<f64> = times[1..].iter().map(|t| t[k]).collect();
        v.sort_by(f64::total_cmp);
        (v[0], v[v.len() / 2])
    };
    println!(
        "{name}@{side} b{batch}: forward {:?} backward {:?} adam {:?} step (min, median) {:?} ms",
        med(0),
        med(1),
        med(2),
        med(3)
    );
}
