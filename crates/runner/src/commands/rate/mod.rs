//! `frostline rate`: for each arm of an experiment the losses of a short training whose rate rises, and what they say of rates.

mod curve;

use std::path::Path;

use frostline_experiment::{Plan, Trial, pretraining_name};
use frostline_hub::{Hub, HubOptions};
use frostline_report::{RateCurve, ReportError, rate_curves};
use frostline_results::{StoreError, write_file};
use frostline_text::plural;
use serde_json::json;

use super::planned;
use super::sweep::Run;
use crate::cli::{PlanArgs, RateArgs};
use crate::error::{Ending, Error};
use crate::execute::{Range, RateTest, Sweep};
use crate::terminal::Columns;
use curve::{Reading, to_try};

/// Tests rates: what to print, and how the command ends.
///
/// # Errors
/// Rates that are no range; no trial that takes steps; everything that is wrong before the first step; a failed write.
pub fn rate(args: &RateArgs, hub: HubOptions) -> Result<(String, Ending), Error> {
    let range = Range { from: args.from, to: args.to, steps: args.steps };
    if range.from >= range.to {
        let message =
            format!("from {} to {} is no range of rates", rate_text(range.from), rate_text(range.to));
        return Err(Error::usage(message, "give --from a lower one than --to"));
    }
    let (experiment, whole) = planned(&args.plan)?;
    let plan = tested(&whole.only(&args.plan.only)?)?;
    let plan_args = PlanArgs { only: Vec::new(), ..args.plan.clone() };
    let mut run = Run::open(&experiment, &whole, &plan_args, &args.run)?;
    let folder = run.store.folder().join("rates");
    let sweep: Sweep<'_> = run.sweep(&whole, &plan);
    let tests = sweep.rates(&Hub::new(hub)?, range)?;
    let read: Vec<Option<Reading>> = tests.iter().map(|test| Reading::of(&test.losses)).collect();
    if !tests.is_empty() {
        write(&folder, range, &tests, &read)?;
    }
    let ending = match (tests.len() < plan.trials.len(), tests.iter().any(|test| test.failed.is_some())) {
        (true, _) => Ending::Interrupted(run.interrupt.exit_code()),
        (false, true) => Ending::SomeFailed,
        (false, false) => Ending::Done,
    };
    let text = told(range, &tests, &read, plan.trials[0].seed);
    Ok((format!("{text}curves: {}\n", folder.join("rates.svg").display()), ending))
}

/// A trial of each arm but for its rate: of the first seed, and of those that take steps.
fn tested(plan: &Plan) -> Result<Plan, Error> {
    let mut seen = Vec::new();
    let mut trials: Vec<Trial> = Vec::new();
    for trial in plan.trials.iter().filter(|trial| !trial.fits()) {
        let mut arm = trial.clone();
        arm.train.learning_rate = 1.0;
        let arm = arm.arm();
        if !seen.contains(&arm) {
            seen.push(arm);
            trials.push(trial.clone());
        }
    }
    if trials.is_empty() {
        let help = "a probe is fitted, and a vote of neighbours counted; they have no learning rate";
        return Err(Error::usage("no trial of the plan takes steps", help));
    }
    Ok(Plan { trials, ..plan.clone() })
}

/// A row a trial, what to try, and what the numbers are.
fn told(range: Range, tests: &[RateTest], read: &[Option<Reading>], seed: u64) -> String {
    let mut table = Columns::new(&["trial", ">steps", ">falls most at", ">lowest at", "to try"]);
    let mut notes = Vec::new();
    for ((test, reading), name) in tests.iter().zip(read).zip(names(tests)) {
        let steepest = reading.as_ref().and_then(|reading| reading.steepest);
        let (fall, low, rates) = match (reading, steepest) {
            (Some(reading), Some(steepest)) => {
                let (steepest, lowest) = (range.rate(steepest), range.rate(reading.lowest));
                if reading.is_open {
                    notes.push(format!(
                        "{name}: the loss had not begun to rise at the last step; higher rates may do: --to"
                    ));
                }
                let rates: Vec<String> = to_try(steepest, lowest).into_iter().map(rate_text).collect();
                (rate_text(rounded(steepest)), rate_text(rounded(lowest)), rates.join(", "))
            }
            _ => {
                let why = test.failed.clone().unwrap_or_else(|| match reading {
                    Some(_) => {
                        "the loss does not fall by more than its noise at any rate of this range".to_owned()
                    }
                    None => format!("{} are too few to read", plural(test.losses.len(), "loss")),
                });
                notes.push(format!("{name}: {why}"));
                ("–".to_owned(), "–".to_owned(), "–".to_owned())
            }
        };
        table.row(vec![name, test.losses.len().to_string(), fall, low, rates]);
    }
    let mut text = format!("{}\n", table.lines());
    notes.iter().for_each(|note| text += &format!("{note}\n"));
    text += &format!(
        "Losses of training batches while the rate rises from {} to {} (Smith 2017), seed {seed} alone: where to look, not what is best. \
         Which rate validates best, [tune] finds: learning-rate = [what is to try].\n",
        rate_text(range.from),
        rate_text(range.to)
    );
    text
}

/// What tests are called: their trials without the seed, as one stands for all, and without weights that all of them have.
fn names(tests: &[RateTest]) -> Vec<String> {
    let weights = tests.first().map(|test| test.trial.weights.as_str()).unwrap_or_default();
    let same = tests.iter().all(|test| test.trial.weights == weights);
    let weights = pretraining_name(weights).unwrap_or(weights);
    let name = |test: &RateTest| {
        let label = test.label.replace(&format!(" seed {}", test.trial.seed), "");
        if same { label.replace(&format!(" {weights} "), " ") } else { label }
    };
    tests.iter().map(name).collect()
}

fn write(folder: &Path, range: Range, tests: &[RateTest], read: &[Option<Reading>]) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| StoreError::writing(folder, error))?;
    let mut csv = "trial,label,step,learning_rate,loss,smoothed_loss\n".to_owned();
    let (mut all, mut curves) = (Vec::new(), Vec::new());
    for ((test, reading), name) in tests.iter().zip(read).zip(names(tests)) {
        let smooth = |step: usize| reading.as_ref().map(|reading| reading.smooth[step]);
        for (step, loss) in test.losses.iter().enumerate() {
            let smoothed = smooth(step).map_or_else(String::new, |loss| loss.to_string());
            let (id, rate) = (&test.trial.id, range.rate(step));
            csv += &format!("{id},\"{name}\",{},{rate:e},{loss},{smoothed}\n", step + 1);
        }
        let steepest = reading.as_ref().and_then(|reading| reading.steepest);
        let lowest = steepest.and(reading.as_ref()).map(|reading| range.rate(reading.lowest));
        all.push(json!({
            "trial": test.trial, "label": name, "failed": test.failed,
            "learning_rate": (0..test.losses.len()).map(|step| range.rate(step)).collect::<Vec<f64>>(),
            "loss": test.losses, "smoothed_loss": reading.as_ref().map(|reading| &reading.smooth),
            "steepest": steepest.map(|step| range.rate(step)), "lowest": lowest,
            "to_try": steepest.zip(lowest).map(|(step, lowest)| to_try(range.rate(step), lowest)),
        }));
        if let Some(Reading { smooth, .. }) = reading {
            curves.push(RateCurve {
                name,
                losses: test
                    .losses
                    .iter()
                    .enumerate()
                    .map(|(step, loss)| (range.rate(step), *loss))
                    .collect(),
                smooth: smooth.iter().enumerate().map(|(step, loss)| (range.rate(step), *loss)).collect(),
                steepest,
            });
        }
    }
    write_file(&folder.join("rates.csv"), csv.as_bytes())?;
    let text =
        serde_json::to_string_pretty(&all).map_err(|error| StoreError::writing(folder, error.into()))?;
    write_file(&folder.join("rates.json"), text.as_bytes())?;
    if !curves.is_empty() {
        let svg = rate_curves(&curves).map_err(ReportError::from)?;
        write_file(&folder.join("rates.svg"), svg.as_bytes())?;
    }
    Ok(())
}

/// Two digits of a rate.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

/// A rate as an experiment file spells it.
fn rate_text(rate: f64) -> String {
    let mut trial = Trial::default();
    trial.train.learning_rate = rate;
    trial.value_of("learning-rate").unwrap_or_default()
}
