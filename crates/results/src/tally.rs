//! What a trial's predictions come to, class by class: [`ClassTally`].

use crate::StoredTrial;

/// The test images of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTally {
    /// How many there are.
    pub images: usize,
    /// How many of them were classified rightly.
    pub right: usize,
}

impl ClassTally {
    /// Counts (label, predicted) pairs.
    pub(super) fn of(pairs: impl Iterator<Item = (u32, u32)>) -> Vec<Self> {
        let mut tally: Vec<Self> = Vec::new();
        for (label, predicted) in pairs {
            let place = label as usize;
            if tally.len() <= place {
                tally.resize(place + 1, Self::default());
            }
            tally[place].images += 1;
            tally[place].right += usize::from(label == predicted);
        }
        tally
    }
}

impl StoredTrial {
    /// The mean over the classes of the share that was classified rightly, in [0, 1]: each class counts alike. None without
    /// predictions.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let there = || self.tally.iter().filter(|class| class.images > 0);
        let sum: f64 = there().map(|class| class.right as f64 / class.images as f64).sum();
        Some(sum / there().count() as f64).filter(|share| share.is_finite())
    }

    /// The share of the largest class in the test split, in (0, 1]: what always naming it would be right in. None without
    /// predictions.
    pub fn largest_class(&self) -> Option<f64> {
        let images: usize = self.tally.iter().map(|class| class.images).sum();
        let largest = self.tally.iter().map(|class| class.images).max()?;
        Some(largest as f64 / images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{plan, results};

    #[test]
    fn each_class_counts_alike_in_the_balanced_accuracy() {
        let mut stored = results(plan(&["resnet18"], &["full"], 1), |_| (0.5, 1.0)).trials.remove(0);
        stored.tally = ClassTally::of([(0, 0), (0, 0), (0, 2), (0, 0), (2, 0), (2, 2)].into_iter());
        let tally = |images, right| ClassTally { images, right };
        assert_eq!(stored.tally, [tally(4, 3), tally(0, 0), tally(2, 1)]);
        assert_eq!(
            stored.balanced_accuracy(),
            Some((0.75 + 0.5) / 2.0),
            "a class without images has no part in it"
        );
        assert_eq!(stored.largest_class(), Some(4.0 / 6.0));
        stored.tally.clear();
        assert_eq!((stored.balanced_accuracy(), stored.largest_class()), (None, None));
    }
}
