//! `frostline pretrain`: the weights of one `[pretrain.NAME]` alone. They are made as `frostline sweep` makes them, and kept
//! where it finds them.

use frostline_experiment::{Plan, Trial, Trunk, pretraining_name};
use frostline_hub::{Hub, HubOptions};
use frostline_results::{Store, write_file};
use frostline_text::grouped;

use super::sweep::Run;
use super::{one_device, planned};
use crate::cli::{PlanArgs, PretrainArgs};
use crate::error::{Ending, Error};
use crate::terminal::Columns;

/// Makes the weights: what to print, and how the command ends.
///
/// # Errors
/// No trial of the experiment uses the pretraining; everything that is wrong before the training; a failed write.
pub fn pretrain(args: &PretrainArgs, hub: HubOptions) -> Result<(String, Ending), Error> {
    if let Some(choice) = &args.device {
        one_device(choice, "frostline pretrain")?;
    }
    let plan_args = PlanArgs {
        file: args.file.clone(),
        set: args.set.clone(),
        only: args.only.clone(),
        device: args.device.clone(),
    };
    let (experiment, whole) = planned(&plan_args)?;
    let plan = using(&args.name, &whole.only(&plan_args.only)?)?;
    let trunks = plan.trunks();
    if args.output.is_some() && trunks.len() > 1 {
        let help = "keep one of them, for example with --only seed=0";
        return Err(Error::usage(
            format!("--output is one file, and there are {} trunks", trunks.len()),
            help,
        ));
    }
    let mut run = Run::open(&experiment, &whole, &PlanArgs { only: Vec::new(), ..plan_args }, &args.run)?;
    let tally = run.sweep(&whole, &plan).pretrain(&Hub::new(hub)?)?;
    let mut text = if args.run.json { String::new() } else { table(&run.store, &trunks)? };
    if let (Some(output), [trunk], 0) = (&args.output, trunks.as_slice(), tally.failed + tally.left) {
        let weights = run.store.trunk_weights(&trunk.id);
        let bytes = std::fs::read(&weights).map_err(|error| Error::reading(&weights, error, None))?;
        write_file(output, &bytes)?;
        let told =
            format!("\nwritten to {}; use it as weights = \"file:{}\"\n", output.display(), output.display());
        text += if args.run.json { "" } else { &told };
    }
    Ok((text, run.ending(&tally)))
}

/// The trials that start from the pretraining.
fn using(name: &str, plan: &Plan) -> Result<Plan, Error> {
    let uses = |trial: &&Trial| pretraining_name(&trial.weights) == Some(name);
    let trials: Vec<Trial> = plan.trials.iter().filter(uses).cloned().collect();
    if trials.is_empty() {
        let mut names: Vec<&str> = plan.trials.iter().filter_map(|t| pretraining_name(&t.weights)).collect();
        names.sort_unstable();
        names.dedup();
        let help = match names.as_slice() {
            [] => "none has weights = \"pretrain:NAME\"".to_owned(),
            names => format!("they use {}", names.join(", ")),
        };
        return Err(Error::usage(format!("no trial starts from the pretraining `{name}`"), help));
    }
    Ok(Plan { trials, ..plan.clone() })
}

fn table(store: &Store, trunks: &[Trunk]) -> Result<String, Error> {
    let mut table =
        Columns::new(&["trunk", "model", ">seed", ">epochs", ">loss", ">validation", ">seconds", "file"]);
    for trunk in trunks {
        let Some(stored) = store.trunk(&trunk.id)? else { continue };
        let last = stored.epochs.last();
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
        let file = match &stored.outcome.weights {
            Some(_) => store.trunk_weights(&trunk.id).display().to_string(),
            None => "failed".to_owned(),
        };
        table.row(vec![
            trunk.id.clone(),
            trunk.model.clone(),
            trunk.seed.to_string(),
            grouped(stored.epochs.len() as u64),
            number(last.and_then(|epoch| epoch.train_loss)),
            number(last.and_then(|epoch| epoch.validation_accuracy.or(epoch.validation_loss))),
            format!("{:.1}", stored.outcome.seconds.wall),
            file,
        ]);
    }
    Ok(format!("{}\n", table.lines()))
}
