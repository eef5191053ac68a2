//! Made-up results for tests: [`results`] fills a plan with outcomes that a formula gives, so that expected numbers can
//! be worked out by hand.

use std::collections::BTreeMap;

use frostline_experiment::{Axis, Checkpoints, Claim, DataSpec, Plan, TrainSpec, Trial};

use crate::{
    Answers, Build, DataRecord, Environment, EpochRecord, FileRecord, Invocation, Outcome, Prediction,
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
        baseline: vec![("strategy".to_owned(), "full".to_owned())],
        margin: 1.0,
        halving: None,
        tune: None,
    }
}

/// A claim about ResNet-18 trained in full.
pub fn claim() -> Claim {
    Claim {
        when: [("model", "resnet18"), ("strategy", "full")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        test_accuracy: Some(0.852),
        minutes: Some(10.0),
        source: "the tutorial's table".to_owned(),
        written: Vec::new(),
    }
}

/// Every trial of the plan finished, with the accuracy and wall time that `measure` gives.
pub fn results(plan: Plan, measure: impl Fn(&Trial) -> (f64, f64)) -> Results {
    let environment = environment();
    let stored = |trial: &Trial| {
        let (accuracy, wall) = measure(trial);
        let TrialResult { mut outcome, epochs, predictions, .. } = result(trial, accuracy, wall);
        outcome.environment = environment.id();
        let answers = Answers::of(predictions.into_iter()).expect("each image once");
        StoredTrial { trial: trial.clone(), outcome, epochs, answers }
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
        halved: None,
        folds: None,
    }
}

/// Test images of every trial.
pub const IMAGES: u32 = 1000;

/// A finished trial of [`IMAGES`] test images, whose accuracy has at most three decimals. The first images are classified rightly and
/// the others wrongly, so of two trials the worse is right nowhere that the better is not.
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
        test: IMAGES as usize,
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
    let right = (accuracy * f64::from(IMAGES)).round() as u32;
    let predicted = |i: u32| if i < right { i % 10 } else { (i + 1) % 10 };
    let prediction =
        |i: u32| Prediction { example: i, label: i % 10, predicted: predicted(i), probability: 0.5 };
    TrialResult {
        outcome,
        epochs: (1..=epochs).map(epoch).collect(),
        predictions: (0..IMAGES).map(prediction).collect(),
        checkpoint: None,
    }
}

/// Answers to (images, of them right) of each class, class by class; what is wrong is taken for the next class.
pub fn answers(classes: &[(usize, usize)]) -> Answers {
    let mut rows = Vec::new();
    for (label, &(images, right)) in classes.iter().enumerate() {
        let predicted = |i: usize| if i < right { label } else { (label + 1) % classes.len() };
        rows.extend((0..images).map(|i| (label as u32, predicted(i) as u32)));
    }
    let row = |(example, (label, predicted))| Prediction { example, label, predicted, probability: 0.5 };
    Answers::of((0..).zip(rows).map(row).collect::<Vec<_>>().into_iter()).expect("each image once")
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
