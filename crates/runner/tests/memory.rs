//! The memory that a trial is expected to take, held to what trials of the committed quickstart took at their peak.

use std::path::Path;

use frostline_experiment::{Memory, Trial};
use frostline_results::{Results, StoredTrial};

#[test]
fn what_is_expected_is_near_what_was_measured() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/quickstart");
    let copy = tempfile::tempdir().unwrap();
    for name in ["plan.json", "stored.json", "predictions.parquet", "trials.parquet", "environment.json"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    drop(frostline_results::Store::open(copy.path()).unwrap());
    let results = Results::read(copy.path()).unwrap();
    assert_eq!(results.trials.len(), 24);
    for stored in &results.trials {
        let (trial, data) = (&stored.trial, stored.outcome.data.as_ref().unwrap());
        let images = ((data.train + data.validation + data.test) * trial.resolution.pow(2) * 3) as u64;
        // Trials that ran together had one peak.
        let together = |other: &&StoredTrial| {
            let same = |a: &Trial| (a.model.clone(), a.weights.clone(), a.seed);
            other.trial.id == trial.id
                || (stored.outcome.shared.is_some()
                    && other.outcome.shared.is_some()
                    && same(&other.trial) == same(trial))
        };
        let memory =
            results.trials.iter().filter(together).map(|t| Memory::of(&t.trial, data.classes).unwrap());
        let expected = memory.reduce(|a, b| a.and(&b)).unwrap().bytes() + Memory::PROCESS + images;
        let Some(measured) = stored.outcome.peak_memory_bytes else { continue };
        let ratio = expected as f64 / measured as f64;
        println!("{:40} {} of {} MiB, {ratio:.2}", trial.label(), expected >> 20, measured >> 20);
        assert!((0.6..1.6).contains(&ratio), "{}: {ratio}", trial.label());
    }
}
