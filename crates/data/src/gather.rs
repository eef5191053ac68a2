//! From the pictures of any source to a data set: [`Gatherer`] decodes in parallel, resizes, hashes and keeps count of
//! what is broken. It knows nothing of files.

use fast_image_resize::Resizer;
use frostline_text::hex;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::dataset::{Dataset, NativeSizes};
use crate::decode::Picture;
use crate::{DataError, Images, split};

/// How many broken images an error names.
const NAMED: usize = 100;
/// Pictures decoded at a time; bounds what is held besides the result.
const CHUNK: usize = 1024;

/// Which split of the data set an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Test,
}

/// Collects the images of one data set.
pub(crate) struct Gatherer {
    place: String,
    /// (height, width) of the result: as asked for, or the first picture's.
    target: Option<(usize, usize)>,
    resize: bool,
    train: Shelf,
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
        let (train, test) = Default::default();
        let (resize, target) = (resolution.is_some(), resolution);
        Self {
            place,
            target,
            resize,
            train,
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
                .map_init(Resizer::new, |resizer, item| {
                    read(item).and_then(|(p, label)| prepare(p, label, target, resizer))
                })
                .collect();
            for (item, ready) in chunk.iter().zip(ready) {
                self.seen += 1;
                match ready {
                    Ok(ready) => self.put(part, ready),
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

    fn put(&mut self, part: Part, ready: Ready) {
        let (h, w) = ready.native;
        let native = self.native.get_or_insert(NativeSizes { smallest: (h, w), largest: (h, w) });
        native.smallest = (native.smallest.0.min(h), native.smallest.1.min(w));
        native.largest = (native.largest.0.max(h), native.largest.1.max(w));
        let shelf = match part {
            Part::Train => &mut self.train,
            Part::Test => &mut self.test,
        };
        shelf.pixels.extend_from_slice(&ready.pixels);
        shelf.labels.push(ready.label);
        shelf.hashes.push(ready.hash);
    }

    /// One more than the greatest label so far.
    pub(crate) fn labels_seen(&self) -> usize {
        let labels = self.train.labels.iter().chain(&self.test.labels);
        labels.max().map_or(0, |&label| label as usize + 1)
    }

    /// The data set. Without test images, every fifth training image of each class is set aside as such. Labels must be
    /// less than the number of classes.
    ///
    /// # Errors
    /// Anything was broken; sizes differ and no resolution was given; there are no training images; a class has too
    /// few images to set any aside.
    pub(crate) fn finish(self, classes: Vec<String>) -> Result<Dataset, DataError> {
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
        let images =
            |shelf: Shelf| Images::new(height, width, shelf.pixels, shelf.labels).map(|i| (i, shelf.hashes));
        let (mut train, mut train_hashes) = images(self.train)?;
        let (mut test, mut test_hashes) = images(self.test)?;
        if test.is_empty() {
            let (kept, aside) = split::every_fifth(&train, &classes, &place)?;
            let pick = |indices: &[u32]| indices.iter().map(|&i| train_hashes[i as usize]).collect();
            (test_hashes, train_hashes) = (pick(&aside), pick(&kept));
            (test, train) = (train.select(&aside), train.select(&kept));
        }
        let digest = digest(&classes, [(&train, &train_hashes), (&test, &test_hashes)]);
        let (source, files, licence) = (place, Vec::new(), None);
        Ok(Dataset { source, classes, train, test, native, digest, files, licence })
    }
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

/// sha256 over a format tag, the classes, and each split's labels and picture hashes, with every length in front.
fn digest(classes: &[String], parts: [(&Images, &Vec<[u8; 32]>); 2]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"frostline-data 1\n");
    hash.update((classes.len() as u64).to_le_bytes());
    for class in classes {
        hash.update((class.len() as u64).to_le_bytes());
        hash.update(class);
    }
    for (images, hashes) in parts {
        hash.update((images.len() as u64).to_le_bytes());
        for (label, picture) in images.labels().iter().zip(hashes) {
            hash.update(label.to_le_bytes());
            hash.update(picture);
        }
    }
    hex(&hash.finalize())
}
