//! Weights that were exported from a trial, as the start of another: their head is drawn anew and that is said, or kept.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{EXPERIMENT, folder, stored, sweep, text};

/// The first experiment's winner, exported as `m.safetensors`, and its test accuracy.
fn exported(folder: &Path) -> f64 {
    let run = sweep(
        folder,
        &[
            "--set",
            "checkpoints=best",
            "--set",
            "epochs=4",
            "--set",
            "per-class=80",
            "--only",
            "strategy=full",
            "--only",
            "seed=0",
        ],
    );
    assert!(run.status.success(), "{}", text(&run.stderr));
    let id = stored(folder).into_keys().next().unwrap();
    let export = Command::new(env!("CARGO_BIN_EXE_frostline"))
        .current_dir(folder)
        .args(["export", &id, "--output", "m.safetensors"])
        .output()
        .unwrap();
    assert!(export.status.success(), "{}", text(&export.stderr));
    accuracy(folder, "results/x", &id)
}

fn accuracy(folder: &Path, results: &str, id: &str) -> f64 {
    let file = folder.join(results).join("trials").join(id).join("outcome.json");
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    json["outcome"]["test-accuracy"].as_f64().unwrap()
}

#[test]
fn a_head_is_kept_or_drawn_anew_as_asked_and_that_is_said() {
    let folder = folder(EXPERIMENT);
    let before = exported(folder.path());
    let still = EXPERIMENT
        .replace(
            "strategy = [\"head\", \"full\"]",
            "strategy = [\"head\"]\nweights = [\"file:m.safetensors\"]\nhead = [\"keep\", \"new\"]",
        )
        .replace("epochs = 1", "epochs = 1\nlearning-rate = 1e-9\nkeep = \"last\"")
        .replace("seed = [0, 1]", "seed = [7]"); // Seed 0 draws the head that the trunk has grown up with.
    fs::write(folder.path().join("y.toml"), still).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        command.current_dir(folder.path()).args(["sweep", "y.toml"]).args(more).output().unwrap()
    };
    let swept = run(&[]);
    let told = text(&swept.stderr);
    assert!(swept.status.success(), "{told}");
    assert!(told.contains("its head for 10 classes is kept"), "{told}");
    assert!(told.contains("its head for 10 classes is drawn anew, as head = \"new\" says"), "{told}");
    let ids: Vec<String> = fs::read_dir(folder.path().join("results/y/trials"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let mut found: Vec<f64> = ids.iter().map(|id| accuracy(folder.path(), "results/y", id)).collect();
    found.sort_by(f64::total_cmp);
    assert_eq!(found[1], before, "nothing moved, so it is the model that was exported");
    assert!(found[0] < before - 0.1, "{found:?}");
    let report = fs::read_to_string(folder.path().join("results/y/report.md")).unwrap();
    assert!(report.contains("- `m.safetensors`: its head for 10 classes is kept"), "{report}");

    let refused = |set: &str| {
        let run = run(&["--set", set, "--only", "head=keep", "--results", "other"]);
        assert_eq!(run.status.code(), Some(2));
        text(&run.stderr).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    };
    let fewer = refused("data.classes=[\"1\", \"2\", \"3\"]");
    assert!(
        fewer.contains("has a head for 10 classes, and the images have 3, so head = \"keep\" cannot be"),
        "{fewer}"
    );
    let turned =
        refused("data.classes=[\"9\", \"8\", \"7\", \"6\", \"5\", \"4\", \"3\", \"2\", \"1\", \"0\"]");
    assert!(turned.contains("other classes, or in another order (0 for 9, 1 for 8"), "{turned}");
}
