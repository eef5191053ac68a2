//! What a report costs: the statistics of 100 arms, 5 seeds and 10,000 test images, and the whole report of 10,000 trials, with the peak
//! of memory that it reaches.

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use frostline_compare::Comparison;
use frostline_report::write_report;
use frostline_results::samples::{environment, plan, result, results};
use frostline_results::{Answers, Invocation, Prediction, Results, Store};
use frostline_streams::{Purpose, Streams};

/// Strategies that are told by their names alone.
fn strategies(count: usize) -> Vec<String> {
    (0..count).map(|arm| format!("last-{arm}")).collect()
}

/// A sweep of one model, whose arms differ by hundredths of a point, with answers that are drawn.
fn sweep(arms: usize, seeds: u64, images: u32) -> Results {
    let names = strategies(arms);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut results = results(plan(&["resnet18"], &names, seeds), |_| (0.5, 10.0));
    for (index, stored) in results.trials.iter_mut().enumerate() {
        let mut draws = Streams::new(index as u64).draws(Purpose::Noise, 0, 0);
        let share = 0.85 + 0.0001 * (index % arms) as f32;
        let rows = (0..images).map(|example| {
            let wrong = u32::from(draws.unit() > share);
            Prediction { example, label: example % 10, predicted: (example + wrong) % 10, probability: 0.9 }
        });
        stored.answers = Answers::of(rows.collect::<Vec<_>>().into_iter()).expect("each image once");
        stored.outcome.test_accuracy = stored.answers.accuracy();
    }
    results
}

fn statistics(criterion: &mut Criterion) {
    let results = sweep(100, 5, 10_000);
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("100 arms, 5 seeds, 10,000 images", |bencher| {
        bencher.iter(|| Comparison::of(&results));
    });
    group.finish();
}

/// A results folder of 2,000 arms of 5 seeds with 1,000 test images each.
fn stored(folder: &Path) {
    let names = strategies(2000);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(&["resnet18"], &names, 5);
    let mut store = Store::open(folder).expect("a folder that can be written to");
    store.record_plan(&plan, "", &Invocation::default()).expect("the plan is stored");
    store.record_environment(&environment()).expect("the environment is stored");
    for (index, trial) in plan.trials.iter().enumerate() {
        let result = result(trial, 0.5 + 0.001 * (index % 400) as f64, 10.0);
        store.save(trial, &result, false).expect("the trial is stored");
    }
}

fn whole(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    stored(folder.path());
    let mut group = criterion.benchmark_group("report");
    group.sample_size(10).measurement_time(Duration::from_secs(60));
    group.bench_function("10,000 trials", |bencher| {
        bencher.iter(|| write_report(folder.path()).expect("a report"));
    });
    group.finish();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("peak of memory: {}", peak.trim_start_matches("VmHWM:").trim());
    }
}

criterion_group!(benches, statistics, whole);
criterion_main!(benches);
