//! Decoded, resized images on disk, for the next sweep: [`open_kept`] reads them where they were kept and are whole, and else decodes and
//! keeps them. A file is named by what it was made of (every byte of the source's files, how they are read, the resolution) and carries
//! the SHA-256 of what is in it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use frostline_text::sha256;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, FileLineage, NativeSizes, Taken};
use crate::duplicates::Duplicates;
use crate::prepare::{Prepared, open};
use crate::{DataError, Images};

/// Raised when decoding or resizing changes what the same files give.
const FORMAT: u32 = 1;
/// The most bytes of pixels of a set that is kept.
const LARGEST: usize = 1 << 30;
/// The most bytes of all that is kept; what was made first goes first.
const ALL: u64 = 4 << 30;
/// Digits of a SHA-256.
const HEX: usize = 64;

/// Images, and whether they were kept from before.
#[derive(Debug)]
pub struct Opened {
    /// The images.
    pub dataset: Dataset,
    /// Whether they were read as they were kept.
    pub was_kept: bool,
    /// What was wrong with what was kept, or with keeping it.
    pub note: Option<String>,
}

/// What is kept of a set beside its bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    source: String,
    classes: Vec<String>,
    validation: usize,
    native: NativeSizes,
    digest: String,
    files: Vec<FileLineage>,
    licence: Option<String>,
    taken: Vec<Taken>,
    duplicates: Duplicates,
    /// Height and width.
    size: (usize, usize),
    /// Images to train on, and to test on.
    counts: [usize; 2],
    /// Whether it is known which pictures images are of.
    pictures: bool,
}

/// As [`open`], by way of a folder of kept images; without one, or for sources that are read faster than they are decoded, just that.
///
/// # Errors
/// As [`open`]. What is damaged in the folder is no error, but told.
pub fn open_kept(
    prepared: &Prepared,
    resolution: (usize, usize),
    folder: Option<&Path>,
) -> Result<Opened, DataError> {
    let place = match (folder, prepared.fingerprint()) {
        (Some(folder), Some(made_of)) => {
            let name = sha256(format!("{FORMAT} {resolution:?}\n{made_of}").as_bytes());
            Some((folder, folder.join(format!("{}.images", &name[..32]))))
        }
        _ => None,
    };
    let Some((folder, path)) = place else {
        return Ok(Opened { dataset: open(prepared, Some(resolution))?, was_kept: false, note: None });
    };
    let mut note = None;
    match read(&path) {
        Ok(Some(dataset)) => return Ok(Opened { dataset, was_kept: true, note }),
        Ok(None) => {}
        Err(reason) => note = Some(format!("{} is not used, and made anew: {reason}", path.display())),
    }
    let dataset = open(prepared, Some(resolution))?;
    if let Err(error) = write(folder, &path, &dataset) {
        note = Some(format!("decoded images cannot be kept in {}: {error}", folder.display()));
    }
    Ok(Opened { dataset, was_kept: false, note })
}

/// The set in a file; none where there is no file.
fn read(path: &Path) -> Result<Option<Dataset>, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| words(&error))?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| words(&error))?;
    let (stated, rest) = bytes.split_at_checked(HEX).ok_or("it is too short")?;
    if sha256(rest).as_bytes() != stated {
        return Err("its SHA-256 is another than is written in it".to_owned());
    }
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or("it has no header")?;
    let header: Header = serde_json::from_slice(&rest[..end]).map_err(|error| words(&error))?;
    let (height, width) = header.size;
    let mut rest = &rest[end + 1..];
    let mut take = |length: usize| -> Result<&[u8], String> {
        let (taken, left) = rest.split_at_checked(length).ok_or("it is too short")?;
        rest = left;
        Ok(taken)
    };
    let mut images = Vec::new();
    for count in header.counts {
        let pixels = take(count * height * width * 3)?.to_vec();
        let labels = take(count * 4)?.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let labels = labels.collect();
        let mut one = Images::new(height, width, pixels, labels).map_err(|error| words(&error))?;
        if header.pictures {
            one = one.of_pictures(take(count * 32)?.as_chunks::<32>().0.to_vec());
        }
        images.push(one);
    }
    let (test, train) = (images.pop().ok_or("it has no images")?, images.pop().ok_or("it has no images")?);
    let Header { source, classes, validation, native, digest, files, licence, taken, duplicates, .. } =
        header;
    Ok(Some(Dataset {
        source,
        classes,
        train,
        validation,
        test,
        native,
        digest,
        files,
        licence,
        taken,
        duplicates,
    }))
}

/// Keeps a set, whole or not at all, where it is not too large.
fn write(folder: &Path, path: &Path, dataset: &Dataset) -> std::io::Result<()> {
    let both = [&dataset.train, &dataset.test];
    let pixels: usize = both.iter().map(|images| images.pixels().len()).sum();
    if pixels > LARGEST {
        return Ok(());
    }
    let pictures = both.iter().all(|images| images.pictures().len() == images.len());
    let header = Header {
        source: dataset.source.clone(),
        classes: dataset.classes.clone(),
        validation: dataset.validation,
        native: dataset.native,
        digest: dataset.digest.clone(),
        files: dataset.files.clone(),
        licence: dataset.licence.clone(),
        taken: dataset.taken.clone(),
        duplicates: dataset.duplicates.clone(),
        size: (dataset.train.height(), dataset.train.width()),
        counts: both.map(Images::len),
        pictures,
    };
    let mut body = serde_json::to_vec(&header)?;
    body.push(b'\n');
    body.reserve_exact(pixels + pixels / 8);
    for images in both {
        body.extend_from_slice(images.pixels());
        images.labels().iter().for_each(|label| body.extend_from_slice(&label.to_le_bytes()));
        if pictures {
            images.pictures().iter().for_each(|picture| body.extend_from_slice(picture));
        }
    }
    fs::create_dir_all(folder)?;
    make_room(folder, body.len() as u64)?;
    let partial = folder.join(format!(".{}.partial", std::process::id()));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(sha256(&body).as_bytes())?;
        file.write_all(&body)
    });
    let written = written.and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial); // The first error is the one to tell.
    }
    written
}

/// Removes what was made first until so many bytes more are no more than all that may be kept.
fn make_room(folder: &Path, bytes: u64) -> std::io::Result<()> {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, metadata) =
            (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::metadata));
        if let (Ok(path), Ok(Ok(metadata))) = (path, metadata)
            && path.extension().is_some_and(|extension| extension == "images")
        {
            kept.push((metadata.modified()?, metadata.len(), path));
        }
    }
    kept.sort();
    let mut all: u64 = kept.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in kept {
        if all + bytes <= ALL {
            break;
        }
        fs::remove_file(path)?;
        all -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use frostline_hub::{Hub, HubOptions, Silent};
    use frostline_sources::{Reading, Source};

    use super::*;
    use crate::prepare;

    /// A folder of two classes with three small images each.
    fn draw(at: &Path) {
        for (class, shade) in [("a", 10u8), ("b", 200)] {
            fs::create_dir_all(at.join(class)).unwrap();
            for number in 0..10u8 {
                let pixels = (0..27).map(|value| shade + number + value).collect();
                let image = image::RgbImage::from_raw(3, 3, pixels).unwrap();
                image.save(at.join(class).join(format!("{number}.png"))).unwrap();
            }
        }
    }

    fn source(at: &Path) -> Prepared {
        let hub = Hub::new(HubOptions { offline: true, ..HubOptions::standard(at) }).unwrap();
        prepare(&Source::Folder(at.to_owned()), &Reading::default(), &hub, &Silent).unwrap()
    }

    fn parts(dataset: &Dataset) -> (Vec<u8>, Vec<u32>, Vec<u8>, String, Vec<String>, usize) {
        let Dataset { train, test, digest, classes, duplicates, .. } = dataset;
        let pixels = |images: &Images| images.pixels().to_vec();
        (
            pixels(train),
            train.labels().to_vec(),
            pixels(test),
            digest.clone(),
            classes.clone(),
            duplicates.len(),
        )
    }

    #[test]
    fn what_was_kept_is_what_would_be_decoded_and_what_is_damaged_or_other_is_not_used() {
        let (images, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        draw(images.path());
        let prepared = source(images.path());
        let open_at =
            |side: usize| open_kept(&source(images.path()), (side, side), Some(cache.path())).unwrap();
        let fresh = open(&prepared, Some((4, 4))).unwrap();
        let first = open_at(4);
        assert!(!first.was_kept && parts(&first.dataset) == parts(&fresh));
        let second = open_at(4);
        assert!(second.was_kept && second.note.is_none() && parts(&second.dataset) == parts(&fresh));
        assert_eq!(second.dataset.train.pictures(), fresh.train.pictures());
        assert!(!open_at(5).was_kept, "another resolution");
        for file in fs::read_dir(cache.path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        let damaged = open_at(4);
        assert!(!damaged.was_kept && damaged.note.unwrap().contains("SHA-256"));
        assert!(parts(&damaged.dataset) == parts(&fresh) && open_at(4).was_kept, "it was made anew");
        let one = images.path().join("a/0.png");
        fs::copy(images.path().join("b/0.png"), one).unwrap();
        assert!(!open_at(4).was_kept, "a file was changed");
    }
}
