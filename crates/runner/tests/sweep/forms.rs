//! How a sweep tells of itself, and what its folder can be made into: events, quiet, `diff`, `merge` and files for other tools.

use std::fs;
use std::path::Path;

use super::{EXPERIMENT, folder, frostline, sweep, text};

#[test]
fn events_are_json_a_line_and_quiet_is_quiet() {
    let folder = folder(EXPERIMENT);
    let loud = sweep(folder.path(), &["--only", "seed=0", "--json"]);
    assert!(loud.status.success() && loud.stderr.is_empty(), "{}", text(&loud.stderr));
    let out = text(&loud.stdout);
    let events: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!((of("trial-ends").len(), of("epoch").len(), of("training-begins").len()), (2, 2, 2));
    assert!(of("epoch")[0]["images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(of("trial-ends")[1]["sweep_seconds_left"], 0.0);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["trained"], &last["left"]),
        (&"sweep-ends".into(), &2.into(), &0.into())
    );
    assert!(last["answer"].as_str().unwrap().len() > 40);

    let quiet = sweep(folder.path(), &["--quiet"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", text(&quiet.stderr));
    assert!(text(&quiet.stdout).contains("trials: 2 trained, 2 stored before"));
    let both = sweep(folder.path(), &["--quiet", "--json"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn parts_are_joined_and_the_whole_has_not_changed() {
    let folder = folder(EXPERIMENT);
    for (results, seed) in [("a", "seed=0"), ("b", "seed=1")] {
        assert!(sweep(folder.path(), &["--only", seed, "--results", results, "--quiet"]).status.success());
    }
    let merged = frostline(folder.path(), &["merge", "whole", "a", "b"]);
    assert!(text(&merged.stdout).starts_with("4 trials came in\n"), "{}", text(&merged.stderr));
    let report = fs::read_to_string(folder.path().join("whole/report.md")).unwrap();
    assert!(report.contains("*4 of 4 trials finished.*"), "{report}");
    // What is whole is not run again.
    let again = sweep(folder.path(), &["--results", "whole", "--quiet"]);
    assert!(text(&again.stdout).contains("trials: 4 stored before"), "{}", text(&again.stdout));

    let same = frostline(folder.path(), &["diff", "whole", "a"]);
    let out = text(&same.stdout);
    assert_eq!(same.status.code(), Some(0), "{out}");
    assert!(out.contains("the same answers") && out.contains("no change beyond noise"), "{out}");
    assert!(sweep(folder.path(), &["--set", "epochs=6", "--results", "longer", "--quiet"]).status.success());
    let other = frostline(folder.path(), &["diff", "whole", "longer"]);
    let out = text(&other.stdout);
    assert!(out.contains("epochs 1 → 6"), "{out}");
    assert_eq!(other.status.code(), Some(4), "six epochs take longer than one: {out}");
    let nothing = frostline(folder.path(), &["diff", "whole", "nowhere"]);
    assert!(text(&nothing.stderr).contains("holds no plan.json"), "{}", text(&nothing.stderr));

    fs::write(folder.path().join("y.toml"), EXPERIMENT.replace("Does it go on?", "Another?")).unwrap();
    assert!(
        frostline(folder.path(), &["sweep", "y.toml", "--only", "strategy=head", "--quiet"]).status.success()
    );
    let refused = frostline(folder.path(), &["merge", "whole", "results/y"]);
    assert!(text(&refused.stderr).contains("hold different experiments"), "{}", text(&refused.stderr));
}

#[test]
fn files_for_other_tools_are_written_where_they_are_wanted() {
    let folder = folder(EXPERIMENT);
    let swept = sweep(folder.path(), &["--only", "strategy=head", "--tensorboard", "--quiet"]);
    assert!(
        text(&swept.stdout).contains("results/x/tensorboard: 2 runs for TensorBoard"),
        "{}",
        text(&swept.stdout)
    );
    let written = frostline(folder.path(), &["report", "results/x", "--mlflow=runs"]);
    assert!(text(&written.stdout).contains("runs: 2 runs for MLflow"), "{}", text(&written.stdout));
    assert_eq!(fs::read_dir(folder.path().join("results/x/tensorboard")).unwrap().count(), 2);
    // They are there while trials train: a sweep that cannot finish one has them too.
    let mut child =
        super::command(folder.path(), &["--set", "epochs=4000", "--results", "live", "--mlflow", "--quiet"])
            .spawn()
            .unwrap();
    let metric = |folder: &Path| {
        let runs = fs::read_dir(folder).into_iter().flatten().flatten();
        runs.flat_map(|run| fs::read_to_string(run.path().join("metrics/loss_train")))
            .any(|text| text.lines().count() > 1)
    };
    while !fs::read_dir(folder.path().join("live/mlruns"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| metric(&entry.path()))
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first epochs were told");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(folder.path().join("runs").exists() && folder.path().join("results/x/report.html").exists());
}
