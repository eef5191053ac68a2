//! What a trial's model answered on the test split, as comparisons need it: [`Answers`], counted when predictions are read.

use std::collections::BTreeMap;

use crate::{Prediction, StoredTrial};

/// Bins of confidence that calibration is measured in, of equal width over [0, 1].
pub const BINS: usize = 15;

/// The answers to all images of a test split. Empty where there are no predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// By label.
    pub classes: Vec<ClassTally>,
    /// Which images were classified rightly.
    pub right: Marks,
    /// Images by (label, predicted class), without those that no image has.
    pub confusion: BTreeMap<(u32, u32), usize>,
    /// The images that were answered, of a fold; none where all were.
    pub(crate) seen: Option<Marks>,
    /// By confidence: bin `i` of [`BINS`] holds those above `i / BINS`, up to `(i + 1) / BINS` (Guo et al. 2017).
    pub calibration: [Bin; BINS],
}

/// The test images of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTally {
    /// How many there are.
    pub images: usize,
    /// How many of them were classified rightly.
    pub right: usize,
}

/// The test images whose predicted class was given a probability of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many there are.
    pub images: usize,
    /// How many of them were classified rightly.
    pub right: usize,
    /// The sum of the probabilities.
    pub confidence: f64,
}

/// A mark or none for each image of a split, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    words: Vec<u64>,
    len: usize,
}

impl Marks {
    /// None marked of so many images.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// Marks one image.
    pub fn mark(&mut self, image: usize) {
        self.words[image / 64] |= 1 << (image % 64);
    }

    /// Whether an image is marked.
    pub fn has(&self, image: usize) -> bool {
        self.words[image / 64] >> (image % 64) & 1 == 1
    }

    /// Images, marked or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The marks, 64 to a word, the first in the lowest bit; bits beyond the last image are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Images that are marked.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

impl Answers {
    /// Counts predictions.
    ///
    /// # Errors
    /// Images that are not those of a split, each once.
    pub fn of(predictions: impl ExactSizeIterator<Item = Prediction>) -> Result<Self, String> {
        let images = predictions.len();
        Ok(Self { seen: None, ..Self::among(images, predictions)? })
    }

    /// Counts predictions of a fold, which are of some of the images, each once.
    ///
    /// # Errors
    /// An image that occurs twice.
    pub(crate) fn of_fold(predictions: &[Prediction]) -> Result<Self, String> {
        let images = predictions.iter().map(|row| row.example as usize + 1).max().unwrap_or(0);
        Self::among(images, predictions.iter().copied())
    }

    /// The answers of all folds together, which have each image once.
    ///
    /// # Errors
    /// They do not.
    pub(crate) fn pooled(folds: &[&Self]) -> Result<Self, String> {
        let images = folds.iter().map(|fold| fold.count()).sum();
        let mut pooled = Self { right: Marks::none(images), ..Self::default() };
        let mut seen = Marks::none(images);
        for fold in folds {
            for image in
                (0..fold.right.len()).filter(|image| fold.seen.as_ref().is_none_or(|seen| seen.has(*image)))
            {
                if image >= images || seen.has(image) {
                    return Err(format!("its folds are not of {images} images, each once"));
                }
                seen.mark(image);
                if fold.right.has(image) {
                    pooled.right.mark(image);
                }
            }
            pooled.classes.resize(pooled.classes.len().max(fold.classes.len()), ClassTally::default());
            for (sum, class) in pooled.classes.iter_mut().zip(&fold.classes) {
                (sum.images, sum.right) = (sum.images + class.images, sum.right + class.right);
            }
            for (pair, count) in &fold.confusion {
                *pooled.confusion.entry(*pair).or_default() += count;
            }
            for (sum, bin) in pooled.calibration.iter_mut().zip(&fold.calibration) {
                (sum.images, sum.right) = (sum.images + bin.images, sum.right + bin.right);
                sum.confidence += bin.confidence;
            }
        }
        Ok(pooled)
    }

    /// How many images were answered.
    pub(crate) fn count(&self) -> usize {
        self.seen.as_ref().map_or(self.right.len(), Marks::count)
    }

    fn among(images: usize, predictions: impl Iterator<Item = Prediction>) -> Result<Self, String> {
        let mut answers = Self { right: Marks::none(images), ..Self::default() };
        let mut seen = Marks::none(images);
        for Prediction { example, label, predicted, probability } in predictions {
            let (image, class, right) = (example as usize, label as usize, label == predicted);
            if image >= images || seen.has(image) {
                return Err(format!("its predictions are not of {images} test images, each once"));
            }
            seen.mark(image);
            if answers.classes.len() <= class {
                answers.classes.resize(class + 1, ClassTally::default());
            }
            answers.classes[class].images += 1;
            answers.classes[class].right += usize::from(right);
            *answers.confusion.entry((label, predicted)).or_default() += 1;
            let bin = ((f64::from(probability) * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            let bin = &mut answers.calibration[bin];
            bin.images += 1;
            bin.right += usize::from(right);
            bin.confidence += f64::from(probability);
            if right {
                answers.right.mark(image);
            }
        }
        answers.seen = Some(seen);
        Ok(answers)
    }

    /// The share that was classified rightly, in [0, 1]; none of no images.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.right.count() as f64 / self.count() as f64)
    }

    /// The expected calibration error, in [0, 1]: the mean over the images of how far their bin's mean confidence and share of
    /// right answers are apart. None of no images.
    pub fn calibration_error(&self) -> Option<f64> {
        let gap = |bin: &Bin| (bin.confidence - bin.right as f64).abs();
        (self.count() > 0).then(|| self.calibration.iter().map(gap).sum::<f64>() / self.count() as f64)
    }
}

impl StoredTrial {
    /// The mean over the classes of the share that was classified rightly, in [0, 1]: each class counts alike. None without
    /// predictions.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let there = || self.answers.classes.iter().filter(|class| class.images > 0);
        let sum: f64 = there().map(|class| class.right as f64 / class.images as f64).sum();
        Some(sum / there().count() as f64).filter(|share| share.is_finite())
    }

    /// The share of the largest class in the test split, in (0, 1]: what always naming it would be right in. None without
    /// predictions.
    pub fn largest_class(&self) -> Option<f64> {
        let largest = self.answers.classes.iter().map(|class| class.images).max()?;
        Some(largest as f64 / self.answers.count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{plan, results};

    fn answers(pairs: &[(u32, u32, f32)]) -> Answers {
        let rows = pairs.iter().enumerate().map(|(example, &(label, predicted, probability))| Prediction {
            example: example as u32,
            label,
            predicted,
            probability,
        });
        Answers::of(rows).unwrap()
    }

    #[test]
    fn each_class_counts_alike_in_the_balanced_accuracy() {
        let mut stored = results(plan(&["resnet18"], &["full"], 1), |_| (0.5, 1.0)).trials.remove(0);
        stored.answers =
            answers(&[(0, 0, 0.9), (0, 0, 0.9), (0, 2, 0.9), (0, 0, 0.9), (2, 0, 0.9), (2, 2, 0.9)]);
        let tally = |images, right| ClassTally { images, right };
        assert_eq!(stored.answers.classes, [tally(4, 3), tally(0, 0), tally(2, 1)]);
        assert_eq!(
            stored.balanced_accuracy(),
            Some((0.75 + 0.5) / 2.0),
            "a class without images has no part in it"
        );
        assert_eq!(stored.largest_class(), Some(4.0 / 6.0));
        let confused = &stored.answers.confusion;
        assert_eq!((confused[&(0, 2)], confused[&(0, 0)], confused.get(&(2, 1))), (1, 3, None));
        stored.answers = Answers::default();
        assert_eq!((stored.balanced_accuracy(), stored.largest_class()), (None, None));
    }

    #[test]
    fn calibration_by_hand() {
        // Two at 0.9, one right: 0.4 apart, for two of four images; two at 0.55, both right: 0.45 apart, for the other two.
        let answers = answers(&[(0, 0, 0.9), (0, 1, 0.9), (1, 1, 0.55), (1, 1, 0.55)]);
        assert!((answers.calibration_error().unwrap() - 0.425).abs() < 1e-6);
        // 0.9 * 15 = 13.5 and 0.55 * 15 = 8.25.
        assert_eq!((answers.calibration[13].images, answers.calibration[8].images), (2, 2));
        assert_eq!(Answers::default().calibration_error(), None);
    }

    #[test]
    fn marks_are_of_the_image_that_a_row_names() {
        let row = |example, predicted| Prediction { example, label: 1, predicted, probability: 0.5 };
        let answers = Answers::of([row(2, 1), row(0, 0), row(1, 1)].into_iter()).unwrap();
        assert_eq!([0, 1, 2].map(|image| answers.right.has(image)), [false, true, true]);
        assert_eq!((answers.right.count(), answers.accuracy()), (2, Some(2.0 / 3.0)));
        assert!(Answers::of([row(0, 1), row(0, 1)].into_iter()).is_err());
        assert!(Answers::of([row(1, 1)].into_iter()).is_err());
    }
}
