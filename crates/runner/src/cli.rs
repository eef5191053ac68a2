//! The command line: [`Cli`], read by clap. It says what a user may write, and does nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use frostline_experiment::Trial;
use frostline_experiment::keys::{Section, keys};

use crate::predict::Format;

/// Compares image models and freeze strategies, and reports what each point of accuracy costs in time.
#[derive(Clone, Debug, Parser)]
#[command(name = "frostline", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the work failed, 2 the command line or the experiment file will not do,
3 the work is done but for trials that failed or images that are broken, 130 interrupted.

Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE act as in other Hugging Face tools;
NO_COLOR turns colours off.";

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Trains the trials of an experiment that have no result yet, and writes the report
    #[command(after_help = short_help(SWEEP_EXAMPLES), after_long_help = long_help(SWEEP_EXAMPLES))]
    Sweep(SweepArgs),
    /// Makes the weights of one [pretrain.NAME] of an experiment, and trains no trial
    #[command(after_help = PRETRAIN_EXAMPLES)]
    Pretrain(PretrainArgs),
    /// Shows the trials of an experiment in the order in which they would run, and runs nothing
    #[command(after_help = short_help(PLAN_EXAMPLES), after_long_help = long_help(PLAN_EXAMPLES))]
    Plan(PlanCommandArgs),
    /// Writes the weights of a trained trial to a file that PyTorch reads, with a JSON file that says what they are
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Says what a trained trial, or exported weights, see in images
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Writes the report of a results folder anew
    Report(ReportArgs),
    /// Lists the models: stages, parameters, multiply-adds, weights on the Hub
    Models(ModelsArgs),
    /// Fetches and verifies a data source, and shows classes, sizes and digest
    #[command(after_help = DATA_EXAMPLES)]
    Data(DataArgs),
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
    /// Copies the weights to this file, which `weights = "file:…"` takes; where there is one file of them
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: Option<PathBuf>,
    /// How it runs.
    #[command(flatten)]
    pub run: RunArgs,
}

/// An export.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The trial's id, or as much of its beginning as no other has; `frostline plan` and the report have them
    #[arg(value_name = "TRIAL")]
    pub trial: String,
    /// The file to write; its JSON file has the same name with .json
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: PathBuf,
    /// The results folder of the trial's experiment [default: all those in results/]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
}

/// A question about images.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    /// The trial's id, as in `frostline export`, or a file that that wrote
    #[arg(value_name = "TRIAL|FILE.safetensors")]
    pub model: String,
    /// PNG and JPEG files, folders of them, and patterns in quotes
    #[arg(value_name = "IMAGES", required = true)]
    pub images: Vec<String>,
    /// How many classes to tell for each image, the likeliest first
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub top: usize,
    /// How to write them
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// The results folder of the trial's experiment [default: all those in results/]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Threads that compute; the numbers do not depend on it [default: all that the system gives]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}

/// A report.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The results folder, for instance results/quickstart
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
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

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1024).contains(count))
        .ok_or_else(|| "give a whole number from 1".to_owned())
}

const SWEEP_EXAMPLES: &str = "\
Examples:
  frostline sweep
  frostline sweep experiments/article.toml --only model=resnet18 --only seed=0
  frostline sweep experiments/article.toml --set data.per-class=500 --set train.epochs=3
  frostline sweep experiments/article.toml --set 'grid.seed=[0, 1]' --set 'weights[model=alexnet]=none'

Finished trials are kept: the same command goes on where an earlier one stopped.";

const PRETRAIN_EXAMPLES: &str = "\
Examples:
  frostline pretrain experiments/pretraining.toml rotation --only seed=0 --output rotation.safetensors
  frostline pretrain experiments/quickstart.toml other-digits

The weights of each model and seed are kept in the results folder, where `frostline sweep` finds them.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  frostline export 81c7f9 --output digits.safetensors
  frostline export 81c7f9035a0f --results results/plants --output plants.safetensors

Weights are kept by trials of an experiment with checkpoints = \"best\" (or --set checkpoints=best). torchvision and timm take
the file with load_state_dict(load_file(...), strict=True).";

const PREDICT_EXAMPLES: &str = "\
Examples:
  frostline predict 81c7f9 photos
  frostline predict plants.safetensors 'photos/2024-*.jpg' leaf.png --top 3
  frostline predict plants.safetensors photos --format jsonl > predictions.jsonl

Images are resized as in training. One that cannot be used is a row that says why, and the exit code is then 3.";

const PLAN_EXAMPLES: &str = "\
Examples:
  frostline plan experiments/article.toml
  frostline plan experiments/strategies.toml --explain --pictures pictures
  frostline plan experiments/article.toml --set 'learning-rate=[1e-3, 1e-4]' --only model=resnet18";

const DATA_EXAMPLES: &str = "\
Examples:
  frostline data digits --sheet digits.png
  frostline data hub:uoft-cs/cifar10
  frostline data folder:photos --resolution 64";

fn short_help(examples: &str) -> String {
    format!("{examples}\n\n--help lists the keys of an experiment file.")
}

fn long_help(examples: &str) -> String {
    format!("{examples}\n\n{}", keys_help())
}

/// The keys of an experiment file with their defaults, and how `--set` names them.
fn keys_help() -> String {
    let mut help = String::from(
        "Keys of an experiment file. Any of them may be an axis of [grid], with a list of values; the first four are\n\
         written there only. [[override]] (when = { AXIS = VALUE }, then keys) changes them for some trials, the last\n\
         that applies wins. [[claim]] (when, test-accuracy, minutes, source) is held against the results. [strategy.NAME]\n\
         (phases: a list of tables) spells out a strategy; `frostline plan --explain` shows what each one does.\n\
         [pretrain.NAME] (method: supervised, autoencoder or rotation; denoise; seed; keys of [data] and [train]) makes\n\
         what `pretrain:NAME` names. checkpoints = \"best\" (or \"last\"; before the first table) keeps each trial's weights.\n",
    );
    let defaults = Trial::default();
    for section in [Section::Grid, Section::Data, Section::Train] {
        help += &format!("\n  [{section}]\n");
        for key in keys().iter().filter(|key| key.section == section) {
            let default = match key.show(&defaults) {
                default if default.is_empty() => "required".to_owned(),
                default => default,
            };
            let choices = match key.choices() {
                [first, ..] if !key.meaning.contains(first) => format!(": {}", key.choices().join(", ")),
                _ => String::new(),
            };
            help += &format!("  {:<16} {:<9} {}{choices}\n", key.name, default, key.meaning);
        }
    }
    help += "\n--set replaces what the file says of a key, also where the file has it as an axis. The section may be left\n\
             out; a list makes an axis. KEY[AXIS=VALUE,…]=VALUE adds an override after those of the file. A value is\n\
             TOML, or plain text where it is not.\n";
    help
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
        let RunArgs { results, threads, offline, force } = args.run;
        assert!(results.is_none() && threads.is_none() && !offline && !force);
        let line = ["frostline", "sweep", "x.toml", "--set", "a=1", "--set", "b=2", "--threads", "2"];
        let Command::Sweep(args) = Cli::parse_from(line).command else { panic!() };
        assert_eq!((args.plan.set.len(), args.run.threads), (2, Some(2)));
        assert!(Cli::try_parse_from(["frostline", "sweep", "--threads", "0"]).is_err());
    }
}
