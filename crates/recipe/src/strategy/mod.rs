//! Freeze strategies: a [`Strategy`] is what an experiment names. It expands to [`PhaseSpec`]s (`named.rs`), which are laid
//! over a model's parameters and a trial's epochs as [`Phase`]s (`phase.rs`). It decides what trains, when and how fast; it
//! touches no tensor.

mod named;
mod parts;
mod phase;
mod probe;
#[cfg(test)]
mod tests;

pub use parts::{Part, Parts};
pub use phase::{Length, Phase, PhaseSpec, Rule, StateOnStart};
pub use probe::Probe;

use std::fmt;
use std::str::FromStr;

use frostline_zoo::ModelCard;

/// A rank beyond that of any layer is taken for a mistake.
const MOST_RANK: usize = 1024;

/// What of a model trains, when, and how fast.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Every stage: fine-tuning.
    Full,
    /// The last stage alone: feature extraction.
    Head,
    /// The head and the last K stages of the trunk.
    Last(usize),
    /// The head and the first K stages of the trunk: surgical fine-tuning (Lee et al. 2022, arXiv:2210.11466).
    First(usize),
    /// The head first, then one more stage with each epoch, from the top down: gradual unfreezing (Howard and Ruder 2018,
    /// arXiv:1801.06146).
    Thaw,
    /// The head for so many epochs, then everything.
    FreezeThenThaw(usize),
    /// The head for half of the epochs, then everything at a tenth of the rate: linear probing, then fine-tuning (Kumar et
    /// al. 2022, arXiv:2202.10054).
    LpFt,
    /// The head, then the last stages at a tenth of the rate, then everything at a hundredth; a third of the epochs each.
    ThreePhase,
    /// Everything, the rate falling by this factor with each stage below the head (Bao et al. 2022, arXiv:2106.08254).
    LayerDecay(f64),
    /// The head, and scale and shift of every BatchNorm (Frankle et al. 2020, arXiv:2003.00152).
    BnOnly,
    /// The head, and every bias: BitFit (Ben Zaken et al. 2021, arXiv:2106.10199).
    BiasOnly,
    /// Everything, the trunk with weight decay of this strength towards the weights it started with instead of towards zero
    /// (Li et al. 2018, arXiv:1802.01483).
    L2Sp(f64),
    /// The head, and adapters of this rank on the linear layers of transformer blocks: LoRA (Hu et al. 2022, arXiv:2106.09685), with α equal
    /// to the rank and no dropout.
    Lora(usize),
    /// Nothing by gradients: a classifier on the features of the frozen trunk.
    Probe(Probe),
    /// Phases that an experiment spells out.
    Own {
        /// What the experiment calls it.
        name: String,
        /// The phases in order.
        phases: Vec<PhaseSpec>,
    },
}

/// A strategy that cannot be read, or does not fit a model or a number of epochs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// Not a strategy's name.
    #[error("unknown strategy `{0}`; one of {names}, or one that the experiment defines as [strategy.NAME]", names = Strategy::NAMES.join(", "))]
    Unknown(String),
    /// A number in a name that will not do.
    #[error("`{name}` will not do; {rule}")]
    Number {
        /// What was written.
        name: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// More stages asked for than there are.
    #[error(
        "`{strategy}` does not fit {model}, whose trunk has {trunk} stages ({stages}); use `full`, or K below {trunk}"
    )]
    TooDeep {
        /// The strategy.
        strategy: String,
        /// The model.
        model: String,
        /// Stages of the trunk.
        trunk: usize,
        /// Their names.
        stages: String,
    },
    /// The phases do not fill the epochs.
    #[error("`{strategy}` does not fit {epochs} epochs; {rule}")]
    Epochs {
        /// The strategy.
        strategy: String,
        /// Epochs of the trial.
        epochs: usize,
        /// What would do.
        rule: String,
    },
    /// A part that the model does not have.
    #[error("`{strategy}` trains `{part}`, which {model} does not have; {rule}")]
    NoSuchPart {
        /// The strategy.
        strategy: String,
        /// The part.
        part: String,
        /// The model.
        model: String,
        /// What there is.
        rule: String,
    },
}

impl Strategy {
    /// The names that an experiment file may use, with K, E, D, A and R for numbers.
    pub const NAMES: [&'static str; 16] = [
        "full",
        "head",
        "last-K",
        "first-K",
        "thaw",
        "freeze-then-thaw:E",
        "lp-ft",
        "three-phase",
        "layer-decay:D",
        "bn-only",
        "bias-only",
        "l2-sp:A",
        "lora:R",
        "probe:ridge",
        "probe:logistic",
        "knn:K",
    ];

    /// The classifier that it fits; none where it trains by gradients.
    pub fn probe(&self) -> Option<Probe> {
        if let Self::Probe(probe) = self { Some(*probe) } else { None }
    }

    /// The rank of the adapters that it gives a model; none where it gives none.
    pub fn rank(&self) -> Option<usize> {
        if let Self::Lora(rank) = self { Some(*rank) } else { None }
    }

    /// A model for a number of classes as this strategy sees it: with its adapters, where it has some.
    pub fn parts(&self, card: &ModelCard, classes: usize) -> Parts {
        let mut parts = Parts::new(card, classes);
        parts.parameters.extend(self.rank().map_or_else(Vec::new, |rank| card.adapters(rank)));
        parts
    }

    /// The phase of this strategy that trains the most parameters of a model, the last of equals, alone and for any number of epochs.
    ///
    /// # Errors
    /// As [`Strategy::phases`].
    pub fn widest(&self, parts: &Parts, epochs: usize) -> Result<Self, StrategyError> {
        let (specs, phases) = (self.specs(parts, epochs)?, self.phases(parts, epochs)?);
        let widest = specs.into_iter().zip(&phases).max_by_key(|(_, phase)| phase.trainable(parts));
        let phases = widest.into_iter().map(|(spec, _)| PhaseSpec { length: Length::Share(1.0), ..spec });
        Ok(Self::Own { name: self.to_string(), phases: phases.collect() })
    }

    /// The phases of this strategy for a model, laid over `epochs`, which they fill exactly.
    ///
    /// # Errors
    /// Where the strategy asks for parts that the model does not have, or for more phases than there are epochs.
    pub fn phases(&self, parts: &Parts, epochs: usize) -> Result<Vec<Phase>, StrategyError> {
        let specs = self.specs(parts, epochs)?;
        let lengths = phase::lay_out(&self.to_string(), &specs, epochs)?;
        specs.iter().zip(lengths).map(|(spec, epochs)| Phase::new(self, spec, parts, epochs)).collect()
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(name: &str) -> Result<Self, StrategyError> {
        let number = |rule: &'static str| StrategyError::Number { name: name.to_owned(), rule };
        let unknown = || StrategyError::Unknown(name.to_owned());
        let plain = match name {
            "full" => Some(Self::Full),
            "head" => Some(Self::Head),
            "thaw" => Some(Self::Thaw),
            "lp-ft" => Some(Self::LpFt),
            "three-phase" => Some(Self::ThreePhase),
            "bn-only" => Some(Self::BnOnly),
            "bias-only" => Some(Self::BiasOnly),
            "probe:ridge" => Some(Self::Probe(Probe::Ridge)),
            "probe:logistic" => Some(Self::Probe(Probe::Logistic)),
            _ => None,
        };
        if let Some(strategy) = plain {
            return Ok(strategy);
        }
        let depth = |text: &str, of: fn(usize) -> Self| match text.parse() {
            Ok(0) => Err(number("K must be at least 1; for none write `head`")),
            Ok(k) => Ok(of(k)),
            Err(_) => Err(unknown()),
        };
        if let Some(k) = name.strip_prefix("last-") {
            return depth(k, Self::Last);
        }
        if let Some(k) = name.strip_prefix("first-") {
            return depth(k, Self::First);
        }
        let (word, argument) = name.split_once(':').ok_or_else(unknown)?;
        let value = argument.parse::<f64>();
        match word {
            "freeze-then-thaw" => match argument.parse() {
                Ok(epochs) if epochs >= 1 => Ok(Self::FreezeThenThaw(epochs)),
                _ => Err(number("E must be a whole number of epochs, at least 1")),
            },
            "layer-decay" => match value {
                Ok(decay) if decay > 0.0 && decay <= 1.0 => Ok(Self::LayerDecay(decay)),
                _ => Err(number("D must be above 0 and at most 1")),
            },
            "knn" => match argument.parse() {
                Ok(count) if count >= 1 => Ok(Self::Probe(Probe::Neighbours(count))),
                _ => Err(number("K must be a whole number of neighbours, at least 1")),
            },
            "lora" => match argument.parse() {
                Ok(rank) if (1..=MOST_RANK).contains(&rank) => Ok(Self::Lora(rank)),
                _ => Err(number("R must be a whole number from 1 to 1024, the rank of the adapters")),
            },
            "l2-sp" => match value {
                Ok(strength) if strength > 0.0 && strength.is_finite() => Ok(Self::L2Sp(strength)),
                _ => Err(number("A must be a number above 0")),
            },
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Head => f.write_str("head"),
            Self::Last(k) => write!(f, "last-{k}"),
            Self::First(k) => write!(f, "first-{k}"),
            Self::Thaw => f.write_str("thaw"),
            Self::FreezeThenThaw(epochs) => write!(f, "freeze-then-thaw:{epochs}"),
            Self::LpFt => f.write_str("lp-ft"),
            Self::ThreePhase => f.write_str("three-phase"),
            Self::LayerDecay(decay) => write!(f, "layer-decay:{decay}"),
            Self::BnOnly => f.write_str("bn-only"),
            Self::BiasOnly => f.write_str("bias-only"),
            Self::L2Sp(strength) => write!(f, "l2-sp:{strength}"),
            Self::Lora(rank) => write!(f, "lora:{rank}"),
            Self::Probe(probe) => probe.fmt(f),
            Self::Own { name, .. } => f.write_str(name),
        }
    }
}
