//! Batches for training and evaluation: [`Loader`], whose epochs yield each a [`Batch`] in HWNC.
//!
//! Each image's changes are drawn as in [`crate::Augment`] and carried out while its bytes are brought into the order
//! of the batch, row by row; each row is then normalised in one pass. A batch is assembled by one thread; an [`Epoch`]
//! can be sent to another, which fills batches while the model computes.

use std::sync::Arc;

use frostline_sources::Augment;
use frostline_streams::{Purpose, Streams};

use crate::augment::Placement;
use crate::normalise::Normaliser;
use crate::rows::Rows;
use crate::windows::Windows;
use crate::{DataError, Images};

/// How batches are made.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Images a batch; at least 1.
    pub batch: usize,
    /// Random changes of each image.
    pub augment: Augment,
    /// How many times changes are drawn for an image; later epochs have the same ones again. None for new ones in each epoch.
    pub views: Option<usize>,
    /// Subtracted after scaling to 0..=1, for red, green and blue.
    pub mean: [f32; 3],
    /// Divided by after the mean is taken off; not 0.
    pub std: [f32; 3],
    /// Seed of order and changes.
    pub seed: u64,
    /// Whether each epoch has an order of its own; else images come in the order of the indices.
    pub shuffle: bool,
    /// What becomes of the images that do not fill a batch.
    pub ragged: Ragged,
}

impl LoaderOptions {
    /// Images as they are and in their order, all of them.
    pub fn plain(batch: usize, mean: [f32; 3], std: [f32; 3]) -> Self {
        let (augment, ragged) = (Augment::default(), Ragged::Keep);
        Self { batch, augment, views: None, mean, std, seed: 0, shuffle: false, ragged }
    }
}

/// What becomes of the last images of an epoch, where they do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ragged {
    /// They are a smaller batch. A single one joins the batch before it, which then has one more: batch statistics need two.
    Keep,
    /// They are left out of the epoch; other ones in each, where images are shuffled.
    Drop,
    /// They join the batch before them.
    Merge,
}

/// A batch of normalised images.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
    /// `[height, width, N, 3]` row-major: for a place in the image, all images' red, green and blue.
    pub pixels: Vec<f32>,
    /// Labels, `[N]`.
    pub labels: Vec<u32>,
    /// Where each image stands among the [`Images`], `[N]`.
    pub examples: Vec<u32>,
}

impl Batch {
    /// How many images the batch has.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch has no images; no loader makes such a one.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Makes the batches of any epoch. It keeps no position: an epoch is a function of (seed, epoch number).
#[derive(Clone, Debug)]
pub struct Loader {
    images: Images,
    indices: Arc<[u32]>,
    streams: Streams,
    options: LoaderOptions,
    windows: Arc<Windows>,
    normaliser: Normaliser,
}

impl Loader {
    /// A loader over the images at `indices`.
    ///
    /// # Errors
    /// The batch is 0 or larger than what [`Ragged::Drop`] leaves of the images, an index has no image, no index is
    /// given, or a standard deviation is not positive.
    pub fn new(images: &Images, indices: Vec<u32>, options: LoaderOptions) -> Result<Self, DataError> {
        let fail = |what: String| Err(DataError::Loader { what });
        if options.batch == 0 {
            return fail("batch = 0 makes no batches: give at least 1".to_owned());
        }
        if indices.is_empty() {
            return fail("no images are left to make batches of".to_owned());
        }
        if let Some(index) = indices.iter().find(|&&index| index as usize >= images.len()) {
            return fail(format!("index {index} is beyond the {} images", images.len()));
        }
        if options.ragged == Ragged::Drop && indices.len() < options.batch {
            return fail(format!(
                "{} images do not fill one batch of {}: use a smaller batch, or keep the last one",
                indices.len(),
                options.batch
            ));
        }
        if let Some(std) = options.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            return fail(format!("standard deviation {std} of a channel must be greater than 0"));
        }
        let normaliser = Normaliser::new(options.mean, options.std);
        let windows = Arc::new(Windows::new(images.width(), options.augment));
        let streams = Streams::new(options.seed);
        Ok(Self { images: images.clone(), indices: indices.into(), streams, options, windows, normaliser })
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        let (n, batch) = (self.indices.len(), self.options.batch);
        match (n % batch, self.options.ragged) {
            (0, _) | (_, Ragged::Drop) => n / batch,
            (_, Ragged::Merge) => (n / batch).max(1),
            (1, Ragged::Keep) if n > batch && batch > 1 => n / batch,
            (_, Ragged::Keep) => n / batch + 1,
        }
    }

    /// Images an epoch; fewer than the indices only with [`Ragged::Drop`].
    pub fn examples(&self) -> usize {
        if self.options.ragged == Ragged::Drop {
            self.batches() * self.options.batch
        } else {
            self.indices.len()
        }
    }

    /// The images that batches are made of.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Images of a full batch.
    pub fn batch_size(&self) -> usize {
        self.options.batch
    }

    /// Which view of its changes an epoch has of an image; none where images are as they are.
    pub fn view(&self, epoch: u64) -> Option<u64> {
        let view = |views: usize| 1 + epoch.saturating_sub(1) % views.max(1) as u64;
        (!self.options.augment.is_none()).then(|| self.options.views.map_or(epoch, view))
    }

    /// Whether later epochs have the same pictures as earlier ones.
    pub fn repeats(&self) -> bool {
        self.options.augment.is_none() || self.options.views.is_some()
    }

    /// The images of each batch of an epoch.
    pub fn order(&self, epoch: u64) -> Vec<Vec<u32>> {
        let all = self.epoch(epoch);
        (0..self.batches()).map(|index| all.examples(index).to_vec()).collect()
    }

    /// The batch of some images as an epoch has them.
    pub fn batch(&self, epoch: u64, examples: &[u32]) -> Batch {
        self.assemble(epoch, examples)
    }

    /// The batches of one epoch, from the first. The iterator owns what it needs and can be sent to another thread.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let mut order = self.indices.to_vec();
        if self.options.shuffle {
            self.streams.draws(Purpose::Order, epoch, 0).shuffle(&mut order);
        }
        order.truncate(self.examples());
        Epoch { loader: self.clone(), epoch, order, next: 0 }
    }

    fn assemble(&self, epoch: u64, examples: &[u32]) -> Batch {
        let (height, width, n) = (self.images.height(), self.images.width(), examples.len());
        let view = self.view(epoch).unwrap_or_default();
        let drawn = examples.iter().map(|&i| {
            (self.images.image(i as usize), Placement::draw(&self.options.augment, &self.streams, view, i))
        });
        let rows = Rows::new(drawn, &self.windows, height);
        let mut pixels = Vec::with_capacity(height * width * n * 3);
        rows.for_each(|row| self.normaliser.append(row, &mut pixels));
        let labels = examples.iter().map(|&i| self.images.labels()[i as usize]).collect();
        Batch { height, width, pixels, labels, examples: examples.to_vec() }
    }
}

/// The batches of one epoch, in order. See [`Loader::epoch`].
#[derive(Clone, Debug)]
pub struct Epoch {
    loader: Loader,
    epoch: u64,
    order: Vec<u32>,
    next: usize,
}

impl Epoch {
    /// The images of a batch.
    fn examples(&self, index: usize) -> &[u32] {
        let (batch, last) = (self.loader.options.batch, self.loader.batches() - 1);
        let end = if index == last { self.order.len() } else { (index + 1) * batch };
        &self.order[index * batch..end]
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next == self.loader.batches() {
            return None;
        }
        self.next += 1;
        Some(self.loader.assemble(self.epoch, self.examples(self.next - 1)))
    }

    /// Skips batches without making them.
    fn nth(&mut self, n: usize) -> Option<Batch> {
        self.next = (self.next + n).min(self.loader.batches());
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.batches() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    fn images(n: usize, height: usize, width: usize) -> Images {
        let pixels = (0..n * height * width * 3).map(|i| (i * 31 + i / 7 * 11) as u8).collect();
        Images::new(height, width, pixels, (0..n as u32).map(|i| i * 3 % 7).collect()).unwrap()
    }

    fn options(batch: usize) -> LoaderOptions {
        LoaderOptions { seed: 9, ..LoaderOptions::plain(batch, MEAN, STD) }
    }

    /// What torchvision does, step by step, for one value of the result: mirror, pad, crop, `ToTensor`, `Normalize`.
    fn expected(
        image: &[u8],
        (h, w): (usize, usize),
        drawn: Placement,
        pad: usize,
        (y, x, c): (usize, usize, usize),
    ) -> f32 {
        let mut padded = vec![vec![[0u8; 3]; w + 2 * pad]; h + 2 * pad];
        for row in 0..h {
            for column in 0..w {
                let from = if drawn.flip { w - 1 - column } else { column };
                let at = (row * w + from) * 3;
                padded[row + pad][column + pad] = [image[at], image[at + 1], image[at + 2]];
            }
        }
        let top = (drawn.down + pad as isize) as usize;
        let left = (drawn.right + pad as isize) as usize;
        (f32::from(padded[top + y][left + x][c]) / 255.0 - MEAN[c]) / STD[c]
    }

    proptest! {
        #[test]
        fn a_batch_is_what_torchvision_would_make(
            n in 1usize..6, h in 1usize..9, w in 1usize..9, flip: bool, pad in 0usize..12, epoch in 0u64..50, seed: u64,
        ) {
            let images = images(n, h, w);
            let augment = Augment { flip, crop: (pad > 0).then_some(pad) };
            let options = LoaderOptions { augment, seed, shuffle: true, ..options(4) };
            let loader = Loader::new(&images, (0..n as u32).collect(), options).unwrap();
            for batch in loader.epoch(epoch) {
                prop_assert_eq!(batch.pixels.len(), h * w * batch.len() * 3);
                for (position, &example) in batch.examples.iter().enumerate() {
                    let image = images.image(example as usize);
                    let drawn = Placement::draw(&augment, &Streams::new(seed), epoch, example);
                    prop_assert_eq!(batch.labels[position], images.labels()[example as usize]);
                    for (y, x, c) in (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..3).map(move |c| (y, x, c)))) {
                        let value = batch.pixels[((y * w + x) * batch.len() + position) * 3 + c];
                        prop_assert_eq!(value, expected(image, (h, w), drawn, pad, (y, x, c)));
                    }
                }
            }
        }
    }

    fn sizes(n: u32, batch: usize, ragged: Ragged) -> Vec<usize> {
        let images = images(n as usize, 1, 1);
        let loader =
            Loader::new(&images, (0..n).collect(), LoaderOptions { ragged, ..options(batch) }).unwrap();
        let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.len()).collect();
        assert_eq!((sizes.len(), sizes.iter().sum()), (loader.batches(), loader.examples()));
        sizes
    }

    #[test]
    fn what_does_not_fill_a_batch_is_kept_dropped_or_merged() {
        use Ragged::{Drop, Keep, Merge};
        assert_eq!(sizes(10, 4, Keep), [4, 4, 2]);
        assert_eq!(sizes(9, 4, Keep), [4, 5], "a single image joins the batch before");
        assert_eq!(sizes(9, 4, Drop), [4, 4]);
        assert_eq!(sizes(11, 4, Merge), [4, 7]);
        assert_eq!(sizes(3, 4, Merge), [3]);
        for ragged in [Keep, Drop, Merge] {
            assert_eq!(sizes(8, 4, ragged), [4, 4]);
        }
        assert_eq!(sizes(3, 4, Keep), [3]);
        assert_eq!(sizes(1, 4, Keep), [1]);
        assert_eq!(sizes(3, 1, Keep), [1, 1, 1]);
    }

    #[test]
    fn an_epoch_is_a_function_of_seed_and_number() {
        let order = |seed, epoch| -> Vec<u32> {
            let options = LoaderOptions { seed, shuffle: true, ..options(7) };
            let loader = Loader::new(&images(50, 1, 1), (0..50).step_by(2).collect(), options).unwrap();
            let in_thread =
                std::thread::spawn(move || loader.epoch(epoch).flat_map(|batch| batch.examples).collect());
            in_thread.join().unwrap()
        };
        let first = order(1, 0);
        assert_eq!(first, order(1, 0));
        assert_ne!(first, order(1, 1));
        assert_ne!(first, order(2, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn an_image_is_changed_alike_in_any_subset() {
        let images = images(20, 4, 5);
        let augment = Augment { flip: true, crop: Some(2) };
        let pixels_of_12 = |indices: Vec<u32>| -> Vec<f32> {
            let loader = Loader::new(&images, indices, LoaderOptions { augment, ..options(1) }).unwrap();
            loader.epoch(3).find(|batch| batch.examples == [12]).unwrap().pixels
        };
        assert_eq!(pixels_of_12((0..20).collect()), pixels_of_12(vec![12, 3]));
    }

    #[test]
    fn views_come_again_and_an_order_is_an_epochs_own() {
        let images = images(20, 4, 5);
        let augment = Augment { flip: true, crop: Some(2) };
        let loader = |views| {
            let options = LoaderOptions { augment, views, shuffle: true, ..options(6) };
            Loader::new(&images, (0..20).collect(), options).unwrap()
        };
        let (anew, two) = (loader(None), loader(Some(2)));
        let picture = |loader: &Loader, epoch| loader.batch(epoch, &[3, 8, 12]).pixels;
        assert_eq!(picture(&two, 1), picture(&anew, 1));
        assert_eq!(picture(&two, 2), picture(&anew, 2));
        assert_eq!(picture(&two, 5), picture(&anew, 1));
        assert_ne!(picture(&anew, 5), picture(&anew, 1));
        assert_ne!(two.order(5), two.order(1), "the order is drawn anew");
        let whole: Vec<Vec<u32>> = two.epoch(5).map(|batch| batch.examples).collect();
        assert_eq!(two.order(5), whole);
        assert_eq!(two.epoch(5).nth(2).unwrap().examples, whole[2]);
        assert!(two.repeats() && !anew.repeats() && loader(Some(1)).view(7) == Some(1));
    }

    #[test]
    fn options_that_make_no_batches_are_errors() {
        let images = images(3, 1, 1);
        let message =
            |indices: Vec<u32>, options| Loader::new(&images, indices, options).unwrap_err().to_string();
        assert!(message(vec![0], options(0)).contains("batch = 0"));
        assert!(message(vec![], options(1)).contains("no images are left"));
        assert!(message(vec![0, 3], options(1)).contains("index 3 is beyond the 3 images"));
        let drop_last = LoaderOptions { ragged: Ragged::Drop, ..options(4) };
        assert!(message(vec![0, 1, 2], drop_last).contains("3 images do not fill one batch of 4"));
        let flat = LoaderOptions { std: [1.0, 0.0, 1.0], ..options(1) };
        assert!(message(vec![0], flat).contains("greater than 0"));
    }
}
