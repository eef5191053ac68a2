//! `frostline run`: one share of a sweep, the unit that a launcher starts. What it needs it makes, or waits for where another process
//! makes it; it is done when all its trials are stored.

use frostline_experiment::Plan;
use frostline_hub::{Hub, HubOptions};
use frostline_report::write_report;
use frostline_results::State;
use frostline_text::{id, plural};
use serde_json::json;

use super::plan::classes_of;
use super::sweep::{Run, parts_of};
use super::{one_device, planned};
use crate::cli::{RunArgs, ShareArgs};
use crate::error::{Ending, Error};
use crate::execute::{Share, Shares, Tally};

/// Runs a share: what to print, and how the command ends.
///
/// # Errors
/// Everything that is wrong before the first trial, and results that cannot be stored.
pub fn run(args: &ShareArgs, hub: HubOptions) -> Result<(String, Ending), Error> {
    if let Some(choice) = &args.plan.device {
        one_device(choice, "frostline run")?;
    }
    let (experiment, whole) = planned(&args.plan)?;
    let plan = whole.only(&args.plan.only)?;
    fits(args, &plan)?;
    let share = args.cohort.unwrap_or(Share { index: 1, of: 1 });
    let shares = Shares::of(&plan, Some(share.of), classes_of)?;
    let (part, cohorts) = shares.plan(&plan, share);
    let mut open = Run::open(&experiment, &whole, &args.plan, &args.run)?;
    open.settings.waits = true;
    let hub = Hub::new(hub)?;
    let tally = if args.prepare {
        open.sweep(&whole, &plan).pretrain(&hub)?
    } else {
        open.sweep(&part, &part).run(&hub)?
    };
    let failed = |id: &str| matches!(open.store.state(id), Some(State::Failed { .. }));
    let failed = if args.prepare {
        tally.failed
    } else {
        part.trials.iter().filter(|trial| failed(&trial.id)).count()
    };
    let mut text = if args.prepare {
        prepared(&tally)
    } else {
        summary(share, (&part, cohorts, shares.cohorts()), &tally)
    };
    if args.report {
        let gate = open.store.gate()?;
        let report = write_report(open.store.folder())?;
        drop(gate);
        text += &format!("report: {}\n", report.path.display());
    }
    let Tally { finished, skipped, left, .. } = tally;
    let event = if args.prepare { "preparation-ends" } else { "share-ends" };
    open.progress.event(
        event,
        json!({
            "share": share.index, "of": share.of, "trials": part.trials.len(), "cohorts": cohorts, "trained": finished,
            "failed": failed, "stored": skipped, "left": left,
        }),
    );
    let ending = match open.ending(&tally) {
        Ending::Done if failed > 0 => Ending::SomeFailed,
        ending => ending,
    };
    Ok((if args.run.json { String::new() } else { text }, ending))
}

/// That a share can be run by a process among others, and of the plan that was meant.
fn fits(args: &ShareArgs, plan: &Plan) -> Result<(), Error> {
    check_shared(&args.run, plan)?;
    let digest = digest(plan);
    match &args.expect {
        Some(expected) if *expected != digest => {
            let message = format!(
                "{} has another plan ({digest}) than was meant ({expected}): it was changed since",
                args.plan.file.display()
            );
            let help =
                "bring the file back, or cancel what was submitted (frostline cancel) and submit it again";
            Err(Error::usage(message, help))
        }
        _ => Ok(()),
    }
}

/// That a sweep can be done by several processes.
pub(super) fn check_shared(run: &RunArgs, plan: &Plan) -> Result<(), Error> {
    if run.force {
        let help = "name a new folder with --results, or do without shares: frostline sweep --force";
        return Err(Error::usage(
            "--force wants the results folder to itself, and shares have it together",
            help,
        ));
    }
    if plan.halving.is_some() {
        let help =
            "start `frostline sweep` on each machine instead: on one folder they train the arms together";
        return Err(Error::usage("[halving] compares all arms while they train, which shares cannot", help));
    }
    if plan.tune.is_some() {
        let help =
            "leave [tune] out and have its keys as axes of [grid], or do without shares: frostline sweep";
        return Err(Error::usage(
            "[tune] chooses values once all of an arm are tried, which shares cannot wait for",
            help,
        ));
    }
    Ok(())
}

/// What tells whether two plans are the same: of their trials, in order, and of the weights that are kept.
pub(super) fn digest(plan: &Plan) -> String {
    let ids: Vec<&str> = plan.trials.iter().map(|trial| trial.id.as_str()).collect();
    id(&format!("{}\n{}", plan.checkpoints, ids.join("\n")))
}

fn prepared(tally: &Tally) -> String {
    match tally.finished + tally.failed + tally.left {
        0 => "everything that is downloaded is here; nothing is pretrained\n".to_owned(),
        _ => format!("everything that is downloaded is here; pretrainings: {}\n", parts_of(tally)),
    }
}

fn summary(share: Share, (part, cohorts, all): (&Plan, usize, usize), tally: &Tally) -> String {
    if part.trials.is_empty() {
        return format!("share {share} has nothing to do: the plan has {}\n", plural(all, "cohort"));
    }
    let trials = plural(part.trials.len(), "trial");
    format!("share {share}: {trials} in {}: {}\n", plural(cohorts, "cohort"), parts_of(tally))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use frostline_results::samples;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> ShareArgs {
        let line = [&["frostline", "run", "x.toml", "--cohort", "2/3"], more].concat();
        let Command::Run(args) = Cli::parse_from(line).command else { panic!() };
        args
    }

    #[test]
    fn what_shares_cannot_have_is_refused_with_what_to_do() {
        let plan = samples::plan(&["resnet18"], &["head", "full"], 2);
        assert!(fits(&args(&[]), &plan).is_ok() && fits(&args(&["--expect", &digest(&plan)]), &plan).is_ok());
        let problem = |args: &ShareArgs| fits(args, &plan).unwrap_err().to_string();
        assert!(problem(&args(&["--force"])).contains("to itself"));
        let other = problem(&args(&["--expect", "0123"]));
        assert!(
            other.starts_with("x.toml has another plan (") && other.contains("than was meant (0123)"),
            "{other}"
        );
        let fewer = Plan { trials: plan.trials[1..].to_vec(), ..plan.clone() };
        assert_ne!(digest(&fewer), digest(&plan));
    }

    #[test]
    fn what_a_share_came_to_is_one_line() {
        let plan = samples::plan(&["resnet18"], &["head", "full"], 2);
        let tally = Tally { finished: 3, skipped: 1, ..Tally::default() };
        let share = Share { index: 2, of: 3 };
        assert_eq!(
            summary(share, (&plan, 2, 5), &tally),
            "share 2/3: 4 trials in 2 cohorts: 3 trained, 1 stored before\n"
        );
        let none = Plan { trials: Vec::new(), ..plan };
        assert_eq!(
            summary(share, (&none, 0, 1), &tally),
            "share 2/3 has nothing to do: the plan has 1 cohort\n"
        );
    }
}
