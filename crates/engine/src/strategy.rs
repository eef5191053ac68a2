//! Freeze strategies: [`Strategy`] is what an experiment names, and expands to [`Phase`]s over a model's stages.
//! It decides what trains and when; it touches no tensor.

use std::fmt;
use std::str::FromStr;

/// Which part of a model trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Every stage: fine-tuning.
    Full,
    /// The last stage alone: feature extraction.
    Head,
    /// The head and the last K stages of the trunk.
    Last(usize),
}

/// A stretch of a trial in which the same stages train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What the report calls it.
    pub name: String,
    /// How many epochs it lasts.
    pub epochs: usize,
    /// For each stage of the model, in order, whether it trains.
    pub trains: Vec<bool>,
}

impl Phase {
    /// The number of leading stages that train nothing: the frozen prefix.
    pub fn frozen_prefix(&self) -> usize {
        self.trains.iter().take_while(|trains| !**trains).count()
    }
}

/// A strategy that cannot be read, or does not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// Not a strategy's name.
    #[error("unknown strategy `{0}`; one of full, head, last-1, last-2, …")]
    Unknown(String),
    /// `last-0` is spelt `head`.
    #[error("`last-0` trains the head alone; write `head`")]
    LastZero,
    /// More stages asked for than there are.
    #[error(
        "`last-{asked}` does not fit {model}, whose trunk has {trunk} stages ({stages}); use `full`, or last-K with K below {trunk}"
    )]
    TooDeep {
        /// The model.
        model: String,
        /// K.
        asked: usize,
        /// Stages of the trunk.
        trunk: usize,
        /// Their names.
        stages: String,
    },
}

impl Strategy {
    /// The phases of this strategy for a model with these stages (the head last), `epochs` in all.
    ///
    /// # Errors
    /// Where the strategy asks for more stages than the trunk has, or for all of them by another name than `full`.
    pub fn phases(&self, model: &str, stages: &[&str], epochs: usize) -> Result<Vec<Phase>, StrategyError> {
        let trunk = stages.len().saturating_sub(1);
        let first = match *self {
            Self::Full => 0,
            Self::Head => trunk,
            Self::Last(asked) if asked < trunk => trunk - asked,
            Self::Last(asked) => {
                let stages = stages[..trunk].join(", ");
                return Err(StrategyError::TooDeep { model: model.to_owned(), asked, trunk, stages });
            }
        };
        let trains = (0..stages.len()).map(|stage| stage >= first).collect();
        Ok(vec![Phase { name: self.to_string(), epochs, trains }])
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(name: &str) -> Result<Self, StrategyError> {
        match name {
            "full" => Ok(Self::Full),
            "head" => Ok(Self::Head),
            _ => match name.strip_prefix("last-").and_then(|k| k.parse().ok()) {
                Some(0) => Err(StrategyError::LastZero),
                Some(k) => Ok(Self::Last(k)),
                None => Err(StrategyError::Unknown(name.to_owned())),
            },
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Head => f.write_str("head"),
            Self::Last(k) => write!(f, "last-{k}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [&str; 6] = ["stem", "layer1", "layer2", "layer3", "layer4", "head"];

    fn trains(name: &str) -> Result<Vec<bool>, StrategyError> {
        let phases = name.parse::<Strategy>()?.phases("resnet18", &STAGES, 7)?;
        assert_eq!(phases.iter().map(|p| p.epochs).sum::<usize>(), 7);
        Ok(phases[0].trains.clone())
    }

    #[test]
    fn each_name_trains_what_it_says() {
        assert_eq!(trains("full").unwrap(), [true; 6]);
        assert_eq!(trains("head").unwrap(), [false, false, false, false, false, true]);
        assert_eq!(trains("last-2").unwrap(), [false, false, false, true, true, true]);
    }

    #[test]
    fn the_frozen_prefix_is_what_leads_without_training() {
        let phase = Phase { name: String::new(), epochs: 1, trains: vec![false, false, true, false, true] };
        assert_eq!(phase.frozen_prefix(), 2);
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_what_would() {
        assert!(trains("last-5").unwrap_err().to_string().contains("K below 5"));
        assert_eq!(trains("last-0").unwrap_err(), StrategyError::LastZero);
        for wrong in ["last-", "last--1", "lsat-1", ""] {
            assert_eq!(trains(wrong).unwrap_err(), StrategyError::Unknown(wrong.to_owned()));
        }
    }
}
