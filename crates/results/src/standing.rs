//! How far a sweep is, for those who look at its folder while others write: [`Standing`], of results, claims and places. It takes no lock
//! that anybody waits for, and reads no predictions.

use std::collections::BTreeMap;
use std::path::Path;

use frostline_experiment::{Plan, Trial, Trunk};

use super::claims::{Seen, held};
use super::records::PlanRecord;
use super::{Holder, Invocation, Outcome, Status, StoreError, TrunkOutcome, Underway, json, ledger, tuned};

/// How far a sweep is.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What it is to do.
    pub plan: Plan,
    /// How it was asked for.
    pub asked: Invocation,
    /// How each trial of the plan stands, in its order.
    pub trials: Vec<Stand>,
    /// How each pretraining stands that the plan needs, in the order of the trials.
    pub trunks: Vec<(Trunk, Stand)>,
}

/// How a trial, or a pretraining, stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stand {
    /// It is done.
    Done {
        /// What of the sweep's time it took, in seconds.
        seconds: f64,
    },
    /// It was tried and failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// A process runs it.
    Running {
        /// Which.
        by: Holder,
        /// The epochs that were done when it was last kept where it stands.
        epochs: usize,
    },
    /// A process has begun it and runs it no more; it goes on from where it stood.
    Stopped {
        /// Which, where it died without letting it go.
        by: Option<Holder>,
        /// The epochs that were done then.
        epochs: usize,
    },
    /// Nothing was done of it.
    Waiting,
    /// Its arm has chosen another value of what is tuned, so it is not needed.
    Unchosen,
    /// What is stored of it cannot be read, so it is done again.
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl Standing {
    /// Looks at a results folder, by a process that is `me`.
    ///
    /// # Errors
    /// No plan in it, a file of a newer format, or a failure of the file system.
    pub fn read(folder: &Path, me: &Holder) -> Result<Self, StoreError> {
        let path = folder.join("plan.json");
        if !path.exists() {
            return Err(StoreError::NoPlan { folder: folder.to_owned() });
        }
        let record: PlanRecord = json::read(&path, "sweep")?;
        let (asked, plan) = (record.asked(), record.plan);
        let look = Look { underway: Underway::of(folder), claims: held(folder, me)? };
        let recorded: BTreeMap<String, Outcome> = ledger::outcomes(folder)?;
        let of_trial = |trial: &Trial| {
            let path = folder.join("trials").join(&trial.id);
            let stored = json::read::<Outcome>(&path.join("outcome.json"), "outcome");
            match (stored, recorded.get(&trial.id)) {
                (Ok(outcome), _) => Ok(of(&outcome.status, outcome.share_seconds())),
                (Err(error @ StoreError::Newer { .. }), _) => Err(error),
                (Err(_), Some(outcome)) if !path.exists() => Ok(of(&outcome.status, outcome.share_seconds())),
                (Err(error), _) => look.open(&trial.id, path.exists().then_some(error)),
            }
        };
        let mut trials = plan.trials.iter().map(of_trial).collect::<Result<Vec<_>, _>>()?;
        if let Some(tune) = &plan.tune {
            let tried =
                |trial: &Trial| tuned::look(&folder.join("trials").join(&trial.id), recorded.get(&trial.id));
            let unchosen = tune.unchosen(&plan, tried);
            for (trial, stand) in plan.trials.iter().zip(&mut trials) {
                if matches!(stand, Stand::Waiting) && unchosen.contains(trial.id.as_str()) {
                    *stand = Stand::Unchosen;
                }
            }
        }
        let of_trunk = |trunk: Trunk| {
            let path = folder.join("pretrained").join(&trunk.id);
            let stand = match json::read::<TrunkOutcome>(&path.join("outcome.json"), "outcome") {
                Ok(outcome) => of(&outcome.status, outcome.seconds.wall),
                Err(error @ StoreError::Newer { .. }) => return Err(error),
                Err(error) => look.open(&trunk.id, path.exists().then_some(error))?,
            };
            Ok((trunk, stand))
        };
        let trunks = plan.trunks().into_iter().map(of_trunk).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { plan, asked, trials, trunks })
    }

    /// The processes that run something, each once, with how much that is.
    pub fn running(&self) -> Vec<(&Holder, usize)> {
        let mut all: Vec<(&Holder, usize)> = Vec::new();
        let stands = self.trials.iter().chain(self.trunks.iter().map(|(_, stand)| stand));
        for stand in stands {
            if let Stand::Running { by, .. } = stand {
                match all.iter_mut().find(|(known, _)| *known == by) {
                    Some((_, count)) => *count += 1,
                    None => all.push((by, 1)),
                }
            }
        }
        all
    }
}

/// What is known of what has not ended.
struct Look {
    underway: Underway,
    claims: BTreeMap<String, Seen>,
}

impl Look {
    /// How something stands that is not stored, or is not whole.
    fn open(&self, id: &str, broken: Option<StoreError>) -> Result<Stand, StoreError> {
        let epochs = self.underway.last(id).map(|place| place.done);
        Ok(match (self.claims.get(id).cloned(), epochs) {
            (Some(Seen { holder: by, alive: true }), epochs) => {
                Stand::Running { by, epochs: epochs.unwrap_or(0) }
            }
            (Some(Seen { holder, .. }), epochs) => {
                Stand::Stopped { by: Some(holder), epochs: epochs.unwrap_or(0) }
            }
            (None, Some(epochs)) => Stand::Stopped { by: None, epochs },
            (None, None) => match broken {
                Some(error) => Stand::Damaged { reason: error.to_string() },
                None => Stand::Waiting,
            },
        })
    }
}

fn of(status: &Status, seconds: f64) -> Stand {
    match status {
        Status::Finished => Stand::Done { seconds },
        Status::Failed { reason } => Stand::Failed { reason: reason.clone() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::samples::{plan, result};
    use crate::{Inputs, Place, Seconds, Store};

    #[test]
    fn each_trial_stands_as_its_files_tell() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(&["resnet18"], &["head", "full", "last-1"], 2);
        let me = Holder { host: "node1".to_owned(), pid: 5, job: None };
        let mut store = Store::open_by(dir.path(), me.clone(), false).unwrap();
        assert!(matches!(Standing::read(dir.path(), &me), Err(StoreError::NoPlan { .. })));
        store.record_plan(&plan, "", &Invocation::default()).unwrap();
        let [done, failed, running, stopped, damaged, waiting] = &plan.trials[..] else { panic!() };
        let mut outcome = result(done, 0.5, 3.0);
        store.save(done, &outcome, false).unwrap();
        outcome = result(failed, 0.5, 3.0);
        outcome.outcome.status = Status::Failed { reason: "the loss left the numbers".to_owned() };
        store.save(failed, &outcome, false).unwrap();
        let _claim = store.claim(&running.id).unwrap().unwrap();
        let place = |id: &str| Place {
            of: id.to_owned(),
            inputs: Inputs::default(),
            done: 4,
            steps: 1,
            epochs: Vec::new(),
            seconds: Seconds::default(),
            share_seconds: 0.0,
            together: 1,
            started_at: String::new(),
            sha256: String::new(),
        };
        store.underway().keep(&place(&running.id), |out| out.write_all(b"x")).unwrap();
        store.underway().keep(&place(&stopped.id), |out| out.write_all(b"x")).unwrap();
        fs::create_dir(dir.path().join("trials").join(&damaged.id)).unwrap();
        let stands = |me: &Holder| Standing::read(dir.path(), me).unwrap();
        let standing = stands(&Holder { host: "login".to_owned(), ..me.clone() });
        let by = me.clone();
        assert_eq!(standing.trials[0], Stand::Done { seconds: 3.0 });
        assert_eq!(standing.trials[1], Stand::Failed { reason: "the loss left the numbers".to_owned() });
        assert_eq!(standing.trials[2], Stand::Running { by: by.clone(), epochs: 4 });
        assert_eq!(standing.trials[3], Stand::Stopped { by: None, epochs: 4 });
        assert!(matches!(&standing.trials[4], Stand::Damaged { .. }), "{:?}", standing.trials[4]);
        assert_eq!((&standing.trials[5], &plan.trials[5]), (&Stand::Waiting, waiting));
        assert_eq!(standing.running(), [(&me, 1)]);
        // A process that died leaves its name, and no lock.
        let left = serde_json::to_string(&by).unwrap();
        fs::write(dir.path().join("claims").join(&waiting.id), left).unwrap();
        assert_eq!(stands(&me).trials[5], Stand::Stopped { by: Some(by), epochs: 0 });
    }
}
