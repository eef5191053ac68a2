//! A whole data set in memory: [`Dataset`], with what a report says of it. It is made by [`crate::open`].

use crate::Images;
use serde::{Deserialize, Serialize};

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
    /// the resolution, nor on how the images were stored if that was without loss.
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
}
