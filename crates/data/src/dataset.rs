//! A whole data set in memory: [`Dataset`], with what a report says of it. It is made by [`crate::open`].

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DataError, Images};

/// Training and test images of one resolution, with where they came from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The source's string.
    pub source: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Training images; a validation split is taken from these, see [`crate::split`].
    pub train: Images,
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
}

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
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
}

impl Dataset {
    /// Images per class and split, in the order of the labels.
    pub fn class_counts(&self) -> Vec<ClassCount> {
        let counts = |images: &Images| images.counts(self.classes.len());
        let pairs = counts(&self.train).into_iter().zip(counts(&self.test));
        let row = |(name, (train, test)): (&String, _)| ClassCount { name: name.clone(), train, test };
        self.classes.iter().zip(pairs).map(row).collect()
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
        let chosen = |images: &Images| {
            let label = |i: u32| labels.get(images.labels()[i as usize] as usize).copied().flatten();
            let (indices, labels): (Vec<u32>, Vec<u32>) =
                (0..images.len() as u32).filter_map(|i| Some((i, label(i)?))).unzip();
            images.select(&indices).labelled(labels)
        };
        let mut hasher = Sha256::new_with_prefix(&self.digest);
        names.iter().for_each(|name| hasher.update(format!("\n{name}")));
        let digest = frostline_text::hex(&hasher.finalize());
        let (train, test) = (chosen(&self.train), chosen(&self.test));
        Ok(Self { classes: names.to_vec(), train, test, digest, ..self.clone() })
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
