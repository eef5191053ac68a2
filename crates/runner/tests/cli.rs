//! The binary as a user meets it: what it prints, how it exits, and that bad input touches nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository, so that its experiment files are found under the names that the documentation uses.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies two folders down")
        .to_owned()
}

fn frostline(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
    for variable in ["HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
        command.env_remove(variable);
    }
    // No server listens there: whatever asks one fails.
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", folder.join("hf")).env("NO_COLOR", "1");
    command.current_dir(folder).args(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const EXPERIMENT: &str = r#"question = "does it run?"
[data]
source = "digits"
per-class = 10
[train]
epochs = 1
batch = 32
[grid]
model = ["resnet18"]
strategy = ["head"]
"#;

/// Runs with `EXPERIMENT`, changed, as x.toml in an empty folder; gives what stderr said and whether anything was made.
fn refused(from: &str, to: &str, arguments: &[&str]) -> String {
    assert!(EXPERIMENT.contains(from), "{from}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.toml"), EXPERIMENT.replacen(from, to, 1)).unwrap();
    let output = frostline(folder.path(), &[&["sweep", "x.toml"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    assert!(!folder.path().join("results").exists() && !folder.path().join("hf").exists());
    stderr(&output)
}

#[test]
fn the_shipped_experiments_have_plans() {
    let quickstart = stdout(&frostline(&root(), &["plan"]));
    assert!(quickstart.contains("24 trials, 8 arms, 3 seeds"), "{quickstart}");
    for (file, totals) in [
        ("experiments/strategies.toml", "42 trials, 14 arms, 3 seeds"),
        ("experiments/pretraining.toml", "36 trials, 12 arms, 3 seeds"),
        ("experiments/families.toml", "24 trials, 12 arms, 2 seeds"),
    ] {
        let plan = stdout(&frostline(&root(), &["plan", file]));
        assert!(plan.contains(totals), "{plan}");
    }
    let article = stdout(&frostline(&root(), &["plan", "experiments/article.toml"]));
    assert!(article.contains("12 trials, 4 arms, 3 seeds, 120 epochs; 2 claims to check"), "{article}");
    for line in article.lines().filter(|line| line.contains("alexnet")) {
        assert!(line.split_whitespace().any(|cell| cell == "64"), "{line}");
    }
}

#[test]
fn the_article_runs_on_other_images_and_weights_by_flags_alone() {
    let flags = [
        "plan",
        "experiments/article.toml",
        "--set",
        "data.source=hub:frostline-lab/cifar10-jpeg",
        "--set",
        "data.per-class=500",
        "--set",
        "train.epochs=3",
        "--set",
        "weights[model=resnet18]=hub:owner/name/model.safetensors",
        "--set",
        "weights[model=alexnet]=none",
        "--only",
        "seed=0",
    ];
    let plan = stdout(&frostline(&root(), &flags));
    assert!(plan.contains("4 trials, 4 arms, 1 seed, 12 epochs; 8 left out by --only"), "{plan}");
    assert!(
        plan.contains("source hub:frostline-lab/cifar10-jpeg") && plan.contains("per-class 500"),
        "{plan}"
    );
    let weights = |line: &str| line.contains("hub:owner/name/model.safetensors");
    let is_row = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains("  ");
    let rows: Vec<&str> = plan.lines().filter(is_row).collect();
    assert_eq!(rows.len(), 4, "{plan}");
    assert!(rows.iter().all(|row| weights(row) == row.contains("resnet18")), "{plan}");
}

#[test]
fn bad_input_is_refused_before_anything_is_made() {
    let message = refused("epochs", "epocs", &[]);
    assert!(message.contains("x.toml:6:1") && message.contains("did you mean `epochs`?"), "{message}");
    let message = refused("resnet18", "resnet-18", &[]);
    assert!(message.contains("x.toml:9:10") && message.contains("did you mean `resnet18`?"), "{message}");
    let message = refused("resnet18", "alexnet", &[]);
    assert!(
        message.contains("x.toml:9:10") && message.contains("smallest resolution that works is 63"),
        "{message}"
    );
    let message = refused("\"head\"", "\"last-9\"", &[]);
    assert!(message.contains("x.toml:10:13") && message.contains("last-9"), "{message}");
    let message = refused("digits", "digit", &[]);
    assert!(message.contains("x.toml:3:10") && message.contains("hub:OWNER/NAME"), "{message}");
    let message = refused("epochs = 1", "epochs = 1\nwarmup = 3", &[]);
    assert!(message.contains("x.toml:7:10"), "{message}");
    let message = refused("question", "question", &["--set", "train.batch=1"]);
    assert!(message.contains("--set:1:13") && message.contains("from 2 to 65536"), "{message}");
    let message = refused("question", "question", &["--only", "model=alexnet"]);
    assert!(message.contains("keeps no trial") && message.contains("trials have resnet18"), "{message}");
}

#[test]
fn a_missing_file_names_those_that_are_there() {
    let output = frostline(&root(), &["plan", "experiments/quikstart.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `quickstart.toml`?"), "{}", stderr(&output));
}

#[test]
fn models_and_data_tell_what_there_is() {
    let models = stdout(&frostline(&root(), &["models", "--resolution", "64"]));
    assert!(models.contains("resnet18") && models.contains("61,100,840"), "{models}");
    let folder = tempfile::tempdir().unwrap();
    let data = stdout(&frostline(folder.path(), &["data", "digits", "--sheet", "sheet.png"]));
    assert!(data.contains("8x8") && folder.path().join("sheet.png").exists(), "{data}");
    let offline = frostline(folder.path(), &["data", "hub:owner/name", "--offline"]);
    assert_eq!(offline.status.code(), Some(1), "{}", stderr(&offline));
}

#[test]
fn a_sweep_trains_once_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.toml"), EXPERIMENT).unwrap();
    let first = stdout(&frostline(folder.path(), &["sweep", "x.toml", "--threads", "1"]));
    assert!(first.contains("trials: 1 trained") && first.contains("results/x/report.md"), "{first}");
    assert!(folder.path().join("results/x/report.md").exists());
    let again = stdout(&frostline(folder.path(), &["sweep", "x.toml"]));
    assert!(again.contains("trials: 1 stored before"), "{again}");
    std::fs::remove_file(folder.path().join("results/x/report.md")).unwrap();
    stdout(&frostline(folder.path(), &["report", "results/x"]));
    assert!(folder.path().join("results/x/report.md").exists());
}

/// The text that stands after the last colon, if it stands in the message once more.
fn told_twice(message: &str) -> Option<String> {
    let words: Vec<&str> =
        message.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
    let window = words
        .windows(5)
        .enumerate()
        .find(|(at, window)| words[at + 5..].windows(5).any(|other| other == *window));
    window.map(|(_, window)| window.join(" "))
}

#[test]
fn an_error_prints_its_cause_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("x.toml"), EXPERIMENT).unwrap();
    std::fs::write(at("broken.safetensors"), "not weights at all").unwrap();
    std::fs::create_dir_all(at("folder/a")).unwrap();
    std::fs::write(at("folder/a/1.png"), "no picture").unwrap();
    std::fs::write(at("file"), "").unwrap();
    let weights = |name: &str| format!("weights=file:{name}.safetensors");
    let commands: [Vec<String>; 8] = [
        vec!["sweep".into(), "absent.toml".into()],
        vec!["sweep".into(), "x.toml".into(), "--set".into(), weights("absent")],
        vec!["sweep".into(), "x.toml".into(), "--set".into(), weights("broken")],
        vec!["sweep".into(), "x.toml".into(), "--set".into(), "source=folder:absent".into()],
        vec!["sweep".into(), "x.toml".into(), "--set".into(), "source=hub:a/b".into()],
        vec!["sweep".into(), "x.toml".into(), "--results".into(), "file/results".into()],
        vec!["data".into(), "cifar:absent".into()],
        vec!["report".into(), "absent".into()],
    ];
    for command in commands {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = frostline(folder.path(), &command);
        assert!(!output.status.success(), "{command:?}");
        let message = stderr(&output);
        assert_eq!(told_twice(&message), None, "{command:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    assert!(
        told_twice("cannot read it: no such file or folder; cannot read it: no such file or folder")
            .is_some()
    );
}

#[test]
fn shells_and_man_know_every_command() {
    let commands =
        ["sweep", "pretrain", "plan", "export", "predict", "report", "diff", "merge", "models", "data"];
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&frostline(folder.path(), &["completions", shell]));
        assert!(
            commands.iter().all(|command| script.contains(command)) && script.contains("only"),
            "{shell}"
        );
    }
    frostline(folder.path(), &["man", "pages"]);
    for command in commands {
        let page =
            std::fs::read_to_string(folder.path().join(format!("pages/frostline-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(folder.path().join("pages/frostline.1").exists());
}
