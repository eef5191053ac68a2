//! Made-up results for tests: [`results`] fills a plan with outcomes that a formula gives, so that expected numbers can
//! be worked out by hand.

use std::collections::BTreeMap;

use frostline_experiment::{Axis, Checkpoints, Claim, DataSpec, Plan, TrainSpec, Trial};

use crate::{
    Build, ClassTally, DataRecord, Environment, EpochRecord, FileRecord, Invocation, Outcome, Prediction,
    Results, Seconds, Status, StoredTrial, Superseded, TrialResult,
};

/// The trials of models x strategies x seeds, seeds outermost.
pub fn plan(models: &[&str], strategies: &[&str], seeds: u64) -> Plan {
    let texts = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    let mut trials = Vec::new();
    for seed in 0..seeds {
        for model in models {
            for strategy in strategies {
                let resolution = if *model == "alexnet" { 64 } else { 32 };
                let data = DataSpec { source: "digits".to_owned(), ..DataSpec::default() };
                let train = TrainSpec { epochs: 6, ..TrainSpec::default() };
                let (model, strategy) = ((*model).to_owned(), (*strategy).to_owned());
                let trial = Trial { model, strategy, seed, resolution, data, train, ..Trial::default() };
                trials.push(trial.sealed());
            }
        }
    }
    Plan {
        experiment: "sample".to_owned(),
        question: "How deep should one freeze?".to_owned(),
        axes: vec![
            Axis { key: "model".to_owned(), values: texts(models) },
            Axis { key: "strategy".to_owned(), values: texts(strategies) },
            Axis { key: "seed".to_owned(), values: (0..seeds).map(|s| s.to_string()).collect() },
        ],
        trials,
        claims: Vec::new(),
        checkpoints: Checkpoints::None,
    }
}

/// A claim about ResNet-18 trained in full.
pub fn claim() -> Claim {
    Claim {
        when: [("model", "resnet18"), ("strategy", "full")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        test_accuracy: Some(0.852),
        minutes: Some(10.0),
        source: "the tutorial's table".to_owned(),
    }
}

/// Every trial of the plan finished, with the accuracy and wall time that `measure` gives.
pub fn results(plan: Plan, measure: impl Fn(&Trial) -> (f64, f64)) -> Results {
    let environment = environment();
    let stored = |trial: &Trial| {
        let (accuracy, wall) = measure(trial);
        let TrialResult { mut outcome, epochs, predictions, .. } = result(trial, accuracy, wall);
        outcome.environment = environment.id();
        let tally = ClassTally::of(predictions.iter().map(|one| (one.label, one.predicted)));
        StoredTrial { trial: trial.clone(), outcome, epochs, tally }
    };
    let trials = plan.trials.iter().map(stored).collect();
    let environments = BTreeMap::from([(environment.id(), environment)]);
    Results {
        plan,
        asked: Invocation::default(),
        trials,
        broken: Vec::new(),
        trunks: Vec::new(),
        superseded: Superseded::default(),
        environments,
    }
}

/// A finished trial of as few test images as give the accuracy, ten at least.
pub fn result(trial: &Trial, accuracy: f64, wall: f64) -> TrialResult {
    let mut outcome =
        Outcome::started(trial, 2, "2026-01-02T03:04:05Z".to_owned(), "0123456789ab".to_owned());
    let epochs = trial.train.epochs;
    outcome.status = Status::Finished;
    outcome.test_accuracy = Some(accuracy);
    outcome.test_loss = Some(1.0 - accuracy);
    outcome.validation_accuracy = Some(accuracy);
    outcome.chosen_epoch = Some(epochs);
    let seconds = Seconds {
        wall,
        train: 0.75 * wall,
        evaluation: 0.125 * wall,
        data: 0.0625 * wall,
        ..Seconds::default()
    };
    outcome.seconds = Seconds { cpu: 1.5 * wall, ..seconds };
    outcome.images_per_second = Some(7200.0 / wall);
    outcome.peak_memory_bytes = Some(300 << 20);
    (outcome.parameters, outcome.multiply_adds) = (Some(11_181_642), Some(37_000_000));
    outcome.trainable_parameters = Some(if trial.strategy == "full" { 11_181_642 } else { 5130 });
    let file = FileRecord {
        name: "optdigits.bin".to_owned(),
        revision: None,
        sha256: "f1".repeat(32),
        size: 115_008,
    };
    outcome.data = Some(DataRecord {
        source: trial.data.source.clone(),
        digest: "d1".repeat(32),
        classes: 10,
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        train: 1290,
        validation: 147,
        test: 360,
        licence: Some("CC BY 4.0".to_owned()),
        files: vec![file],
        taken: Vec::new(),
        duplicates: Vec::new(),
    });
    let epoch = |epoch: usize| {
        let approach = 1.0 - 0.6 * (-(epoch as f64) * 0.7).exp();
        EpochRecord {
            epoch,
            phase: trial.strategy.clone(),
            learning_rate: trial.train.learning_rate,
            rates: Vec::new(),
            train_loss: Some(1.0 / epoch as f64),
            train_accuracy: Some(accuracy * approach),
            validation_loss: Some(1.2 / epoch as f64),
            validation_accuracy: Some(accuracy * approach),
            seconds: Seconds { wall: wall / epochs as f64, ..Seconds::default() },
        }
    };
    let (right, images) = counts(accuracy);
    let predicted = |i: u32| if i < right { i % 10 } else { (i + 1) % 10 };
    let prediction =
        |i: u32| Prediction { example: i, label: i % 10, predicted: predicted(i), probability: 0.5 };
    TrialResult {
        outcome,
        epochs: (1..=epochs).map(epoch).collect(),
        predictions: (0..images).map(prediction).collect(),
        checkpoint: None,
    }
}

/// Images that are told rightly, and all images, whose ratio is an accuracy of at most four decimals.
fn counts(accuracy: f64) -> (u32, u32) {
    let of = |images: u32| (accuracy * f64::from(images)).round() as u32;
    let fits = |images: &u32| f64::from(of(*images)) / f64::from(*images) == accuracy;
    let images = [10, 20, 100, 1000].into_iter().find(fits).unwrap_or(10_000);
    (of(images), images)
}

/// The same trial, failed.
pub fn failed(trial: &Trial, reason: &str) -> TrialResult {
    let mut outcome =
        Outcome::started(trial, 2, "2026-01-02T03:04:05Z".to_owned(), "0123456789ab".to_owned());
    outcome.status = Status::Failed { reason: reason.to_owned() };
    TrialResult { outcome, epochs: Vec::new(), predictions: Vec::new(), checkpoint: None }
}

/// A machine that does not exist.
pub fn environment() -> Environment {
    let text = str::to_owned;
    Environment {
        processor: text("Example Processor 9000"),
        architecture: text("x86_64"),
        physical_cores: 2,
        logical_cores: 4,
        threads: 2,
        device: text("cpu"),
        features: vec![text("avx2"), text("fma")],
        memory_bytes: 8 << 30,
        system: text("Example Linux 1, kernel 6.1"),
        build: Build {
            frostline: text("0.1.0"),
            revision: Some(text("89abcdef")),
            rustc: text("1.95.0"),
            rustflags: String::new(),
            profile: text("release"),
            target: text("x86_64-unknown-linux-gnu"),
            target_features: text("fxsr,sse,sse2"),
            candle: text("0.11.1"),
            gemm: text("0.19.0"),
        },
    }
}
