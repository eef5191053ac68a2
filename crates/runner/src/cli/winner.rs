//! The arguments of what is done with a trained model: `export`, `predict` and `features`.

use std::path::PathBuf;

use clap::Args;

use super::count;
use crate::machine::DeviceChoice;
use crate::predict::{Format, Part};

/// An export.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The trial's id, or as much of its beginning as no other has; `frostline plan` and the report have them
    #[arg(value_name = "TRIAL")]
    pub trial: String,
    /// The file to write; its JSON file has the same name with .json
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: PathBuf,
    /// Writes the model as an ONNX graph too, of the same name with .onnx; it takes RGB in [0, 1] and normalises it
    #[arg(long)]
    pub onnx: bool,
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
    /// PNG and JPEG files, folders of them, patterns in quotes, and - for a list of files from a pipe
    #[arg(value_name = "IMAGES", required = true)]
    pub images: Vec<String>,
    /// How many classes to tell for each image, the likeliest first
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub top: usize,
    /// How to write them
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Draws where in each image the likeliest class was found, a PNG an image, into this folder
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    /// The results folder of the trial's experiment [default: all those in results/]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Threads that compute; the numbers do not depend on it [default: all that the system gives]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// What computes: cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
}

/// What a head is given for images.
#[derive(Args, Clone, Debug)]
pub struct FeaturesArgs {
    /// The trial's id, as in `frostline export`, or a file that that wrote
    #[arg(value_name = "TRIAL|FILE.safetensors")]
    pub model: String,
    /// Image files, folders of them, patterns in quotes, and - for a list of files from a pipe
    #[arg(value_name = "IMAGES", required_unless_present = "split")]
    pub images: Vec<String>,
    /// Takes the images that the trial had instead, with their labels; several with commas between
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SPLITS", conflicts_with = "images")]
    pub split: Vec<Part>,
    /// The file to write, a row an image
    #[arg(long, value_name = "FILE.parquet")]
    pub output: PathBuf,
    /// The results folder of the trial's experiment [default: all those in results/]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Threads that compute; the numbers do not depend on it [default: all that the system gives]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// What computes: cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
    /// Uses what was downloaded before, and asks no server
    #[arg(long)]
    pub offline: bool,
}
