//! A sweep in shares: what processes that know nothing of each other come to together, what they wait for, and what a look tells meanwhile.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use super::{binary, folder, numbers, stored, sweep, text};

/// Two cohorts of two and four trials alone, with a pretraining that half of them share.
const SWEEP: &str = r#"question = "Who does what?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
classes = ["0", "1", "2", "3", "4"]
[train]
epochs = 2
batch = 16
[grid]
model = ["mobilenetv3_small"]
weights = ["none", "pretrain:others"]
strategy = ["head", "last-1", "full", "l2-sp:0.1"]
seed = [0]
[pretrain.others]
method = "supervised"
classes = ["5", "6", "7"]
per-class = 12
epochs = 2
"#;

fn share(folder: &Path, share: &str, more: &[&str]) -> Child {
    let line = [&["run", "x.toml", "--threads", "1", "--cohort", share], more].concat();
    binary(folder, &line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

fn status(folder: &Path) -> serde_json::Value {
    let output = binary(folder, &["status", "results/x", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn shares_come_to_what_one_sweep_comes_to_and_run_nothing_twice() {
    let alone = folder(SWEEP);
    assert!(sweep(alone.path(), &[]).status.success());
    let shared = folder(SWEEP);
    let all: Vec<Child> = ["1/3", "2/3", "3/3"].map(|part| share(shared.path(), part, &[])).into();
    let mut trained = 0;
    for output in all.into_iter().map(ended) {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        let count = said.rsplit(": ").next().and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        trained += count.unwrap_or_else(|| panic!("{said}"));
    }
    assert_eq!(trained, 8, "each trial by one process");
    let ids: Vec<String> = stored(alone.path()).into_keys().collect();
    assert_eq!(stored(shared.path()).into_keys().collect::<Vec<_>>(), ids);
    for id in ids {
        assert_eq!(numbers(shared.path(), &id), numbers(alone.path(), &id), "{id}");
    }
    let told = status(shared.path());
    assert_eq!((&told["counts"]["done"], &told["seconds-left"]), (&8.into(), &serde_json::Value::Null));
    assert!(!shared.path().join("results/x/report.md").exists());
    let left_over = ended(share(shared.path(), "7/7", &["--report"]));
    assert!(text(&left_over.stdout).starts_with("share 7/7 has nothing to do"), "{left_over:?}");
    assert!(shared.path().join("results/x/report.md").exists());
}

#[test]
fn a_share_waits_for_another_process_and_takes_over_where_that_dies() {
    let folder = folder(SWEEP);
    let mut first = share(folder.path(), "1/1", &["--save-every", "0s"]);
    let mut seen = serde_json::Value::Null;
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(100));
        if folder.path().join("results/x/plan.json").exists() {
            seen = status(folder.path());
            if seen["counts"]["running"].as_u64() > Some(0) {
                break;
            }
        }
    }
    assert_eq!(seen["processes"][0]["pid"], first.id(), "{seen}");
    let second = share(folder.path(), "1/1", &[]);
    std::thread::sleep(Duration::from_millis(500));
    first.kill().unwrap();
    first.wait().unwrap();
    let output = ended(second);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stored(folder.path()).len(), 8);
    assert_eq!(status(folder.path())["counts"]["done"], 8);
}

#[test]
fn what_is_no_share_or_another_plan_is_refused_before_anything_is_made() {
    let folder = folder(SWEEP);
    for (arguments, problem) in [
        (["--cohort", "4/3"], "1/3 to 3/3"),
        (["--expect", "0123"], "than was meant"),
        (["--cohort=1/2", "--force"], "to itself"),
        (["--set", "halving.first=1"], "halving"),
    ] {
        let output = binary(folder.path(), &[&["run", "x.toml"], &arguments[..]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(problem), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(!folder.path().join("results").exists());
    let nowhere = binary(folder.path(), &["status", "results/x"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("holds no plan.json"), "{}", text(&nowhere.stderr));
}

/// Trials that take no time, which 64 processes all want.
const MANY: &str = r#"question = "Who comes first?"
[data]
source = "digits"
resolution = 8
per-class = 4
validation = 0.25
classes = ["0", "1"]
[train]
epochs = 1
batch = 2
[grid]
model = ["resnet18-cifar"]
strategy = ["head", "full"]
learning-rate = [0.1, 0.03, 0.01, 0.003, 0.001]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
"#;

#[test]
#[ignore = "64 processes want a minute and some memory: cargo test --workspace --test sweep -- --ignored many_processes"]
fn many_processes_lose_no_trial_and_run_none_twice() {
    let folder = folder(MANY);
    // All of them want all trials: the claims alone keep them apart.
    let all: Vec<Child> = (0..64).map(|_| share(folder.path(), "1/1", &["--memory", "1GiB"])).collect();
    let mut trained = Vec::new();
    for output in all.into_iter().map(ended) {
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let parts = said.trim().rsplit(": ").next().unwrap_or_default().to_owned();
        let count = parts.split(", ").find_map(|part| part.strip_suffix(" trained")?.parse::<usize>().ok());
        trained.push(count.unwrap_or(0));
    }
    eprintln!("trained by each: {trained:?}");
    assert_eq!(trained.iter().sum::<usize>(), 200);
    assert_eq!(stored(folder.path()).len(), 200);
    let told = status(folder.path());
    assert_eq!((&told["counts"]["done"], &told["processes"]), (&200.into(), &serde_json::json!([])));
}
