//! What frozen prefixes gave for images, kept for those who ask again: [`Shelf`], within a budget of memory, which is the host's
//! whatever the device is. Rows are kept image by image, since what a prefix gives for one does not depend on the batch that it is in.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use frostline_data::Images;
use frostline_kernels::{Hwnc, keep_as};
use frostline_models::Activation;

use crate::EngineError;
use crate::audit::Digest256;

/// Features of frozen prefixes, for a whole sweep. What was not asked for longest goes first where room is needed.
#[derive(Debug)]
pub struct Shelf {
    budget: usize,
    held: usize,
    clock: fn() -> f64,
    asked: u64,
    kept: Vec<Kept>,
}

/// What features are of. The images are told by where they lie in memory, where they stay as long as something here is of them.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) prefix: Digest256,
    pub(crate) images: Images,
    pub(crate) normalisation: ([f32; 3], [f32; 3]),
    /// The seed and the number of the view of an augmentation; none of the images as they are.
    pub(crate) view: Option<(u64, u64)>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.images.is(&other.images)
            && self.normalisation == other.normalisation
            && self.view == other.view
    }
}

#[derive(Debug)]
struct Kept {
    key: Key,
    /// `[height, width]` of maps; none of rows.
    map: Option<(usize, usize)>,
    channels: usize,
    rows: Vec<Option<Box<[f32]>>>,
    count: usize,
    /// What computing them took.
    seconds: f64,
    last_asked: u64,
}

impl Shelf {
    /// An empty one for so many bytes, with a clock that tells seconds from any moment on.
    pub fn new(budget: usize, clock: fn() -> f64) -> Self {
        Self { budget, held: 0, clock, asked: 0, kept: Vec::new() }
    }

    /// One that keeps nothing.
    pub fn none() -> Self {
        Self::new(0, || 0.0)
    }

    /// Sets the budget, and gives up what is beyond it.
    pub fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
        self.make_room(0, None);
    }

    /// The bytes that are held.
    pub fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn now(&self) -> f64 {
        (self.clock)()
    }

    /// How many of these images have features here, and the seconds that computing those took.
    pub(crate) fn present(&self, key: &Key, examples: &[u32]) -> (usize, f64) {
        let Some(kept) = self.kept.iter().find(|kept| kept.key == *key) else { return (0, 0.0) };
        let here = examples.iter().filter(|&&example| kept.rows[key.images.place(example)].is_some()).count();
        (here, kept.seconds * here as f64 / kept.count.max(1) as f64)
    }

    /// Whether all of these images have features here.
    pub(crate) fn has(&self, key: &Key, examples: &[u32]) -> bool {
        self.present(key, examples).0 == examples.len()
    }

    /// The features of these images as a batch on a device; none where one of them has none.
    pub(crate) fn gather(
        &mut self,
        key: &Key,
        examples: &[u32],
        device: &Device,
    ) -> Result<Option<Activation>, EngineError> {
        self.asked += 1;
        let asked = self.asked;
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == *key) else { return Ok(None) };
        kept.last_asked = asked;
        let rows = examples.iter().map(|&example| kept.rows[key.images.place(example)].as_deref());
        let Some(rows) = rows.collect::<Option<Vec<&[f32]>>>() else { return Ok(None) };
        let (n, channels) = (rows.len(), kept.channels);
        let (height, width) = kept.map.unwrap_or((1, 1));
        let mut values = Vec::with_capacity(height * width * n * channels);
        for place in 0..height * width {
            rows.iter().for_each(|row| values.extend_from_slice(&row[place * channels..][..channels]));
        }
        Ok(Some(match kept.map {
            Some(_) => Hwnc::from_vec(values, (height, width, n, channels), device)?.into(),
            None => Activation::Rows(Tensor::from_vec(values, (n, channels), device)?),
        }))
    }

    /// Keeps features of these images that took so many seconds, as far as there is room.
    pub(crate) fn put(
        &mut self,
        key: &Key,
        examples: &[u32],
        features: &Activation,
        seconds: f64,
    ) -> Result<(), EngineError> {
        let (map, channels) = match features {
            Activation::Map(map) => {
                let (height, width, _, channels) = map.dims();
                (Some((height, width)), channels)
            }
            Activation::Rows(rows) => (None, rows.dim(1)?),
        };
        let (height, width) = map.unwrap_or((1, 1));
        let length = height * width * channels;
        if !self.make_room(examples.len() * length * size_of::<f32>(), Some(key)) {
            return Ok(());
        }
        let single = keep_as(&features.tensor().detach(), DType::F32)?;
        let values = single.flatten_all()?.to_vec1::<f32>()?;
        let asked = self.asked;
        let kept = match self.kept.iter_mut().position(|kept| kept.key == *key) {
            Some(index) => &mut self.kept[index],
            None => {
                let rows = vec![None; key.images.len()];
                let key = key.clone();
                self.kept.push(Kept { key, map, channels, rows, count: 0, seconds: 0.0, last_asked: asked });
                let last = self.kept.len() - 1;
                &mut self.kept[last]
            }
        };
        kept.seconds += seconds;
        let n = examples.len();
        for (image, &example) in examples.iter().enumerate() {
            let row = &mut kept.rows[key.images.place(example)];
            if row.is_none() {
                let places = (0..height * width).map(|place| (place * n + image) * channels);
                let values = places.flat_map(|at| values[at..at + channels].iter().copied());
                *row = Some(values.collect());
                kept.count += 1;
                self.held += length * size_of::<f32>();
            }
        }
        Ok(())
    }

    /// Gives up what was not asked for longest until so many bytes more fit; never that of `but`. Whether they do.
    fn make_room(&mut self, bytes: usize, but: Option<&Key>) -> bool {
        while self.held + bytes > self.budget {
            let others = self.kept.iter().enumerate().filter(|(_, kept)| Some(&kept.key) != but);
            // What the batch before asked for is in use.
            let idle = others.filter(|(_, kept)| kept.last_asked + IDLE < self.asked || but.is_none());
            let Some((oldest, _)) = idle.min_by_key(|(_, kept)| kept.last_asked) else { return false };
            let gone = self.kept.swap_remove(oldest);
            self.held -= gone.bytes();
        }
        true
    }
}

/// Questions after which what was not asked for may go.
const IDLE: u64 = 1000;

impl Kept {
    fn bytes(&self) -> usize {
        let places = self.map.map_or(1, |(height, width)| height * width);
        self.count * places * self.channels * size_of::<f32>()
    }
}

/// What a run has been told that its features took: what it computed itself, and of what others computed their time.
#[derive(Debug, Default)]
pub(crate) struct Paid(Vec<Key>);

impl Paid {
    /// The seconds of others that a run has from now on, of the features of these images; 0 where it has them already.
    pub(crate) fn owes(&mut self, shelf: &Shelf, key: &Key, examples: &[u32]) -> f64 {
        if self.0.contains(key) {
            return 0.0;
        }
        self.0.push(key.clone());
        let distinct: BTreeSet<u32> =
            examples.iter().map(|&example| key.images.place(example) as u32).collect();
        let distinct: Vec<u32> = distinct.into_iter().collect();
        shelf.present(key, &distinct).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(n: usize) -> Images {
        Images::new(1, 1, vec![0; n * 3], vec![0; n]).unwrap()
    }

    fn key(images: &Images, prefix: u8) -> Key {
        let normalisation = ([0.0; 3], [1.0; 3]);
        Key { prefix: [prefix; 32], images: images.clone(), normalisation, view: None }
    }

    /// Maps `[2, 1, n, 2]` whose numbers tell the image and the place.
    fn maps(examples: &[u32]) -> Activation {
        let place = |place: u32| examples.iter().flat_map(move |e| [(10 * e + place) as f32, 0.5]);
        let values = (0..2).flat_map(place).collect();
        Hwnc::from_vec(values, (2, 1, examples.len(), 2), &Device::Cpu).unwrap().into()
    }

    fn values(activation: &Activation) -> Vec<f32> {
        activation.tensor().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_was_put_comes_back_in_any_order_and_only_where_it_is_there() {
        let (images, mut shelf) = (images(9), Shelf::new(1 << 20, || 0.0));
        let key = key(&images, 1);
        shelf.put(&key, &[3, 1], &maps(&[3, 1]), 2.0).unwrap();
        shelf.put(&key, &[7], &maps(&[7]), 1.0).unwrap();
        let found = shelf.gather(&key, &[7, 1, 3], &Device::Cpu).unwrap().unwrap();
        assert_eq!(values(&found), values(&maps(&[7, 1, 3])));
        assert!(shelf.gather(&key, &[7, 2], &Device::Cpu).unwrap().is_none());
        assert_eq!(shelf.present(&key, &[7, 2]), (1, 1.0));
        let other = Key { images: Images::new(1, 1, vec![0; 27], vec![0; 9]).unwrap(), ..key.clone() };
        assert!(shelf.gather(&other, &[7], &Device::Cpu).unwrap().is_none(), "other images that look alike");
        let view = Key { view: Some((0, 1)), ..key };
        assert!(shelf.gather(&view, &[7], &Device::Cpu).unwrap().is_none());
    }

    #[test]
    fn the_budget_is_kept_and_the_longest_idle_go_first() {
        let (images, mut shelf) = (images(9), Shelf::new(3 * 16, || 0.0));
        let (a, b) = (key(&images, 1), key(&images, 2));
        shelf.put(&a, &[0, 1], &maps(&[0, 1]), 1.0).unwrap();
        shelf.put(&b, &[0, 1], &maps(&[0, 1]), 1.0).unwrap();
        assert!(shelf.gather(&b, &[0], &Device::Cpu).unwrap().is_none(), "the first is in use");
        for _ in 0..=IDLE {
            shelf.gather(&b, &[0], &Device::Cpu).unwrap();
        }
        shelf.put(&b, &[0, 1], &maps(&[0, 1]), 1.0).unwrap();
        assert!(
            shelf.gather(&b, &[0, 1], &Device::Cpu).unwrap().is_some()
                && shelf.gather(&a, &[0], &Device::Cpu).unwrap().is_none()
        );
        assert_eq!(shelf.held(), 2 * 16);
        shelf.set_budget(0);
        assert_eq!(shelf.held(), 0);
    }
}
