//! The command line: [`Cli`], read by clap. It says what a user may write, and does nothing.

mod cluster;
mod help;
mod rate;
mod shell;
mod trying;
mod winner;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand};

use crate::machine::DeviceChoice;
pub use cluster::{CancelArgs, ShareArgs, SlurmArgs, StatusArgs};
use help::{
    CANCEL_EXAMPLES, COMPLETIONS_EXAMPLES, DATA_EXAMPLES, DIFF_EXAMPLES, DOCTOR_EXAMPLES, EXIT_CODES,
    EXPORT_EXAMPLES, FEATURES_EXAMPLES, INIT_EXAMPLES, MERGE_EXAMPLES, PLAN_EXAMPLES, PREDICT_EXAMPLES,
    PRETRAIN_EXAMPLES, RATE_EXAMPLES, REPORT_EXAMPLES, RUN_EXAMPLES, SCHEMA_EXAMPLES, STATUS_EXAMPLES,
    SWEEP_EXAMPLES, TRY_EXAMPLES, long_help, short_help,
};
pub use rate::RateArgs;
pub use shell::{CompletionsArgs, DoctorArgs, ManArgs, asked_colour};
pub use trying::{InitArgs, SubjectArgs, TryArgs};
pub use winner::{ExportArgs, FeaturesArgs, PredictArgs};

/// Compares image models and freeze strategies, and reports what each point of accuracy costs in time.
#[derive(Clone, Debug, Parser)]
#[command(name = "frostline", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Colours in help and errors: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorChoice,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Answers by a deadline which pretrained model suits a folder of images, and how deep it should train
    #[command(after_help = TRY_EXAMPLES)]
    Try(TryArgs),
    /// Writes a commented experiment file for a folder of images
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Trains the trials of an experiment that have no result yet, and writes the report
    #[command(after_help = short_help(SWEEP_EXAMPLES), after_long_help = long_help(SWEEP_EXAMPLES))]
    Sweep(SweepArgs),
    /// Runs one share of a sweep, for a launcher that starts many of them on one results folder
    #[command(after_help = short_help(RUN_EXAMPLES), after_long_help = long_help(RUN_EXAMPLES))]
    Run(ShareArgs),
    /// Says what of a sweep is done, runs, failed and waits, and how long the rest may take
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Cancels the jobs that `frostline sweep --slurm` submitted
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(CancelArgs),
    /// Makes the weights of one [pretrain.NAME] of an experiment, and trains no trial
    #[command(after_help = PRETRAIN_EXAMPLES)]
    Pretrain(PretrainArgs),
    /// Shows at which learning rates the loss of each arm falls, by a short training whose rate rises
    #[command(after_help = RATE_EXAMPLES)]
    Rate(RateArgs),
    /// Shows the trials of an experiment in the order in which they would run, and runs nothing
    #[command(after_help = short_help(PLAN_EXAMPLES), after_long_help = long_help(PLAN_EXAMPLES))]
    Plan(PlanCommandArgs),
    /// Writes the weights of a trained trial to a file that PyTorch reads, with a JSON file that says what they are
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Says what a trained trial, or exported weights, see in images
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Writes what a trained trial's head is given for images, to a parquet file
    #[command(after_help = FEATURES_EXAMPLES)]
    Features(FeaturesArgs),
    /// Writes the report of a results folder anew
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Tells what changed from one results folder to another, in accuracy and time, and whether it is more than noise
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Joins results folders of one experiment, each with some of its trials, to one
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Lists the models: stages, parameters, multiply-adds, weights on the Hub
    Models(ModelsArgs),
    /// Fetches and verifies a data source, and shows classes, sizes and digest
    #[command(after_help = DATA_EXAMPLES)]
    Data(DataArgs),
    /// Says what of this machine matters to a sweep: processor, memory, room, devices, the Hub
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Prints what makes a shell complete these commands
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Writes manual pages, one for each command
    Man(ManArgs),
    /// Prints the JSON schema of experiment files, with which editors complete and check them
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
}

/// Which trials: an experiment file, changes to it, and filters.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// The experiment file
    #[arg(value_name = "FILE", default_value = "experiments/quickstart.toml")]
    pub file: PathBuf,
    /// Changes a value of the file: SECTION.KEY=VALUE, or KEY[AXIS=VALUE]=VALUE for some trials
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Keeps only the trials with this value; `trial=ID` keeps one trial
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
    /// What computes: cpu, cuda, cuda:1, metal; a sweep takes several: cuda:0,cuda:1 or cuda:all [default: the file's, or cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
}

/// A look at a plan.
#[derive(Args, Clone, Debug)]
pub struct PlanCommandArgs {
    /// Which trials.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Shows what each strategy expands to for each model: phases, what trains, how fast
    #[arg(long)]
    pub explain: bool,
    /// Writes a picture of what trains when, one SVG for each strategy and model
    #[arg(long, value_name = "DIR")]
    pub pictures: Option<PathBuf>,
}

/// A sweep.
#[derive(Args, Clone, Debug)]
pub struct SweepArgs {
    /// Which trials.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// How they run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where else results go.
    #[command(flatten)]
    pub track: TrackArgs,
    /// Who runs it.
    #[command(flatten)]
    pub slurm: SlurmArgs,
}

/// How something is trained, and where it goes.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Where results go [default: results/ and the file's name without .toml]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Threads that compute; the numbers do not depend on it [default: all that the system gives]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// Uses what was downloaded before, and asks no server
    #[arg(long)]
    pub offline: bool,
    /// Trains anew what is finished, and replaces its results; a sweep keeps pretrained weights that are whole
    #[arg(long)]
    pub force: bool,
    /// Memory that the process may take, such as 4GiB; trials that share work are split to fit [default: what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// How often it is kept where trainings stand, such as 2m; an interruption loses no more [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub save_every: Option<Duration>,
    /// Ends the sweep where a trial fails, instead of going on with the others
    #[arg(long)]
    pub fail_fast: bool,
    /// Shows no progress and no notes, only what it came to
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Tells progress as JSON on standard output, an event a line, and what it came to as the last
    #[arg(long)]
    pub json: bool,
}

/// A pretraining.
#[derive(Args, Clone, Debug)]
pub struct PretrainArgs {
    /// The experiment file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The NAME of a [pretrain.NAME]
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Changes a value of the file, as in `frostline sweep`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Keeps only the weights of trials with this value
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
    /// What computes: cpu, cuda, cuda:1, metal [default: the file's, or cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
    /// Copies the weights to this file, which `weights = "file:…"` takes; where there is one file of them
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: Option<PathBuf>,
    /// How it runs.
    #[command(flatten)]
    pub run: RunArgs,
}

/// A report.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The results folder, for instance results/quickstart
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where else results go.
    #[command(flatten)]
    pub track: TrackArgs,
}

/// Files for other tools.
#[derive(Args, Clone, Debug, Default)]
pub struct TrackArgs {
    /// Writes event files that TensorBoard reads, a sweep's as it runs [default: tensorboard/ in the results folder]
    #[arg(long, value_name = "DIR", require_equals = true)]
    pub tensorboard: Option<Option<PathBuf>>,
    /// Writes a file store that MLflow reads, a sweep's as it runs [default: mlruns/ in the results folder]
    #[arg(long, value_name = "DIR", require_equals = true)]
    pub mlflow: Option<Option<PathBuf>>,
}

/// Two sweeps.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// The results folder before
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// The results folder after
    #[arg(value_name = "B")]
    pub second: PathBuf,
}

/// Parts of a sweep.
#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// The results folder to write; what it holds already is kept
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The results folders to join
    #[arg(value_name = "PART", required = true)]
    pub parts: Vec<PathBuf>,
}

/// The list of models.
#[derive(Args, Clone, Debug)]
pub struct ModelsArgs {
    /// Tells of one model, stage by stage
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Counts multiply-adds for square images of this side
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    pub resolution: usize,
    /// Draws the model's stages as an SVG
    #[arg(long, value_name = "FILE.svg", requires = "name")]
    pub picture: Option<PathBuf>,
}

/// A look at a data source.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// Where the images come from.
    #[arg(value_name = "SOURCE", help = "digits, hub:OWNER/NAME[@REV], cifar:DIR-OR-TAR.GZ or folder:DIR")]
    pub source: String,
    /// Writes a picture of some images of each class
    #[arg(long, value_name = "FILE.png")]
    pub sheet: Option<PathBuf>,
    /// What the splits are called: train=NAME,validation=NAME,test=NAME [default: the usual names]
    #[arg(long, value_name = "NAMES")]
    pub splits: Option<String>,
    /// The column of images in a table [default: by type and name]
    #[arg(long, value_name = "COLUMN")]
    pub image_column: Option<String>,
    /// The column of labels in a table [default: by feature and name]
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<String>,
    /// Resizes to squares of this side first [default: as they are, where all have one size]
    #[arg(long, value_name = "PIXELS")]
    pub resolution: Option<usize>,
    /// Uses what was downloaded before, and asks no server
    #[arg(long)]
    pub offline: bool,
}

fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64());
    size.filter(|size| *size >= 1 << 20).ok_or_else(|| "give a size from 1MiB, such as 4GiB".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1024).contains(count))
        .ok_or_else(|| "give a whole number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use frostline_experiment::Trial;
    use frostline_experiment::keys::keys;

    use super::help::keys_help;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_lists_every_key_with_its_default() {
        let help = keys_help();
        for key in keys() {
            let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{} ", key.name)));
            let default = key.show(&Trial::default());
            assert!(line.is_some_and(|line| line.contains(&default)), "{}: {line:?}", key.name);
        }
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }

    #[test]
    fn a_sweep_has_its_defaults_and_takes_flags_several_times() {
        let Command::Sweep(args) = Cli::parse_from(["frostline", "sweep"]).command else { panic!() };
        assert_eq!(args.plan.file, PathBuf::from("experiments/quickstart.toml"));
        let RunArgs { results, threads, offline, force, quiet, json, memory, save_every, fail_fast } =
            args.run;
        assert!(results.is_none() && threads.is_none() && !offline && !force && !quiet && !json);
        assert!(memory.is_none() && save_every.is_none() && !fail_fast);
        let line = ["frostline", "sweep", "x.toml", "--set", "a=1", "--set", "b=2", "--threads", "2"];
        let Command::Sweep(args) = Cli::parse_from(line).command else { panic!() };
        assert_eq!((args.plan.set.len(), args.run.threads), (2, Some(2)));
        assert!(Cli::try_parse_from(["frostline", "sweep", "--threads", "0"]).is_err());
        assert_eq!((size("2GiB"), size("3 GB")), (Ok(2 << 30), Ok(3_000_000_000)));
        assert!(size("12").is_err() && size("much").is_err());
        assert!(Cli::try_parse_from(["frostline", "sweep", "--quiet", "--json"]).is_err());
    }
}
