//! The arguments of `try` and `init`, which need images and no experiment file.

use std::path::PathBuf;

use clap::Args;
use frostline_recipe::Counting;

use super::RunArgs;

/// Which images, and which models are asked about them.
#[derive(Args, Clone, Debug)]
pub struct SubjectArgs {
    /// Where the images come from.
    #[arg(
        value_name = "FOLDER",
        help = "A folder with a folder of images for each class, or hub:OWNER/NAME[@REV], cifar:PATH, digits"
    )]
    pub source: Option<String>,
    /// Takes the images from a data set on the Hub instead
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "source", required_unless_present = "source")]
    pub hub: Option<String>,
    /// The models to ask, with commas between [default: some that are fast enough, of several families]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub models: Vec<String>,
    /// Other weights for a model than those pinned for it, such as resnet18=hub:OWNER/NAME/FILE or resnet18=file:PATH
    #[arg(long, value_name = "MODEL=WEIGHTS")]
    pub weights: Vec<String>,
    /// Height and width that images are resized to [default: by their size, and by the time there is]
    #[arg(long, value_name = "PIXELS")]
    pub resolution: Option<usize>,
    /// What counts alike where models and depths are chosen: images, or classes, however few images they have
    #[arg(long, value_name = "WHAT", default_value = "images", value_parser = clap::builder::PossibleValuesParser::new(Counting::NAMES))]
    pub validation_counts: String,
}

/// A question with a deadline.
#[derive(Args, Clone, Debug)]
pub struct TryArgs {
    /// Which images and models.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// How long it may take in all, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    pub minutes: f64,
    /// How it runs.
    #[command(flatten)]
    pub run: RunArgs,
}

/// An experiment file to begin with.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Which images and models.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// The file to write [default: the folder's name and .toml]
    #[arg(long, value_name = "FILE.toml")]
    pub output: Option<PathBuf>,
    /// Uses what was downloaded before, and asks no server
    #[arg(long)]
    pub offline: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: Option<f64> = text.parse().ok();
    minutes
        .filter(|minutes| (0.5..=10_000.0).contains(minutes))
        .ok_or_else(|| "give minutes, from 0.5".to_owned())
}
