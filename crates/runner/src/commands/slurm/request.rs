//! What a sweep's jobs ask a cluster for, from the plan where the user does not say: [`Requests`].

use std::collections::BTreeMap;

use frostline_experiment::{Kinds, Memory, Plan, Trial};
use frostline_models::card;
use frostline_results::Standing;
use frostline_slurm::{BadTime, Request, seconds};

use crate::cli::{SlurmArgs, SweepArgs};
use crate::commands::left::each_left;
use crate::commands::plan::classes_of;
use crate::error::Error;
use crate::execute::{Shares, work_of};
use crate::machine::ask;

/// Bytes of what Slurm counts memory in.
pub(super) const MIB: u64 = 1 << 20;
/// What is measured came out at up to so much of what the plan lets expect.
const MARGIN: f64 = 1.4;
/// For decoded images, whose number is not known before they are here.
const IMAGES: u64 = 1 << 30;
/// Memory is asked for in multiples of this.
const STEP: u64 = 256 * MIB;
/// Multiply-adds of a training step that keep one processor busy.
const BUSY: f64 = 5e9;
/// More processors than this are asked for only by the user.
const MOST: usize = 8;
/// Measured time is asked for so often, and this much more to begin and to end, in seconds.
const TIMES: f64 = 2.0;
const AROUND: f64 = 300.0;

/// What each kind of job asks for.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) prepare: Request,
    pub(super) trials: Request,
    pub(super) report: Request,
}

impl Requests {
    /// For those shares of a plan, counted from 1, of which something is to be run.
    ///
    /// # Errors
    /// A time that Slurm would not take, or work that cannot be reckoned.
    pub(super) fn of(
        args: &SweepArgs,
        plan: &Plan,
        (shares, due): (&Shares, &[usize]),
        standing: Option<&Standing>,
    ) -> Result<Self, Error> {
        let SlurmArgs { partition, time, mem, cpus_per_task, sbatch, .. } = &args.slurm;
        let time = time.as_deref().map(limit).transpose()?;
        let others = |flag: &str| sbatch.iter().any(|given| given.starts_with(flag));
        let memory = |reckoned: u64| match mem {
            Some(mem) => Some(mem.div_ceil(MIB)),
            None if others("--mem-per-") => None,
            None => Some(reckoned / MIB),
        };
        let processors = match cpus_per_task {
            Some(count) => Some(*count),
            None if others("--cpus-per-gpu") => None,
            None => Some(busy(plan).min(largest_node(partition.as_deref()).unwrap_or(MOST))),
        };
        // A job that computes on a GPU needs one, unless the user says otherwise.
        let gpu = plan.trials.iter().any(|trial| trial.device == "cuda")
            && !["--gres", "--gpus", "-G"].into_iter().any(others);
        let request = |time: Option<(String, Option<u64>)>, reckoned| Request {
            partition: partition.clone(),
            time,
            memory: memory(reckoned),
            processors,
            flags: sbatch.iter().cloned().chain(gpu.then(|| "--gres=gpu:1".to_owned())).collect(),
        };
        let measured = match (&time, standing) {
            (None, Some(standing)) => measured(standing, plan, shares, due)?,
            _ => None,
        };
        let writes = !plan.checkpoints.is_none();
        let mut kinds = Kinds::default();
        let mut memory_of = |trial: &Trial| {
            let classes = classes_of(trial);
            let memory = kinds.of(trial, classes, |trial| Memory::of(trial, classes))?;
            Some(if writes { memory.with_written_weights() } else { memory })
        };
        let trials = due
            .iter()
            .flat_map(|share| shares.of_share(share - 1))
            .map(|cohort| together(plan, cohort, &mut memory_of));
        let most = trials.max().unwrap_or(0);
        let trunks = plan.trunks().into_iter().filter_map(|trunk| {
            let train = trunk.pretraining.train.clone();
            let alike = Trial { model: trunk.model, resolution: trunk.resolution, train, ..Trial::default() };
            Some(Memory::of(&alike, classes_of(&alike))?.with_written_weights().bytes())
        });
        let before = trunks.max().unwrap_or(0);
        Ok(Self {
            prepare: request(time.clone(), reckoned(before)),
            trials: request(time.clone().or(measured), reckoned(most)),
            report: Request { processors: Some(1), flags: sbatch.clone(), ..request(time, reckoned(0)) },
        })
    }
}

/// A time limit as the user gave it, and in seconds.
fn limit(text: &str) -> Result<(String, Option<u64>), Error> {
    let seconds = seconds(text).map_err(|BadTime| {
        let help = "write minutes, hours:minutes:seconds or days-hours, such as 90, 2:00:00 or 1-12";
        Error::usage(format!("--time {text} is no time limit of Slurm"), help)
    })?;
    Ok((text.to_owned(), seconds))
}

/// Bytes that a cohort takes beside the images, as far as the plan tells.
fn together(plan: &Plan, cohort: &[usize], mut memory: impl FnMut(&Trial) -> Option<Memory>) -> u64 {
    let each = cohort.iter().filter_map(|place| memory(plan.trials.get(*place)?));
    each.reduce(|a, b| a.and(&b)).map_or(0, |memory| memory.bytes())
}

/// What to ask for where training takes so many bytes.
fn reckoned(bytes: u64) -> u64 {
    let all = ((bytes + Memory::PROCESS) as f64 * MARGIN) as u64 + IMAGES;
    all.div_ceil(STEP) * STEP
}

/// The processors that the plan's largest training step keeps busy.
fn busy(plan: &Plan) -> usize {
    let step = |trial: &Trial| {
        let summary =
            card(&trial.model).ok()?.summary(classes_of(trial), trial.resolution, trial.resolution).ok()?;
        let image: u64 = summary.iter().map(|stage| stage.multiply_adds).sum();
        Some(3.0 * image as f64 * trial.train.batch as f64) // A backward pass costs about twice a forward pass.
    };
    let mut known: Vec<(&str, usize, usize)> = Vec::new();
    let mut most = 0.0f64;
    for trial in &plan.trials {
        let kind = (trial.model.as_str(), trial.resolution, trial.train.batch);
        if !known.contains(&kind) {
            known.push(kind);
            most = most.max(step(trial).unwrap_or(0.0));
        }
    }
    ((most / BUSY).ceil() as usize).clamp(1, MOST)
}

/// The processors of the partition's largest nodes, as far as Slurm tells.
fn largest_node(partition: Option<&str>) -> Option<usize> {
    let mut line = vec!["--noheader".to_owned(), "--format=%c".to_owned()];
    line.extend(partition.map(|partition| format!("--partition={partition}")));
    let printed = ask("sinfo", &line).ok()?;
    printed.lines().filter_map(|line| line.trim().trim_end_matches('+').parse().ok()).max()
}

/// A time limit for the longest share, where the folder has trials that are measured.
fn measured(
    standing: &Standing,
    plan: &Plan,
    shares: &Shares,
    due: &[usize],
) -> Result<Option<(String, Option<u64>)>, Error> {
    let works = work_of(&standing.plan, classes_of)?;
    let Some(left) = each_left(standing, &works) else { return Ok(None) };
    let left: BTreeMap<&str, f64> =
        standing.plan.trials.iter().map(|trial| trial.id.as_str()).zip(left).collect();
    let of = |place: &usize| left.get(plan.trials.get(*place)?.id.as_str()).copied();
    let share = |share: &usize| shares.of_share(share - 1).concat().iter().filter_map(of).sum::<f64>();
    let longest = due.iter().map(share).fold(0.0, f64::max);
    let minutes = ((TIMES * longest + AROUND) / 60.0).ceil() as u64;
    Ok(Some((minutes.to_string(), Some(60 * minutes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_by_hand() {
        assert_eq!(reckoned(0) / MIB, 1280, "1.4 times 90 MiB, and 1 GiB, in steps");
        assert_eq!(reckoned(4 << 30) / MIB, 6912);
        assert_eq!(limit("2:00:00").unwrap(), ("2:00:00".to_owned(), Some(7200)));
        assert!(limit("2h").unwrap_err().to_string().contains("--time 2h is no time limit"));
        let mut plan = frostline_results::samples::plan(&["resnet18"], &["full"], 1);
        plan.trials[0].resolution = 224;
        assert_eq!(busy(&plan), MOST);
        (plan.trials[0].resolution, plan.trials[0].train.batch) = (32, 64);
        assert_eq!(busy(&plan), 2);
    }
}
