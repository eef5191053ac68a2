//! Counter-based random streams: every draw is a function of (seed, purpose, two counters or a name).
//!
//! The main type is [`Streams`], a key that is cheap to copy; [`Streams::draws`] opens the stream of one
//! (purpose, a, b), for instance (augmentation, epoch, example). Nobody advances anybody else's stream, so a
//! trial's numbers depend neither on the thread count nor on what ran before. This crate never holds a
//! generator that is shared, and never asks the system for entropy.

mod draws;

pub use draws::Draws;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a stream is for. Each purpose has streams of its own, whatever the counters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Which examples go to validation; counters: (class, 0).
    Split = 1,
    /// Which examples a small-data run keeps; counters: (class, 0).
    Subset = 2,
    /// The order of the examples in an epoch; counters: (epoch, 0).
    Order = 3,
    /// Augmentation of one example; counters: (epoch, example).
    Augment = 4,
    /// Initial values of a parameter; keyed by the parameter's name.
    Init = 5,
    /// Dropout of one example; keyed by the layer's name, then (epoch, example).
    Dropout = 6,
    /// Noise added to an input; counters: (epoch, example).
    Noise = 7,
    /// The order in which a plan runs its trials; counters: (0, 0).
    Plan = 8,
    /// Which seeds or images a made-up experiment has; counters: (experiment, 0) for seeds, (experiment, images) for images.
    Bootstrap = 9,
    /// How the images of a batch are mixed; counters: (epoch, batch).
    Mix = 10,
}

/// A seed, from which the stream of every purpose follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
    salt: u64,
}

impl Streams {
    /// The streams of one seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, salt: 0 }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The streams of the same seed for one named part, for instance a layer with dropout.
    pub fn part(&self, name: &str) -> Self {
        Self { seed: self.seed, salt: fold(self.salt ^ 0x9e37_79b9_7f4a_7c15, name.as_bytes()) }
    }

    /// The stream of (purpose, a, b); what `a` and `b` count is said at each [`Purpose`].
    pub fn draws(&self, purpose: Purpose, a: u64, b: u64) -> Draws {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.salt.to_le_bytes());
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24] = purpose as u8;
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(b);
        Draws::new(generator)
    }

    /// The stream of a purpose for something that has a name, for instance a parameter.
    pub fn named(&self, purpose: Purpose, name: &str) -> Draws {
        self.part(name).draws(purpose, 0, 0)
    }
}

/// FNV-1a with a finalising mix: names are short and few, so 64 bits keep them apart.
fn fold(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ start;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_draws_and_any_other_key_gives_others() {
        let first = |s: Streams, p, a, b| s.draws(p, a, b).u64();
        let streams = Streams::new(7);
        let value = first(streams, Purpose::Augment, 3, 11);
        assert_eq!(value, first(Streams::new(7), Purpose::Augment, 3, 11));
        for other in [
            first(Streams::new(8), Purpose::Augment, 3, 11),
            first(streams, Purpose::Order, 3, 11),
            first(streams, Purpose::Augment, 4, 11),
            first(streams, Purpose::Augment, 3, 12),
            first(streams.part("layer1"), Purpose::Augment, 3, 11),
        ] {
            assert_ne!(value, other);
        }
    }

    #[test]
    fn names_are_kept_apart() {
        let streams = Streams::new(0);
        let mut seen: Vec<u64> =
            (0..2000).map(|i| streams.named(Purpose::Init, &format!("p{i}")).u64()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2000);
    }

    #[test]
    fn streams_stay_what_they_are() {
        // Results that were published with a seed must be reproducible by later versions.
        let mut draws = Streams::new(42).draws(Purpose::Augment, 1, 2);
        assert_eq!([draws.u32(), draws.u32(), draws.below(10)], GOLDEN);
    }

    const GOLDEN: [u32; 3] = [1_909_491_295, 1_652_305_127, 3];
}
