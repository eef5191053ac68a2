//! Which training images are trained on and which validate: [`split`], stratified and seeded. The test images are
//! never touched here, but for [`every_fifth`], the fixed rule for sources that come without a test split.

use crate::{DataError, Dataset, Images};
use frostline_streams::{Purpose, Streams};

/// Indices into [`Dataset::train`], each list ascending, without common members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Images to train on.
    pub train: Vec<u32>,
    /// Images to choose by; empty where no validation share was asked for.
    pub validation: Vec<u32>,
}

/// Splits the training images of each class by themselves. Where the source has validation images of its own, those validate,
/// all of them, unless `validation` is 0; else a share of the training images does.
///
/// With `per_class = Some(n)` each class first keeps `n` images, drawn by the seed; a smaller `n` keeps a subset of what a
/// larger one keeps. Then of the `m` images of a class, `m * validation` rounded to the nearest, but at least one and at
/// most `m - 1`, validate. Every draw is a function of (seed, class), so trials with the same seed share the split.
///
/// # Errors
/// `validation` is not in `[0, 1)`; `per_class` is 0; a class has too few images.
pub fn split(
    dataset: &Dataset,
    validation: f64,
    per_class: Option<usize>,
    seed: u64,
) -> Result<Splits, DataError> {
    let fail = |what: String| Err(DataError::Split { what });
    if !(0.0..1.0).contains(&validation) {
        return fail(format!("validation = {validation} must be at least 0 and less than 1"));
    }
    if per_class == Some(0) {
        return fail("per-class = 0 keeps no image: give at least 1, or leave it out".to_owned());
    }
    let streams = Streams::new(seed);
    let own = (dataset.train.len() - dataset.validation) as u32;
    let share_of_training = if dataset.validation > 0 { 0.0 } else { validation };
    let mut splits = Splits { train: Vec::new(), validation: Vec::new() };
    if validation > 0.0 {
        splits.validation.extend(own..dataset.train.len() as u32);
    }
    for (class, mut kept) in by_class(&dataset.train, dataset.classes.len()).into_iter().enumerate() {
        kept.retain(|index| *index < own);
        let name = &dataset.classes[class];
        if let Some(wanted) = per_class {
            if kept.len() < wanted {
                return fail(format!(
                    "per-class = {wanted}, but class `{name}` of {} has {} training images",
                    dataset.source,
                    kept.len()
                ));
            }
            streams.draws(Purpose::Subset, class as u64, 0).shuffle(&mut kept);
            kept.truncate(wanted);
            kept.sort_unstable();
        }
        if share_of_training > 0.0 && kept.len() == 1 {
            return fail(format!(
                "class `{name}` of {} has one training image, too few for a validation split: \
                 use more images a class, or validation = 0",
                dataset.source
            ));
        }
        if share_of_training > 0.0 && !kept.is_empty() {
            streams.draws(Purpose::Split, class as u64, 0).shuffle(&mut kept);
            let share = (kept.len() as f64 * share_of_training).round() as usize;
            splits.validation.extend(kept.drain(..share.clamp(1, kept.len() - 1)));
        }
        splits.train.extend(kept);
    }
    splits.train.sort_unstable();
    splits.validation.sort_unstable();
    Ok(splits)
}

/// Sets aside every fifth image of each class (the 5th, the 10th, … in the order of the source) as the test split.
/// Gives the indices that remain, then those that are set aside.
///
/// # Errors
/// A class has images, but fewer than five.
pub(crate) fn every_fifth(
    images: &Images,
    classes: &[String],
    place: &str,
) -> Result<(Vec<u32>, Vec<u32>), DataError> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (name, members) in classes.iter().zip(by_class(images, classes.len())) {
        if (1..5).contains(&members.len()) {
            return Err(DataError::Split {
                what: format!(
                    "{place} comes without a test split, and class `{name}` has {} images, too few to set every \
                     fifth aside: add images or a test split",
                    members.len()
                ),
            });
        }
        for (position, index) in members.into_iter().enumerate() {
            if position % 5 == 4 { &mut test } else { &mut train }.push(index);
        }
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok((train, test))
}

fn by_class(images: &Images, classes: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in images.labels().iter().enumerate() {
        if let Some(list) = members.get_mut(label as usize) {
            list.push(index as u32);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::NativeSizes;
    use proptest::prelude::*;

    /// A data set of 1x1 images with the given labels.
    fn dataset(labels: Vec<u32>) -> Dataset {
        let images = Images::new(1, 1, vec![0; labels.len() * 3], labels).unwrap();
        let native = NativeSizes { smallest: (1, 1), largest: (1, 1) };
        let classes = ["ant", "bee", "cat"].map(String::from).to_vec();
        let (source, digest) = ("folder:zoo".to_owned(), String::new());
        let (train, test) = (images.clone(), images);
        let (files, taken, duplicates) = Default::default();
        Dataset {
            source,
            classes,
            train,
            validation: 0,
            test,
            native,
            digest,
            files,
            licence: None,
            taken,
            duplicates,
        }
    }

    fn uneven(n: u32) -> Dataset {
        dataset((0..n).map(|i| [0, 0, 1, 0, 2, 1][i as usize % 6]).collect())
    }

    proptest! {
        #[test]
        fn every_class_gives_its_share(seed: u64, n in 30u32..300, share in 0.01f64..0.99, keep in prop::option::of(2usize..5)) {
            let data = uneven(n);
            let splits = split(&data, share, keep, seed).unwrap();
            let mut all = [splits.train.clone(), splits.validation.clone()].concat();
            all.sort_unstable();
            let distinct = all.len();
            all.dedup();
            prop_assert_eq!(all.len(), distinct);
            for (class, total) in data.class_counts().into_iter().map(|count| count.train).enumerate() {
                let count = |list: &[u32]| list.iter().filter(|&&i| data.train.labels()[i as usize] == class as u32).count();
                let kept = keep.unwrap_or(total);
                let wanted = ((kept as f64 * share).round() as usize).clamp(1, kept - 1);
                prop_assert_eq!((count(&splits.validation), count(&splits.train)), (wanted, kept - wanted));
            }
        }
    }

    #[test]
    fn the_seed_decides_and_smaller_subsets_nest() {
        let data = uneven(300);
        assert_eq!(split(&data, 0.2, None, 5).unwrap(), split(&data, 0.2, None, 5).unwrap());
        assert_ne!(split(&data, 0.2, None, 5).unwrap(), split(&data, 0.2, None, 6).unwrap());
        let small = split(&data, 0.0, Some(10), 5).unwrap();
        let large = split(&data, 0.0, Some(20), 5).unwrap();
        assert_eq!((small.train.len(), small.validation.len(), large.train.len()), (30, 0, 60));
        assert!(small.train.iter().all(|i| large.train.contains(i)));
    }

    #[test]
    fn splits_stay_what_they_are() {
        let splits = split(&uneven(30), 0.2, Some(5), 42).unwrap();
        assert_eq!(splits.validation, GOLDEN);
    }
    const GOLDEN: [u32; 3] = [3, 16, 29];

    #[test]
    fn too_few_images_are_an_error_with_the_class_in_it() {
        let data = dataset(vec![0, 0, 0, 1, 2, 2]);
        let message = |result: Result<Splits, DataError>| result.unwrap_err().to_string();
        assert!(message(split(&data, 0.0, Some(2), 0)).contains("`bee` of folder:zoo has 1 training images"));
        assert!(
            message(split(&data, 0.5, None, 0)).contains("class `bee` of folder:zoo has one training image")
        );
        assert!(message(split(&data, 1.0, None, 0)).contains("less than 1"));
        assert!(message(split(&data, f64::NAN, None, 0)).contains("less than 1"));
        assert!(message(split(&data, 0.1, Some(0), 0)).contains("keeps no image"));
    }

    #[test]
    fn the_fifth_of_each_class_is_set_aside() {
        let data = dataset(vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        let (train, test) = every_fifth(&data.train, &data.classes, "x").unwrap();
        assert_eq!((train.len(), test), (9, vec![8, 9]));
        let few = dataset(vec![0, 0, 0, 0, 1, 0]);
        let message = every_fifth(&few.train, &few.classes, "folder:zoo").unwrap_err().to_string();
        assert!(
            message.starts_with("folder:zoo comes without a test split, and class `bee` has 1 images"),
            "{message}"
        );
    }
}
