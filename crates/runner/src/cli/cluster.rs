//! The command line of sweeps that several processes do: shares, and what they have come to.

use std::path::PathBuf;

use clap::Args;

use super::{PlanArgs, RunArgs};
use crate::execute::Share;

/// A share of a sweep.
#[derive(Args, Clone, Debug)]
pub struct ShareArgs {
    /// Which trials.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Runs the I-th of N shares of the cohorts, such as 3/8; the N are about as much work [default: 1/1]
    #[arg(long, value_name = "I/N")]
    pub cohort: Option<Share>,
    /// Makes what the trials need, downloads and pretrained weights, and runs none
    #[arg(long, conflicts_with = "cohort")]
    pub prepare: bool,
    /// Writes the report at the end; without it, `frostline report` does, once all shares are done
    #[arg(long, conflicts_with = "prepare")]
    pub report: bool,
    /// Runs only if the plan has this digest, as a scheduler's script says that was written for another state of the file
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
