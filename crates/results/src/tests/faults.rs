//! A disk that fails at any call: what is stored is the old or the new, and can be read.

use std::fs;
use std::path::Path;

use super::{filled, trials};
use crate::samples::{environment, result};
use crate::{
    Environment, Inputs, Place, Results, Seconds, Store, StoredTrial, StoredTrunk, Underway, disk, gather,
};

/// What is stored of a folder, and that all of it can be read.
fn stored(folder: &Path) -> (Vec<StoredTrial>, Vec<Place>, Option<Environment>, Option<StoredTrunk>) {
    drop(Store::open(folder).unwrap());
    let results = Results::read(folder).unwrap();
    assert_eq!(results.broken, []);
    let (places, broken) = Underway::of(folder).places(&trials()[3].id).unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    (results.trials, places, results.environments.into_values().next(), results.trunks.into_iter().next())
}

#[test]
fn a_fault_at_any_write_sync_or_rename_leaves_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before");
    let store = filled(&before);
    let [first, _, third, fourth] = &trials()[..] else { panic!() };
    let place = |steps| Place {
        of: fourth.id.clone(),
        inputs: Inputs::default(),
        done: 0,
        steps,
        epochs: Vec::new(),
        seconds: Seconds::default(),
        share_seconds: 0.0,
        together: 1,
        started_at: String::new(),
        sha256: String::new(),
    };
    (0..2).for_each(|steps| {
        store.underway().keep(&place(steps), |out| out.write_all(&[steps as u8; 99])).unwrap()
    });
    drop(store.record_environment(&environment()));
    gather(&before, &Results::read(&before).unwrap()).unwrap();
    drop(store);
    type Work = fn(&mut Store, &Path, &Place);
    let works: [(&str, Work); 5] = [
        ("a new trial", |store, _, _| {
            drop(store.save(&trials()[3], &result(&trials()[3], 0.25, 1.0), false))
        }),
        ("a failed trial again", |store, _, _| {
            drop(store.save(&trials()[2], &result(&trials()[2], 0.25, 1.0), false))
        }),
        ("a place", |store, _, place| drop(store.underway().keep(place, |out| out.write_all(&[7; 99])))),
        ("an environment", |store, _, _| {
            drop(store.record_environment(&Environment { logical_cores: 77, ..environment() }));
        }),
        ("the tables", |_, folder, _| drop(gather(folder, &Results::read(folder).unwrap()))),
    ];
    let (third, first) = (third.id.clone(), first.id.clone());
    for (name, work) in works {
        for for_good in [false, true] {
            for calls in 0.. {
                let folder = dir.path().join("now");
                let _ = fs::remove_dir_all(&folder);
                copy(&before, &folder);
                let old = stored(&folder);
                let mut store = Store::open(&folder).unwrap();
                let failed = disk::faults::after(calls, for_good, || work(&mut store, &folder, &place(2)));
                drop(store); // As a process that is killed; what it left is brought to rest by the next.
                let new = stored(&folder);
                let what = format!("{name}, call {calls}, for good: {for_good}");
                let trial =
                    |trials: &[StoredTrial], id: &str| trials.iter().find(|t| t.trial.id == id).cloned();
                assert_eq!(trial(&new.0, &first), trial(&old.0, &first), "{what}: another trial");
                let third_is = trial(&new.0, &third).map(|stored| stored.outcome.test_accuracy);
                assert!(third_is == Some(None) || third_is == Some(Some(0.25)), "{what}: {third_is:?}");
                let steps: Vec<usize> = new.1.iter().map(|place| place.steps).collect();
                let ended = trial(&new.0, &fourth.id).is_some();
                let allowed = if ended { vec![vec![]] } else { vec![vec![1, 0], vec![2, 1], vec![2, 1, 0]] };
                assert!(allowed.contains(&steps), "{what}: places {steps:?}");
                gather(&folder, &Results::read(&folder).unwrap()).unwrap();
                fs::remove_dir_all(folder.join("trials")).unwrap();
                assert_eq!(stored(&folder).0.len(), new.0.len(), "{what}: read back from the tables");
                if !failed {
                    assert!(calls > 2, "{what}: some calls were tried");
                    break;
                }
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(fs::copy(&path, target).is_ok()) }
    }
}
