//! What a trial's numbers depend on beside its settings and the engine: [`Inputs`], which tell what was made of other images or
//! weights than those that are here now.

use frostline_text::id;
use serde::{Deserialize, Serialize};

use crate::{Outcome, StoredTrunk};

/// The folder of what was made of others.
pub(super) const FOLDER: &str = "superseded";

/// Hex digits of the inputs in a name.
const DIGITS: usize = 8;

/// What numbers depend on beside the settings and the engine, whose version is in every id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inputs {
    /// The digest of the images; none where it is not known.
    pub data: Option<String>,
    /// The SHA-256 of the weights that training started from; none where it is not known, or where they are drawn.
    pub weights: Option<String>,
}

impl Inputs {
    /// Those that a trial was made of.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            data: outcome.data.as_ref().map(|data| data.digest.clone()),
            weights: outcome.weights.as_ref().map(|weights| weights.sha256.clone()),
        }
    }

    /// Those that a trunk was made of.
    pub fn of_trunk(stored: &StoredTrunk) -> Self {
        Self { data: stored.outcome.data.as_ref().map(|data| data.digest.clone()), weights: None }
    }

    /// What of `now` is another than here, in words; none where all that is known is the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let parts = [("images", &self.data, &now.data), ("weights", &self.weights, &now.weights)];
        let other = parts.into_iter().filter_map(|(what, then, now)| match (then, now) {
            (Some(then), Some(now)) if then != now => {
                Some(format!("other {what} ({} then, {} now)", shown(then), shown(now)))
            }
            _ => None,
        });
        let other: Vec<String> = other.collect();
        (!other.is_empty()).then(|| other.join(" and "))
    }

    /// The name of what was made of these inputs.
    pub(super) fn name(&self, of: &str) -> String {
        let part = |digest: &Option<String>| digest.clone().unwrap_or_default();
        let digest = id(&format!("{}\n{}", part(&self.data), part(&self.weights)));
        format!("{of}-{}", &digest[..DIGITS])
    }
}

/// The first digits of a digest, which are enough to tell two apart.
fn shown(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}
