//! A stretch of a trial: [`PhaseSpec`] as a strategy gives it, [`Phase`] as a model trains it.

use std::fmt;
use std::str::FromStr;

use super::{Part, Parts, Probe, Strategy, StrategyError};
use crate::BatchNormPolicy;

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many epochs.
    Epochs(usize),
    /// A share of the epochs that the others leave, in proportion to the shares of all that have one.
    Share(f64),
}

/// What a phase does with the optimizer's state (velocities, moments, step counts) of parameters that trained before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOnStart {
    /// Every parameter starts afresh.
    Reset,
    /// They go on with theirs. Those that train for the first time start afresh.
    Keep,
}

/// A part and the factor on its learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What trains.
    pub part: Part,
    /// Times the scheduled learning rate; above 0.
    pub rate: f64,
}

/// A phase as a strategy gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseSpec {
    /// What the report calls it.
    pub name: String,
    /// How long it lasts.
    pub length: Length,
    /// What trains. Of several rules that name a parameter, the last counts; what none names is frozen.
    pub rules: Vec<Rule>,
    /// What BatchNorm layers do; as the recipe says where none.
    pub batch_norm: Option<BatchNormPolicy>,
    /// What becomes of the optimizer's state.
    pub state: StateOnStart,
    /// The strength of weight decay towards the trial's first weights, which replaces the recipe's in the trunk.
    pub l2_sp: Option<f64>,
    /// The classifier that is fitted instead of steps; none where the phase trains by gradients.
    pub fit: Option<Probe>,
}

/// A stretch of a trial in which the same parameters train.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What the report calls it.
    pub name: String,
    /// How many epochs it lasts.
    pub epochs: usize,
    /// For each parameter of the model, in order, the factor on its learning rate; none where it is frozen.
    pub rates: Vec<Option<f64>>,
    /// The rules that gave them, for tables.
    pub rules: Vec<Rule>,
    /// The number of leading stages that train nothing: the frozen prefix.
    pub frozen_prefix: usize,
    /// As in [`PhaseSpec`].
    pub batch_norm: Option<BatchNormPolicy>,
    /// As in [`PhaseSpec`].
    pub state: StateOnStart,
    /// As in [`PhaseSpec`].
    pub l2_sp: Option<f64>,
    /// As in [`PhaseSpec`].
    pub fit: Option<Probe>,
}

impl PhaseSpec {
    /// A phase that trains some parts at the scheduled rate, for a share of the epochs.
    pub(super) fn training(name: &str, parts: &[Part]) -> Self {
        let rules = parts.iter().map(|part| Rule { part: part.clone(), rate: 1.0 }).collect();
        Self {
            name: name.to_owned(),
            length: Length::Share(1.0),
            rules,
            batch_norm: None,
            state: StateOnStart::Reset,
            l2_sp: None,
            fit: None,
        }
    }

    /// A phase that fits a classifier on the trunk's features; a vote of neighbours leaves the head as it is.
    pub(super) fn fitting(probe: Probe) -> Self {
        let parts: &[Part] = if matches!(probe, Probe::Neighbours(_)) { &[] } else { &[Part::Head] };
        let fit = Some(probe);
        Self { batch_norm: Some(BatchNormPolicy::Eval), fit, ..Self::training(&probe.to_string(), parts) }
    }

    pub(super) fn lasting(self, epochs: usize) -> Self {
        Self { length: Length::Epochs(epochs), ..self }
    }

    /// With all rates times `factor`.
    pub(super) fn slowed(mut self, factor: f64) -> Self {
        self.rules.iter_mut().for_each(|rule| rule.rate *= factor);
        self
    }
}

impl Phase {
    /// Lays a phase over a model's parameters.
    pub(super) fn new(
        strategy: &Strategy,
        spec: &PhaseSpec,
        parts: &Parts,
        epochs: usize,
    ) -> Result<Self, StrategyError> {
        let named = |rule: &&Rule| parts.parameters.iter().any(|parameter| rule.part.has(parts, parameter));
        if let Some(rule) = spec.rules.iter().find(|rule| !named(rule)) {
            return Err(StrategyError::NoSuchPart {
                strategy: strategy.to_string(),
                part: rule.part.to_string(),
                model: parts.model.clone(),
                rule: format!(
                    "its stages are {}; other parts are all, trunk, norms, biases, or a pattern such as `{}`",
                    parts.stages.join(", "),
                    parts.parameters.first().map_or("*.weight", |parameter| &parameter.name)
                ),
            });
        }
        let rate = |parameter| {
            spec.rules.iter().rev().find(|rule| rule.part.has(parts, parameter)).map(|rule| rule.rate)
        };
        let rates: Vec<Option<f64>> = parts.parameters.iter().map(rate).collect();
        let trained = parts.parameters.iter().zip(&rates).filter(|(_, rate)| rate.is_some());
        // A classifier takes the head's place.
        let stages = if spec.fit.is_some() { parts.head() } else { parts.stages.len() };
        let frozen_prefix = trained.map(|(parameter, _)| parameter.stage).min().unwrap_or(stages);
        let PhaseSpec { name, rules, batch_norm, state, l2_sp, fit, .. } = spec.clone();
        Ok(Self { name, epochs, rates, rules, frozen_prefix, batch_norm, state, l2_sp, fit })
    }

    /// How many numbers it trains.
    pub fn trainable(&self, parts: &Parts) -> usize {
        let trained = parts.parameters.iter().zip(&self.rates).filter(|(_, rate)| rate.is_some());
        trained.map(|(parameter, _)| parameter.elements).sum()
    }
}

/// The epochs of each phase. Shares are cut so that no phase is off by a whole epoch, and each has one at least.
pub(super) fn lay_out(
    strategy: &str,
    specs: &[PhaseSpec],
    epochs: usize,
) -> Result<Vec<usize>, StrategyError> {
    let fail = |rule: String| StrategyError::Epochs { strategy: strategy.to_owned(), epochs, rule };
    let fixed: usize = specs.iter().map(|spec| if let Length::Epochs(n) = spec.length { n } else { 0 }).sum();
    let shares: Vec<f64> = specs
        .iter()
        .filter_map(|spec| if let Length::Share(share) = spec.length { Some(share) } else { None })
        .collect();
    if shares.is_empty() {
        return if fixed == epochs {
            Ok(specs.iter().map(|spec| if let Length::Epochs(n) = spec.length { n } else { 0 }).collect())
        } else {
            Err(fail(format!("its phases last {fixed}; set epochs = {fixed}, or give a phase a share")))
        };
    }
    if fixed + shares.len() > epochs {
        return Err(fail(format!("its phases need at least {}", fixed + shares.len())));
    }
    let free = epochs - fixed;
    let total: f64 = shares.iter().sum();
    let (mut done, mut passed) = (0, 0.0);
    let mut left = shares.len();
    let lengths = specs.iter().map(|spec| match spec.length {
        Length::Epochs(n) => n,
        Length::Share(share) => {
            passed += share;
            left -= 1;
            let end = (free as f64 * passed / total).round() as usize;
            let length = end.clamp(done + 1, free - left) - done;
            done += length;
            length
        }
    });
    Ok(lengths.collect())
}

impl FromStr for StateOnStart {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "reset" => Ok(Self::Reset),
            "keep" => Ok(Self::Keep),
            other => Err(format!("unknown treatment of the optimizer's state `{other}`; reset or keep")),
        }
    }
}

impl fmt::Display for StateOnStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset",
            Self::Keep => "keep",
        })
    }
}
