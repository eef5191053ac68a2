//! `frostline sweep`: from the command line to a results folder with a report. The work is [`crate::execute`]'s; this
//! module opens what it needs, and says at the end how it went and how to go on.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use frostline_experiment::{Checkpoints, Experiment, Plan};
use frostline_hub::{Hub, HubOptions};
use frostline_report::{Report, write_report};
use frostline_results::{Invocation, Results, Status, Store, trial_weights};
use frostline_text::plural;
use frostline_trackers::Trackers;
use serde_json::json;

use super::report::{track, trackers};
use super::spread::spread;
use super::{planned, settings};
use crate::cli::{PlanArgs, RunArgs, SweepArgs};
use crate::error::{Ending, Error};
use crate::execute::{Settings, Sweep, Tally};
use crate::machine::{DeviceChoice, Devices, environment, holder, seconds};
use crate::terminal::{Form, Interrupt, Progress};

/// How often it is kept where trainings stand, where the user does not say.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// Trials whose ids a command line still has room for.
const MOST_NAMED: usize = 5;

/// Runs a sweep: what to print, and how the command ends.
///
/// # Errors
/// Everything that is wrong before the first trial, and results that cannot be stored.
pub fn sweep(args: &SweepArgs, hub: HubOptions) -> Result<(String, Ending), Error> {
    let (experiment, whole) = planned(&args.plan)?;
    let plan = whole.only(&args.plan.only)?;
    let several = args.plan.device.as_ref().map(DeviceChoice::ordinals).transpose()?;
    if let Some(devices @ [_, _, ..]) = several.as_deref() {
        return spread(args, &experiment, (&whole, &plan), devices);
    }
    let mut run = Run::open(&experiment, &whole, &args.plan, &args.run)?;
    let folder = run.store.folder().to_owned();
    let trackers = trackers(&folder, &args.track);
    run.settings.trackers = trackers;
    let tally = run.sweep(&whole, &plan).run(&Hub::new(hub)?)?;
    let text = ended(args, &plan, &run, &tally)?;
    Ok((text, run.ending(&tally)))
}

/// Writes the report of a sweep that is done, and tells what it came to.
///
/// # Errors
/// Files that cannot be written.
pub(super) fn ended(args: &SweepArgs, plan: &Plan, run: &Run, tally: &Tally) -> Result<String, Error> {
    let folder = run.store.folder().to_owned();
    let gate = run.store.gate()?;
    let report = write_report(&folder)?;
    drop(gate);
    let mut text = summary(tally, plan, &report, &again(args));
    text += &track(&folder, &run.settings.trackers)?;
    let lacking = lacking(plan, &Results::read(&folder)?, |id| trial_weights(&folder, id).is_some());
    if !lacking.is_empty() {
        let mut alone = args.clone();
        alone.plan.only.retain(|only| !only.trim_start().starts_with("trial")); // filters of one key add up
        text += &with_checkpoints(&lacking, plan.checkpoints, &again(&alone));
    }
    let Tally { finished, failed, skipped, stopped, unchosen, elsewhere, left } = *tally;
    run.progress.event(
        "sweep-ends",
        json!({
            "trained": finished, "failed": failed, "stored": skipped, "stopped": stopped, "unchosen": unchosen, "elsewhere": elsewhere, "left": left,
            "report": report.path.display().to_string(), "answer": report.answer,
        }),
    );
    Ok(if args.run.json { String::new() } else { text })
}

/// How progress is told.
pub(super) fn form(args: &RunArgs) -> Form {
    match args {
        RunArgs { json: true, .. } => Form::Events,
        RunArgs { quiet: true, .. } => Form::Quiet,
        _ => Form::of_terminal(),
    }
}

/// The finished trials of a plan that have kept other weights than it wants, or none.
fn lacking(plan: &Plan, results: &Results, has_file: impl Fn(&str) -> bool) -> Vec<String> {
    if plan.checkpoints.is_none() {
        return Vec::new();
    }
    let lacks = |id: &str| {
        let stored = results.trials.iter().find(|stored| stored.trial.id == id);
        stored.is_some_and(|stored| {
            stored.outcome.status == Status::Finished && !(stored.keeps(plan.checkpoints) && has_file(id))
        })
    };
    plan.trials.iter().map(|trial| trial.id.clone()).filter(|id| lacks(id)).collect()
}

/// What to say of finished trials without the checkpoint that is wanted.
fn with_checkpoints(lacking: &[String], policy: Checkpoints, again: &str) -> String {
    let have = if lacking.len() == 1 { "has" } else { "have" };
    let only: String = if lacking.len() <= MOST_NAMED {
        lacking.iter().map(|id| format!(" --only trial={id}")).collect()
    } else {
        " --only trial=ID".to_owned()
    };
    format!(
        "{} {have} no checkpoint `{policy}`; trained again with one by: {again} --force{only}\n",
        plural(lacking.len(), "finished trial")
    )
}

/// What a command that trains has open.
pub(super) struct Run {
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) interrupt: Interrupt,
    pub(super) settings: Settings,
}

impl Run {
    /// Opens the devices that trials ask for, then the results folder, and notes the plan in it.
    pub(super) fn open(
        experiment: &Experiment,
        whole: &Plan,
        plan: &PlanArgs,
        args: &RunArgs,
    ) -> Result<Self, Error> {
        let asked = whole.only(&plan.only)?;
        let kinds = asked.trials.iter().filter_map(|trial| trial.device.parse().ok());
        let devices = Devices::open(kinds, plan.device.as_ref())?;
        Self::open_with(devices, experiment, whole, plan, args)
    }

    /// As [`Run::open`], with devices that are open.
    pub(super) fn open_with(
        devices: Devices,
        experiment: &Experiment,
        whole: &Plan,
        plan: &PlanArgs,
        args: &RunArgs,
    ) -> Result<Self, Error> {
        let folder = args.results.clone().unwrap_or_else(|| Path::new("results").join(&whole.experiment));
        let compares = [("halving", whole.halving.is_some()), ("tune", whole.tune.is_some())];
        if let Some((section, _)) = compares.iter().find(|(_, given)| *given && !plan.only.is_empty()) {
            let help = format!("leave --only out, or [{section}]: with --set you can have another grid");
            let message = format!("[{section}] compares trials, and --only leaves some out");
            return Err(Error::usage(message, help));
        }
        let alone = args.force || whole.tune.is_some();
        let (store, progress) = (Store::open_by(&folder, holder(), alone)?, Progress::new(form(args)));
        if store.restored() > 0 {
            let count = plural(store.restored(), "trial");
            progress.say(&format!(
                "{count} read back from {}/stored.json, as they ran where that was written; --results with another folder runs \
                 them here",
                folder.display()
            ));
        }
        let threads = install_threads(args.threads)?;
        store.record_plan(whole, &experiment.text, &asked(plan, args))?;
        let environment = environment(threads, &devices.name());
        let settings = Settings {
            environment,
            threads,
            devices,
            force: args.force,
            memory: args.memory,
            save_every: args.save_every.unwrap_or(SAVE_EVERY),
            fail_fast: args.fail_fast,
            waits: false,
            trackers: Trackers::default(),
        };
        let interrupt = Interrupt::watch().map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self { store, progress, interrupt, settings })
    }

    pub(super) fn sweep<'a>(&'a mut self, whole: &'a Plan, plan: &'a Plan) -> Sweep<'a> {
        Sweep::new(whole, plan, &mut self.store, &self.progress, self.interrupt.flag(), self.settings.clone())
    }

    /// Ends what runs at that moment of the process's clock, as a signal would.
    pub(super) fn end_at(&self, moment: f64) {
        self.interrupt.raise_after(Duration::from_secs_f64((moment - seconds()).max(0.0)));
    }

    /// How the command ends.
    pub(super) fn ending(&self, tally: &Tally) -> Ending {
        ending(tally, self.interrupt.exit_code())
    }
}

/// Gives rayon its threads; the number that compute.
pub(super) fn install_threads(wanted: Option<usize>) -> Result<usize, Error> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(wanted.unwrap_or(0));
    match builder.build_global() {
        Err(error) if error.source().is_some() => Err(Error::Threads(error.to_string())),
        // They may have been installed before.
        Err(error) if wanted.is_some_and(|wanted| wanted != rayon::current_num_threads()) => {
            Err(Error::usage(format!("threads cannot be started: {error}"), ""))
        }
        _ => Ok(rayon::current_num_threads()),
    }
}

pub(super) fn ending(tally: &Tally, interrupted: u8) -> Ending {
    match tally {
        Tally { left: 1.., .. } => Ending::Interrupted(interrupted),
        Tally { failed: 1.., .. } => Ending::SomeFailed,
        _ => Ending::Done,
    }
}

/// What the sweep came to, in the report's words, and what to do next.
fn summary(tally: &Tally, plan: &Plan, report: &Report, again: &str) -> String {
    let mut text = format!("\n{}\n\n{}\n\n{}\n", plan.question, report.arms.trim_end(), report.answer);
    text += &format!("\ntrials: {}\nreport: {}\n", parts_of(tally), report.path.display());
    if tally.left > 0 {
        text += &format!("to go on where this stopped: {again}\n");
    }
    text
}

/// What became of trials, for example `3 trained, 1 failed`.
pub(super) fn parts_of(tally: &Tally) -> String {
    let parts = [
        (tally.finished, "trained"),
        (tally.skipped, "stored before"),
        (tally.failed, "failed"),
        (tally.stopped, "stopped early"),
        (tally.unchosen, "not needed, as other values were chosen"),
        (tally.elsewhere, "run by another process"),
        (tally.left, "left"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    parts.join(", ")
}

/// What a command line asks of a sweep.
pub(super) fn asked(plan: &PlanArgs, run: &RunArgs) -> Invocation {
    let text = |path: &Path| path.display().to_string();
    Invocation {
        file: Some(text(&plan.file)),
        set: settings(plan),
        only: plan.only.clone(),
        results: run.results.as_deref().map(text),
    }
}

/// The command that goes on with this sweep.
fn again(args: &SweepArgs) -> String {
    let plan = PlanArgs { device: None, ..args.plan.clone() };
    let mut line = asked(&plan, &args.run).to_string();
    let RunArgs { threads, offline, .. } = &args.run;
    line += &args.plan.device.as_ref().map_or_else(String::new, |device| format!(" --device {device}"));
    line += &threads.map_or_else(String::new, |threads| format!(" --threads {threads}"));
    line + if *offline { " --offline" } else { "" }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use frostline_results::samples;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_command_to_go_on_is_the_one_that_was_given_without_force() {
        let line = [
            "frostline",
            "sweep",
            "my x.toml",
            "--set",
            "weights[model=alexnet]=none",
            "--only",
            "seed=0",
            "--results",
            "r/x",
            "--threads",
            "2",
            "--offline",
            "--device",
            "cuda:1",
            "--force",
        ];
        let Command::Sweep(args) = Cli::parse_from(line).command else { panic!() };
        assert_eq!(
            again(&args),
            "frostline sweep 'my x.toml' --set 'weights[model=alexnet]=none' --only seed=0 --results r/x --device cuda:1 \
             --threads 2 --offline"
        );
    }

    #[test]
    fn finished_trials_without_the_wanted_checkpoint_are_named_with_the_command_that_makes_it() {
        let results = samples::results(samples::plan(&["resnet18"], &["head", "full"], 1), |_| (0.5, 1.0));
        let mut plan = results.plan.clone();
        assert!(lacking(&plan, &results, |_| false).is_empty());
        plan.checkpoints = Checkpoints::Best;
        let ids: Vec<String> = plan.trials.iter().map(|trial| trial.id.clone()).collect();
        assert_eq!(lacking(&plan, &results, |_| true), ids);
        assert_eq!(
            with_checkpoints(&ids[..1], plan.checkpoints, "frostline sweep x.toml"),
            format!(
                "1 finished trial has no checkpoint `best`; trained again with one by: frostline sweep x.toml --force \
                 --only trial={}\n",
                ids[0]
            )
        );
        let many = with_checkpoints(&vec![ids[0].clone(); 6], plan.checkpoints, "frostline sweep");
        assert!(many.ends_with("frostline sweep --force --only trial=ID\n"), "{many}");
    }

    #[test]
    fn how_a_sweep_ends_is_told_by_what_is_left_before_what_failed() {
        let tally = |failed, left| Tally { finished: 1, failed, left, ..Tally::default() };
        assert_eq!(ending(&tally(0, 0), 143), Ending::Done);
        assert_eq!(ending(&tally(1, 0), 143), Ending::SomeFailed);
        assert_eq!(ending(&tally(1, 1), 143), Ending::Interrupted(143));
    }
}
