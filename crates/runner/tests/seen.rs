//! What users have seen stays as it is: the committed experiments plan the same trials under the same ids, and what is wrong
//! is told in the same words. The files in `fixtures/seen` are what the binary printed before its code was divided into crates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const REFUSED: [&str; 12] = [
    "train.epochs=0",
    "data.source=digit",
    "train.optimizer=lion",
    "grid.model=resnt18",
    "grid.strategy=last-9",
    "data.resolution=3",
    "lr=3",
    "grid.weights=file:x.pth",
    "data.augment=[\"flop\"]",
    "train.schedule=cosin",
    "grid.weights=pretrain:x",
    "data.classes=[\"0\"]",
];

/// What `frostline plan` prints in the repository, on both of its outputs.
fn plan(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
    let output = command.current_dir(root).arg("plan").args(arguments).output().expect("the binary runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seen").join(name)
}

#[test]
fn committed_experiments_plan_the_same_trials() {
    for name in ["article", "families", "pretraining", "quickstart", "strategies"] {
        let file = format!("experiments/{name}.toml");
        let seen = fs::read_to_string(fixture(&format!("plan-{name}.txt"))).unwrap();
        assert_eq!(plan(&[&file]), seen, "where this is meant, keep what `frostline plan {file}` prints");
    }
}

#[test]
fn what_is_refused_is_told_in_the_same_words() {
    let seen = fs::read_to_string(fixture("refusals.txt")).unwrap();
    let told: String = REFUSED.map(|flag| format!("== {flag}\n{}", plan(&["--set", flag]))).concat();
    assert_eq!(told, seen);
}
