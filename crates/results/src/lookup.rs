//! Finding a stored trial by its id, in one results folder or in all of them: [`find`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::store::WEIGHTS;
use crate::{Environment, Invocation, StoreError, StoredTrial, listing, read};

/// Trials that an error lists.
const SHOWN: usize = 8;

/// A trial that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its folder, `results/<experiment>/trials/<id>`.
    pub folder: PathBuf,
    /// What is stored of it, but for predictions and weights.
    pub stored: StoredTrial,
    /// Where it ran; none where that is not stored.
    pub environment: Option<Environment>,
    /// How its experiment was asked for.
    pub asked: Invocation,
}

/// Why no trial was found, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// None has this id, or several do.
    #[error("{message}")]
    Not {
        /// What is wrong.
        message: String,
        /// The trials that there are, or that were perhaps meant.
        help: String,
    },
    /// A results folder, or the trial that was found, cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Found {
    /// The safetensors file of its weights, where it is there.
    pub fn weights(&self) -> Option<PathBuf> {
        Some(self.folder.join(WEIGHTS)).filter(|path| path.exists())
    }
}

/// The trial whose id is `wanted` or begins so. It is looked for in `folder`, an experiment's results folder, or, without
/// one, in all of those in `results/`. Where several experiments have the trial, the one that kept its weights is taken.
///
/// # Errors
/// No trial or several; a folder that cannot be read; a trial that is damaged.
pub fn find(wanted: &str, folder: Option<&Path>) -> Result<Found, LookupError> {
    find_in(wanted, folder, Path::new("results"))
}

fn find_in(wanted: &str, folder: Option<&Path>, all: &Path) -> Result<Found, LookupError> {
    let experiments = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => listing::folders_in(all)?,
    };
    let mut trials: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for experiment in &experiments {
        for path in listing::folders_in(&experiment.join("trials"))? {
            let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            trials.entry(id).or_default().push(path);
        }
    }
    let place = folder.unwrap_or(all).display().to_string();
    let begins: Vec<&String> =
        trials.keys().filter(|id| !wanted.is_empty() && id.starts_with(wanted)).collect();
    let not = |message: String, help: String| Err(LookupError::Not { message, help });
    let id = match begins.as_slice() {
        [id] => *id,
        [] if trials.is_empty() => {
            let help = "name the results folder of an experiment with --results; `frostline sweep` makes one";
            return not(format!("no trials are stored in {place}"), help.to_owned());
        }
        [] => {
            let mut near: Vec<&String> = trials.keys().collect();
            near.sort_by_key(|id| distance(wanted, id));
            return not(
                format!("no trial in {place} has the id `{wanted}`"),
                listed("nearest: ", &near, &trials),
            );
        }
        several => {
            let message =
                format!("{} trials in {place} have an id that begins with `{wanted}`", several.len());
            return not(message, listed("write more of one: ", several, &trials));
        }
    };
    let paths = &trials[id];
    let path = paths.iter().find(|path| path.join(WEIGHTS).exists()).unwrap_or(&paths[0]);
    let stored = read::trial(path)?;
    let experiment = path.ancestors().nth(2).unwrap_or(path);
    let environment = read::environments(experiment)?.remove(&stored.outcome.environment);
    let asked = read::asked(experiment);
    Ok(Found { folder: path.clone(), stored, environment, asked })
}

/// Edits between what was written and the beginning of an id that is as long.
fn distance(wanted: &str, id: &str) -> usize {
    let start: String = id.chars().take(wanted.chars().count()).collect();
    strsim::damerau_levenshtein(wanted, &start)
}

/// The first trials of a list, with what they are.
fn listed(lead: &str, ids: &[&String], trials: &BTreeMap<String, Vec<PathBuf>>) -> String {
    let mut text = lead.to_owned();
    for (index, id) in ids.iter().take(SHOWN).enumerate() {
        let what = match read::trial(&trials[*id][0]) {
            Ok(stored) => stored.trial.label(),
            Err(_) => "damaged".to_owned(),
        };
        let _ = write!(text, "{}{id} ({what})", if index > 0 { ", " } else { "" });
    }
    if ids.len() > SHOWN {
        let _ = write!(text, " and {} more", ids.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{environment, plan, result};
    use crate::{Store, TrialResult};

    /// `results/a` with four trials, `results/b` with the first of them and another.
    fn filled() -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let trials = plan(&["resnet18"], &["full", "head"], 2).trials;
        let others = plan(&["resnet34"], &["full"], 1).trials;
        for (name, trials) in [("a", trials.clone()), ("b", vec![trials[0].clone(), others[0].clone()])] {
            let mut store = Store::open(&dir.path().join("results").join(name)).unwrap();
            let id = store.record_environment(&environment()).unwrap();
            for trial in &trials {
                let TrialResult { mut outcome, epochs, predictions, checkpoint } = result(trial, 0.5, 1.0);
                outcome.environment.clone_from(&id);
                let result = TrialResult { outcome, epochs, predictions, checkpoint };
                store.save(trial, &result, false).unwrap();
            }
        }
        (dir, trials.iter().chain(&others).map(|trial| trial.id.clone()).collect())
    }

    #[test]
    fn an_id_or_its_beginning_finds_a_trial_in_one_folder_or_in_all() {
        let (dir, ids) = filled();
        let all = dir.path().join("results");
        for id in &ids {
            let found = find_in(id, None, &all).unwrap();
            assert_eq!((&found.stored.trial.id, &found.environment), (id, &Some(environment())));
            assert_eq!(find_in(&id[..6], None, &all).unwrap(), found);
            assert_eq!(found.weights(), None);
        }
        let in_b = find_in(&ids[0], Some(&all.join("b")), &all).unwrap();
        assert!(in_b.folder.starts_with(all.join("b")));
        assert!(find_in(&ids[1], Some(&all.join("b")), &all).is_err());
        std::fs::write(in_b.folder.join(WEIGHTS), "x").unwrap();
        assert_eq!(find_in(&ids[0], None, &all).unwrap().folder, in_b.folder, "the one with weights");
    }

    #[test]
    fn what_is_not_there_or_not_unique_is_answered_with_what_there_is() {
        let (dir, ids) = filled();
        let all = dir.path().join("results");
        let told = |wanted: &str, folder: Option<&Path>| match find_in(wanted, folder, &all) {
            Err(LookupError::Not { message, help }) => (message, help),
            other => panic!("{other:?}"),
        };
        let wrong = format!("{}z", &ids[2][..11]);
        let (message, help) = told(&wrong, None);
        assert!(message.contains(&format!("has the id `{wrong}`")), "{message}");
        assert!(help.starts_with(&format!("nearest: {} (resnet18 ", ids[2])), "{help}");
        let (message, help) = told("", None);
        assert!(message.contains("has the id ``") && ids.iter().all(|id| help.contains(id)), "{help}");
        let (message, _) = told("abc", Some(&all.join("c")));
        assert!(message.contains("no trials are stored in"), "{message}");

        let twin = all.join("a/trials").join(format!("{}ffffff", &ids[1][..6]));
        std::fs::create_dir(twin).unwrap();
        let (message, help) = told(&ids[1][..6], None);
        assert!(
            message.starts_with("2 trials in") && help.contains(&ids[1]) && help.contains("(damaged)"),
            "{help}"
        );
    }
}
