//! `--only`: [`Plan::only`] keeps the trials that a command asked for.

use super::Plan;
use crate::file::did_you_mean;
use crate::trial::Trial;
use crate::trial::keys::keys;

/// A filter that keeps nothing, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`--only {filter}` {problem}")]
pub struct SelectError {
    filter: String,
    problem: String,
    /// What to do.
    pub help: String,
}

impl Plan {
    /// The plan with only the trials that every filter keeps. A filter is `key=value`; several of one key keep the trials
    /// that any of them keeps. `trial=ID` keeps trials whose id begins with ID.
    ///
    /// # Errors
    /// A filter that is not `key=value`, whose key trials do not have, or whose value none has; filters that together
    /// keep no trial.
    pub fn only(&self, filters: &[String]) -> Result<Plan, SelectError> {
        let filters: Vec<(&str, &str)> =
            filters.iter().map(|filter| self.filter(filter)).collect::<Result<_, _>>()?;
        let keeps = |trial: &Trial| {
            filters.iter().all(|(key, _)| {
                filters.iter().filter(|(other, _)| other == key).any(|(key, value)| holds(trial, key, value))
            })
        };
        let trials: Vec<Trial> = self.trials.iter().filter(|trial| keeps(trial)).cloned().collect();
        if trials.is_empty() && !self.trials.is_empty() {
            let filter = filters.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
            return Err(SelectError {
                filter: filter.join(" --only "),
                problem: "keeps no trial".to_owned(),
                help: "each value occurs, but not together; `frostline plan` lists the trials".to_owned(),
            });
        }
        Ok(Plan { trials, ..self.clone() })
    }

    fn filter<'a>(&self, filter: &'a str) -> Result<(&'a str, &'a str), SelectError> {
        let refuse = |problem: &str, help: String| SelectError {
            filter: filter.to_owned(),
            problem: problem.to_owned(),
            help,
        };
        let Some((key, value)) = filter.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            return Err(refuse("has no `=`", "write --only KEY=VALUE".to_owned()));
        };
        let names = || keys().iter().map(|key| key.name).chain(["trial"]);
        if !names().any(|name| name == key) {
            let rest = format!("keys are {}", names().collect::<Vec<_>>().join(", "));
            return Err(refuse(&format!("names the unknown key `{key}`"), did_you_mean(key, names(), &rest)));
        }
        if self.trials.iter().any(|trial| holds(trial, key, value)) {
            return Ok((key, value));
        }
        let mut values: Vec<String> = Vec::new();
        for value in self.trials.iter().filter_map(|trial| trial.value_of(key)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.sort();
        let rest = format!("trials have {}", values.join(", "));
        Err(refuse("keeps no trial", did_you_mean(value, values.iter().map(String::as_str), &rest)))
    }
}

fn holds(trial: &Trial, key: &str, value: &str) -> bool {
    match trial.value_of(key) {
        Some(id) if key == "trial" => !value.is_empty() && id.starts_with(value),
        Some(found) => found == spelling(trial, key, value),
        None => false,
    }
}

/// The one spelling of what a user typed: `1e-3` is `0.001`.
fn spelling(trial: &Trial, name: &str, value: &str) -> String {
    let mut scratch = trial.clone();
    match crate::trial::keys::key(name) {
        Some(key) if key.set(&mut scratch, value).is_ok() => key.show(&scratch),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let mut trials = Vec::new();
        for (model, rate) in [("resnet18", 1e-3), ("resnet18", 1e-2), ("alexnet", 1e-2)] {
            let mut trial = Trial { model: model.to_owned(), ..Trial::default() };
            trial.train.learning_rate = rate;
            trials.push(trial.sealed());
        }
        let (experiment, question) = (String::new(), String::new());
        let (axes, claims, checkpoints) = Default::default();
        let (baseline, margin) = (crate::comparing::full(), crate::comparing::one_point());
        let (halving, tune) = (None, None);
        Plan { experiment, question, axes, trials, claims, checkpoints, baseline, margin, halving, tune }
    }

    fn count(filters: &[&str]) -> Result<usize, String> {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let kept = plan().only(&filters).map_err(|error| format!("{error}; {}", error.help))?;
        Ok(kept.trials.len())
    }

    #[test]
    fn filters_of_one_key_add_and_of_several_keys_narrow() {
        assert_eq!(count(&[]), Ok(3));
        assert_eq!(count(&["model=resnet18"]), Ok(2));
        assert_eq!(count(&["model=resnet18", "model=alexnet"]), Ok(3));
        assert_eq!(count(&["model=resnet18", "learning-rate=1e-2"]), Ok(1));
        let id = &plan().trials[1].id;
        assert_eq!(count(&[&format!("trial={}", &id[..6])]), Ok(1));
    }

    #[test]
    fn what_keeps_nothing_is_an_error_that_says_what_there_is() {
        for (filters, message) in [
            (vec!["model"], "`--only model` has no `=`; write --only KEY=VALUE"),
            (
                vec!["model=resnt18"],
                "`--only model=resnt18` keeps no trial; did you mean `resnet18`? trials have alexnet, resnet18",
            ),
            (
                vec!["model=alexnet", "learning-rate=0.001"],
                "`--only model=alexnet --only learning-rate=0.001` keeps no trial; each value occurs, but not together; \
                 `frostline plan` lists the trials",
            ),
        ] {
            assert_eq!(count(&filters), Err(message.to_owned()));
        }
        assert!(count(&["modle=x"]).unwrap_err().contains("did you mean `model`?"));
    }
}
