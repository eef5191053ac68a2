//! How a sweep was asked for: [`Invocation`], so that reports and messages can say how to ask again.

use std::fmt;

use frostline_text::quoted;

/// The arguments of `frostline sweep` that determine which trials it stores, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The experiment file, as it was named; none where an earlier version stored the plan.
    pub file: Option<String>,
    /// `key=value` of every `--set`.
    pub set: Vec<String>,
    /// `key=value` of every `--only`.
    pub only: Vec<String>,
    /// The results folder, where one was named.
    pub results: Option<String>,
}

impl Invocation {
    /// The words of its command line behind `frostline sweep`.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.file.iter().cloned().collect();
        for (flag, values) in [("--set", &self.set), ("--only", &self.only)] {
            values.iter().for_each(|value| words.extend([flag.to_owned(), value.clone()]));
        }
        self.results.iter().for_each(|folder| words.extend(["--results".to_owned(), folder.clone()]));
        words
    }

    /// The same with the weights of each trial's chosen epoch kept, for one finished trial.
    pub fn keeping_weights(&self, trial: &str) -> String {
        let mut asked = self.clone();
        asked.set.retain(|set| !set.trim_start().starts_with("checkpoints"));
        asked.set.push("checkpoints=best".to_owned());
        asked.only = vec![format!("trial={trial}")];
        format!("{asked} --force")
    }
}

impl fmt::Display for Invocation {
    /// As a command line; `FILE` where the file is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match &self.file {
            Some(_) => self.words(),
            None => [&["FILE".to_owned()], self.words().as_slice()].concat(),
        };
        write!(f, "frostline sweep")?;
        words.iter().try_for_each(|word| write!(f, " {}", quoted(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_can_be_asked_again() {
        let asked = Invocation {
            file: Some("my x.toml".to_owned()),
            set: vec!["weights[model=alexnet]=none".to_owned(), "checkpoints=last".to_owned()],
            only: vec!["seed=0".to_owned()],
            results: Some("r/x".to_owned()),
        };
        assert_eq!(
            asked.to_string(),
            "frostline sweep 'my x.toml' --set 'weights[model=alexnet]=none' --set checkpoints=last --only seed=0 \
             --results r/x"
        );
        assert_eq!(
            asked.keeping_weights("ab"),
            "frostline sweep 'my x.toml' --set 'weights[model=alexnet]=none' --set checkpoints=best --only trial=ab \
             --results r/x --force"
        );
        assert_eq!(Invocation::default().to_string(), "frostline sweep FILE");
    }
}
