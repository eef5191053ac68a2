//! One results folder of several: [`merge`] joins what parts of one experiment came to, as machines of a cluster leave them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_experiment::{Axis, Plan};

use super::atomic::publish_folder;
use super::{Outcome, Results, Status, Store, StoreError};

/// Puts the trials and trunks of `parts` into `folder`, which may hold some already; the parts stay as they are. Gives how many
/// trials came in.
///
/// A trial that several have is taken once: a finished one before a failed one, and of finished ones any, if they came to the same.
///
/// # Errors
/// Parts of different experiments, a trial that came to different numbers, a part that cannot be read, a failed write. Nothing is
/// written before all parts were looked at.
pub fn merge(folder: &Path, parts: &[PathBuf]) -> Result<usize, StoreError> {
    let mut all = Vec::new();
    for part in parts {
        if part.join("plan.json").exists() && !part.join("trials").exists() {
            drop(Store::open(part)?); // Makes folders of what stands beside a report.
        }
        all.push((part.clone(), Results::read(part)?));
    }
    if folder.join("plan.json").exists() {
        all.insert(0, (folder.to_owned(), Results::read(folder)?));
    }
    let Some((first, _)) = all.first().cloned() else { return Ok(0) };
    let text = experiment_of(&first)?;
    for (part, _) in &all[1..] {
        if experiment_of(part)? != text {
            return Err(StoreError::OtherPart { first, other: part.clone() });
        }
    }
    let chosen = chosen(&all)?;
    let mut plan = all[0].1.plan.clone();
    all[1..].iter().for_each(|(_, results)| join(&mut plan, &results.plan));
    let mut store = Store::open_alone(folder)?;
    store.record_plan(&plan, &text, &all[0].1.asked)?;
    for (_, results) in &all {
        for environment in results.environments.values() {
            store.record_environment(environment)?;
        }
    }
    let mut came = 0;
    for (part, id, status) in &chosen {
        if part != folder {
            copy(&part.join("trials").join(id), &folder.join("trials").join(id))?;
            store.remember(id, status);
            came += 1;
        }
    }
    let pretrained = folder.join("pretrained");
    for (part, results) in &all {
        for trunk in &results.trunks {
            let (from, to) =
                (part.join("pretrained").join(&trunk.trunk.id), pretrained.join(&trunk.trunk.id));
            if from.exists() && !to.exists() {
                fs::create_dir_all(&pretrained).map_err(|error| StoreError::writing(&pretrained, error))?;
                copy(&from, &to)?;
            }
        }
    }
    Ok(came)
}

fn experiment_of(part: &Path) -> Result<String, StoreError> {
    let path = part.join("experiment.toml");
    fs::read_to_string(&path).map_err(|error| StoreError::reading(&path, error))
}

/// Of each trial, the part that it is taken from.
fn chosen(all: &[(PathBuf, Results)]) -> Result<Vec<(PathBuf, String, Status)>, StoreError> {
    let mut chosen: Vec<(PathBuf, String, &Outcome)> = Vec::new();
    for (part, results) in all {
        for stored in &results.trials {
            let (id, outcome) = (&stored.trial.id, &stored.outcome);
            match chosen.iter_mut().find(|(_, known, _)| known == id) {
                None => chosen.push((part.clone(), id.clone(), outcome)),
                Some((other, _, known)) => match (&known.status, &outcome.status) {
                    (Status::Finished, Status::Finished) if differ(known, outcome) => {
                        return Err(StoreError::TwoOutcomes {
                            id: id.clone(),
                            first: other.clone(),
                            other: part.clone(),
                        });
                    }
                    (Status::Failed { .. }, Status::Finished) => (*other, *known) = (part.clone(), outcome),
                    _ => {}
                },
            }
        }
    }
    Ok(chosen.into_iter().map(|(part, id, outcome)| (part, id, outcome.status.clone())).collect())
}

/// Whether two outcomes of one trial are not the same but for time and place. Machines with other vector units may round otherwise.
fn differ(a: &Outcome, b: &Outcome) -> bool {
    let told = |outcome: &Outcome| {
        let data = outcome.data.as_ref().map(|data| data.digest.clone());
        (outcome.test_accuracy, outcome.chosen_epoch, data)
    };
    told(a) != told(b)
}

/// Adds what another plan wants to a plan of the same experiment.
fn join(plan: &mut Plan, other: &Plan) {
    let known: BTreeSet<String> = plan.trials.iter().map(|trial| trial.id.clone()).collect();
    plan.trials.extend(other.trials.iter().filter(|trial| !known.contains(&trial.id)).cloned());
    for Axis { key, values } in &other.axes {
        match plan.axes.iter_mut().find(|axis| axis.key == *key) {
            None => plan.axes.push(Axis { key: key.clone(), values: values.clone() }),
            Some(axis) => {
                let new: Vec<String> = values.iter().filter(|v| !axis.values.contains(v)).cloned().collect();
                axis.values.extend(new);
            }
        }
    }
}

/// Copies a published folder, whole or not at all.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    publish_folder(to, |folder| {
        let entries = fs::read_dir(from).map_err(|error| StoreError::reading(from, error))?;
        for entry in entries {
            let path = entry.map_err(|error| StoreError::reading(from, error))?.path();
            let bytes = fs::read(&path).map_err(|error| StoreError::reading(&path, error))?;
            super::atomic::write_through(&folder.join(path.file_name().unwrap_or_default()), &bytes)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Invocation;
    use crate::samples::{environment, failed, plan, result};

    /// A folder of part of a plan, whose trials come to what is given.
    fn part(seeds: std::ops::Range<u64>, accuracy: f64, text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut plan = plan(&["resnet18"], &["full", "head"], seeds.end);
        plan.trials.retain(|trial| seeds.contains(&trial.seed));
        store.record_plan(&plan, text, &Invocation::default()).unwrap();
        store.record_environment(&environment()).unwrap();
        for trial in &plan.trials {
            store.save(trial, &result(trial, accuracy, 1.0), false).unwrap();
        }
        dir
    }

    #[test]
    fn disjoint_parts_make_the_whole() {
        let (a, b, into) = (part(0..2, 0.5, "x"), part(2..3, 0.6, "x"), tempfile::tempdir().unwrap());
        let parts = [a.path().to_owned(), b.path().to_owned()];
        assert_eq!(merge(into.path(), &parts).unwrap(), 6);
        let whole = Results::read(into.path()).unwrap();
        assert_eq!((whole.trials.len(), whole.plan.trials.len(), whole.broken.len()), (6, 6, 0));
        let seeds = whole.plan.axes.iter().find(|axis| axis.key == "seed").unwrap();
        assert_eq!(seeds.values, ["0", "1", "2"]);
        assert_eq!(merge(into.path(), &parts).unwrap(), 0, "once more brings nothing new");
        assert_eq!(Results::read(into.path()).unwrap(), whole);
    }

    #[test]
    fn other_experiments_and_other_numbers_are_refused_before_anything_is_written() {
        let (a, into) = (part(0..2, 0.5, "x"), tempfile::tempdir().unwrap());
        for other in [part(2..3, 0.5, "y"), part(1..3, 0.7, "x")] {
            let parts = [a.path().to_owned(), other.path().to_owned()];
            assert!(merge(into.path(), &parts).is_err());
            assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_finished_trial_is_taken_before_a_failed_one() {
        let (a, b, into) = (part(0..1, 0.5, "x"), part(0..1, 0.5, "x"), tempfile::tempdir().unwrap());
        let mut store = Store::open(a.path()).unwrap();
        let trial = Results::read(a.path()).unwrap().plan.trials[0].clone();
        store.save(&trial, &failed(&trial, "no reason"), true).unwrap();
        drop(store);
        merge(into.path(), &[a.path().to_owned(), b.path().to_owned()]).unwrap();
        let whole = Results::read(into.path()).unwrap();
        assert!(whole.trials.iter().all(|stored| stored.outcome.status == Status::Finished));
    }
}
