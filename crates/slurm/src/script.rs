//! The scripts of a sweep's jobs: [`Script`]. A job runs `frostline`, hands SIGTERM on to it, notes how it ended, and has itself
//! queued again where its time was up.

use frostline_text::quoted;

use super::Array;

/// Seconds before the time limit at which a job is told to end.
const LEAD: u64 = 120;
/// How often a job is queued again before it gives up.
const RESTARTS: usize = 1000;

/// What a job asks the cluster for. What is none is left to the cluster, or to `flags`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The partition.
    pub partition: Option<String>,
    /// The time limit, as Slurm writes it, and in seconds where it is finite.
    pub time: Option<(String, Option<u64>)>,
    /// Memory, in MiB.
    pub memory: Option<u64>,
    /// Processors.
    pub processors: Option<usize>,
    /// Any other flags.
    pub flags: Vec<String>,
}

/// Where jobs run, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The experiment's name.
    pub experiment: String,
    /// The program, with its whole path.
    pub program: String,
    /// The folder that the experiment's paths are relative to.
    pub directory: String,
    /// The folder of scripts, logs and exit codes, with its whole path.
    pub folder: String,
    /// What was written on the command line.
    pub command: String,
}

/// A job's script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its file's name.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Script {
    /// Runs `frostline run --prepare` with these words besides. Pretrainings that fail are no failure of the job, as others may have come
    /// through that trials wait for.
    pub fn prepare(setting: &Setting, request: &Request, words: &[String]) -> Self {
        let head = head(setting, request, "prepare", "%j", &[]);
        let body = [
            "job=$SLURM_JOB_ID\n".to_owned(),
            run(setting, request, words, &["--prepare"]),
            end(
                "# Where some pretrainings failed (3), what does not need them runs all the same.\n[ \"$code\" -eq 3 ] && code=0\n",
            ),
        ];
        Self { name: "prepare.sh".to_owned(), text: head + &body.concat() }
    }

    /// Runs `frostline run --cohort I/N` for each share of an array, of which so many run at a time. `part` tells several arrays apart.
    pub fn trials(
        setting: &Setting,
        request: &Request,
        words: &[String],
        (array, part): (&Array, Option<usize>),
        (shares, limit): (usize, Option<usize>),
    ) -> Self {
        let limit = limit.map_or_else(String::new, |limit| format!("%{limit}"));
        let head = head(setting, request, "trials", "%A_%a", &[format!("--array={array}{limit}")]);
        let share = match array.offset {
            0 => "share=$SLURM_ARRAY_TASK_ID\n".to_owned(),
            offset => format!("share=$((SLURM_ARRAY_TASK_ID + {offset}))\n"),
        };
        let body = [
            "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\n".to_owned(),
            share,
            run(setting, request, words, &["--cohort", &format!("\"$share/{shares}\"")]),
            end(""),
        ];
        let name = part.map_or_else(|| "trials.sh".to_owned(), |part| format!("trials-{part}.sh"));
        Self { name, text: head + &body.concat() }
    }

    /// Runs `frostline report` with these words besides, the first of which is the results folder.
    pub fn report(setting: &Setting, request: &Request, words: &[String]) -> Self {
        let head = head(setting, request, "report", "%j", &[]);
        let words: String = words.iter().map(|word| format!(" {}", quoted(word))).collect();
        let line = format!("exec {} report{words}\n", quoted(&setting.program));
        Self { name: "report.sh".to_owned(), text: head + &line }
    }
}

/// The first line, the flags for sbatch, and the end of the head.
fn head(setting: &Setting, request: &Request, what: &str, log: &str, more: &[String]) -> String {
    let Setting { experiment, directory, folder, command, .. } = setting;
    let mut flags = vec![
        format!("--job-name={}", directive(&format!("{experiment}-{what}"))),
        format!("--chdir={}", directive(directory)),
        format!("--output={}", directive(&format!("{}/{log}.log", folder.replace('%', "%%")))),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
    ];
    if what != "report" {
        let limit = request.time.as_ref().and_then(|(_, seconds)| *seconds);
        flags.push(format!("--signal=B:TERM@{}", limit.map_or(LEAD, |limit| LEAD.min(limit / 4).max(1))));
    }
    let Request { partition, time, memory, processors, flags: others } = request;
    flags.extend(partition.as_ref().map(|partition| format!("--partition={}", directive(partition))));
    flags.extend(time.as_ref().map(|(time, _)| format!("--time={time}")));
    flags.extend(memory.map(|memory| format!("--mem={memory}M")));
    flags.extend(processors.map(|count| format!("--cpus-per-task={count}")));
    flags.extend(more.iter().cloned());
    flags.extend(others.iter().cloned());
    let flags: String = flags.iter().map(|flag| format!("#SBATCH {flag}\n")).collect();
    format!("#!/bin/bash\n# Written by: {}\n{flag_lines}\n", command.replace('\n', " "), flag_lines = flags)
}

/// Starts `frostline run` and waits for its end; SIGTERM is handed on to it, which then keeps where it stands.
fn run(setting: &Setting, request: &Request, words: &[String], more: &[&str]) -> String {
    let Setting { program, folder, .. } = setting;
    let mut line = format!("{} run", quoted(program));
    words.iter().for_each(|word| line += &format!(" {}", quoted(word)));
    more.iter().for_each(|word| line += &format!(" {word}"));
    let threads = request.processors.map_or_else(String::new, |count| format!(":-{count}"));
    line += &match request.processors {
        Some(_) => format!(" --threads \"${{SLURM_CPUS_PER_TASK{threads}}}\""),
        None => " ${SLURM_CPUS_PER_TASK:+--threads \"$SLURM_CPUS_PER_TASK\"}".to_owned(),
    };
    line += &match request.memory {
        Some(memory) => format!(" --memory {memory}MiB"),
        None => " ${SLURM_MEM_PER_NODE:+--memory \"${SLURM_MEM_PER_NODE}MiB\"}".to_owned(),
    };
    format!(
        "exits={}\nmkdir -p \"$exits\" && rm -f \"$exits/$job\"\n\n\
         signals=0 child=\n\
         trap 'signals=$((signals + 1)); [ -n \"$child\" ] && kill -TERM \"$child\" 2>/dev/null' TERM\n\
         {line} &\n\
         child=$!\n\
         [ \"$signals\" -gt 0 ] && kill -TERM \"$child\"\n\
         while :; do # A signal ends a wait, and not what is waited for.\n\
         \x20 before=$signals\n\
         \x20 wait \"$child\"\n\
         \x20 ended=$?\n\
         \x20 [ \"$ended\" -ne 127 ] && code=$ended\n\
         \x20 [ \"$before\" = \"$signals\" ] && break\n\
         done\n",
        quoted(&format!("{folder}/exits"))
    )
}

/// Has the job queued again where it was stopped while Slurm has it running, as before its time limit; otherwise notes how it ended. It is
/// named by its place in its array, as the array's own number is also that of one of its jobs.
fn end(more: &str) -> String {
    format!(
        "\nif [ \"$code\" -eq 143 ]; then\n\
         \x20 state=$(scontrol show job \"$job\" --oneliner | sed -n 's/.* JobState=\\([A-Z_]*\\).*/\\1/p')\n\
         \x20 if [ \"$state\" = RUNNING ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {RESTARTS} ]; then\n\
         \x20   echo \"job $job is queued again, and goes on from where it stands\"\n\
         \x20   scontrol requeue \"$job\" && exit\n\
         \x20 fi\n\
         fi\n\
         echo \"$code\" >\"$exits/$job\"\n\
         {more}exit \"$code\"\n"
    )
}

/// A value as sbatch reads it in a script: a backslash has the next letter stand for itself, within quotes too.
fn directive(value: &str) -> String {
    if !value.contains(|c: char| c.is_whitespace() || "#\"'\\".contains(c)) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The job's number from what `sbatch --parsable` prints: `12`, or `12;cluster`.
pub fn submitted_id(printed: &str) -> Option<u64> {
    printed.lines().last()?.trim().split(';').next()?.parse().ok()
}

/// `MaxArraySize` of what `scontrol show config` prints.
pub fn array_size(config: &str) -> Option<usize> {
    let line = config.lines().find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    line.split('=').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::arrays;

    fn setting() -> Setting {
        Setting {
            experiment: "plants".to_owned(),
            program: "/opt/frostline/bin/frostline".to_owned(),
            directory: "/home/me/my work".to_owned(),
            folder: "/shared/plants/slurm".to_owned(),
            command: "frostline sweep plants.toml --results /shared/plants --slurm".to_owned(),
        }
    }

    fn request() -> Request {
        Request {
            partition: Some("short".to_owned()),
            time: Some(("4:00".to_owned(), Some(240))),
            memory: Some(3072),
            processors: Some(4),
            flags: vec!["--account=lab".to_owned()],
        }
    }

    fn words() -> Vec<String> {
        ["plants.toml", "--set", "weights[model=alexnet]=none", "--expect", "0123"].map(str::to_owned).into()
    }

    /// The scripts of the fixtures, each with what sbatch would read.
    fn scripts() -> Vec<Script> {
        let shares: Vec<usize> = (1..=6).collect();
        let cut = arrays(&shares, Some(5));
        let plain = Request::default();
        vec![
            Script::prepare(&setting(), &request(), &words()),
            Script::trials(&setting(), &request(), &words(), (&cut[0], Some(1)), (6, Some(2))),
            Script::trials(&setting(), &plain, &words(), (&cut[1], Some(2)), (6, None)),
            Script::report(&setting(), &request(), &["/shared/plants".to_owned()]),
        ]
    }

    #[test]
    fn scripts_are_those_that_are_kept() {
        for Script { name, text } in scripts() {
            let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(&name);
            let seen = std::fs::read_to_string(&kept).unwrap_or_default();
            if seen != text {
                let now = std::env::temp_dir().join(&name);
                std::fs::write(&now, &text).unwrap();
                panic!("{} is another; where this is meant, copy {} there", kept.display(), now.display());
            }
        }
    }

    #[test]
    fn values_are_quoted_where_sbatch_would_end_them() {
        assert_eq!(directive("/shared/plants"), "/shared/plants");
        assert_eq!(directive("/my work/#1"), "\"/my work/#1\"");
        assert_eq!(directive(r#"/a "b"\c"#), r#""/a \"b\"\\c""#);
        assert_eq!(directive("it's"), "\"it's\"");
    }

    #[test]
    #[cfg(unix)]
    fn shells_can_read_the_scripts() {
        for Script { name, text } in scripts() {
            let checked = std::process::Command::new("bash").args(["-n", "-c", &text]).output();
            let Ok(checked) = checked else { return }; // There may be no bash.
            assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        }
    }

    #[test]
    fn what_slurm_prints_is_read() {
        assert_eq!(
            [submitted_id("12\n"), submitted_id("13;far\n"), submitted_id("")],
            [Some(12), Some(13), None]
        );
        let config = "MailProg                = /bin/mail\nMaxArraySize            = 1001\nMaxJobCount = 9\n";
        assert_eq!((array_size(config), array_size("")), (Some(1001), None));
    }
}
