//! Devices: what is asked for and is not there, what an id tells of them, and a sweep that is handed out to several.

use std::path::Path;

use super::{EXPERIMENT, folder, frostline, numbers, stored, sweep, text};

/// The ids that a plan has.
fn planned(folder: &Path, more: &[&str]) -> Vec<String> {
    let output = frostline(folder, &[&["plan", "x.toml"], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ids = text(&output.stdout)
        .lines()
        .filter_map(|line| {
            let id = line.split_whitespace().nth(1)?;
            (id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit())).then(|| id.to_owned())
        })
        .collect::<Vec<_>>();
    assert_eq!(ids.len(), 4, "{}", text(&output.stdout));
    ids
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_the_binary_cannot_use_is_an_error_before_anything_is_made() {
    let folder = folder(EXPERIMENT);
    for command in [
        &["sweep", "x.toml", "--device", "cuda"][..],
        &["sweep", "x.toml", "--device", "cuda:all"],
        &["sweep", "x.toml", "--set", "run.device=cuda"],
        &["run", "x.toml", "--device", "cuda:7"],
        &["predict", "nothing", ".", "--device", "cuda"],
    ] {
        let output = frostline(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("built without CUDA") && said.contains("just cuda"), "{command:?}: {said}");
    }
    assert!(!folder.path().join("results").exists());
}

#[test]
fn what_names_no_device_or_too_many_is_refused_with_what_to_write() {
    let folder = folder(EXPERIMENT);
    for (command, problem) in [
        (&["sweep", "x.toml", "--device", "gpu"][..], "one of cpu, cuda, metal"),
        (&["sweep", "x.toml", "--device", "cpu:1"], "there is no cpu:1: there is one"),
        (&["sweep", "x.toml", "--set", "run.device=cuda:1"], "one of cpu, cuda, metal"),
        (&["sweep", "x.toml", "--device", "cpu,cpu", "--force"], "to itself"),
        (&["run", "x.toml", "--device", "cpu,cpu"], "computes on one device"),
        (&["sweep", "x.toml", "--slurm", "--dry-run", "--device", "cuda:1"], "jobs run on others"),
        (&["plan", "x.toml", "--set", "device=metal", "--set", "precision=bf16"], "not for metal"),
    ] {
        let output = frostline(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output.stderr));
        let said = text(&output.stderr).replace("\n  │ ", " ");
        assert!(said.contains(problem), "{command:?}: {said}");
    }
    assert!(!folder.path().join("results").exists());
}

#[test]
fn ids_tell_kinds_of_devices_apart_and_nothing_else() {
    let folder = folder(EXPERIMENT);
    let cpu = planned(folder.path(), &[]);
    assert_eq!(planned(folder.path(), &["--device", "cpu"]), cpu);
    let cuda = planned(folder.path(), &["--device", "cuda"]);
    assert_eq!(planned(folder.path(), &["--device", "cuda:3"]), cuda);
    assert_eq!(planned(folder.path(), &["--set", "run.device=cuda"]), cuda);
    assert!(cuda.iter().all(|id| !cpu.contains(id)));
    let words = frostline(folder.path(), &["sweep", "x.toml", "--slurm", "--dry-run", "--device", "cuda"]);
    let script = text(&words.stdout);
    assert!(script.contains("--gres=gpu:1") && script.contains("run.device=cuda"), "{}", text(&words.stderr));
}

#[test]
fn several_devices_come_to_what_one_comes_to_and_run_nothing_twice() {
    let alone = folder(EXPERIMENT);
    assert!(sweep(alone.path(), &[]).status.success());
    let spread = folder(EXPERIMENT);
    let output = sweep(spread.path(), &["--device", "cpu,cpu"]);
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(said.contains("trials: 4 trained\n"), "{said}");
    assert!(told.contains("cpu  share 1/2: 2 trials in 2 cohorts: 2 trained"), "{told}");
    assert!(told.contains("cpu  share 2/2: 2 trials in 2 cohorts: 2 trained"), "{told}");
    let ids: Vec<String> = stored(alone.path()).into_keys().collect();
    assert_eq!(stored(spread.path()).into_keys().collect::<Vec<_>>(), ids);
    for id in ids {
        assert_eq!(numbers(spread.path(), &id), numbers(alone.path(), &id), "{id}");
    }
    assert!(spread.path().join("results/x/report.md").exists());
    let again = sweep(spread.path(), &["--device", "cpu,cpu", "--json"]);
    let events: Vec<serde_json::Value> =
        text(&again.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["stored"], &last["trained"]),
        (&"sweep-ends".into(), &4.into(), &0.into())
    );
}
