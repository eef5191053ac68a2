//! `frostline sweep --slurm`: what is submitted and cancelled, by commands that stand in for Slurm's; and, where Slurm is installed, a whole
//! sweep on a cluster of one node. `FROSTLINE_SLURM` names the tests of `scripts/slurm-test.sh` to run; `just slurm` runs them all.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXPERIMENT: &str = r#"question = "does it queue?"
[data]
source = "digits"
per-class = 10
classes = ["0", "1", "2"]
[train]
epochs = 1
batch = 16
[grid]
model = ["resnet18"]
weights = ["none", "pretrain:others"]
strategy = ["full"]
seed = [0, 1, 2]
[pretrain.others]
method = "supervised"
classes = ["5", "6"]
per-class = 10
epochs = 1
"#;

/// A folder with the experiment, and commands that note how they were called. sbatch numbers jobs from 11.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.toml"), EXPERIMENT).unwrap();
        let cluster = Self { folder };
        cluster.command(
            "scontrol",
            "[ \"$1 $2\" = 'show config' ] && echo 'MaxArraySize            = 5'; exit 0",
        );
        cluster.command("sinfo", "echo 4; echo 2+");
        cluster.command("sbatch", "n=$(grep -c ^sbatch \"$0.calls\"); echo $((10 + n))");
        cluster.command("scancel", "exit 0");
        cluster.command("squeue", "cat \"$0.says\" 2>/dev/null; exit 0");
        cluster.command("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1");
        cluster
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A command that notes its words, one call a line, and then does this.
    fn command(&self, name: &str, does: &str) {
        fs::create_dir_all(self.bin()).unwrap();
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\" >>\"$0.calls\"\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn says(&self, name: &str, text: &str) {
        fs::write(self.bin().join(format!("{name}.says")), text).unwrap();
    }

    fn calls(&self, name: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.bin().join(format!("{name}.calls"))).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        #[expect(clippy::disallowed_methods, reason = "commands that stand in for Slurm's are found first")]
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        command.env("PATH", format!("{}:{path}", self.bin().display())).env("NO_COLOR", "1");
        command.env("HF_HOME", self.folder.path().join("hf"));
        command.current_dir(self.folder.path()).args(arguments).output().expect("the binary runs")
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results/x")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

/// The words of a script's `#SBATCH` lines.
fn flags(script: &Path) -> Vec<String> {
    let script = fs::read_to_string(script).unwrap();
    script.lines().filter_map(|line| line.strip_prefix("#SBATCH ")).map(str::to_owned).collect()
}

#[test]
fn a_folder_whose_logs_slurm_could_not_name_is_refused() {
    let cluster = Cluster::new();
    let said = refused(&cluster.run(&["sweep", "x.toml", "--slurm", "--dry-run", "--results", "a\\b"]));
    assert!(said.contains("backslash") && said.contains("--results"), "{said}");
    assert_eq!(cluster.calls("sbatch"), Vec::<String>::new());
}

#[test]
fn a_sweep_is_submitted_asked_after_and_cancelled() {
    let cluster = Cluster::new();
    let submitted =
        told(&cluster.run(&["sweep", "x.toml", "--slurm", "--time", "90", "--sbatch=--account=lab"]));
    // Six trials alone, and places up to 4.
    assert!(
        submitted.contains("job 11: downloads and pretraining\njob 12: trials, an array of 4\n"),
        "{submitted}"
    );
    assert!(submitted.contains("job 13: trials, an array of 2\njob 14: the report"), "{submitted}");
    assert!(submitted.contains("frostline cancel results/x"), "{submitted}");
    let calls = cluster.calls("sbatch");
    let word = |call: &str, word: &str| calls.iter().any(|line| line.contains(call) && line.contains(word));
    assert!(word("prepare.sh", "--parsable") && !word("prepare.sh", "--dependency"), "{calls:?}");
    assert!(word("trials-1.sh", "--dependency=afterok:11") && word("trials-2.sh", "--dependency=afterok:11"));
    assert!(word("report.sh", "--dependency=afterany:11:12:13"), "{calls:?}");
    let flags = flags(&cluster.results().join("slurm/trials-2.sh"));
    for flag in [
        "--array=1-2",
        "--time=90",
        "--account=lab",
        "--requeue",
        "--signal=B:TERM@120",
        "--open-mode=append",
    ] {
        assert!(flags.iter().any(|known| known == flag), "{flag} is not among {flags:?}");
    }
    cluster.says(
        "squeue",
        "12_1|RUNNING|None|n1\n12_2|PENDING|Resources|\n13_1|PENDING|Priority|\n14|PENDING|Dependency|\n",
    );
    fs::create_dir_all(cluster.results().join("slurm/exits")).unwrap();
    fs::write(cluster.results().join("slurm/exits/11"), "0\n").unwrap();
    fs::write(cluster.results().join("slurm/exits/12_3"), "137\n").unwrap();
    let status = told(&cluster.run(&["status", "results/x"]));
    assert!(status.starts_with("results/x: 6 trials: 6 waiting\n3 pretrainings: 3 waiting\n"), "{status}");
    assert!(status.contains("Slurm job 11 (downloads and pretraining): 1 done\n"), "{status}");
    assert!(status.contains("1 running (n1), 1 waiting (Resources), 1 out of memory"), "{status}");
    assert!(status.contains("12_3 ran out of its memory of ") && status.contains("with --mem "), "{status}");
    let again = refused(&cluster.run(&["sweep", "x.toml", "--slurm"]));
    assert!(again.contains("jobs of results/x are not done: 12, 13, 14"), "{again}");
    let cancelled = told(&cluster.run(&["cancel", "results/x"]));
    assert!(cancelled.starts_with("cancelled: 12, 13, 14\n"), "{cancelled}");
    assert_eq!(cluster.calls("scancel"), ["scancel 12 13 14"]);
    cluster.says("squeue", "");
    assert!(told(&cluster.run(&["cancel", "results/x"])).contains("no job of results/x waits or runs"));
}

#[test]
fn a_cluster_that_takes_no_job_leaves_none_behind() {
    let cluster = Cluster::new();
    cluster.command(
        "sbatch",
        "n=$(grep -c ^sbatch \"$0.calls\"); [ $n -lt 3 ] && echo $((10 + n)) && exit; echo 'AssocMaxSubmitJobLimit' >&2; exit 1",
    );
    let message = refused(&cluster.run(&["sweep", "x.toml", "--slurm"]));
    assert!(message.contains("AssocMaxSubmitJobLimit") && message.contains("cancelled: 11, 12"), "{message}");
    assert_eq!(cluster.calls("scancel"), ["scancel 11 12"]);
}

#[test]
fn scripts_are_shown_and_nothing_is_made() {
    let cluster = Cluster::new();
    let shown =
        told(&cluster.run(&["sweep", "x.toml", "--slurm", "--dry-run", "--shares", "2", "--mem", "3GiB"]));
    assert!(shown.contains("#SBATCH --array=1-2\n") && shown.contains("#SBATCH --mem=3072M\n"), "{shown}");
    assert!(shown.contains("--cohort \"$share/2\"") && shown.contains("Nothing was submitted."), "{shown}");
    assert!(!cluster.folder.path().join("results").exists() && cluster.calls("sbatch").is_empty());
    for (arguments, problem) in [
        (["--time", "2h"], "--time 2h is no time limit"),
        (["--threads", "4"], "--threads is for this machine"),
        (["--sbatch", "--array=1-3"], "frostline sets itself"),
        (["--sbatch", "--mem=4G"], "a flag of frostline's own"),
        (["--sbatch", "-pshort"], "a flag of frostline's own"),
        (["--sbatch", "account"], "is no flag"),
        (["--sbatch", "-dafterok:1"], "is what frostline sets itself"),
        (["--sbatch", "--output=here"], "is what frostline sets itself"),
        (["--set", "halving.first=1"], "halving"),
    ] {
        let message = refused(&cluster.run(&[&["sweep", "x.toml", "--slurm"], &arguments[..]].concat()));
        assert!(message.contains(problem), "{arguments:?}: {message}");
    }
    let alone = refused(&cluster.run(&["sweep", "x.toml", "--partition", "short"]));
    assert!(alone.contains("--slurm"), "{alone}");
    let nothing = cluster.run(&["cancel", "results/x"]);
    assert!(!nothing.status.success() && text(&nothing.stderr).contains("plan.json"), "{nothing:?}");
}

#[test]
fn sweeps_on_a_real_cluster_come_to_the_same() {
    #[expect(clippy::disallowed_methods, reason = "how much to try is the user's wish")]
    let tests = std::env::var("FROSTLINE_SLURM").unwrap_or_else(|_| "array".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/slurm-test.sh");
    let mut command = Command::new("bash");
    command.arg(script).args(["--frostline", env!("CARGO_BIN_EXE_frostline")]).args(tests.split_whitespace());
    let run = command.output().unwrap();
    let said = text(&[run.stdout, run.stderr].concat());
    match run.status.code() {
        Some(77) => eprintln!("{said}"), // It says that it is skipped.
        code => assert_eq!(code, Some(0), "{said}"),
    }
}
