//! What a sweep does not lose, and does not take for its own: trials without their folders, a terminal that is gone, signals,
//! and another experiment of the same name.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{EXPERIMENT, command, folder, numbers, stored, sweep, text, trials, wait_for};

#[test]
fn trials_are_read_back_where_their_folders_are_gone() {
    let folder = folder(EXPERIMENT);
    assert!(sweep(folder.path(), &[]).status.success());
    let before: Vec<_> = stored(folder.path()).into_keys().collect();
    let measured: Vec<_> = before.iter().map(|id| numbers(folder.path(), id)).collect();
    let tables = || {
        let read = |name: &str| fs::read(folder.path().join("results/x").join(name)).unwrap();
        ["trials.parquet", "epochs.parquet", "predictions.parquet"].map(read)
    };
    let whole = tables();
    let environments = fs::read(folder.path().join("results/x/environment.json")).unwrap();
    fs::remove_dir_all(trials(folder.path())).unwrap();
    let one = sweep(folder.path(), &["--only", "strategy=full", "--only", "seed=0", "--threads", "1"]);
    assert!(text(&one.stdout).contains("trials: 1 stored before"), "{}", text(&one.stdout));
    assert!(
        text(&one.stderr).contains("4 trials read back from results/x/stored.json"),
        "{}",
        text(&one.stderr)
    );
    assert!(whole == tables(), "the tables are others now");
    let after = fs::read(folder.path().join("results/x/environment.json")).unwrap();
    assert!(after == environments, "nothing ran in another environment");
    assert_eq!(stored(folder.path()).into_keys().collect::<Vec<_>>(), before);
    for (id, measured) in before.iter().zip(measured) {
        assert_eq!(numbers(folder.path(), id), measured, "{id}");
    }
}

#[test]
fn a_second_file_of_the_same_name_does_not_write_into_the_folder_of_the_first() {
    let folder = folder(EXPERIMENT);
    for (name, question) in [("d1", "one"), ("d2", "two")] {
        fs::create_dir(folder.path().join(name)).unwrap();
        let experiment = EXPERIMENT.replace("Does it go on?", question);
        fs::write(folder.path().join(name).join("exp.toml"), experiment).unwrap();
    }
    let run = |file: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        command.current_dir(folder.path()).args([
            "sweep",
            file,
            "--only",
            "seed=0",
            "--only",
            "strategy=head",
        ]);
        command.args(more).output().expect("the binary runs")
    };
    assert!(run("d1/exp.toml", &[]).status.success());
    let second = run("d2/exp.toml", &[]);
    assert!(!second.status.success());
    let told = text(&second.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("holds the results of d1/exp.toml") && told.contains("--results"), "{told}");
    let report = |place: &str| fs::read_to_string(folder.path().join(place).join("report.md")).unwrap();
    assert!(report("results/exp").starts_with("# one\n"));
    assert!(run("d2/exp.toml", &["--results", "r/second one"]).status.success());
    let again = "frostline sweep d2/exp.toml --only seed=0 --only strategy=head --results 'r/second one'\n\
                 frostline report 'r/second one'";
    assert!(report("r/second one").contains(again), "{}", report("r/second one"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_cannot_be_written_to_stops_nothing() {
    for full in ["stdout", "stderr"] {
        let folder = folder(EXPERIMENT);
        let mut command = command(folder.path(), &["--only", "seed=0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let device = || File::options().write(true).open("/dev/full").unwrap();
        match full {
            "stdout" => command.stdout(device()),
            _ => command.stderr(device()),
        };
        let output = command.output().unwrap();
        // What could not be printed is told by the exit code alone.
        assert_eq!(
            output.status.code(),
            Some(i32::from(full == "stdout")),
            "{full}: {}",
            text(&output.stderr)
        );
        assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
        assert_eq!(stored(folder.path()).len(), 2, "{full}");
        assert!(folder.path().join("results/x/report.md").exists(), "{full}");
    }
}

#[test]
#[cfg(unix)]
fn a_signal_ends_a_sweep_with_its_own_code_and_the_way_to_go_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = folder(&EXPERIMENT.replace("seed = [0, 1]", "seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"));
        let mut child =
            command(folder.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(folder.path(), &mut child, 1);
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{signal}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("stopping after this step"), "{}", text(&output.stderr));
        let told = text(&output.stdout);
        assert!(told.contains("to go on where this stopped: frostline sweep x.toml"), "{told}");
        assert!(report_is_whole(folder.path()));
    }
}

fn report_is_whole(folder: &Path) -> bool {
    fs::read_to_string(folder.join("results/x/report.md")).is_ok_and(|text| text.contains("## Again"))
}

/// A sweep whose address space is limited to so many KiB.
#[cfg(target_os = "linux")]
fn limited(folder: &Path, kib: usize, results: &str, more: &[&str]) -> std::process::Output {
    let line = format!("ulimit -v {kib} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-c", &line, env!("CARGO_BIN_EXE_frostline"), "sweep", "x.toml"]);
    command.args(["--threads", "2", "--results", results]).args(more).output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn trials_without_the_memory_they_take_are_named_and_the_others_go_on() {
    let two = EXPERIMENT
        .replace("model = [\"mobilenetv3_small\"]", "model = [\"mobilenetv3_small\", \"alexnet\"]")
        .replace("resolution = 16", "resolution = 64")
        .replace("[\"head\", \"full\"]", "[\"full\"]")
        .replace("seed = [0, 1]", "seed = [0]");
    let folder = folder(&two);
    let short = limited(folder.path(), 1_500_000, "small", &[]);
    let (out, told) = (text(&short.stdout), text(&short.stderr));
    assert_eq!(short.status.code(), Some(3), "{out}{told}");
    assert!(out.contains("trials: 1 trained, 1 failed"), "{out}{told}");
    let line = told.lines().find(|line| line.contains("is not run: too little memory: about ")).unwrap();
    assert!(line.contains("alexnet full 64 px seed 0") && line.contains(" are there; "), "{line}");
    let report = fs::read_to_string(folder.path().join("small/report.md")).unwrap();
    assert!(report.contains("too little memory: about"), "{report}");
    let again = limited(folder.path(), 100_000_000, "small", &[]);
    assert!(text(&again.stdout).contains("trials: 1 trained, 1 stored before"), "{}", text(&again.stderr));

    // A pretraining is weighed as well, is not taken for failed, and takes its trials with it until there is enough.
    let own = "[pretrain.p]\nmethod = \"rotation\"\nepochs = 1\nbatch = 32\n";
    let pretrained = two.replace("[grid]", "[grid]\nweights = [\"none\", \"pretrain:p\"]") + own;
    fs::write(
        folder.path().join("x.toml"),
        pretrained.replace("\"mobilenetv3_small\", ", "").replace("\"full\"", "\"head\""),
    )
    .unwrap();
    let short = limited(folder.path(), 1_500_000, "p", &[]);
    let (out, told) = (text(&short.stdout), text(&short.stderr));
    assert_eq!(short.status.code(), Some(3), "{out}{told}");
    assert!(told.contains("(alexnet p 64 px seed 0) is not run: too little memory: about "), "{told}");
    assert!(out.contains("trials: 1 trained, 1 failed"), "{out}{told}");
    let again = limited(folder.path(), 100_000_000, "p", &[]);
    assert!(text(&again.stdout).contains("trials: 1 trained, 1 stored before"), "{}", text(&again.stderr));
}

#[test]
#[cfg(target_os = "linux")]
fn where_the_system_gives_no_memory_or_no_thread_that_is_said_and_nothing_is_taken_for_failed() {
    let folder = folder(EXPERIMENT);
    // What fails first is another thing each time: memory, or one of the threads that libraries start.
    for kib in (120_000..=600_000).step_by(40_000) {
        let short = limited(folder.path(), kib, "short", &["--only", "seed=0"]);
        let (out, told) = (text(&short.stdout), text(&short.stderr));
        assert!(!told.contains("backtrace") && !told.contains("panicked"), "{kib}: {told}");
        match short.status.code() {
            Some(0) => assert!(out.contains("trials: "), "{kib}: {out}"),
            Some(3) => assert!(told.contains("too little memory"), "{kib}: {told}"),
            Some(71) => {
                let known = ["out of memory: ", "the system starts no more threads: "];
                assert!(known.iter().any(|known| told.contains(known)), "{kib}: {told}");
            }
            code => panic!("{kib}: {code:?} {told}"),
        }
    }
    let enough = limited(folder.path(), 100_000_000, "short", &["--only", "seed=0"]);
    assert_eq!(enough.status.code(), Some(0), "{}", text(&enough.stderr));
    let report = fs::read_to_string(folder.path().join("short/report.md")).unwrap();
    assert!(!report.contains("a defect of Frostline"), "{report}");
}
