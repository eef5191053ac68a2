//! `frostline init`: a commented experiment file for some images, to begin with. It trains nothing and fetches no weights.

use std::path::PathBuf;

use frostline_experiment::{Experiment, expand};
use frostline_hub::{Hub, HubOptions, Progress};
use frostline_results::write_file;

use super::file::{Arm, Draft};
use super::look::Subject;
use super::{candidates, kept};
use crate::cli::InitArgs;
use crate::error::Error;

/// Models that an experiment begins with where none is named.
const MODELS: usize = 2;
const STRATEGIES: [&str; 4] = ["probe:logistic", "head", "last-1", "full"];

/// Writes the file; what it is, to print.
///
/// # Errors
/// Images that cannot be read; a file that is there already, or cannot be written.
pub fn init(args: &InitArgs, hub: HubOptions, progress: &dyn Progress) -> Result<String, Error> {
    let hub = Hub::new(hub)?;
    let subject = Subject::look(&args.subject, &hub, &kept(&hub), progress)?;
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.toml", subject.name)));
    if path.exists() {
        return Err(Error::usage(
            format!("{} is there already", path.display()),
            "give another name with --output",
        ));
    }
    let (mut asked, _) = candidates::find(&args.subject, (subject.resolution, subject.classes()))?;
    if args.subject.models.is_empty() && args.subject.weights.is_empty() {
        asked.truncate(MODELS);
    }
    let arms = asked.iter().flat_map(|candidate| {
        STRATEGIES.map(|strategy| Arm {
            model: candidate.name().to_owned(),
            weights: candidate.weights.clone(),
            strategy: strategy.to_owned(),
            seeds: 3,
        })
    });
    let head =
        std::iter::once(format!("frostline sweep {}", path.display())).chain(subject.facts.iter().cloned());
    let (head, arms) = (head.collect(), arms.collect());
    let text = Draft { subject: &subject, head, arms, epochs: 10, per_class: None, explained: true }.text();
    let plan = expand(&Experiment::read(&path, &text, &[])?)?;
    write_file(&path, text.as_bytes())?;
    let facts: String = subject.facts.iter().map(|fact| format!("{fact}\n")).collect();
    Ok(format!(
        "{facts}\n{}: {} trials; look with `frostline plan {0}`, run with `frostline sweep {0}`\n",
        path.display(),
        plan.trials.len()
    ))
}
