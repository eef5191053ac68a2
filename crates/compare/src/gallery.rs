//! The test images that tell arms apart least and most: those that no arm gets, and those that one alone does.

use frostline_results::{Marks, StoredTrial};

use super::pairs::on_the_same_images;
use super::{Arm, Comparison};

/// Images that are shown of each kind.
const MOST: usize = 12;

/// Test images by their places in the split. An arm gets an image if it is right on it in more than half of its seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gallery {
    /// Images that no arm gets, those first that the fewest trials were right on.
    pub missed: Vec<usize>,
    /// Images that one arm alone gets, with its place among the arms, those first that the fewest other trials were right on.
    pub only: Vec<(usize, usize)>,
    /// How many images there are of each kind; more than are listed where there are many.
    pub counts: (usize, usize),
}

impl Comparison<'_> {
    /// The images, over the arms that were tested on the same ones as the most accurate and are above the floor; empty of fewer than two.
    pub fn gallery(&self) -> Gallery {
        let Some(best) = self.arms.first().and_then(|arm| arm.answered().next()) else {
            return Gallery::default();
        };
        let fits = |arm: &Arm<'_>| {
            arm.answered().next().is_some_and(|own| on_the_same_images(best, own)) && !arm.is_at_floor()
        };
        let arms: Vec<usize> = (0..self.arms.len()).filter(|&arm| fits(&self.arms[arm])).collect();
        if arms.len() < 2 {
            return Gallery::default();
        }
        let images = best.answers.right.len();
        let trials: Vec<Vec<&Marks>> = arms
            .iter()
            .map(|&arm| self.arms[arm].answered().map(|s: &StoredTrial| &s.answers.right).collect())
            .collect();
        let (mut missed, mut only) = (Vec::new(), Vec::new());
        for image in 0..images {
            let right = |of: &Vec<&Marks>| of.iter().filter(|marks| marks.has(image)).count();
            let (mut all, mut by, mut several) = (0, None, false);
            for (of, &arm) in trials.iter().zip(&arms) {
                let count = right(of);
                all += count;
                if 2 * count > of.len() {
                    several |= by.is_some();
                    by = Some((arm, count));
                }
            }
            match by {
                None => missed.push((all, image)),
                Some((arm, count)) if !several => only.push((all - count, image, arm)),
                Some(_) => {}
            }
        }
        missed.sort_unstable();
        only.sort_unstable();
        Gallery {
            counts: (missed.len(), only.len()),
            missed: missed.into_iter().take(MOST).map(|(_, image)| image).collect(),
            only: only.into_iter().take(MOST).map(|(_, image, arm)| (image, arm)).collect(),
        }
    }
}

impl Gallery {
    /// All images that are listed, in their order in the split.
    pub fn images(&self) -> Vec<usize> {
        let mut images: Vec<usize> =
            self.missed.iter().copied().chain(self.only.iter().map(|(image, _)| *image)).collect();
        images.sort_unstable();
        images
    }
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{IMAGES, answers, plan, results};
    use frostline_results::{Answers, Prediction};

    use super::*;

    #[test]
    fn what_no_arm_gets_and_what_one_alone_does() {
        let mut results = results(plan(&["resnet18"], &["full", "head"], 3), |_| (0.9, 1.0));
        // Image 0: nobody. Image 1: head, in two of three seeds. Image 2: full once only. All others: both.
        for stored in &mut results.trials {
            let (full, seed) = (stored.trial.strategy == "full", stored.trial.seed);
            let right = |image: u32| match image {
                0 => false,
                1 => !full && seed < 2,
                2 => full && seed == 0,
                _ => true,
            };
            let row = |image: u32| Prediction {
                example: image,
                label: image % 10,
                predicted: if right(image) { image % 10 } else { (image + 1) % 10 },
                probability: 0.5,
            };
            stored.answers = Answers::of((0..IMAGES).map(row).collect::<Vec<_>>().into_iter()).unwrap();
            stored.outcome.test_accuracy = stored.answers.accuracy();
        }
        let comparison = Comparison::of(&results);
        let gallery = comparison.gallery();
        let head = comparison.arms.iter().position(|arm| arm.trial().strategy == "head").unwrap();
        assert_eq!((gallery.missed.clone(), gallery.only.clone()), (vec![0, 2], vec![(1, head)]));
        assert_eq!((gallery.counts, gallery.images()), ((2, 1), vec![0, 1, 2]));
        // An arm at the floor tells nothing, and one alone has nobody to miss anything with.
        results.trials.iter_mut().filter(|s| s.trial.strategy == "head").for_each(|stored| {
            stored.answers = answers(&[(100, 10); 10]);
            stored.outcome.test_accuracy = stored.answers.accuracy();
        });
        assert_eq!(Comparison::of(&results).gallery(), Gallery::default());
    }
}
