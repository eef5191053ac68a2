//! Sweeps that pretrain: what is made once, what is shared and kept, and what a failure does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, stored, sweep, text, text_name};

const EXPERIMENT: &str = r#"question = "Does it help?"
[data]
source = "digits"
resolution = 16
per-class = 12
validation = 0.25
classes = ["5", "6", "7"]
[train]
epochs = 1
batch = 32
[pretrain.others]
method = "supervised"
classes = ["0", "1"]
epochs = 1
[pretrain.pixels]
method = "autoencoder"
denoise = 0.2
epochs = 2
[grid]
model = ["resnet18"]
weights = ["none", "pretrain:others", "pretrain:pixels"]
strategy = ["head", "full"]
"#;

fn trunks(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("results/x/pretrained")) else { return Vec::new() };
    let mut trunks: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    trunks.retain(|path| !text_name(path).contains('.'));
    trunks.sort();
    trunks
}

fn pretrain(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", folder.join("hf")).env("NO_COLOR", "1");
    command.current_dir(folder).args(["pretrain", "x.toml"]).args(arguments).output().unwrap()
}

fn weights(folder: &Path) -> Vec<Vec<u8>> {
    trunks(folder).iter().map(|trunk| fs::read(trunk.join("model.safetensors")).unwrap()).collect()
}

#[test]
fn a_trunk_is_made_once_and_shared_and_outlives_its_sweep() {
    let folder = folder(EXPERIMENT);
    let output = sweep(folder.path(), &["--threads", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("6 trained"), "{}", text(&output.stdout));
    let made = trunks(folder.path());
    assert_eq!(made.len(), 2, "two strategies share each");
    let first = weights(folder.path());

    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    for part in [
        "## Pretraining",
        "autoencoder, denoise 0.2",
        "## Time to accuracy",
        "plots/reconstructions-pixels-resnet18-",
        "plots/pretraining-curves.svg",
        "classes 0, 1",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(folder.path().join("results/x/pretraining.parquet").exists());
    let plots = fs::read_dir(folder.path().join("results/x/plots")).unwrap();
    let pictures =
        plots.filter(|entry| text_name(&entry.as_ref().unwrap().path()).starts_with("reconstructions-"));
    assert_eq!(pictures.count(), 1);

    // Trials are done again, trunks stay but for one that was damaged, which is made again, bit by bit.
    fs::write(made[0].join("model.safetensors"), &first[0][..1000]).unwrap();
    let again = sweep(folder.path(), &["--threads", "2", "--force"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let lines = text(&again.stderr);
    assert_eq!(lines.lines().filter(|line| line.starts_with("pretrained ")).count(), 1, "{lines}");
    assert_eq!(weights(folder.path()), first, "the number of threads changes no bit");

    // Trials that are forced keep the trunks; `pretrain --force` makes them anew, with the same bits.
    let forced = sweep(folder.path(), &["--force", "--only", "strategy=head"]);
    assert!(forced.status.success(), "{}", text(&forced.stderr));
    assert!(!text(&forced.stderr).contains("pretrained "), "{}", text(&forced.stderr));
    let remade = pretrain(folder.path(), &["others", "--force"]);
    assert!(text(&remade.stderr).contains("pretrained resnet18 others"), "{}", text(&remade.stderr));
    assert_eq!(weights(folder.path()), first);
}

#[test]
fn one_pretraining_alone_gives_a_file_that_other_experiments_take() {
    let folder = folder(EXPERIMENT);
    let output = pretrain(folder.path(), &["others", "--output", "trunk.safetensors"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("weights = \"file:trunk.safetensors\""),
        "{}",
        text(&output.stdout)
    );
    assert_eq!((trunks(folder.path()).len(), stored(folder.path()).len()), (1, 0));
    assert_eq!(weights(folder.path())[0], fs::read(folder.path().join("trunk.safetensors")).unwrap());

    let swept = sweep(
        folder.path(),
        &[
            "--set",
            "grid.weights=file:trunk.safetensors",
            "--set",
            "strategy=head",
            "--results",
            "results/file",
        ],
    );
    assert!(swept.status.success(), "{}", text(&swept.stderr));
    let unknown = pretrain(folder.path(), &["other"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("they use others, pixels"), "{}", text(&unknown.stderr));
}

#[test]
fn a_pretraining_that_fails_fails_its_trials_alone() {
    let folder = folder(
        &EXPERIMENT.replace("classes = [\"0\", \"1\"]", "classes = [\"0\", \"1\"]\nlearning-rate = 1e30"),
    );
    let output = sweep(folder.path(), &["--set", "weights=[\"none\", \"pretrain:others\"]"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("2 trained, 2 failed"), "{}", text(&output.stdout));
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("[pretrain.others] failed: the loss became"), "{report}");
    let again = sweep(folder.path(), &["--set", "weights=[\"none\", \"pretrain:others\"]"]);
    assert!(text(&again.stdout).contains("4 stored before"), "{}", text(&again.stdout));
}

#[test]
fn a_class_that_the_set_does_not_have_ends_the_sweep_before_the_first_trial() {
    let folder = folder(&EXPERIMENT.replace("[\"0\", \"1\"]", "[\"0\", \"eleven\"]"));
    let output = sweep(folder.path(), &[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("digits has no class `eleven`"), "{}", text(&output.stderr));
    assert_eq!((trunks(folder.path()).len(), stored(folder.path()).len()), (0, 0));
}
