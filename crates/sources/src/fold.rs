//! Parts of the images that test in turn: [`Fold`].

use std::fmt;
use std::str::FromStr;

/// More parts than this are taken for a mistake.
const MOST: usize = 100;

/// One of several parts of the images, which tests what trained on the others (cross-validation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Which one, from 1.
    pub index: usize,
    /// How many there are, from 2 to 100.
    pub of: usize,
}

/// A text that names no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no fold; write I/K, as 1/5, K from 2 to 100, or folds = K for all of them")]
pub struct FoldError(String);

impl FromStr for Fold {
    type Err = FoldError;

    fn from_str(text: &str) -> Result<Self, FoldError> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let fold = numbers.map(|(index, of)| Self { index, of });
        let fits = |fold: &Self| (2..=MOST).contains(&fold.of) && (1..=fold.of).contains(&fold.index);
        fold.filter(fits).ok_or_else(|| FoldError(text.to_owned()))
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_is_one_of_several() {
        assert_eq!("2/5".parse(), Ok(Fold { index: 2, of: 5 }));
        assert_eq!(Fold { index: 2, of: 5 }.to_string(), "2/5");
        for text in ["0/5", "6/5", "1/1", "1/101", "5", "a/b", ""] {
            assert!(text.parse::<Fold>().unwrap_err().to_string().contains("folds = K"), "{text}");
        }
    }
}
