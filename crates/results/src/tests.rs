//! What the store promises: nothing finished is lost, nothing half-written is believed.

mod faults;

use std::fs;
use std::path::Path;

use frostline_experiment::Trial;

use super::atomic::write_through;
use super::samples::{environment, failed, plan, result};
use super::*;

fn trials() -> Vec<Trial> {
    plan(&["resnet18"], &["full", "head"], 2).trials
}

fn asked() -> Invocation {
    Invocation { file: Some("a/x.toml".to_owned()), set: vec!["seed=1".to_owned()], ..Invocation::default() }
}

/// A store with the first two trials finished and the third failed.
fn filled(folder: &Path) -> Store {
    let mut store = Store::open(folder).unwrap();
    store.record_plan(&plan(&["resnet18"], &["full", "head"], 2), "question = \"?\"\n", &asked()).unwrap();
    let [first, second, third, _] = &trials()[..] else { panic!() };
    store.save(first, &result(first, 0.75, 4.0), false).unwrap();
    store.save(second, &result(second, 0.5, 1.0), false).unwrap();
    store.save(third, &failed(third, "the loss became NaN"), false).unwrap();
    store
}

#[test]
fn what_is_stored_is_read_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let id = store.record_environment(&environment()).unwrap();
    assert_eq!(store.record_environment(&environment()).unwrap(), id);
    let results = Results::read(dir.path()).unwrap();
    assert_eq!(results.plan, plan(&["resnet18"], &["full", "head"], 2));
    assert_eq!((results.asked, results.trials.len()), (asked(), 3));
    assert_eq!(results.environments[&id], environment());
    let first = &trials()[0];
    let stored = results.trials.iter().find(|stored| stored.trial == *first).unwrap();
    let TrialResult { outcome, epochs, predictions, .. } = result(first, 0.75, 4.0);
    let outcome = Outcome { predictions: Some(tables::digest(&predictions)), ..outcome };
    assert_eq!((&stored.outcome, &stored.epochs), (&outcome, &epochs));
}

#[test]
fn processes_share_a_folder_and_claim_what_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = filled(dir.path());
    let mut two = Store::open(dir.path()).unwrap();
    let [first, .., fourth] = &trials()[..] else { panic!() };
    let claim = one.claim(&fourth.id).unwrap();
    assert!(claim.is_some() && two.claim(&fourth.id).unwrap().is_none());
    one.save(fourth, &result(fourth, 0.5, 1.0), false).unwrap();
    assert_eq!(two.state(&fourth.id), None);
    drop(claim);
    assert!(two.claim(&fourth.id).unwrap().is_some());
    assert_eq!(two.state(&fourth.id), Some(&State::Finished), "what another has ended is seen");
    assert!(two.claim(&first.id).unwrap().is_some());
    // What one process writes another does not take for what a killed one left behind.
    let partial = dir.path().join("trials/.abc.partial");
    fs::create_dir(&partial).unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert!(partial.exists());
    let message = Store::open_alone(dir.path()).unwrap_err().to_string();
    assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
    drop((one, two));
    let alone = Store::open_alone(dir.path()).unwrap();
    assert!(!partial.exists() && Store::open(dir.path()).is_err());
    drop(alone);
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn a_prediction_that_was_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let first = &trials()[0];
    drop(filled(dir.path()));
    let path = dir.path().join("trials").join(&first.id).join("predictions.parquet");
    let TrialResult { mut predictions, .. } = result(first, 0.75, 4.0);
    predictions[7].probability += 1e-6; // No accuracy changes by it.
    fs::write(&path, tables::predictions_file(&path, &predictions).unwrap()).unwrap();
    let broken = Results::read(dir.path()).unwrap().broken;
    assert!(broken.len() == 1 && broken[0].reason.contains("predictions were changed"), "{broken:?}");
}

#[test]
fn a_finished_trial_is_replaced_by_force_only_and_a_failed_one_freely() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path());
    let [first, _, third, _] = &trials()[..] else { panic!() };
    let message = store.save(first, &result(first, 0.1, 1.0), false).unwrap_err().to_string();
    assert!(message.contains("--force redoes it"), "{message}");
    assert_eq!(store.state(&third.id), Some(&State::Failed { reason: "the loss became NaN".to_owned() }));
    store.save(third, &result(third, 0.9, 1.0), false).unwrap();
    store.save(first, &result(first, 0.2, 1.0), true).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(store.states().all(|(_, state)| *state == State::Finished));
    let accuracy = |id: &str| {
        let results = Results::read(dir.path()).unwrap();
        results.trials.iter().find(|s| s.trial.id == id).unwrap().outcome.test_accuracy
    };
    assert_eq!((accuracy(&first.id), accuracy(&third.id)), (Some(0.2), Some(0.9)));
}

#[test]
fn a_damaged_trial_is_named_and_done_again() {
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    for file in ["trial.json", "outcome.json", "epochs.json", "predictions.parquet"] {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path()));
        let first = &trials()[0];
        cut(&dir.path().join("trials").join(&first.id).join(file));
        let results = Results::read(dir.path()).unwrap();
        assert_eq!(results.broken[0].id, first.id);
        assert!(results.broken[0].reason.contains(file), "{}", results.broken[0].reason);
        let mut store = Store::open(dir.path()).unwrap();
        assert!(matches!(store.state(&first.id), Some(State::Broken { .. })));
        store.save(first, &result(first, 0.75, 4.0), false).unwrap();
        assert_eq!(Results::read(dir.path()).unwrap().broken, []);
    }
}

#[test]
fn a_folder_that_was_moved_under_another_id_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let trials_folder = dir.path().join("trials");
    fs::rename(trials_folder.join(&trials()[0].id), trials_folder.join("0123456789ab")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(store.state("0123456789ab"), Some(State::Broken { .. })));
    assert_eq!(store.state(&trials()[0].id), None);
}

#[test]
fn what_a_killed_sweep_left_goes_and_what_it_finished_stays() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let trials_folder = dir.path().join("trials");
    let half = trials_folder.join(format!(".{}.partial", trials()[3].id));
    fs::create_dir(&half).unwrap();
    fs::write(half.join("outcome.json"), "{\"format\": 1, \"outc").unwrap();
    fs::write(dir.path().join(".report.md.partial"), "# Hal").unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.states().count(), 3);
    assert_eq!(fs::read_dir(&trials_folder).unwrap().count(), 3);
    assert!(!dir.path().join(".report.md.partial").exists());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let path = dir.path().join("trials").join(&trials()[0].id).join("outcome.json");
    let newer = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 7");
    fs::write(&path, &newer).unwrap();
    let message = Store::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("has format 7 and this frostline reads up to 1"), "{message}");
    assert!(matches!(Results::read(dir.path()), Err(StoreError::Newer { found: 7, .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_folder_that_is_none_or_not_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let message = Results::read(dir.path()).unwrap_err().to_string();
    assert!(message.contains("holds no plan.json"), "{message}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let message = Store::open(&file).unwrap_err().to_string();
    assert!(message.contains("cannot write") && message.contains("file"), "{message}");
}

#[test]
#[cfg(unix)]
fn a_read_only_folder_is_refused_before_anything_is_done() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("results");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_err() {
        let message = Store::open(&folder).unwrap_err().to_string();
        assert!(message.contains("cannot be written to") && message.contains("--results"), "{message}");
    } // else the user is root, whom permissions do not bind
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_as_such() {
    let message = write_through(Path::new("/dev/full"), b"x").unwrap_err().to_string();
    assert!(
        message.contains("no space is left") && message.contains("every trial that finished before is kept")
    );
}

#[test]
fn the_tables_hold_every_trial_epoch_and_prediction() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    gather(dir.path(), &Results::read(dir.path()).unwrap()).unwrap();
    let read = |name: &str| frostline_tables::read(fs::File::open(dir.path().join(name)).unwrap()).unwrap();
    let table = read("trials.parquet");
    let names: Vec<&str> = table.get_column_names().into_iter().map(|name| name.as_str()).collect();
    for name in "trial model weights strategy seed resolution status test_accuracy validation_accuracy train_seconds \
                 evaluation_seconds data_seconds wall_seconds cpu_seconds share_seconds together images_per_second peak_memory_bytes parameters \
                 trainable_parameters learning_rate optimizer"
        .split_whitespace()
    {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let row = (0..3)
        .find(|&i| table.column("trial").unwrap().str().unwrap().get(i) == Some(&trials()[1].id))
        .unwrap();
    let number = |name: &str| table.column(name).unwrap().f64().unwrap().get(row);
    assert_eq!((number("test_accuracy"), number("wall_seconds")), (Some(0.5), Some(1.0)));
    assert_eq!(table.column("test_accuracy").unwrap().null_count(), 1);
    assert_eq!(table.column("trainable_parameters").unwrap().u64().unwrap().get(row), Some(5130));
    assert_eq!((read("epochs.parquet").height(), read("predictions.parquet").height()), (12, 2000));
    let predictions = read("predictions.parquet");
    let labels = predictions.column("label").unwrap().u32().unwrap();
    assert_eq!((0..4).map(|i| labels.get(i).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_folder_is_whole_without_its_trials() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let whole = Results::read(dir.path()).unwrap();
    gather(dir.path(), &whole).unwrap();
    let tables = ["trials", "epochs", "predictions"].map(|name| dir.path().join(format!("{name}.parquet")));
    let before: Vec<Vec<u8>> = tables.iter().map(|path| fs::read(path).unwrap()).collect();
    // All of them gone, or one.
    for gone in ["trials".to_owned(), format!("trials/{}", trials()[1].id)] {
        fs::remove_dir_all(dir.path().join(gone)).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.state(&trials()[1].id), Some(&State::Finished));
        assert!(matches!(store.state(&trials()[2].id), Some(State::Failed { .. })));
        drop(store);
        let read = Results::read(dir.path()).unwrap();
        assert_eq!(read, whole);
        gather(dir.path(), &read).unwrap();
        let after: Vec<Vec<u8>> = tables.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(before == after, "the tables are others now");
    }
}

#[test]
fn a_number_that_was_changed_is_found() {
    let first = &trials()[0].id;
    for (file, from, to) in [
        ("trials/ID/outcome.json", "\"test-accuracy\": 0.75", "\"test-accuracy\": 0.25"),
        ("trials/ID/epochs.json", "\"epoch\": 1,", "\"epoch\": 2,"),
        ("trials/ID/trial.json", "\"seed\": 0", "\"seed\": 5"),
        ("plan.json", "\"seed\": 0", "\"seed\": 5"),
        ("environment.json", "\"threads\": 2", "\"threads\": 3"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).record_environment(&environment()).unwrap();
        let path = dir.path().join(file.replace("ID", first));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let told = match Results::read(dir.path()) {
            Ok(results) => results.broken[0].reason.clone(),
            Err(error) => error.to_string(),
        };
        let name = file.rsplit('/').next().unwrap();
        assert!(told.contains(name) && told.contains("was changed since it was written"), "{told}");
    }
}

#[test]
fn an_accuracy_that_its_predictions_do_not_give_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path());
    let [first, second, ..] = &trials()[..] else { panic!() };
    let mut lie = result(first, 0.75, 4.0);
    lie.outcome.test_accuracy = Some(0.8);
    store.save(first, &lie, true).unwrap();
    drop(store);
    // Whole and with a digest of its own, but of another trial.
    let of = |id: &str| dir.path().join("trials").join(id).join("predictions.parquet");
    let broken = Results::read(dir.path()).unwrap().broken;
    assert!(
        broken[0].id == first.id && broken[0].reason.contains("give the test accuracy 0.75, and 0.8"),
        "{broken:?}"
    );
    fs::copy(of(&first.id), of(&second.id)).unwrap();
    assert_eq!(Results::read(dir.path()).unwrap().broken.len(), 2);
}

#[test]
fn two_files_of_one_name_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let plan = plan(&["resnet18"], &["full"], 1);
    let other = Invocation { file: Some("b/x.toml".to_owned()), ..asked() };
    let message = store.record_plan(&plan, "question = \"another\"\n", &other).unwrap_err().to_string();
    assert!(message.contains("holds the results of a/x.toml") && message.contains("b/x.toml"), "{message}");
    assert_eq!(Results::read(dir.path()).unwrap().plan.trials.len(), 4);
    // The same file in another place, and another text under the same name, are the same experiment.
    store.record_plan(&plan, "question = \"?\"\n", &other).unwrap();
    store.record_plan(&plan, "question = \"edited\"\n", &other).unwrap();
}

/// A result on other images.
fn on(digest: &str, trial: &Trial, accuracy: f64) -> TrialResult {
    let mut result = result(trial, accuracy, 1.0);
    result.outcome.data.as_mut().unwrap().digest = digest.repeat(32);
    result
}

#[test]
fn what_was_made_of_other_images_is_kept_apart_and_comes_back_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let first = &trials()[0];
    let inputs = |digest: &str| Inputs { data: Some(digest.repeat(32)), weights: None };
    let mut store = filled(dir.path());
    assert_eq!(store.inputs(&first.id), Some(inputs("d1")));
    assert_eq!(inputs("d1").difference(&Inputs::default()), None, "what is not known is not another");
    assert_eq!(
        inputs("d1").difference(&inputs("e2")).as_deref(),
        Some("other images (d1d1d1d1 then, e2e2e2e2 now)")
    );
    let place = store.supersede(&first.id).unwrap();
    assert!(place.starts_with(&format!("superseded/trials/{}-", first.id)), "{place}");
    assert_eq!((store.state(&first.id), store.inputs(&first.id)), (None, None));
    assert!(!store.recall(&first.id, &inputs("e2")).unwrap(), "it was made of others");
    store.save(first, &on("e2", first, 0.25), false).unwrap();
    assert!(!store.recall(&first.id, &inputs("d1")).unwrap(), "its place is taken");

    // Both are in the tables' folder, one in the tables; neither is lost with the folders, nor does one come twice.
    let accuracies = || {
        let results = Results::read(dir.path()).unwrap();
        let of = |trials: &[StoredTrial]| {
            let first = trials.iter().filter(|stored| stored.trial.id == first.id);
            first.map(|stored| stored.outcome.test_accuracy.unwrap()).collect::<Vec<_>>()
        };
        (of(&results.trials), of(&results.superseded.trials))
    };
    assert_eq!(accuracies(), (vec![0.25], vec![0.75]));
    gather(dir.path(), &Results::read(dir.path()).unwrap()).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("trials")).unwrap();
    fs::remove_dir_all(dir.path().join("superseded")).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!((accuracies(), store.restored()), ((vec![0.25], vec![0.75]), 3));
    store.supersede(&first.id).unwrap();
    assert!(store.recall(&first.id, &inputs("d1")).unwrap());
    assert_eq!(accuracies(), (vec![0.75], vec![0.25]));
    drop(store);
    assert_eq!(
        Store::open(dir.path()).unwrap().restored(),
        0,
        "what is put aside is not read back once more"
    );
    assert_eq!(accuracies(), (vec![0.75], vec![0.25]));
}
