//! What is stored of the candidates of a tuned experiment, as [`Tune`](frostline_experiment::Tune) asks for it.

use std::path::Path;

use frostline_experiment::Tried;

use crate::{EpochRecord, Outcome, Status, Store, StoredTrial, json};

impl StoredTrial {
    /// What came of it, where it is a candidate.
    pub fn tried(&self) -> Tried {
        tried(&self.outcome, &self.epochs)
    }
}

impl Store {
    /// What came of a candidate.
    pub fn tried(&self, id: &str) -> Tried {
        look(&self.folder().join("trials").join(id), None)
    }
}

/// What a trial's folder says of a candidate, or where there is none what was recorded of it elsewhere.
pub(super) fn look(folder: &Path, recorded: Option<&Outcome>) -> Tried {
    let outcome = json::read::<Outcome>(&folder.join("outcome.json"), "outcome");
    match outcome.as_ref().ok().or(recorded) {
        Some(outcome) => {
            let epochs: Vec<EpochRecord> =
                json::read(&folder.join("epochs.json"), "epochs").unwrap_or_default();
            tried(outcome, &epochs)
        }
        None => Tried::Not,
    }
}

fn tried(outcome: &Outcome, epochs: &[EpochRecord]) -> Tried {
    let chosen = epochs.iter().find(|epoch| Some(epoch.epoch) == outcome.chosen_epoch);
    match (&outcome.status, outcome.validation_accuracy) {
        (Status::Finished, Some(accuracy)) => {
            Tried::Validated { accuracy, loss: chosen.and_then(|epoch| epoch.validation_loss) }
        }
        _ => Tried::Failed,
    }
}
