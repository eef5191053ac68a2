//! What an accuracy has to beat to say anything: [`Floor`], of guessing and of always naming the largest class.

use super::{Arm, mean, wilson};

/// Accuracies that need no image, in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// How many classes there are; guessing is right in one of so many.
    pub classes: usize,
    /// The share of the largest class in the test split, which always naming it is right in.
    pub largest: f64,
    /// Images of the test split.
    pub images: usize,
}

impl Floor {
    /// The floor of an arm's test split; none where no trial of it has finished, or no predictions are stored.
    pub(super) fn of(arm: &Arm<'_>) -> Option<Self> {
        arm.runs.iter().find_map(|run| {
            let data = run.finished()?.data.as_ref()?;
            let images = run.stored?.answers.right.len();
            Some(Self { classes: data.classes, largest: run.stored?.largest_class()?, images })
        })
    }

    /// Whether an accuracy is no more than this, as far as so many test images tell (95 %).
    pub(super) fn holds(&self, accuracy: f64) -> bool {
        wilson(accuracy, self.images).map_or(accuracy, |(low, _)| low) <= self.largest
    }

    /// Whether classes differ so much in size that an accuracy is mostly that of some: the largest has a tenth more than its
    /// share.
    pub fn is_uneven(&self) -> bool {
        self.largest * self.classes as f64 > 1.1
    }
}

impl Arm<'_> {
    /// What its accuracy has to beat.
    pub fn floor(&self) -> Option<Floor> {
        Floor::of(self)
    }

    /// Whether its mean accuracy is no better than always naming the largest class, as far as the test images tell.
    pub fn is_at_floor(&self) -> bool {
        self.floor().zip(self.accuracy()).is_some_and(|(floor, accuracy)| floor.holds(accuracy))
    }

    /// The mean over its trials of the accuracy in which each class counts alike, in [0, 1].
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let finished = self.runs.iter().filter(|run| run.finished().is_some());
        let values: Vec<f64> = finished.filter_map(|run| run.stored?.balanced_accuracy()).collect();
        mean(&values)
    }
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{answers, plan, results};

    use super::super::Comparison;

    /// An arm whose model names one class for 20 images, 19 of which are of it.
    fn one_class_named() -> frostline_results::Results {
        let mut results = results(plan(&["resnet18"], &["full"], 1), |_| (0.95, 1.0));
        let stored = &mut results.trials[0];
        stored.answers = answers(&[(19, 19), (1, 0)]);
        stored.outcome.data.as_mut().unwrap().classes = 2;
        results
    }

    #[test]
    fn naming_the_largest_class_is_the_floor_and_half_of_two_classes_balanced() {
        let results = one_class_named();
        let comparison = Comparison::of(&results);
        let arm = &comparison.arms[0];
        let floor = arm.floor().unwrap();
        assert_eq!((floor.classes, floor.largest, floor.images), (2, 0.95, 20));
        assert!(floor.is_uneven() && arm.is_at_floor());
        assert_eq!(arm.balanced_accuracy(), Some(0.5));
    }

    #[test]
    fn an_arm_is_above_the_floor_only_by_more_than_its_test_images_leave_open() {
        let mut results = one_class_named();
        let even = |right: usize, images: usize| answers(&[(images, right); 2]);
        for (right, images, at_floor) in
            [(11, 20, true), (19, 20, false), (520, 1000, true), (540, 1000, false)]
        {
            results.trials[0].answers = even(right, images);
            results.trials[0].outcome.test_accuracy = Some(right as f64 / images as f64);
            let comparison = Comparison::of(&results);
            assert_eq!(comparison.arms[0].is_at_floor(), at_floor, "{right} of {images}");
            assert!(!comparison.arms[0].floor().unwrap().is_uneven());
        }
    }
}
