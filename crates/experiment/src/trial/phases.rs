//! A phase of a strategy that an experiment spells out: [`PhaseWords`], and what the engine makes of them.

use frostline_recipe::{Length, Part, PhaseSpec, Rule};
use serde::{Deserialize, Serialize};

/// One phase in the experiment file's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PhaseWords {
    /// What the report calls it.
    pub name: String,
    /// How many epochs it lasts; none where it lasts a share.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epochs: Option<usize>,
    /// Its share of the epochs that the others leave; 1 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share: Option<f64>,
    /// Parts and the factors on their learning rates, the last that names a parameter deciding.
    pub train: Vec<(String, f64)>,
    /// `follow`, `train`, `eval`; none for the recipe's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub batch_norm: Option<String>,
    /// `reset`, `keep`.
    pub optimizer_state: String,
    /// Strength of the weight decay towards the first weights, in the trunk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l2_sp: Option<f64>,
}

impl PhaseWords {
    /// The phase that they mean.
    ///
    /// # Errors
    /// The key whose value the engine does not take, and what it takes.
    pub fn spec(&self) -> Result<PhaseSpec, (&'static str, String)> {
        let rule = |(part, rate): &(String, f64)| {
            let part: Part = part.parse().map_err(|problem| ("train", problem))?;
            if *rate > 0.0 && rate.is_finite() {
                return Ok(Rule { part, rate: *rate });
            }
            Err(("rate", format!("the rate of `{part}` is {rate}, but must be a number above 0")))
        };
        let positive = |key: &'static str, number: f64| {
            let rule = format!("`{key}` is {number}, but must be a number above 0");
            if number > 0.0 && number.is_finite() { Ok(number) } else { Err((key, rule)) }
        };
        let length = match (self.epochs, self.share) {
            (Some(_), Some(_)) => {
                return Err(("share", "a phase has `epochs` or a `share`, not both; remove one".to_owned()));
            }
            (Some(0), None) => {
                return Err((
                    "epochs",
                    "a phase lasts at least 1 epoch; remove it, or give it more".to_owned(),
                ));
            }
            (Some(epochs), None) => Length::Epochs(epochs),
            (None, share) => Length::Share(positive("share", share.unwrap_or(1.0))?),
        };
        if self.train.is_empty() {
            return Err((
                "train",
                "a phase trains at least one part; add for example train = [\"head\"]".to_owned(),
            ));
        }
        Ok(PhaseSpec {
            name: self.name.clone(),
            length,
            rules: self.train.iter().map(rule).collect::<Result<_, _>>()?,
            batch_norm: self
                .batch_norm
                .as_ref()
                .map(|name| name.parse())
                .transpose()
                .map_err(|e| ("batch-norm", e))?,
            state: self.optimizer_state.parse().map_err(|problem| ("optimizer", problem))?,
            l2_sp: self.l2_sp.map(|strength| positive("l2-sp", strength)).transpose()?,
            fit: None,
        })
    }
}
