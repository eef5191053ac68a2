//! The arguments of `frostline rate`.

use clap::Args;

use super::{PlanArgs, RunArgs};

/// A test of learning rates.
#[derive(Args, Clone, Debug)]
pub struct RateArgs {
    /// Which trials.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The learning rate of the first step
    #[arg(long, value_name = "RATE", default_value = "1e-6", value_parser = positive)]
    pub from: f64,
    /// That of the last step
    #[arg(long, value_name = "RATE", default_value = "1", value_parser = positive)]
    pub to: f64,
    /// Steps, each with a higher rate by the same factor; a test ends where the loss is four times the lowest
    #[arg(long, value_name = "N", default_value = "100", value_parser = steps)]
    pub steps: usize,
    /// How they run.
    #[command(flatten)]
    pub run: RunArgs,
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| *value > 0.0 && value.is_finite());
    value.ok_or_else(|| "a number above 0 is needed".to_owned())
}

fn steps(text: &str) -> Result<usize, String> {
    let value = text.parse::<usize>().ok().filter(|value| (20..=100_000).contains(value));
    value.ok_or_else(|| "a whole number from 20 to 100000 is needed".to_owned())
}
