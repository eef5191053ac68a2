//! The command line of sweeps that several processes do: shares, what they have come to, and Slurm.

use std::path::PathBuf;

use clap::Args;

use super::{PlanArgs, RunArgs, count, size};
use crate::execute::Share;

/// A share of a sweep.
#[derive(Args, Clone, Debug)]
pub struct ShareArgs {
    /// Which trials.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Runs the I-th of N shares of the cohorts, of about the same work: 3/8 [default: 1/1]
    #[arg(long, value_name = "I/N")]
    pub cohort: Option<Share>,
    /// Makes what the trials need, downloads and pretrained weights, and runs none
    #[arg(long, conflicts_with = "cohort")]
    pub prepare: bool,
    /// Writes the report at the end; without it, `frostline report` does, once all shares are done
    #[arg(long, conflicts_with = "prepare")]
    pub report: bool,
    /// Runs only if the plan has this digest, as scripts ask that were written for it
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<String>,
    /// How they run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// A look at a results folder.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// The results folder, for instance results/quickstart
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Names every trial, not only those that run or failed
    #[arg(long)]
    pub all: bool,
    /// Tells it as one JSON object
    #[arg(long, conflicts_with = "all")]
    pub json: bool,
}

/// The end of what was submitted.
#[derive(Args, Clone, Debug)]
pub struct CancelArgs {
    /// The results folder that `frostline sweep --slurm` was given
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// A sweep by a cluster's scheduler.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Slurm")]
pub struct SlurmArgs {
    /// Submits the sweep as jobs: to fetch and pretrain, an array over the cohorts, to report
    #[arg(long)]
    pub slurm: bool,
    /// Prints the jobs' scripts, and submits nothing
    #[arg(long, requires = "slurm")]
    pub dry_run: bool,
    /// The partition of the jobs [default: the cluster's]
    #[arg(long, value_name = "NAME", requires = "slurm")]
    pub partition: Option<String>,
    /// The time limit of a job, which goes on after it [default: by measured time, or the partition's]
    #[arg(long, value_name = "TIME", requires = "slurm")]
    pub time: Option<String>,
    /// The memory of each job, such as 8GiB [default: by the plan, and 1 GiB for images]
    #[arg(long, value_name = "SIZE", requires = "slurm", value_parser = size)]
    pub mem: Option<u64>,
    /// The processors of each job [default: 1 to 8, by the work of a batch]
    #[arg(long, value_name = "N", requires = "slurm", value_parser = count)]
    pub cpus_per_task: Option<usize>,
    /// Into how many jobs the cohorts are divided [default: one each]
    #[arg(long, value_name = "N", requires = "slurm", value_parser = jobs)]
    pub shares: Option<usize>,
    /// How many jobs of an array run at a time [default: as many as the cluster lets]
    #[arg(long, value_name = "N", requires = "slurm", value_parser = jobs)]
    pub array_limit: Option<usize>,
    /// Any other flag of sbatch, for all jobs, such as '--account=lab'
    #[arg(long, value_name = "FLAG", requires = "slurm", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
}

fn jobs(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "give a whole number from 1 to 100000".to_owned())
}
