//! How a download reports, without this crate knowing a terminal.
//!
//! The main type is the trait [`Progress`]; [`Silent`] reports nothing. Inside, [`Pulse`] collects what `hf-hub`
//! tells from a thread of its own, so that the caller's reporter is called on the caller's thread alone, and so
//! that a download that has stopped moving can be told from a slow one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Receives what a download has to say. All calls come from the thread that called [`crate::Hub::fetch`].
pub trait Progress: Send + Sync {
    /// A download of `name` begins; `total` is its length in bytes, where the Hub tells it.
    fn begin(&self, name: &str, total: Option<u64>);
    /// So many bytes of it have come. A second try starts again with [`Progress::begin`].
    fn advance(&self, bytes_so_far: u64);
    /// The download is over, well or badly.
    fn end(&self);
    /// Something worth a line: a wait for another process, a second try, the cache used in the network's place.
    fn note(&self, message: &str) {
        let _ = message;
    }
}

/// Reports nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes_so_far: u64) {}
    fn end(&self) {}
}

/// The state of one transfer as `hf-hub` last told it.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    events: AtomicU64,
    started: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Pulse {
    /// Grows with every sign of life.
    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Whether the Hub has answered and bytes are expected.
    pub(crate) fn started(&self) -> bool {
        self.started.load(Ordering::Acquire) > 0
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// The announced length in bytes, where the Hub told it.
    pub(crate) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Acquire)).filter(|&total| total > 0)
    }
}

/// What `hf-hub` tells of a transfer, to be seen in a [`Pulse`].
pub(crate) struct Beat(pub(crate) Arc<Pulse>);

impl hf_hub::api::Progress for Beat {
    fn init(&mut self, size: usize, _: &str) {
        self.0.total.store(size as u64, Ordering::Release);
        self.0.started.store(1, Ordering::Release);
        self.0.events.fetch_add(1, Ordering::AcqRel);
    }

    fn update(&mut self, size: usize) {
        // Reading nothing is no sign of life.
        if size > 0 {
            self.0.bytes.fetch_add(size as u64, Ordering::AcqRel);
            self.0.events.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use hf_hub::api::Progress as _;

    use super::*;

    #[test]
    fn only_new_bytes_are_a_sign_of_life() {
        let pulse = Arc::new(Pulse::default());
        assert!(!pulse.started() && pulse.total().is_none());
        let mut beat = Beat(Arc::clone(&pulse));
        beat.init(9, "x");
        assert!(pulse.started());
        assert_eq!((pulse.total(), pulse.events()), (Some(9), 1));
        [4, 0, 5].into_iter().for_each(|bytes| beat.update(bytes));
        assert_eq!((pulse.bytes(), pulse.events()), (9, 3));
    }
}
