//! What can train: [`Parts`] is a model as strategies see it, and a [`Part`] names some of its parameters.

use std::fmt;
use std::str::FromStr;

use frostline_zoo::{ModelCard, ParameterInfo, Role, is_adapter};

/// A model's stages and parameters, without numbers.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The model's name.
    pub model: String,
    /// The stages from input to output; the last is the head.
    pub stages: Vec<String>,
    /// The parameters, in the model's order.
    pub parameters: Vec<ParameterInfo>,
}

impl Parts {
    /// Those of a model for a number of classes.
    pub fn new(card: &ModelCard, classes: usize) -> Self {
        Self {
            model: card.name.to_owned(),
            stages: card.stages.iter().map(|stage| (*stage).to_owned()).collect(),
            parameters: card.parameters(classes),
        }
    }

    /// The index of the head among the stages.
    pub fn head(&self) -> usize {
        self.stages.len().saturating_sub(1)
    }
}

/// Some of a model's parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// `all`
    All,
    /// `trunk`: every stage but the last.
    Trunk,
    /// `head`: the last stage.
    Head,
    /// `norms`: scale and shift of every norm.
    Norms,
    /// `biases`: the biases of all layers, and the shifts of norms.
    Biases,
    /// `adapters`: what `lora:R` adds.
    Adapters,
    /// A stage's name.
    Stage(String),
    /// Parameters whose name matches a pattern such as `layer3.*.weight`; any text with one of `*?[.` is a pattern.
    Names(glob::Pattern),
}

impl Part {
    /// Whether a parameter of the model belongs to it.
    pub fn has(&self, parts: &Parts, parameter: &ParameterInfo) -> bool {
        match self {
            Self::All => true,
            Self::Trunk => parameter.stage != parts.head(),
            Self::Head => parameter.stage == parts.head(),
            Self::Norms => matches!(parameter.role, Role::NormWeight | Role::NormBias),
            Self::Biases => matches!(parameter.role, Role::Bias | Role::NormBias),
            Self::Adapters => is_adapter(&parameter.name),
            Self::Stage(name) => parts.stages.get(parameter.stage) == Some(name),
            Self::Names(pattern) => pattern.matches(&parameter.name),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => return Err("a part needs a name".to_owned()),
            "all" => Self::All,
            "trunk" => Self::Trunk,
            "head" => Self::Head,
            "norms" => Self::Norms,
            "biases" => Self::Biases,
            pattern if pattern.contains(['*', '?', '[', '.']) => Self::Names(
                glob::Pattern::new(pattern)
                    .map_err(|error| format!("`{pattern}` is no pattern: {}", error.msg))?,
            ),
            stage => Self::Stage(stage.to_owned()),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Trunk => "trunk",
            Self::Head => "head",
            Self::Norms => "norms",
            Self::Biases => "biases",
            Self::Adapters => "adapters",
            Self::Stage(name) => name,
            Self::Names(pattern) => pattern.as_str(),
        })
    }
}
