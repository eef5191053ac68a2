//! How a download reports, without this crate knowing a terminal.
//!
//! The main type is the trait [`Progress`]; [`Silent`] reports nothing. Inside, [`Pulse`] collects what `hf-hub`
//! tells from its own threads, so that the caller's reporter is called on the caller's thread alone, and so
//! that a download that has stopped moving can be told from a slow one.

use std::sync::atomic::{AtomicU64, Ordering};

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};

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

    /// The announced length in bytes; `hf-hub` says 0 where the Hub did not tell.
    pub(crate) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Acquire)).filter(|&total| total > 0)
    }

    fn moved(&self, bytes: u64) {
        // hf-xet polls: a count that has not grown is no sign of life.
        if self.bytes.fetch_max(bytes, Ordering::AcqRel) < bytes {
            self.events.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl ProgressHandler for Pulse {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => {
                self.total.store(*total_bytes, Ordering::Release);
                self.started.store(1, Ordering::Release);
                self.events.fetch_add(1, Ordering::AcqRel);
            }
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                // One file is asked for at a time.
                files.iter().for_each(|file| self.moved(file.bytes_completed));
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, .. }) => {
                self.moved(*bytes_completed);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_bytes_are_a_sign_of_life() {
        let pulse = Pulse::default();
        assert!(!pulse.started() && pulse.total().is_none());
        pulse.on_progress(&DownloadEvent::Start { total_files: 1, total_bytes: 9 }.into());
        assert!(pulse.started());
        assert_eq!((pulse.total(), pulse.events()), (Some(9), 1));
        for bytes in [4, 4, 9] {
            let event = DownloadEvent::AggregateProgress {
                bytes_completed: bytes,
                total_bytes: 9,
                bytes_per_sec: None,
            };
            pulse.on_progress(&event.into());
        }
        assert_eq!((pulse.bytes(), pulse.events()), (9, 3));
    }
}
