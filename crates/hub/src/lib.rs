//! Verified, locked downloads from the Hugging Face Hub.
//!
//! The main type is [`Hub`]: [`Hub::fetch`] returns a file only after its size and hash have been checked,
//! [`Hub::list`] says what a repository holds. The `hf-hub` crate downloads; this crate decides whether what it
//! stored may be used, and puts it into the cache that other Hugging Face tools share. It never reads the
//! environment or the clock: endpoint, token, cache and the offline switch are handed in as [`HubOptions`].

mod cache;
mod client;
mod download;
mod error;
mod first_use;
mod hub;
mod lock;
#[cfg(feature = "loopback")]
pub mod loopback;
mod names;
mod options;
mod progress;
mod record;
mod refusal;
mod verdict;
mod verify;

pub use error::HubError;
pub use hub::Hub;
pub use names::{Expected, Fetched, HubFile, ListedFile, Listing, RepoKind};
pub use options::{HubOptions, Patience};
pub use progress::{Progress, Silent};
