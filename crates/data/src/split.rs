//! Which training images are trained on and which validate: [`split`], stratified and seeded. The test images are
//! never touched here, but for [`every_fifth`], the fixed rule for sources that come without a test split.

use crate::{DataError, Dataset, Images};
use std::collections::BTreeMap;

use frostline_sources::Fold;
use frostline_streams::{Purpose, Streams};

/// Indices into [`Dataset::train`], each list ascending, without common members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Images to train on.
    pub train: Vec<u32>,
    /// Images to choose by; empty where no validation share was asked for.
    pub validation: Vec<u32>,
    /// Images to test, where some of these do; none where [`Dataset::test`] does.
    pub test: Option<Vec<u32>>,
}

impl Splits {
    /// The images that are tested, and which of them.
    pub fn tested<'d>(&self, dataset: &'d Dataset) -> (&'d Images, Vec<u32>) {
        match &self.test {
            Some(fold) => (&dataset.train, fold.clone()),
            None => (&dataset.test, (0..dataset.test.len() as u32).collect()),
        }
    }
}

/// Splits the training images of each class by themselves. Where the source has validation images of its own, those validate,
/// all of them, unless `validation` is 0; else a share of the training images does.
///
/// With `per_class = Some(n)` each class first keeps `n` images, drawn by the seed; a smaller `n` keeps a subset of what a
/// larger one keeps. Then of the `m` images of a class, `m * validation` rounded to the nearest, but at least one and at
/// most `m - 1`, validate. Every draw is a function of (seed, class), so trials with the same seed share the split.
///
/// With a `fold`, that part of the images tests, and all of this is done with the others. Each class is dealt out to the folds by a draw of
/// (seed, class); images of one picture are of one fold.
///
/// # Errors
/// `validation` is not in `[0, 1)`; `per_class` is 0; a class has too few images.
pub fn split(
    dataset: &Dataset,
    validation: f64,
    per_class: Option<usize>,
    fold: Option<Fold>,
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
    let folds = fold.map(|fold| deal(dataset, own, fold.of, seed)).transpose()?;
    let is_tested = |index: &u32| {
        fold.zip(folds.as_ref()).is_some_and(|(fold, folds)| folds[*index as usize] == fold.index)
    };
    let test = fold.map(|_| (0..own).filter(is_tested).collect());
    let mut splits = Splits { train: Vec::new(), validation: Vec::new(), test };
    if validation > 0.0 {
        splits.validation.extend(own..dataset.train.len() as u32);
    }
    for (class, mut kept) in by_class(&dataset.train, dataset.classes.len()).into_iter().enumerate() {
        kept.retain(|index| *index < own && !is_tested(index));
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

/// The fold, from 1, of each of the first `own` training images.
fn deal(dataset: &Dataset, own: u32, folds: usize, seed: u64) -> Result<Vec<usize>, DataError> {
    let streams = Streams::new(seed).part("folds");
    let (mut dealt, mut next) = (vec![0; own as usize], 0);
    let mut of_picture: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
    for (class, mut members) in by_class(&dataset.train, dataset.classes.len()).into_iter().enumerate() {
        members.retain(|index| *index < own);
        if (1..folds).contains(&members.len()) {
            return Err(DataError::Split {
                what: format!(
                    "folds = {folds}, but class `{}` of {} has {}; use fewer folds, or more images of it",
                    dataset.classes[class],
                    dataset.source,
                    frostline_text::plural(members.len(), "image")
                ),
            });
        }
        streams.draws(Purpose::Split, class as u64, 0).shuffle(&mut members);
        for index in members {
            let picture = dataset.train.pictures().get(index as usize);
            let before = picture.and_then(|picture| of_picture.get(picture)).copied();
            let fold = before.unwrap_or_else(|| {
                next += 1;
                (next - 1) % folds + 1
            });
            of_picture.extend(picture.map(|picture| (picture, fold)));
            dealt[index as usize] = fold;
        }
    }
    Ok(dealt)
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
            let splits = split(&data, share, keep, None, seed).unwrap();
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

    proptest! {
        #[test]
        fn each_image_tests_once_over_the_folds(seed: u64, n in 60u32..300, of in 2usize..6, keep in prop::option::of(3usize..5)) {
            let data = uneven(n);
            let mut tested = Vec::new();
            for index in 1..=of {
                let fold = Some(Fold { index, of });
                let splits = split(&data, 0.25, keep, fold, seed).unwrap();
                let test = splits.test.unwrap();
                prop_assert!(test.iter().all(|i| !splits.train.contains(i) && !splits.validation.contains(i)));
                if keep.is_none() {
                    prop_assert_eq!(test.len() + splits.train.len() + splits.validation.len(), n as usize);
                }
                prop_assert!(test.len().abs_diff(n as usize / of) <= 1, "{} of {n}", test.len());
                for class in 0..3 {
                    let count = |list: &[u32]| list.iter().filter(|i| data.train.labels()[**i as usize] == class).count();
                    let all = data.train.labels().iter().filter(|label| **label == class).count();
                    prop_assert!(count(&test).abs_diff(all / of) <= 1);
                }
                tested.extend(test);
            }
            tested.sort_unstable();
            prop_assert_eq!(tested, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn copies_of_a_picture_are_of_one_fold_and_small_classes_are_named() {
        let mut data = uneven(60);
        // The images 7 k and 7 k + 1 show one picture.
        let pictures = (0..60u8).map(|i| [if i % 7 == 1 { i - 1 } else { i }; 32]).collect();
        data.train = data.train.clone().of_pictures(pictures);
        for seed in 0..5 {
            let folds = deal(&data, 60, 4, seed).unwrap();
            assert!((0..8).all(|k| folds[7 * k] == folds[7 * k + 1]), "{folds:?}");
        }
        let few = dataset(vec![0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
        let message = split(&few, 0.0, None, Some(Fold { index: 1, of: 4 }), 0).unwrap_err().to_string();
        assert!(message.contains("folds = 4, but class `cat` of folder:zoo has 2 images"), "{message}");
    }

    #[test]
    fn the_seed_decides_and_smaller_subsets_nest() {
        let data = uneven(300);
        assert_eq!(split(&data, 0.2, None, None, 5).unwrap(), split(&data, 0.2, None, None, 5).unwrap());
        assert_ne!(split(&data, 0.2, None, None, 5).unwrap(), split(&data, 0.2, None, None, 6).unwrap());
        let small = split(&data, 0.0, Some(10), None, 5).unwrap();
        let large = split(&data, 0.0, Some(20), None, 5).unwrap();
        assert_eq!((small.train.len(), small.validation.len(), large.train.len()), (30, 0, 60));
        assert!(small.train.iter().all(|i| large.train.contains(i)));
    }

    #[test]
    fn splits_stay_what_they_are() {
        let splits = split(&uneven(30), 0.2, Some(5), None, 42).unwrap();
        assert_eq!(splits.validation, GOLDEN);
    }
    const GOLDEN: [u32; 3] = [3, 16, 29];

    #[test]
    fn too_few_images_are_an_error_with_the_class_in_it() {
        let data = dataset(vec![0, 0, 0, 1, 2, 2]);
        let message = |result: Result<Splits, DataError>| result.unwrap_err().to_string();
        assert!(
            message(split(&data, 0.0, Some(2), None, 0))
                .contains("`bee` of folder:zoo has 1 training images")
        );
        assert!(
            message(split(&data, 0.5, None, None, 0))
                .contains("class `bee` of folder:zoo has one training image")
        );
        assert!(message(split(&data, 1.0, None, None, 0)).contains("less than 1"));
        assert!(message(split(&data, f64::NAN, None, None, 0)).contains("less than 1"));
        assert!(message(split(&data, 0.1, Some(0), None, 0)).contains("keeps no image"));
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
