//! `frostline sweep --slurm`: a sweep as jobs of a cluster, that fetch and pretrain, train in an array, and report. What a job does is
//! `frostline run`'s; this module writes the scripts, submits them, and keeps their numbers.

mod cancel;
mod request;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf, absolute};

use frostline_experiment::Plan;
use frostline_results::{Job, Purpose, Stand, Standing, Store, StoreError, Submission, write_file};
use frostline_slurm::{Array, Script, Setting, array_size, arrays, submitted_id};
use frostline_text::{bytes, plural, quoted};

use super::plan::classes_of;
use super::planned;
use super::run::{check_shared, digest};
use super::sweep::asked;
use crate::cli::{RunArgs, SweepArgs};
use crate::error::Error;
use crate::execute::{Shares, runs_again};
use crate::machine::{SlurmError, ask, holder, timestamp};
use cancel::active_jobs;
pub(super) use cancel::active_tasks;
pub use cancel::cancel;
use request::{MIB, Requests};

/// Submits a sweep; what to print.
///
/// # Errors
/// Everything that is wrong with the experiment or the flags; a cluster that does not take a job.
pub fn submit(args: &SweepArgs) -> Result<String, Error> {
    let (experiment, whole) = planned(&args.plan)?;
    let plan = whole.only(&args.plan.only)?;
    check_shared(&args.run, &plan)?;
    check_flags(args)?;
    check_device(args)?;
    let folder = args.run.results.clone().unwrap_or_else(|| Path::new("results").join(&whole.experiment));
    let standing =
        if folder.join("plan.json").exists() { Some(Standing::read(&folder, &holder())?) } else { None };
    let shares = Shares::of(&plan, args.slurm.shares, classes_of)?;
    let due = due(&plan, &shares, standing.as_ref());
    if due.is_empty() {
        let trials = plural(plan.trials.len(), "trial");
        return Ok(format!(
            "{trials}: nothing is left to run; the report: frostline report {}\n",
            folder.display()
        ));
    }
    let requests = Requests::of(args, &plan, (&shares, &due), standing.as_ref())?;
    let limit = ask("scontrol", &["show".to_owned(), "config".to_owned()]);
    if let (Err(error), false) = (&limit, args.slurm.dry_run) {
        return Err(Error::usage(
            error.to_string(),
            "--dry-run prints the scripts on any machine; frostline run is what any other launcher can start",
        ));
    }
    let arrays = arrays(&due, limit.ok().as_deref().and_then(array_size));
    let jobs = jobs(args, &plan, &folder, (&requests, &arrays, shares.count()))?;
    if args.slurm.dry_run {
        return Ok(dry(&jobs));
    }
    if let Some(before) = Submission::read(&folder)?
        && let active @ [_, ..] = active_jobs(&before)?.as_slice()
    {
        let numbers = active.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let help = format!(
            "wait for them (frostline status {0}), or end them (frostline cancel {0})",
            folder.display()
        );
        return Err(Error::usage(format!("jobs of {} are not done: {numbers}", folder.display()), help));
    }
    let store = Store::open_by(&folder, holder(), false)?;
    store.record_plan(&whole, &experiment.text, &asked(&args.plan, &args.run))?;
    drop(store);
    let place = Submission::folder(&folder);
    let failed = |error| StoreError::writing(&place, error);
    if place.join("exits").exists() {
        fs::remove_dir_all(place.join("exits")).map_err(failed)?;
    }
    fs::create_dir_all(&place).map_err(failed)?;
    for Planned { script, .. } in &jobs {
        write_file(&place.join(&script.name), script.text.as_bytes())?;
    }
    let mut submission = Submission {
        plan: digest(&plan),
        shares: shares.count(),
        submitted_at: timestamp(),
        jobs: Vec::new(),
    };
    if let Err(error) = send(&jobs, &place, &folder, &mut submission) {
        let ids: Vec<String> = submission.jobs.iter().map(|job| job.id.to_string()).collect();
        let ended = ids.is_empty() || ask("scancel", &ids).is_ok();
        let help = match (ids.is_empty(), ended) {
            (true, _) => "nothing was submitted".to_owned(),
            (false, true) => format!("what was submitted before it is cancelled: {}", ids.join(", ")),
            (false, false) => format!("what was submitted before it runs: scancel {}", ids.join(" ")),
        };
        return Err(match error {
            Error::Slurm(error) => Error::usage(error.to_string(), help),
            other => other,
        });
    }
    Ok(told(&submission, &requests, &folder))
}

/// A job that is to be submitted.
struct Planned {
    script: Script,
    purpose: Purpose,
    array: Option<Array>,
    memory: Option<u64>,
}

/// The shares, counted from 1, of which something is to be run.
fn due(plan: &Plan, shares: &Shares, standing: Option<&Standing>) -> Vec<usize> {
    let stands: BTreeMap<&str, &Stand> = standing.map_or_else(BTreeMap::new, |standing| {
        standing.plan.trials.iter().map(|trial| trial.id.as_str()).zip(&standing.trials).collect()
    });
    let ended = |place: &usize| match stands.get(plan.trials[*place].id.as_str()) {
        Some(Stand::Done { .. }) => true,
        Some(Stand::Failed { reason }) => !runs_again(reason),
        _ => false,
    };
    let is_due = |share: &usize| shares.of_share(share - 1).concat().iter().any(|place| !ended(place));
    (1..=shares.count()).filter(is_due).collect()
}

/// That a job is not told which GPU to take: Slurm gives it one.
fn check_device(args: &SweepArgs) -> Result<(), Error> {
    match args.plan.device.as_ref().filter(|device| device.chooses()) {
        None => Ok(()),
        Some(device) => {
            let help = format!(
                "write --device {}; each job has one GPU, or what --sbatch=--gres=… asks for",
                device.kind()
            );
            Err(Error::usage(format!("--device {device} is for this machine, and jobs run on others"), help))
        }
    }
}

/// That no flag is left without effect.
fn check_flags(args: &SweepArgs) -> Result<(), Error> {
    let RunArgs { threads, memory, .. } = args.run;
    for (given, flag, instead) in
        [(threads.is_some(), "--threads", "--cpus-per-task"), (memory.is_some(), "--memory", "--mem")]
    {
        if given {
            let message = format!("{flag} is for this machine, and jobs run on others");
            return Err(Error::usage(message, format!("{instead} is what a job asks for, and takes")));
        }
    }
    for flag in &args.slurm.sbatch {
        if !flag.starts_with('-') || flag.contains('\n') {
            let help = "write it as one word, such as --sbatch '--account=lab'";
            return Err(Error::usage(format!("--sbatch {} is no flag", quoted(flag)), help));
        }
        let name = flag.split(['=', ' ']).next().unwrap_or(flag);
        let ours = [
            ("--array", "-a"),
            ("--dependency", "-d"),
            ("--output", "-o"),
            ("--chdir", "-D"),
            ("--signal", ""),
            ("--open-mode", ""),
            ("--wrap", ""),
            ("--parsable", ""),
        ];
        if ours.iter().any(|(long, short)| is_flag(name, long, short)) {
            let help = "leave it out; the jobs would not find each other, or what they wrote, without ours";
            return Err(Error::usage(format!("--sbatch {name} is what frostline sets itself"), help));
        }
        for (other, short) in
            [("--partition", "-p"), ("--time", "-t"), ("--mem", ""), ("--cpus-per-task", "-c")]
        {
            if is_flag(name, other, short) {
                let help = format!("write it without --sbatch: frostline sweep --slurm {other} …");
                return Err(Error::usage(format!("{flag} is a flag of frostline's own"), help));
            }
        }
    }
    Ok(())
}

/// Whether a word is a flag, by its long name or its short one, which a value may follow at once.
fn is_flag(word: &str, long: &str, short: &str) -> bool {
    word == long || !short.is_empty() && word.starts_with(short)
}

/// The jobs in the order in which they are submitted.
fn jobs(
    args: &SweepArgs,
    plan: &Plan,
    folder: &Path,
    (requests, arrays, shares): (&Requests, &[Array], usize),
) -> Result<Vec<Planned>, Error> {
    let whole = |path: &Path| absolute(path).map_err(|error| Error::reading(path, error, None));
    let text = |path: PathBuf| path.display().to_string();
    let program = std::env::current_exe()
        .map_err(|error| Error::usage(format!("the program's own file cannot be found: {error}"), ""))?;
    let setting = Setting {
        experiment: plan.experiment.clone(),
        program: text(program),
        directory: text(whole(Path::new("."))?),
        folder: text(whole(&Submission::folder(folder))?),
        command: command(args),
    };
    // Behind a backslash Slurm fills in no job's number, and a line ends a flag.
    if let Some(path) =
        [&setting.folder, &setting.directory].into_iter().find(|path| path.contains(['\\', '\n']))
    {
        let help = "use --results with another folder, or run it from another one";
        return Err(Error::usage(
            format!("{path} has a backslash or a line in its name, which Slurm's scripts cannot hold"),
            help,
        ));
    }
    let mut words = asked(&args.plan, &args.run).words();
    words.extend(["--expect".to_owned(), digest(plan)]);
    if args.run.offline {
        words.push("--offline".to_owned());
    }
    let flags = [(args.run.fail_fast, "--fail-fast"), (args.run.quiet, "--quiet"), (args.run.json, "--json")];
    words.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).to_owned()));
    if let Some(every) = args.run.save_every {
        words.extend([
            "--save-every".to_owned(),
            humantime::format_duration(every).to_string().replace(' ', ""),
        ]);
    }
    let mut jobs = Vec::new();
    if fetches(plan) {
        let memory = requests.prepare.memory;
        let script = Script::prepare(&setting, &requests.prepare, &words);
        jobs.push(Planned { script, purpose: Purpose::Prepare, array: None, memory });
    }
    for (index, array) in arrays.iter().enumerate() {
        let part = (arrays.len() > 1).then_some(index + 1);
        let limit = (shares, args.slurm.array_limit);
        let script = Script::trials(&setting, &requests.trials, &words, (array, part), limit);
        let (array, memory) = (Some(array.clone()), requests.trials.memory);
        jobs.push(Planned { script, purpose: Purpose::Trials, array, memory });
    }
    let mut report = vec![text(whole(folder)?)];
    for (flag, given) in [("--tensorboard", &args.track.tensorboard), ("--mlflow", &args.track.mlflow)] {
        report.extend(given.as_ref().map(|place| match place {
            Some(place) => format!("{flag}={}", place.display()),
            None => flag.to_owned(),
        }));
    }
    let script = Script::report(&setting, &requests.report, &report);
    jobs.push(Planned { script, purpose: Purpose::Report, array: None, memory: requests.report.memory });
    Ok(jobs)
}

/// Whether anything comes before the trials that several of them need.
fn fetches(plan: &Plan) -> bool {
    let remote = |name: &str| name.starts_with("hub");
    plan.trials.iter().any(|trial| remote(&trial.data.source) || remote(&trial.weights))
        || !plan.trunks().is_empty()
}

/// What was written on the command line, for those who read the scripts.
fn command(args: &SweepArgs) -> String {
    format!("{} --slurm", asked(&args.plan, &args.run))
}

/// What a job waits for.
fn dependency(purpose: Purpose, before: &[(Purpose, String)]) -> Option<String> {
    let ids = |wanted: &[Purpose]| -> Vec<&str> {
        before.iter().filter(|(purpose, _)| wanted.contains(purpose)).map(|(_, id)| id.as_str()).collect()
    };
    let (kind, ids) = match purpose {
        Purpose::Prepare => return None,
        Purpose::Trials => ("afterok", ids(&[Purpose::Prepare])),
        Purpose::Report => ("afterany", ids(&[Purpose::Prepare, Purpose::Trials])),
    };
    (!ids.is_empty()).then(|| format!("--dependency={kind}:{}", ids.join(":")))
}

/// The scripts, and how they would be submitted.
fn dry(jobs: &[Planned]) -> String {
    let mut before: Vec<(Purpose, String)> = Vec::new();
    let mut text = String::new();
    for Planned { script, purpose, .. } in jobs {
        let flags = flags(*purpose, &before).join(" ");
        text += &format!("==> sbatch {flags} {}\n{}\n", script.name, script.text);
        before.push((*purpose, format!("{{{}}}", script.name)));
    }
    text + "Nothing was submitted. {…} stands for the number of that script's job.\n"
}

/// The flags that are not in a script, since they name other jobs.
fn flags(purpose: Purpose, before: &[(Purpose, String)]) -> Vec<String> {
    let mut flags = vec!["--parsable".to_owned()];
    if let Some(dependency) = dependency(purpose, before) {
        flags.extend([dependency, "--kill-on-invalid-dep=yes".to_owned()]);
    }
    flags
}

/// Submits the jobs one after another, and keeps their numbers as they come.
fn send(jobs: &[Planned], place: &Path, folder: &Path, submission: &mut Submission) -> Result<(), Error> {
    let mut before: Vec<(Purpose, String)> = Vec::new();
    for Planned { script, purpose, array, memory } in jobs {
        let mut line = flags(*purpose, &before);
        line.push(place.join(&script.name).display().to_string());
        let printed = ask("sbatch", &line)?;
        let id = submitted_id(&printed).ok_or_else(|| SlurmError::Failed {
            command: format!("sbatch {}", line.join(" ")),
            said: format!("it printed no job's number, but `{}`", printed.trim()),
        })?;
        before.push((*purpose, id.to_string()));
        submission.jobs.push(Job {
            id,
            purpose: *purpose,
            offset: array.as_ref().map_or(0, |array| array.offset),
            shares: array.as_ref().map(Array::shares).unwrap_or_default(),
            memory: memory.map(|memory| memory * MIB),
        });
        submission.write(folder)?;
    }
    Ok(())
}

/// What was submitted, and what to do next.
fn told(submission: &Submission, requests: &Requests, folder: &Path) -> String {
    let mut text = String::new();
    for Job { id, purpose, shares, .. } in &submission.jobs {
        let count: usize = shares.iter().map(|(first, last)| last - first + 1).sum();
        text += &match purpose {
            Purpose::Prepare => format!("job {id}: downloads and pretraining\n"),
            Purpose::Trials => format!("job {id}: trials, an array of {count}\n"),
            Purpose::Report => format!("job {id}: the report, once the others have ended\n"),
        };
    }
    let asks = &requests.trials;
    let memory = asks.memory.map(|memory| format!("{} of memory", bytes(memory * MIB)));
    let processors = asks.processors.map(|count| plural(count, "processor"));
    let time =
        asks.time.as_ref().map_or("the partition's time".to_owned(), |(time, _)| format!("a time of {time}"));
    let each: Vec<String> = [processors, memory, Some(time)].into_iter().flatten().collect();
    text += &format!("each of the array asks for {}\n", each.join(", "));
    text + &format!(
        "how far it is: frostline status {0}; to end it: frostline cancel {0}\n",
        quoted(&folder.display().to_string())
    )
}
