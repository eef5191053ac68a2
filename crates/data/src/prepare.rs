//! From a source to images in two steps: [`prepare`] fetches and checks files, for every trial of a plan before the
//! first one runs; [`open`] decodes them.

use std::path::PathBuf;

use frostline_hub::{Hub, Progress};
use frostline_sources::{Reading, Source};

use crate::dataset::Dataset;
use crate::{DataError, cifar, digits, folder, hub_set};

/// A source whose files are all on this machine.
#[derive(Clone, Debug)]
pub struct Prepared(Ready);

#[derive(Clone, Debug)]
enum Ready {
    Digits,
    Hub(hub_set::HubSet),
    Cifar(PathBuf),
    Folder(folder::Tree),
}

impl Prepared {
    /// What tells the images apart from any others: every byte of the files and how they are read. None for sources that are as fast to
    /// decode as to tell apart, and where a file cannot be read.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        match &self.0 {
            Ready::Digits | Ready::Cifar(_) => None,
            Ready::Hub(set) => Some(set.fingerprint()),
            Ready::Folder(tree) => tree.fingerprint(),
        }
    }
}

/// Downloads and verifies what `source` needs, or lists and checks what is on disk, by what `reading` says of its splits.
/// Decodes nothing. Only `hub:` sources use `hub`.
///
/// # Errors
/// A download fails or is not what was expected; a file or folder is missing, or laid out otherwise than its source says.
pub fn prepare(
    source: &Source,
    reading: &Reading,
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<Prepared, DataError> {
    let ready = match source {
        Source::Digits => Ready::Digits,
        Source::Hub { repo, config, revision } => Ready::Hub(hub_set::prepare(
            repo,
            config.as_deref(),
            revision.as_deref(),
            reading,
            hub,
            progress,
        )?),
        Source::Cifar(path) => {
            cifar::check(path)?;
            Ready::Cifar(path.clone())
        }
        Source::Folder(path) => Ready::Folder(folder::scan(path, reading.splits.as_ref())?),
    };
    Ok(Prepared(ready))
}

/// Decodes all images on the current rayon pool, once, and resizes them to `resolution` (height, width): bilinear with
/// antialiasing, each side by itself, as torchvision's `Resize((height, width))`. Without a resolution the images
/// keep their size, which must be the same for all. The result does not depend on the number of threads.
///
/// # Errors
/// A file is damaged; any image is broken or has no usable label (all are counted, the first few named); sizes differ
/// and no resolution is given; a class has too few images to set test images aside.
pub fn open(prepared: &Prepared, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    if let Some((height, width)) = resolution
        && (!(1..=4096).contains(&height) || !(1..=4096).contains(&width))
    {
        return Err(DataError::malformed(
            format!("resolution {height}x{width}"),
            "each side must be from 1 to 4096",
        ));
    }
    match &prepared.0 {
        Ready::Digits => digits::open(resolution),
        Ready::Hub(set) => hub_set::open(set, resolution),
        Ready::Cifar(path) => cifar::open(path, resolution),
        Ready::Folder(tree) => folder::open(tree, resolution),
    }
}
