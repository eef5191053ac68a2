//! A sweep over several devices of one machine: [`spread`] starts a process for each, which runs its share of the cohorts as
//! `frostline run` does, and passes on what they say. They have the results folder in common, whose claims keep two from doing the same.
//! Where one dies, its trials are left to the next sweep.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use frostline_experiment::{Experiment, Plan};
use frostline_results::{State, Store};

use super::plan::classes_of;
use super::run::check_shared;
use super::sweep::{Run, asked, ended};
use crate::cli::{PlanArgs, RunArgs, SweepArgs};
use crate::error::{Ending, Error};
use crate::execute::{Share, Shares, SweepError, Tally};
use crate::machine::{DeviceChoice, Devices, holder};
use crate::terminal::tell;

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(50);

/// The exit code after SIGTERM, which a process gets alone; Ctrl-C reaches all processes of a terminal by itself.
const TERMINATED: u8 = 143;

/// Runs a sweep's cohorts on several devices, by their numbers: what to print, and how the command ends.
///
/// # Errors
/// Everything that is wrong before the first trial; a process that could not do its share.
pub(super) fn spread(
    args: &SweepArgs,
    experiment: &Experiment,
    (whole, plan): (&Plan, &Plan),
    ordinals: &[usize],
) -> Result<(String, Ending), Error> {
    check_shared(&args.run, plan)?;
    let Some(choice) = &args.plan.device else { return Err(Error::usage("no device is named", "")) };
    let of = ordinals.len().min(Shares::of(plan, None, classes_of)?.cohorts()).max(1);
    // The devices are the processes' own: here nothing is computed.
    let devices = Devices::open(std::iter::empty(), None)?;
    let mut run = Run::open_with(devices, experiment, whole, &args.plan, &args.run)?;
    let finished = |run: &Run| -> Vec<bool> {
        let is = |id: &str| matches!(run.store.state(id), Some(State::Finished));
        plan.trials.iter().map(|trial| is(&trial.id)).collect()
    };
    let before = finished(&run);
    let mut processes = Vec::new();
    for (index, ordinal) in (1..=of).zip(ordinals) {
        let device = DeviceChoice::one(choice.kind(), *ordinal);
        let words = words(args, &device, Share { index, of }, run.settings.threads);
        match Process::start(&words, device.to_string(), &args.run) {
            Ok(process) => processes.push(process),
            Err(error) => {
                processes.iter_mut().for_each(Process::terminate);
                processes.into_iter().for_each(|process| drop(process.wait()));
                return Err(Error::usage(format!("no process could be started for {device}: {error}"), ""));
            }
        }
    }
    let ends = wait(processes, &run, args.run.fail_fast);
    run.store = Store::open_by(run.store.folder(), holder(), false)?;
    let mut tally = Tally::default();
    for ((trial, now), before) in plan.trials.iter().zip(finished(&run)).zip(before) {
        let place = match (run.store.state(&trial.id), now, before) {
            (_, true, true) => &mut tally.skipped,
            (_, true, false) => &mut tally.finished,
            (Some(State::Failed { .. }), ..) => &mut tally.failed,
            _ => &mut tally.left,
        };
        *place += 1;
    }
    let broken = ends.into_iter().find(|(_, status)| !matches!(status.code(), Some(0 | 3 | 129..=143)));
    if let Some((device, status)) = broken {
        return Err(SweepError::Process { device, status }.into());
    }
    let text = ended(args, plan, &run, &tally)?;
    Ok((text, run.ending(&tally)))
}

/// The words behind `frostline` that do one share on one device. Each process has its part of the threads and of the memory.
fn words(args: &SweepArgs, device: &DeviceChoice, share: Share, threads: usize) -> Vec<String> {
    let plan = PlanArgs { device: None, ..args.plan.clone() };
    let RunArgs { offline, quiet, json, memory, save_every, fail_fast, .. } = &args.run;
    let mut words = vec!["run".to_owned()];
    words.extend(asked(&plan, &args.run).words());
    let threads = (threads / share.of).max(1);
    for (flag, value) in [
        ("--device", Some(device.to_string())),
        ("--cohort", Some(share.to_string())),
        ("--threads", Some(threads.to_string())),
        ("--memory", memory.map(|bytes| format!("{}B", (bytes / share.of as u64).max(1 << 20)))),
        (
            "--save-every",
            save_every.map(|every| humantime::format_duration(every).to_string().replace(' ', "")),
        ),
    ] {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    let flags = [(offline, "--offline"), (quiet, "--quiet"), (json, "--json"), (fail_fast, "--fail-fast")];
    words.extend(flags.into_iter().filter(|(given, _)| **given).map(|(_, flag)| flag.to_owned()));
    words
}

/// A process that does a share, and the threads that pass on what it says.
struct Process {
    device: String,
    child: Child,
    heard: Vec<JoinHandle<()>>,
}

impl Process {
    fn start(words: &[String], device: String, run: &RunArgs) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (json, quiet) = (run.json, run.quiet);
        let name = device.clone();
        let said = move |line: &str| tell(&format!("{name}  {line}"));
        let name = device.clone();
        let printed = move |line: &str| {
            if json {
                let _ = writeln!(std::io::stdout().lock(), "{line}"); // A reader that has gone is no reason to stop.
            } else if !quiet {
                tell(&format!("{name}  {line}"));
            }
        };
        let mut heard = Vec::new();
        heard.extend(child.stderr.take().map(|stream| listen(stream, said)));
        heard.extend(child.stdout.take().map(|stream| listen(stream, printed)));
        Ok(Self { device, child, heard })
    }

    /// Asks it to stop where it can go on later.
    fn terminate(&mut self) {
        if cfg!(unix) {
            let pid = self.child.id().to_string();
            // One that has ended meanwhile is asked for nothing.
            let _ = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        } else {
            let _ = self.child.kill();
        }
    }

    fn wait(mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait();
        for thread in self.heard {
            let _ = thread.join(); // It has nothing to say but lines.
        }
        status
    }
}

/// Passes on each line of a stream.
fn listen(stream: impl Read + Send + 'static, line: impl Fn(&str) + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .filter(|text| !text.is_empty())
            .for_each(|text| line(&text));
    })
}

/// Waits until all have ended; how each did. An end that is asked for is passed on, and so is a failure where that ends the sweep.
fn wait(processes: Vec<Process>, run: &Run, fail_fast: bool) -> Vec<(String, ExitStatus)> {
    let (mut running, mut ends, mut told) = (processes, Vec::new(), false);
    while !running.is_empty() {
        let mut on = Vec::new();
        for mut process in running {
            match process.child.try_wait() {
                Ok(None) => on.push(process),
                _ => {
                    let device = process.device.clone();
                    ends.extend(process.wait().ok().map(|status| (device, status)));
                }
            }
        }
        running = on;
        let asked = run.interrupt.is_raised() && run.interrupt.exit_code() == TERMINATED;
        let failed = fail_fast && ends.iter().any(|(_, status)| !status.success());
        if (asked || failed) && !told {
            told = true;
            running.iter_mut().for_each(Process::terminate);
        }
        sleep(LOOK);
    }
    ends
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn each_device_gets_a_share_with_its_part_of_threads_and_memory() {
        let line =
            ["frostline", "sweep", "x.toml", "--set", "epochs=2", "--only", "seed=0", "--results", "r"];
        let more =
            ["--device", "cuda:0,cuda:3", "--memory", "4GiB", "--save-every", "90s", "--json", "--offline"];
        let Command::Sweep(args) = Cli::parse_from([&line[..], &more].concat()).command else { panic!() };
        let device: DeviceChoice = "cuda:3".parse().unwrap();
        let words = words(&args, &device, Share { index: 2, of: 2 }, 9);
        assert_eq!(
            words.join(" "),
            "run x.toml --set epochs=2 --only seed=0 --results r --device cuda:3 --cohort 2/2 --threads 4 \
             --memory 2147483648B --save-every 1m30s --offline --json"
        );
        let read = Cli::parse_from([&["frostline".to_owned()], words.as_slice()].concat());
        let Command::Run(share) = read.command else { panic!() };
        assert_eq!((share.plan.device, share.run.memory), (Some(device), Some(2 << 30)));
    }
}
