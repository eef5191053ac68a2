//! Images for training: where they come from, how they are split, changed and put into batches.
//!
//! The way of an image: [`Source`] (a string) → [`prepare`] (files fetched and verified) → [`open`] (decoded once, 8-bit RGB
//! at one resolution: [`Dataset`]) → [`split`] (training and validation) → [`Loader`] (augmented, normalised batches in
//! HWNC); files alone: [`image_files`] → [`decode_files`]. Every draw is a function of (seed, purpose, epoch, example), or of the batch
//! where its images are mixed. This crate knows no models and prints nothing.

mod augment;
mod cifar;
mod columns;
mod dataset;
mod digits;
mod duplicates;
mod error;
mod files;
mod folder;
mod gather;
mod hub_set;
mod images;
mod kept;
mod loader;
mod normalise;
mod prepare;
mod roles;
mod rows;
mod sheet;
mod split;
mod table;
mod windows;

pub use augment::Placement;
pub use dataset::{ClassCount, Dataset, FileLineage, NativeSizes, Taken};
pub use duplicates::Duplicates;
pub use error::DataError;
pub use files::{Decoded, decode_files, image_files, image_sizes};
pub use frostline_sources::{Augment, Fold, FoldError, OnDuplicates, Policy, Reading, Source};
pub use images::Images;
pub use kept::{Opened, open_kept};
pub use loader::{Batch, Epoch, Loader, LoaderOptions, Ragged};
pub use prepare::{Prepared, open, prepare};
pub use sheet::{contact_sheet, picture};
pub use split::{Splits, split};
