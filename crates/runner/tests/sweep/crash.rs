//! Sweeps that are killed: whatever the moment, no finished trial is lost, nothing that is damaged is believed, and what comes of it in the
//! end is what an undisturbed sweep gives, bit by bit.
//!
//! `FROSTLINE_CRASHES` sets how many kills there are; `just crash` makes a thousand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use frostline_streams::{Draws, Purpose, Streams};
use tempfile::TempDir;

use super::{command, folder, numbers, stored, sweep, text, trials};

/// A cohort of three, one alone, two resolutions, and a pretraining before half of them.
const SWEEP: &str = r#"question = "Does it matter that it was killed?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
augment = ["crop:1"]
classes = ["0", "1", "2", "3", "4"]
[train]
epochs = 2
batch = 16
[grid]
model = ["mobilenetv3_small"]
weights = ["none", "pretrain:others"]
strategy = ["head", "last-1", "lp-ft", "full"]
seed = [0]
[pretrain.others]
method = "supervised"
classes = ["5", "6", "7"]
per-class = 12
epochs = 2
"#;

type Numbers = BTreeMap<String, (Vec<serde_json::Value>, Vec<u8>)>;

/// The numbers of all finished trials.
fn all(folder: &Path) -> Numbers {
    stored(folder).into_keys().map(|id| (id.clone(), numbers(folder, &id))).collect()
}

#[expect(clippy::disallowed_methods, reason = "how hard to try is the user's wish")]
fn crashes() -> usize {
    std::env::var("FROSTLINE_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(20)
}

fn start(folder: &Path, more: &[&str]) -> Child {
    let arguments = [&["--save-every", "0s", "--threads", "2"], more].concat();
    command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "kills come within the time that a sweep takes")]
fn now() -> Instant {
    Instant::now()
}

fn millis(draws: &mut Draws, below: u32) -> Duration {
    Duration::from_millis(u64::from(draws.below(below.max(1))))
}

#[test]
fn a_sweep_that_is_killed_at_any_moment_comes_to_what_it_would_have_come_to() {
    let whole = folder(SWEEP);
    let began = now();
    assert!(sweep(whole.path(), &["--threads", "2"]).status.success());
    let took = u32::try_from(began.elapsed().as_millis()).unwrap();
    let expected = all(whole.path());
    assert_eq!(expected.len(), 8);
    let mut draws = Streams::new(16).draws(Purpose::Plan, 1, 0);
    let (mut killed, mut went_on, mut rounds) = (0, 0, 0);
    while killed < crashes() {
        rounds += 1;
        let crashed = folder(SWEEP);
        loop {
            let before = all(crashed.path());
            let mut child = start(crashed.path(), &[]);
            std::thread::sleep(millis(&mut draws, took * 2 / 3));
            let kills = killed < crashes();
            if kills && child.try_wait().unwrap().is_none() {
                child.kill().unwrap(); // SIGKILL
                killed += 1;
            }
            let output = child.wait_with_output().unwrap();
            went_on += usize::from(text(&output.stderr).contains(" goes on after "));
            let after = all(crashed.path());
            assert!(
                before.iter().all(|(id, numbers)| after.get(id) == Some(numbers)),
                "a finished trial is lost"
            );
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.code(), None, "it was killed: {}", text(&output.stderr));
        }
        let came = all(crashed.path());
        assert!(came == expected, "round {rounds}, after {killed} kills: other numbers");
        let left = fs::read_dir(crashed.path().join("results/x/underway")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing is kept of what has ended");
        let hidden = fs::read_dir(trials(crashed.path()))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "nothing half written is left");
    }
    assert!(went_on > 0, "some sweep went on inside a trial");
}

/// Starts a sweep in a new folder and returns both as soon as a training of some trial is kept. On a busy machine a sweep can end
/// before that is seen: then another one is started.
fn inside_a_training(experiment: &str) -> (TempDir, Child) {
    let kept = |entry: fs::DirEntry| {
        let mut places = fs::read_dir(entry.path()).into_iter().flatten().flatten();
        places.any(|place| {
            !place.file_name().to_string_lossy().starts_with('.')
                && place.path().join("state.safetensors").exists()
        })
    };
    for _ in 0..50 {
        let folder = folder(experiment);
        let mut child = start(folder.path(), &[]);
        while child.try_wait().unwrap().is_none() {
            let underway = fs::read_dir(folder.path().join("results/x/underway"));
            if underway.is_ok_and(|entries| entries.flatten().any(kept)) {
                return (folder, child);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    panic!("fifty sweeps ended without a place that was seen");
}

#[test]
#[cfg(unix)]
fn a_signal_keeps_where_trainings_stand_and_the_next_sweep_goes_on_there() {
    let one = SWEEP
        .replace("epochs = 2\nbatch", "epochs = 30\nbatch")
        .replace(r#"["none", "pretrain:others"]"#, r#"["none"]"#)
        .replace(r#"["head", "last-1", "lp-ft", "full"]"#, r#"["full"]"#);
    let one = &one[..one.find("[pretrain.others]").unwrap()];
    let whole = folder(one);
    assert!(sweep(whole.path(), &[]).status.success());
    let (stopped, child) = inside_a_training(one);
    let began = now();
    assert!(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(143));
    assert!(
        text(&output.stdout).contains("to go on where this stopped: frostline sweep"),
        "{}",
        text(&output.stdout)
    );
    let again = sweep(stopped.path(), &[]);
    assert!(text(&again.stderr).contains(" goes on after "), "{}", text(&again.stderr));
    assert!(all(stopped.path()) == all(whole.path()));
    let epochs = fs::read_to_string(
        trials(stopped.path()).join(all(stopped.path()).keys().next().unwrap()).join("epochs.json"),
    );
    assert_eq!(epochs.unwrap().matches("\"epoch\":").count(), 30, "each epoch is told once");
}

/// All files of a results folder, but for what is only written.
fn read_back(folder: &Path, found: &mut Vec<PathBuf>) {
    const ONLY_WRITTEN: [&str; 8] =
        ["plots", "csv", "gallery", "claims", "report.md", "report.html", "report.json", "experiment.toml"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ONLY_WRITTEN.contains(&name.as_str()) || name.starts_with('.') {
        } else if path.is_dir() {
            read_back(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_bit_that_is_flipped_anywhere_is_named_or_changes_no_number() {
    const KEPT_IN_PLACES: [&str; 2] = ["place.json", "state.safetensors"];
    const KEPT_OF_TRIALS: [&str; 2] = ["epochs.json", "predictions.parquet"];
    // Stopped inside a training, so that there are places too.
    let (folder, mut child) =
        inside_a_training(&SWEEP.replace(r#""head", "last-1", "lp-ft", "full""#, r#""head", "full""#));
    child.kill().unwrap();
    child.wait().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let place = |folder: &Path| folder.join("results/x");
    duplicate(&place(folder.path()), &copy.path().join("begun"));
    assert!(sweep(folder.path(), &[]).status.success());
    let expected = all(folder.path());
    duplicate(&place(folder.path()), &copy.path().join("done"));
    for state in ["begun", "done"] {
        let mut files = Vec::new();
        read_back(&copy.path().join(state), &mut files);
        for of_interest in if state == "begun" { KEPT_IN_PLACES } else { KEPT_OF_TRIALS } {
            assert!(
                files.iter().any(|file| file.ends_with(of_interest)),
                "{of_interest} of {state}: {files:?}"
            );
        }
        for file in files {
            let name = file.strip_prefix(copy.path().join(state)).unwrap().to_owned();
            fs::remove_dir_all(place(folder.path())).unwrap();
            duplicate(&copy.path().join(state), &place(folder.path()));
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(place(folder.path()).join(&name), bytes).unwrap();
            let output = sweep(folder.path(), &[]);
            let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(!told.contains("panicked"), "{name:?}: {told}");
            if output.status.success() {
                assert!(
                    all(folder.path()) == expected,
                    "{name:?} in {state}: other numbers, and nothing said"
                );
            } else {
                let flat: String = told.split_whitespace().collect();
                let file_name = name.file_name().unwrap().to_string_lossy().into_owned();
                assert!(flat.contains(&file_name), "{name:?} in {state} is not named: {told}");
            }
        }
    }
}

fn duplicate(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            duplicate(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn two_processes_on_one_folder_run_each_trial_once_and_a_dead_ones_claim_is_taken_over() {
    let (whole, shared) = (folder(SWEEP), folder(SWEEP));
    assert!(sweep(whole.path(), &[]).status.success());
    let children: Vec<Child> = (0..3).map(|_| start(shared.path(), &[])).collect();
    let mut trained = 0;
    for (place, mut child) in children.into_iter().enumerate() {
        if place == 2 {
            std::thread::sleep(Duration::from_millis(700));
            child.kill().unwrap(); // Its claims go with it.
        }
        let output = child.wait_with_output().unwrap();
        assert!(place == 2 || output.status.success(), "{}", text(&output.stderr));
        trained += text(&output.stderr).matches(" % in ").count();
    }
    let last = sweep(shared.path(), &[]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    trained += text(&last.stderr).matches(" % in ").count();
    assert!(all(shared.path()) == all(whole.path()));
    assert_eq!(trained, 8, "each trial was run once");
}
