//! A whole data set in memory: [`Dataset`], with what a report says of it. It is made by [`crate::open`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::duplicates::{Copy, Duplicates, Part};
use crate::{DataError, Images};

/// Training and test images of one resolution, with where they came from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The source's string.
    pub source: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Training images, and behind them the validation images that the source has of its own. How they are split says
    /// [`crate::split`].
    pub train: Images,
    /// How many of them, at the end, are the source's own validation images.
    pub validation: usize,
    /// Test images.
    pub test: Images,
    /// Sizes of the images before they were resized.
    pub native: NativeSizes,
    /// sha256, in hex, over the classes and each image's split, label, native size and native pixels. It does not depend on
    /// the resolution, nor on how the images were stored if that was without loss. For chosen classes, over the whole set's
    /// digest and their names.
    pub digest: String,
    /// The files behind the images; empty for `folder:`, whose files are covered by the digest.
    pub files: Vec<FileLineage>,
    /// The licence, where it is known.
    pub licence: Option<String>,
    /// What was taken as what.
    pub taken: Vec<Taken>,
    /// The pictures that occur more than once.
    pub duplicates: Duplicates,
}

/// What of a source was taken as what, where it could have been otherwise: `test images`, `every fifth of each class`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What it is in the data set.
    pub what: String,
    /// What it is in the source.
    pub from: String,
}

impl Taken {
    pub(crate) fn new(what: &str, from: impl ToString) -> Self {
        Self { what: what.to_owned(), from: from.to_string() }
    }
}

/// What the test images of a source without any are.
pub(crate) const EVERY_FIFTH: &str = "every fifth of each class, in the order of the source";

/// The least and the greatest native size, each as (height, width), taken side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeSizes {
    /// Least height and least width.
    pub smallest: (usize, usize),
    /// Greatest height and greatest width.
    pub largest: (usize, usize),
}

/// One file behind a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLineage {
    /// The file's name within its source.
    pub name: String,
    /// The commit it was taken at, for a file from the Hub.
    pub revision: Option<String>,
    /// sha256 in hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// How many images a class has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class's name.
    pub name: String,
    /// Training images, without the source's own validation images.
    pub train: usize,
    /// The source's own validation images.
    pub validation: usize,
    /// Test images.
    pub test: usize,
}

impl Dataset {
    /// Images per class and split, in the order of the labels.
    pub fn class_counts(&self) -> Vec<ClassCount> {
        let mut counts: Vec<ClassCount> = self.classes.iter().cloned().map(ClassCount::none).collect();
        let own = self.train.len() - self.validation;
        for (index, &label) in self.train.labels().iter().enumerate() {
            let count = &mut counts[label as usize];
            *(if index < own { &mut count.train } else { &mut count.validation }) += 1;
        }
        self.test.labels().iter().for_each(|&label| counts[label as usize].test += 1);
        counts
    }

    /// The same for folds, of which each tests in turn: a test split that was set aside by the rule for sources without one joins the
    /// training images; a source's own is left alone, and takes no part.
    #[must_use]
    pub fn for_folds(mut self) -> Self {
        let rule = self.taken.iter().position(|taken| taken.from == EVERY_FIFTH);
        let Some(rule) = rule else {
            let from = "folds of the training images; the test split of the source is not opened";
            self.taken.push(Taken::new("test images", from));
            return self;
        };
        self.taken[rule].from = "folds of all images".to_owned();
        let own = self.train.len() - self.validation;
        let place = |copy: &Copy| {
            let (index, own) = (copy.index, own as u32);
            match copy.part {
                Part::Train => Copy { part: Part::Train, ..copy.clone() },
                Part::Test => Copy { part: Part::Train, index: own + index, ..copy.clone() },
                Part::Validation => Copy { index: self.test.len() as u32 + index, ..copy.clone() },
            }
        };
        self.duplicates = self.duplicates.moved(place);
        let part = |range: std::ops::Range<usize>| {
            self.train.select(&range.map(|index| index as u32).collect::<Vec<_>>())
        };
        self.train = Images::joined(&part(0..own), &[&self.test, &part(own..self.train.len())]);
        self.test = self.test.select(&[]);
        self.digest = frostline_text::sha256(format!("{}\nno test split", self.digest).as_bytes());
        self
    }

    /// The images of some classes alone, labelled in the order of `names`.
    ///
    /// # Errors
    /// [`DataError::Classes`] where the set has no class of a name, or a name is given twice.
    pub fn of_classes(&self, names: &[String]) -> Result<Self, DataError> {
        let fail = |what: String| DataError::Classes { set: self.source.clone(), what };
        let mut labels = vec![None; self.classes.len()];
        for (label, name) in names.iter().enumerate() {
            let class = self.classes.iter().position(|class| class == name).ok_or_else(|| {
                fail(format!("has no class `{name}`; its classes are {}", shortened(&self.classes)))
            })?;
            if labels[class].replace(label as u32).is_some() {
                return Err(fail(format!(
                    "gives the class `{name}` once, and it was asked for twice; remove one"
                )));
            }
        }
        let mut hasher = Sha256::new_with_prefix(&self.digest);
        names.iter().for_each(|name| hasher.update(format!("\n{name}")));
        let digest = frostline_text::hex(&hasher.finalize());
        let label_of = |label: u32| labels.get(label as usize).copied().flatten();
        Ok(Self { classes: names.to_vec(), digest, ..self.of_labels(label_of, |_, _| true) })
    }

    /// One image of each picture: that of the test split where there is one, else of the validation split; none of a picture that
    /// stands under more than one label.
    ///
    /// # Errors
    /// [`DataError::Classes`] where nothing is left to train on or to test.
    pub fn without_duplicates(&self) -> Result<Self, DataError> {
        let gone: BTreeSet<(bool, u32)> = self.duplicates.surplus().into_iter().collect();
        if gone.is_empty() {
            return Ok(self.clone());
        }
        let mut kept = self.of_labels(Some, |is_test, index| !gone.contains(&(is_test, index)));
        // Where folds test, there is no test split to begin with.
        let untested = kept.test.is_empty() && !self.test.is_empty();
        if kept.train.len() == kept.validation || untested {
            let what =
                "holds nothing but duplicates in a split; look at its files, or set duplicates = \"keep\"";
            return Err(DataError::Classes { set: self.source.clone(), what: what.to_owned() });
        }
        kept.digest = frostline_text::sha256(format!("{}\nduplicates dropped", self.digest).as_bytes());
        Ok(kept)
    }

    /// The images whose label becomes another, or the same, and that `keeps` keeps: it is asked with whether an image is in the
    /// test split, and where.
    fn of_labels(&self, label: impl Fn(u32) -> Option<u32>, keeps: impl Fn(bool, u32) -> bool) -> Self {
        let chosen = |images: &Images, is_test: bool| -> (Vec<u32>, Vec<u32>) {
            let all = images.labels().iter().enumerate().filter(|(index, _)| keeps(is_test, *index as u32));
            all.filter_map(|(index, &old)| Some((index as u32, label(old)?))).unzip()
        };
        let ((train, train_labels), (test, test_labels)) =
            (chosen(&self.train, false), chosen(&self.test, true));
        let own = (self.train.len() - self.validation) as u32;
        let duplicates = self.duplicates.kept(|copy| {
            let indices = if copy.part == Part::Test { &test } else { &train };
            let place = indices.binary_search(&copy.index).ok()?;
            Some((label(copy.label)?, place as u32))
        });
        Self {
            validation: train.iter().filter(|index| **index >= own).count(),
            train: self.train.select(&train).labelled(train_labels),
            test: self.test.select(&test).labelled(test_labels),
            duplicates,
            ..self.clone()
        }
    }
}

impl ClassCount {
    fn none(name: String) -> Self {
        Self { name, train: 0, validation: 0, test: 0 }
    }
}

/// The first names of a list that may be long.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits;

    #[test]
    fn chosen_classes_keep_their_images_and_count_anew() {
        let digits = digits::open(None).unwrap();
        let names: Vec<String> = ["7", "2"].map(String::from).to_vec();
        let two = digits.of_classes(&names).unwrap();
        let (all, chosen) = (digits.class_counts(), two.class_counts());
        assert_eq!(chosen, [all[7].clone(), all[2].clone()]);
        assert_eq!(two.classes, names);
        let first = (0..digits.train.len()).find(|&i| [7, 2].contains(&digits.train.labels()[i])).unwrap();
        assert_eq!(two.train.image(0), digits.train.image(first));
        assert_ne!(two.digest, digits.digest);
        assert_ne!(two.digest, digits.of_classes(&[names[1].clone(), names[0].clone()]).unwrap().digest);
    }

    #[test]
    fn what_was_set_aside_by_rule_joins_the_others_for_folds_and_a_sources_own_does_not() {
        let mut digits = digits::open(None).unwrap();
        digits.taken.clear();
        let own = digits.clone().for_folds();
        assert!(own.train.is(&digits.train) && own.test.is(&digits.test) && own.digest == digits.digest);
        assert!(own.taken.iter().any(|taken| taken.from.contains("not opened")), "{:?}", own.taken);
        let mut ruled = digits.clone();
        ruled.taken.push(Taken::new("test images", EVERY_FIFTH));
        ruled.validation = 10;
        let all = ruled.clone().for_folds();
        let (own, test) = (digits.train.len() - 10, digits.test.len());
        assert_eq!((all.train.len(), all.test.len(), all.validation), (own + 10 + test, 0, 10));
        assert_eq!(all.train.image(own), digits.test.image(0));
        assert_eq!(all.train.image(own + test), digits.train.image(own));
        assert_eq!(all.train.labels()[own + test - 1], digits.test.labels()[test - 1]);
        assert_ne!(all.digest, digits.digest);
        // Two of the joined images show one picture, of which one goes.
        let copy = |index: usize| {
            let (part, label) = (Part::Train, all.train.labels()[0]);
            ([7; 32], Copy { part, index: index as u32, label, name: index.to_string() })
        };
        let twice = Duplicates::among([copy(0), copy(own)].into_iter());
        let once = Dataset { duplicates: twice, ..all.clone() }.without_duplicates().unwrap();
        assert_eq!((once.train.len(), once.test.len()), (all.train.len() - 1, 0));
    }

    #[test]
    fn a_class_that_is_not_there_is_named() {
        let digits = digits::open(None).unwrap();
        let message = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            digits.of_classes(&names).unwrap_err().to_string()
        };
        assert_eq!(
            message(&["3", "eleven"]),
            "digits has no class `eleven`; its classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
        );
        assert!(message(&["3", "3"]).contains("asked for twice"));
    }
}
