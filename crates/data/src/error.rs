//! What can go wrong with data: [`DataError`]. Each message says what happened, where, and what to do.

use std::path::{Path, PathBuf};

use frostline_sources::{AugmentError, SourceError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A choice of classes that the set does not have.
    #[error("{set} {what}")]
    Classes {
        /// The source's string.
        set: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Pictures that occur more than once, where they are an error.
    #[error("{set}: {what}; remove them, or set duplicates = \"drop\" or \"keep\"")]
    Duplicates {
        /// The source's string.
        set: String,
        /// Which, by kind.
        what: String,
    },
    /// A source string that names no kind of source, or misses a part.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An augmentation string that names none.
    #[error(transparent)]
    Augmentation(#[from] AugmentError),
    /// The Hub could not deliver a file, or delivered a wrong one.
    #[error(transparent)]
    Hub(#[from] frostline_hub::HubError),
    /// A file or folder could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A file or folder is not what its source promises: damaged, hostile, or laid out differently.
    #[error("{place}: {what}")]
    Malformed {
        /// The file, with the entry, column or row where that is known.
        place: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Images that cannot be decoded, or labels that cannot be used, among others that are fine.
    #[error(
        "{count} of {total} images in {place} cannot be used: {}; remove or repair them",
        first.join("; ")
    )]
    BrokenImages {
        /// The data source.
        place: String,
        /// How many are broken.
        count: usize,
        /// How many were looked at.
        total: usize,
        /// The first few: file, row and reason.
        first: Vec<String>,
    },
    /// Images of several sizes where no resolution was given.
    #[error(
        "{place}: images differ in size, from {}x{} to {}x{} (height x width): give a resolution",
        smallest.0, smallest.1, largest.0, largest.1
    )]
    MixedSizes {
        /// The data source.
        place: String,
        /// Least height and least width.
        smallest: (usize, usize),
        /// Greatest height and greatest width.
        largest: (usize, usize),
    },
    /// A split that the training images cannot give.
    #[error("{what}")]
    Split {
        /// Which class lacks what, and what to do.
        what: String,
    },
    /// Loader options that make no batches.
    #[error("{what}")]
    Loader {
        /// Which option, and what it must be.
        what: String,
    },
}

impl DataError {
    pub(crate) fn io(path: &Path, cause: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), cause }
    }

    pub(crate) fn malformed(place: impl ToString, what: impl ToString) -> Self {
        Self::Malformed { place: place.to_string(), what: what.to_string() }
    }
}
