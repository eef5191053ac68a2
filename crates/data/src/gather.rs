//! From the pictures of any source to a data set: [`Gatherer`] decodes in parallel, resizes, hashes and keeps count of
//! what is broken. It knows nothing of files.

use frostline_pictures::{Picture, Resizer};
use frostline_text::hex;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::dataset::{Dataset, EVERY_FIFTH, NativeSizes, Taken};
use crate::duplicates::{Copy, Duplicates, Part};
use crate::{DataError, Images, split};

/// How many broken images an error names.
const NAMED: usize = 100;
/// Pictures decoded at a time; bounds what is held besides the result.
const CHUNK: usize = 1024;

/// Collects the images of one data set.
pub(crate) struct Gatherer {
    place: String,
    /// (height, width) of the result: as asked for, or the first picture's.
    target: Option<(usize, usize)>,
    resize: bool,
    train: Shelf,
    validation: Shelf,
    test: Shelf,
    native: Option<NativeSizes>,
    broken: Vec<String>,
    broken_count: usize,
    seen: usize,
}

/// What is collected for one split.
#[derive(Default)]
struct Shelf {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    hashes: Vec<[u8; 32]>,
    names: Vec<String>,
}

impl Shelf {
    fn append(&mut self, mut other: Self) {
        self.pixels.append(&mut other.pixels);
        self.labels.append(&mut other.labels);
        self.hashes.append(&mut other.hashes);
        self.names.append(&mut other.names);
    }

    /// Hashes and names at some places.
    fn select(&self, indices: &[u32]) -> (Vec<[u8; 32]>, Vec<String>) {
        indices.iter().map(|&i| (self.hashes[i as usize], self.names[i as usize].clone())).unzip()
    }
}

/// One image, ready to be put on its shelf.
struct Ready {
    native: (usize, usize),
    hash: [u8; 32],
    pixels: Vec<u8>,
    label: u32,
}

impl Gatherer {
    /// For the source `place`; every picture is resized to `resolution` (height, width), or must have the first one's
    /// size where that is not given.
    pub(crate) fn new(place: String, resolution: Option<(usize, usize)>) -> Self {
        let (train, validation, test) = Default::default();
        let (resize, target) = (resolution.is_some(), resolution);
        Self {
            place,
            target,
            resize,
            train,
            validation,
            test,
            native: None,
            broken: Vec::new(),
            broken_count: 0,
            seen: 0,
        }
    }

    /// Adds the pictures of `items` in their order. `read` gives picture and label, or says what is wrong; `name` says
    /// which picture that is.
    pub(crate) fn add<T: Sync>(
        &mut self,
        part: Part,
        items: &[T],
        read: impl Fn(&T) -> Result<(Picture, u32), String> + Sync,
        name: impl Fn(&T) -> String,
    ) {
        for chunk in items.chunks(CHUNK) {
            if self.target.is_none() {
                let first = chunk.iter().find_map(|item| read(item).ok());
                self.target = first.map(|(picture, _)| (picture.height, picture.width));
            }
            let target = self.target.filter(|_| self.resize);
            let ready: Vec<Result<Ready, String>> = chunk
                .par_iter()
                .map_init(Resizer::default, |resizer, item| {
                    read(item).and_then(|(p, label)| prepare(p, label, target, resizer))
                })
                .collect();
            for (item, ready) in chunk.iter().zip(ready) {
                self.seen += 1;
                match ready {
                    Ok(ready) => self.put(part, ready, name(item)),
                    Err(what) => {
                        self.broken_count += 1;
                        if self.broken.len() < NAMED {
                            self.broken.push(format!("{}: {what}", name(item)));
                        }
                    }
                }
            }
        }
    }

    fn put(&mut self, part: Part, ready: Ready, name: String) {
        let (h, w) = ready.native;
        let native = self.native.get_or_insert(NativeSizes { smallest: (h, w), largest: (h, w) });
        native.smallest = (native.smallest.0.min(h), native.smallest.1.min(w));
        native.largest = (native.largest.0.max(h), native.largest.1.max(w));
        let shelf = match part {
            Part::Train => &mut self.train,
            Part::Validation => &mut self.validation,
            Part::Test => &mut self.test,
        };
        shelf.pixels.extend_from_slice(&ready.pixels);
        shelf.labels.push(ready.label);
        shelf.hashes.push(ready.hash);
        shelf.names.push(name);
    }

    /// One more than the greatest label so far.
    pub(crate) fn labels_seen(&self) -> usize {
        let labels = self.train.labels.iter().chain(&self.validation.labels).chain(&self.test.labels);
        labels.max().map_or(0, |&label| label as usize + 1)
    }

    /// The data set. Without test images, every fifth training image of each class is set aside as such; validation images
    /// stand behind the others. Labels must be less than the number of classes. `taken` says what was taken as training
    /// images, and as the others where there are such.
    ///
    /// # Errors
    /// Anything was broken; sizes differ and no resolution was given; there are no training images; a class has too
    /// few images to set any aside.
    pub(crate) fn finish(self, classes: Vec<String>, mut taken: Vec<Taken>) -> Result<Dataset, DataError> {
        let place = self.place;
        if self.broken_count > 0 {
            let (count, total) = (self.broken_count, self.seen);
            return Err(DataError::BrokenImages { place, count, total, first: self.broken });
        }
        let (Some((height, width)), Some(native), false) =
            (self.target, self.native, self.train.labels.is_empty())
        else {
            return Err(DataError::malformed(place, "there are no training images"));
        };
        if !self.resize && native.smallest != native.largest {
            return Err(DataError::MixedSizes { place, smallest: native.smallest, largest: native.largest });
        }
        let images = |shelf: &mut Shelf| {
            let (pixels, labels) = (std::mem::take(&mut shelf.pixels), std::mem::take(&mut shelf.labels));
            Images::new(height, width, pixels, labels)
        };
        let (mut train_shelf, mut test_shelf) = (self.train, self.test);
        let validation = self.validation.labels.len();
        let (mut test, tests) = (images(&mut test_shelf)?, test_shelf.names.len());
        if tests == 0 {
            let all = images(&mut train_shelf)?;
            let (kept, fifth) = split::every_fifth(&all, &classes, &place)?;
            (test_shelf.hashes, test_shelf.names) = train_shelf.select(&fifth);
            (train_shelf.hashes, train_shelf.names) = train_shelf.select(&kept);
            test = all.select(&fifth);
            let rest = all.select(&kept);
            (train_shelf.pixels, train_shelf.labels) = (rest.pixels().to_vec(), rest.labels().to_vec());
            taken.push(Taken::new("test images", EVERY_FIFTH));
        }
        train_shelf.append(self.validation);
        let train = images(&mut train_shelf)?;
        let digest = digest(&classes, (&train, &train_shelf.hashes), validation, (&test, &test_shelf.hashes));
        let duplicates = duplicates((&train, &train_shelf), validation, (&test, &test_shelf));
        let (train, test) = (train.of_pictures(train_shelf.hashes), test.of_pictures(test_shelf.hashes));
        let (source, files, licence) = (place, Vec::new(), None);
        Ok(Dataset {
            source,
            classes,
            train,
            validation,
            test,
            native,
            digest,
            files,
            licence,
            taken,
            duplicates,
        })
    }
}

/// The pictures that occur more than once.
fn duplicates(
    (train, trained): (&Images, &Shelf),
    validation: usize,
    (test, tested): (&Images, &Shelf),
) -> Duplicates {
    let own = train.len() - validation;
    let part = |index: usize| if index < own { Part::Train } else { Part::Validation };
    let copies = |shelf: &Shelf, images: &Images, part: &dyn Fn(usize) -> Part| -> Vec<([u8; 32], Copy)> {
        let copy = |index: usize| {
            let (label, name) = (images.labels()[index], shelf.names[index].clone());
            (shelf.hashes[index], Copy { part: part(index), index: index as u32, label, name })
        };
        (0..images.len()).map(copy).collect()
    };
    let (train, test) = (copies(trained, train, &part), copies(tested, test, &|_| Part::Test));
    Duplicates::among(train.into_iter().chain(test))
}

fn prepare(
    picture: Picture,
    label: u32,
    target: Option<(usize, usize)>,
    resizer: &mut Resizer,
) -> Result<Ready, String> {
    let native = (picture.height, picture.width);
    let mut hash = Sha256::new();
    hash.update((native.0 as u32).to_le_bytes());
    hash.update((native.1 as u32).to_le_bytes());
    hash.update(&picture.pixels);
    let hash = hash.finalize().into();
    let picture = picture.resized(target.unwrap_or(native), resizer)?;
    Ok(Ready { native, hash, pixels: picture.pixels, label })
}

/// sha256 over a format tag, the classes, and each split's labels and picture hashes, with every length in front. The
/// validation images, where there are any, come last.
fn digest(
    classes: &[String],
    (train, train_hashes): (&Images, &[[u8; 32]]),
    validation: usize,
    (test, test_hashes): (&Images, &[[u8; 32]]),
) -> String {
    let mut hash = Sha256::new();
    hash.update(b"frostline-data 1\n");
    hash.update((classes.len() as u64).to_le_bytes());
    for class in classes {
        hash.update((class.len() as u64).to_le_bytes());
        hash.update(class);
    }
    let mut part = |labels: &[u32], hashes: &[[u8; 32]]| {
        hash.update((labels.len() as u64).to_le_bytes());
        for (label, picture) in labels.iter().zip(hashes) {
            hash.update(label.to_le_bytes());
            hash.update(picture);
        }
    };
    let own = train.len() - validation;
    part(&train.labels()[..own], &train_hashes[..own]);
    part(test.labels(), test_hashes);
    if validation > 0 {
        part(&train.labels()[own..], &train_hashes[own..]);
    }
    hex(&hash.finalize())
}
