//! Batches for training and evaluation: [`Loader`], whose epochs yield each a [`Batch`] in HWNC.
//!
//! Each image's changes are drawn as in [`crate::Augment`]. Mirroring and cutting are carried out while its bytes are brought into
//! the order of the batch, row by row; what makes other pictures is done before, on copies of the bytes. Each row is then
//! normalised in one pass, and what is erased is set to 0. A batch is assembled by one thread, without the pool, which may be
//! waiting for it; an [`Epoch`] can be sent to another, which fills batches while the model computes.

mod balance;

use std::sync::Arc;

use frostline_sources::Augment;
use frostline_streams::{Purpose, Streams};

use crate::augment::{Mixing, Painter, Placement, Region};
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
    /// Whether an epoch has as many images of each class: those of rare ones come several times, others not in every epoch.
    pub balanced: bool,
}

impl LoaderOptions {
    /// Images as they are and in their order, all of them.
    pub fn plain(batch: usize, mean: [f32; 3], std: [f32; 3]) -> Self {
        let (augment, ragged) = (Augment::default(), Ragged::Keep);
        Self { batch, augment, views: None, mean, std, seed: 0, shuffle: false, ragged, balanced: false }
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
    /// The number of each image, whose place among the [`Images`] [`Images::place`] tells, `[N]`.
    pub examples: Vec<u32>,
    /// Where images are mixed, each with the one before it and the first with the last: an image's own share. The rest is the other's.
    pub own_share: Option<f64>,
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

    /// The label of what each image is mixed with, `[N]`.
    pub fn other_labels(&self) -> Vec<u32> {
        let mut labels = self.labels.clone();
        labels.rotate_right(1);
        labels
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
    /// None where mirroring and cutting are all that is done to pictures.
    painter: Option<Painter>,
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
        if options.balanced && balance::most_looks(images, &indices) > u64::from(u32::MAX) {
            return fail(
                "classes are too uneven to have as many images of each: the rarest would come too often"
                    .to_owned(),
            );
        }
        let normaliser = Normaliser::new(options.mean, options.std);
        let windows = Arc::new(Windows::new(images.width(), options.augment));
        let streams = Streams::new(options.seed);
        let size = (images.height(), images.width());
        let painter = options.augment.repaints().then(|| Painter::new(options.augment, &streams, size));
        let (images, indices) = (images.clone(), indices.into());
        Ok(Self { images, indices, streams, options, windows, painter, normaliser })
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

    /// Whether later epochs have the same pictures as earlier ones. Images that are mixed never come again, nor do the changes of one that
    /// comes several times.
    pub fn repeats(&self) -> bool {
        let drawn_once = self.options.views.is_some() && !self.options.balanced;
        (self.options.augment.is_none() || drawn_once) && !self.mixes()
    }

    /// Whether the images of a batch are mixed with each other.
    pub fn mixes(&self) -> bool {
        self.options.augment.mixes()
    }

    /// The images of each batch of an epoch.
    pub fn order(&self, epoch: u64) -> Vec<Vec<u32>> {
        let all = self.epoch(epoch);
        (0..self.batches()).map(|index| all.examples(index).to_vec()).collect()
    }

    /// The batch of some images as an epoch has them, each by itself.
    pub fn batch(&self, epoch: u64, examples: &[u32]) -> Batch {
        self.assemble(epoch, examples)
    }

    /// The same for all images of the `index`th batch of an epoch, which are mixed where the augmentation says so. How is a function of
    /// (seed, epoch, index).
    pub fn mixed(&self, epoch: u64, index: usize, examples: &[u32]) -> Batch {
        let mut batch = self.assemble(epoch, examples);
        let size = (batch.height, batch.width);
        let mixing = Mixing::draw(&self.options.augment, &self.streams, (epoch, index), size);
        batch.own_share = mixing.map(|mixing| mixing.apply(&mut batch.pixels, examples.len(), size));
        batch
    }

    /// The batches of one epoch, from the first. The iterator owns what it needs and can be sent to another thread.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let mut order = self.indices.to_vec();
        if self.options.balanced {
            order = balance::order(&self.images, &self.indices, &self.streams, epoch);
        } else if self.options.shuffle {
            self.streams.draws(Purpose::Order, epoch, 0).shuffle(&mut order);
        }
        order.truncate(self.examples());
        Epoch { loader: self.clone(), epoch, order, next: 0 }
    }

    fn assemble(&self, epoch: u64, examples: &[u32]) -> Batch {
        let (height, width, n) = (self.images.height(), self.images.width(), examples.len());
        let view = self.view(epoch).unwrap_or_default();
        let images = examples.iter().map(|&i| (i, self.images.image(self.images.place(i))));
        let painted = self.painter.as_ref().map(|painter| painter.paint(view, images.clone()));
        let rows = match &painted {
            Some(painted) => {
                let as_painted = painted.chunks_exact(height * width * 3);
                Rows::new(as_painted.map(|image| (image, Placement::default())), &self.windows, height)
            }
            None => {
                let place = |i| Placement::draw(&self.options.augment, &self.streams, view, i);
                Rows::new(images.map(|(i, image)| (image, place(i))), &self.windows, height)
            }
        };
        let mut pixels = Vec::with_capacity(height * width * n * 3);
        rows.for_each(|row| self.normaliser.append(row, &mut pixels));
        if let Some(probability) = self.options.augment.erase {
            self.erase(probability, view, examples, &mut pixels);
        }
        let labels = examples.iter().map(|&i| self.images.labels()[self.images.place(i)]).collect();
        Batch { height, width, pixels, labels, examples: examples.to_vec(), own_share: None }
    }

    /// Sets a rectangle of some images to 0; `pixels` is `[height, width, N, 3]`.
    fn erase(&self, probability: f64, view: u64, examples: &[u32], pixels: &mut [f32]) {
        let (size, stride) = ((self.images.height(), self.images.width()), examples.len() * 3);
        let streams = self.streams.part("erase");
        for (position, &example) in examples.iter().enumerate() {
            let mut draws = streams.draws(Purpose::Augment, view, u64::from(example));
            let drawn = f64::from(draws.unit()) < probability;
            let Some(region) = drawn.then(|| Region::erased(&mut draws, size)).flatten() else { continue };
            for y in region.top..region.top + region.height {
                let row = &mut pixels[(y * size.1 + region.left) * stride..][..region.width * stride];
                row.chunks_exact_mut(stride).for_each(|pixel| pixel[position * 3..][..3].fill(0.0));
            }
        }
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
        let index = self.next - 1;
        Some(self.loader.mixed(self.epoch, index, self.examples(index)))
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
mod tests;
