//! Whether the reports in `results/` are those that their experiment files and this code give: the trials are in today's plan, and
//! the text is what `frostline report` writes from what is stored.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use frostline::commands::planned;
use frostline_results::Results;

/// Those that wait for being run again, since an earlier version stored them.
const STALE: [&str; 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A copy of a committed folder, without what git ignores of it.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with(".lock") && !path.ends_with(".gate") {
            fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    for part in ["plots", "gallery"].into_iter().filter(|part| from.join(part).exists()) {
        fs::create_dir(to.path().join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.path().join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    to
}

/// Why a committed report does not fit; none where it does.
fn misfit(name: &str) -> Option<String> {
    let committed = root().join("results").join(name);
    if !committed.join("stored.json").exists() {
        return Some("it has no stored.json".to_owned());
    }
    let folder = copy(&committed);
    let run = Command::new(env!("CARGO_BIN_EXE_frostline"))
        .current_dir(root())
        .args(["report".as_ref(), folder.path().as_os_str()])
        .output()
        .unwrap();
    if !run.status.success() {
        return Some(String::from_utf8_lossy(&run.stderr).into_owned());
    }
    let results = Results::read(folder.path()).unwrap();
    let file = results.asked.file.clone().unwrap_or_else(|| format!("experiments/{name}.toml"));
    let args = frostline::cli::PlanArgs {
        file: root().join(&file),
        set: results.asked.set.clone(),
        only: Vec::new(),
        device: None,
    };
    let (_, plan) = match planned(&args) {
        Ok(planned) => planned,
        Err(error) => return Some(format!("{file} has no plan: {error}")),
    };
    let ids = |trials: &[frostline_experiment::Trial]| -> BTreeSet<String> {
        trials.iter().map(|trial| trial.id.clone()).collect()
    };
    let stored: BTreeSet<String> = results.trials.iter().map(|stored| stored.trial.id.clone()).collect();
    if ids(&plan.trials) != ids(&results.plan.trials) || !ids(&plan.trials).is_superset(&stored) {
        return Some(format!("its trials are not those that {file} plans"));
    }
    let text = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    ["report.md", "report.json", "report.html"].into_iter().find_map(|name| {
        let (is, was) = (text(folder.path(), name), text(&committed, name));
        let other =
            is.lines().zip(was.lines()).find(|(is, was)| is != was && !is.contains("frostline report"));
        let longer = is.lines().count() != was.lines().count();
        let told = other.map(|(is, was)| format!("its {name} says `{was}`, and would say `{is}`"));
        told.or_else(|| longer.then(|| format!("its {name} has another length")))
    })
}

#[test]
fn committed_reports_fit_their_experiments_and_this_code() {
    let folders = fs::read_dir(root().join("results")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = folders
        .filter(|path| path.join("report.md").exists() && !path.ends_with("mine"))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.contains(&"quickstart".to_owned()));
    for name in names {
        match (misfit(&name), STALE.contains(&name.as_str())) {
            (Some(why), false) => {
                panic!("results/{name} is stale: {why}; run it again, or `frostline report` it")
            }
            (None, true) => panic!("results/{name} fits again; take it out of STALE"),
            _ => {}
        }
    }
}

#[test]
fn folders_that_keep_reports_alone_are_compared() {
    let committed = root().join("results/quickstart");
    let [one, other] = [copy(&committed), copy(&committed)];
    let run = Command::new(env!("CARGO_BIN_EXE_frostline"))
        .args(["diff".as_ref(), one.path().as_os_str(), other.path().as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("the same answers") && said.contains("no change beyond noise"), "{said}");
}
