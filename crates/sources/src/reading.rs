//! What a source leaves open and an experiment can say: which columns of a table, which splits, and what is done with a picture
//! that occurs twice.

use std::fmt;
use std::str::FromStr;

/// How a source is read, where it leaves a choice. The default chooses by names and types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The column of a table that holds the images.
    pub image_column: Option<String>,
    /// The column of a table that holds the labels.
    pub label_column: Option<String>,
    /// What the splits are called.
    pub splits: Option<SplitNames>,
}

/// The splits of a source by the names that it gives them. Several names make one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitNames {
    /// To train on; at least one.
    pub train: Vec<String>,
    /// To choose epochs by; where there are none, a share of the training images is set aside.
    pub validation: Vec<String>,
    /// To test on; where there are none, every fifth training image of each class is set aside.
    pub test: Vec<String>,
}

/// Split names that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "splits `{given}`: {what}; write for example {{ train = \"train\", validation = \"val\", test = \"test\" }}"
)]
pub struct SplitsError {
    /// As given.
    pub given: String,
    /// What is wrong.
    pub what: String,
}

impl SplitNames {
    /// The three splits with their names, in the order of their spelling.
    pub fn roles(&self) -> [(&'static str, &[String]); 3] {
        [("train", &self.train), ("validation", &self.validation), ("test", &self.test)]
    }
}

impl FromStr for SplitNames {
    type Err = SplitsError;

    /// `train=NAME,validation=NAME,test=NAME`, with `+` between several names of one.
    fn from_str(given: &str) -> Result<Self, SplitsError> {
        let wrong = |what: String| SplitsError { given: given.to_owned(), what };
        let mut splits = Self::default();
        for part in given.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (role, names) = part.split_once('=').ok_or_else(|| wrong(format!("`{part}` has no `=`")))?;
            let role = role.trim();
            let slot = match role {
                "train" => &mut splits.train,
                "validation" => &mut splits.validation,
                "test" => &mut splits.test,
                other => return Err(wrong(format!("`{other}` is none of train, validation, test"))),
            };
            if !slot.is_empty() {
                return Err(wrong(format!("`{role}` is given twice")));
            }
            slot.extend(names.split('+').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
        }
        if splits.train.is_empty() {
            return Err(wrong("no split is named to train on".to_owned()));
        }
        let all: Vec<&String> = splits.roles().into_iter().flat_map(|(_, names)| names).collect();
        match all.iter().enumerate().find(|(index, name)| all[..*index].contains(name)) {
            Some((_, name)) => Err(wrong(format!("`{name}` is named twice"))),
            None => Ok(splits),
        }
    }
}

impl fmt::Display for SplitNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.roles().into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = named.map(|(role, names)| format!("{role}={}", names.join("+"))).collect();
        f.write_str(&parts.join(","))
    }
}

/// What is done with pictures that occur more than once in a set, pixel by pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicates {
    /// They stay, and it is said.
    #[default]
    Keep,
    /// One of each stays, of the test images before the others; none where their labels differ.
    Drop,
    /// They are an error.
    Error,
}

impl OnDuplicates {
    /// As an experiment file writes them.
    pub const NAMES: [&str; 3] = ["keep", "drop", "error"];
}

impl FromStr for OnDuplicates {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            "error" => Ok(Self::Error),
            other => Err(format!("duplicates: `{other}` is none of {}", Self::NAMES.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_read_and_written() {
        let splits: SplitNames = "test=test, train = train+extra ,validation=dev".parse().unwrap();
        assert_eq!(splits.to_string(), "train=train+extra,validation=dev,test=test");
        assert_eq!(splits.to_string().parse(), Ok(splits));
        for (given, part) in [
            ("test=test", "no split is named to train on"),
            ("train=a,tset=b", "`tset` is none of"),
            ("train", "has no `=`"),
            ("train=a,test=a", "`a` is named twice"),
            ("train=a,train=b", "`train` is given twice"),
        ] {
            let message = given.parse::<SplitNames>().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("{ train = \"train\""), "{message}");
        }
    }

    #[test]
    fn policies_have_one_name_each() {
        for name in OnDuplicates::NAMES {
            assert!(name.parse::<OnDuplicates>().is_ok());
        }
        assert!("dorp".parse::<OnDuplicates>().unwrap_err().contains("keep, drop, error"));
    }
}
