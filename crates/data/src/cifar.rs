//! The source `cifar:DIR-OR-TAR.GZ`: CIFAR-10 in Toronto's binary form (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html).
//!
//! A batch file is 10,000 records of a label byte and 1,024 bytes each of red, green and blue. Only the six batch files are
//! read, each into memory of its exact size; nothing of an archive is ever written to disk. An archive that holds a
//! link, a device, or a path that leads out of itself is refused whole.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use frostline_pictures::Picture;
use frostline_sources::Source;
use frostline_text::{digest_of_file, sha256};
use tar::{Archive, EntryType};

use crate::DataError;
use crate::dataset::{Dataset, FileLineage};
use crate::duplicates::Part;
use crate::gather::Gatherer;

const FOLDER: &str = "cifar-10-batches-bin";
const BATCHES: [(&str, Part); 6] = [
    ("data_batch_1.bin", Part::Train),
    ("data_batch_2.bin", Part::Train),
    ("data_batch_3.bin", Part::Train),
    ("data_batch_4.bin", Part::Train),
    ("data_batch_5.bin", Part::Train),
    ("test_batch.bin", Part::Test),
];
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const SIDE: usize = 32;
const RECORD: usize = 1 + SIDE * SIDE * 3;
/// The archive as Toronto distributes it: 170,052,171 bytes.
const TORONTO: (u64, &str) =
    (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd");

/// How much an archive may hold; tests use small ones.
#[derive(Clone, Copy)]
struct Shape {
    records: usize,
    /// Unpacked bytes after which an archive is taken for a bomb.
    limit: u64,
}

const FULL: Shape = Shape { records: 10_000, limit: 1 << 28 };

/// Checks that `path` is there, and a folder's files by size, without reading them.
pub(crate) fn check(path: &Path) -> Result<(), DataError> {
    if fs::metadata(path).map_err(|error| DataError::io(path, error))?.is_dir() {
        let folder = batches_folder(path);
        for (name, _) in BATCHES {
            check_size(&folder.join(name), FULL)?;
        }
    }
    Ok(())
}

pub(crate) fn open(path: &Path, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    open_shape(path, resolution, FULL)
}

fn open_shape(path: &Path, resolution: Option<(usize, usize)>, shape: Shape) -> Result<Dataset, DataError> {
    let mut gatherer = Gatherer::new(Source::Cifar(path.to_owned()).to_string(), resolution);
    let mut add = |index: usize, bytes: &[u8]| {
        let (file, part) = BATCHES[index];
        let records: Vec<(usize, &[u8])> = bytes.chunks_exact(RECORD).enumerate().collect();
        gatherer.add(
            part,
            &records,
            |(_, record)| read_record(record),
            |(row, _)| format!("{file} record {row}"),
        );
    };
    let files = if fs::metadata(path).map_err(|error| DataError::io(path, error))?.is_dir() {
        let folder = batches_folder(path);
        let mut files = Vec::new();
        for (index, (name, _)) in BATCHES.iter().enumerate() {
            let path = folder.join(name);
            let size = check_size(&path, shape)?;
            let file = File::open(&path).map_err(|error| DataError::io(&path, error))?;
            let bytes = read_batch(file, shape).map_err(|error| DataError::io(&path, error))?;
            files.push(FileLineage {
                name: (*name).to_owned(),
                revision: None,
                sha256: sha256(&bytes),
                size,
            });
            add(index, &bytes);
        }
        files
    } else {
        let lineage = archive_lineage(path)?;
        for (index, bytes) in read_archive(path, shape)?.iter().enumerate() {
            add(index, bytes);
        }
        vec![lineage]
    };
    let mut dataset = gatherer.finish(CLASSES.map(String::from).to_vec(), Vec::new())?;
    dataset.files = files;
    Ok(dataset)
}

fn read_record(record: &[u8]) -> Result<(Picture, u32), String> {
    match record[0] {
        label @ 0..=9 => Ok((Picture::from_planes(SIDE, SIDE, &record[1..]), u32::from(label))),
        label => Err(format!("label {label} is not one of ten classes")),
    }
}

/// The folder with the batch files: `path`, or the one that unpacking the archive makes in it.
fn batches_folder(path: &Path) -> PathBuf {
    let inner = path.join(FOLDER);
    if inner.is_dir() { inner } else { path.to_owned() }
}

fn check_size(path: &Path, shape: Shape) -> Result<u64, DataError> {
    let metadata = fs::metadata(path).map_err(|error| DataError::io(path, error))?;
    let wanted = (shape.records * RECORD) as u64;
    if !metadata.is_file() || metadata.len() != wanted {
        let what =
            format!("is not a CIFAR-10 batch: {} bytes instead of {wanted}; get it anew", metadata.len());
        return Err(DataError::malformed(path.display(), what));
    }
    Ok(wanted)
}

/// Reads exactly one batch; a reader that ends before is an error.
fn read_batch(mut reader: impl Read, shape: Shape) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; shape.records * RECORD];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Size and sha256; an archive of Toronto's size must be Toronto's.
fn archive_lineage(path: &Path) -> Result<FileLineage, DataError> {
    let (sha256, size) = digest_of_file(path).map_err(|error| DataError::io(path, error))?;
    if size == TORONTO.0 && sha256 != TORONTO.1 {
        let what = format!("is damaged: sha256 {sha256} instead of {}; download it again", TORONTO.1);
        return Err(DataError::malformed(path.display(), what));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(FileLineage { name, revision: None, sha256, size })
}

/// The six batches of a `.tar.gz`, in the order of [`BATCHES`].
fn read_archive(path: &Path, shape: Shape) -> Result<Vec<Vec<u8>>, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    // One byte more than the limit, so that going beyond it is told from ending there.
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)).take(shape.limit + 1));
    let batches = read_entries(&mut archive, shape);
    let mut rest = archive.into_inner();
    // To the end, for gzip's checksum stands there.
    let batches = batches.and_then(|b| io::copy(&mut rest, &mut io::sink()).map(|_| b).map_err(damaged));
    if rest.limit() == 0 {
        let what = format!("unpacks to more than {} bytes; refused", shape.limit);
        return Err(DataError::malformed(path.display(), what));
    }
    batches.map_err(|what| DataError::malformed(path.display(), what))
}

fn damaged(error: io::Error) -> String {
    format!("is damaged or no .tar.gz: {error}; get it anew")
}

fn read_entries(archive: &mut Archive<impl Read>, shape: Shape) -> Result<Vec<Vec<u8>>, String> {
    let mut batches: [Option<Vec<u8>>; 6] = Default::default();
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.into_owned();
        let refused = |what: &str| Err(format!("entry `{}` {what}; refused", name.display()));
        if name.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return refused("leads out of the archive");
        }
        match entry.header().entry_type() {
            EntryType::Regular => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => return refused("is a link"),
            other => return refused(&format!("is neither file nor folder ({other:?})")),
        }
        let Some(index) = batch_index(&name) else { continue };
        if batches[index].is_some() {
            return refused("is there twice");
        }
        let wanted = (shape.records * RECORD) as u64;
        if entry.size() != wanted {
            return refused(&format!("has {} bytes instead of {wanted}", entry.size()));
        }
        batches[index] = Some(read_batch(entry, shape).map_err(damaged)?);
    }
    let missing = |name: &str| format!("has no {FOLDER}/{name}; it is not CIFAR-10's binary version");
    batches.into_iter().zip(BATCHES).map(|(batch, (name, _))| batch.ok_or_else(|| missing(name))).collect()
}

/// Which batch an entry is: `cifar-10-batches-bin/NAME`, or `NAME` at the top.
fn batch_index(name: &Path) -> Option<usize> {
    let parts: Vec<_> = name.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let file = match parts[..] {
        [folder, file] if folder.as_os_str() == FOLDER => file,
        [file] => file,
        _ => return None,
    };
    BATCHES.iter().position(|(batch, _)| file.as_os_str() == *batch)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, Header};

    use super::*;

    const SMALL: Shape = Shape { records: 2, limit: 1 << 20 };

    /// A batch of two records; pixel values tell batch, record, channel and place apart.
    fn batch(index: usize) -> Vec<u8> {
        let record = |record: usize| {
            let pixels = (0..3072).map(move |i| (i % 1024 + i / 1024 * 50 + record * 7 + index * 13) as u8);
            [((index * 2 + record) % 10) as u8].into_iter().chain(pixels)
        };
        (0..2).flat_map(record).collect()
    }

    fn header(size: u64, kind: EntryType) -> Header {
        let mut header = Header::new_gnu();
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header
    }

    /// The six batches in an archive, after `change` has had its way with the builder.
    fn archive(batches: usize, change: impl FnOnce(&mut Builder<GzEncoder<Vec<u8>>>)) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        builder.append_data(&mut header(0, EntryType::Directory), FOLDER, io::empty()).unwrap();
        let name = format!("{FOLDER}/readme.html");
        builder.append_data(&mut header(3, EntryType::Regular), name, &b"hi!"[..]).unwrap();
        change(&mut builder);
        for (index, (name, _)) in BATCHES.iter().enumerate().take(batches) {
            let bytes = batch(index);
            let mut header = header(bytes.len() as u64, EntryType::Regular);
            builder.append_data(&mut header, format!("{FOLDER}/{name}"), &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn open_bytes(bytes: &[u8]) -> Result<Dataset, DataError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        open_shape(file.path(), None, SMALL)
    }

    fn message(bytes: &[u8]) -> String {
        open_bytes(bytes).unwrap_err().to_string()
    }

    #[test]
    fn folder_and_archive_give_the_same_images() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join(FOLDER);
        fs::create_dir(&inner).unwrap();
        for (index, (name, _)) in BATCHES.iter().enumerate() {
            fs::write(inner.join(name), batch(index)).unwrap();
        }
        let unpacked = open_shape(folder.path(), None, SMALL).unwrap();
        let direct = open_shape(&inner, None, SMALL).unwrap();
        let packed = open_bytes(&archive(6, |_| {})).unwrap();
        assert_eq!((unpacked.train.len(), unpacked.test.len(), unpacked.files.len()), (10, 2, 6));
        assert_eq!((&unpacked.digest, &direct.digest), (&packed.digest, &packed.digest));
        assert_eq!(packed.train.pixels(), unpacked.train.pixels());
        // Record 1 of data_batch_3.bin, row 1, column 4: plane offset 36.
        let value = |channel: usize| (36 + channel * 50 + 7 + 2 * 13) as u8;
        assert_eq!(packed.train.image(5)[36 * 3..37 * 3], [value(0), value(1), value(2)]);
        assert_eq!((packed.train.labels()[5], packed.test.labels()), (5, &[0, 1][..]));
    }

    #[test]
    fn hostile_entries_are_refused() {
        let link = |kind| {
            move |builder: &mut Builder<GzEncoder<Vec<u8>>>| {
                let name = format!("{FOLDER}/data_batch_1.bin");
                builder.append_link(&mut header(0, kind), name, "/etc/passwd").unwrap();
            }
        };
        assert!(
            message(&archive(6, link(EntryType::Symlink))).contains("data_batch_1.bin` is a link; refused")
        );
        assert!(message(&archive(6, link(EntryType::Link))).contains("is a link; refused"));
        let raw_name = |name: &'static str| {
            move |builder: &mut Builder<GzEncoder<Vec<u8>>>| {
                let mut header = header(1, EntryType::Regular);
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                builder.append(&header, &b"x"[..]).unwrap();
            }
        };
        let up = message(&archive(6, raw_name("cifar-10-batches-bin/../../x")));
        assert!(up.contains("`cifar-10-batches-bin/../../x` leads out of the archive; refused"), "{up}");
        assert!(message(&archive(6, raw_name("/etc/x"))).contains("leads out"));
        assert!(
            message(&archive(6, raw_name("cifar-10-batches-bin/test_batch.bin")))
                .contains("has 1 bytes instead of 6146")
        );
        let device =
            archive(6, |b| b.append_data(&mut header(0, EntryType::Char), "tty", io::empty()).unwrap());
        assert!(message(&device).contains("`tty` is neither file nor folder"));
        let twice = archive(6, |builder| {
            let name = format!("{FOLDER}/test_batch.bin");
            builder.append_data(&mut header(6146, EntryType::Regular), name, &batch(5)[..]).unwrap();
        });
        assert!(message(&twice).contains("test_batch.bin` is there twice"));
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let whole = archive(6, |_| {});
        for length in [0, 1, 9, 30, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let what = message(&whole[..length]);
            assert!(what.contains("is damaged or no .tar.gz"), "{length}: {what}");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(message(&flipped).contains("is damaged"), "gzip's length and checksum stand at the end");
        assert!(message(b"PK\x03\x04 not a tar").contains("is damaged or no .tar.gz"));
        assert!(message(&archive(5, |_| {})).contains("has no cifar-10-batches-bin/test_batch.bin"));
    }

    #[test]
    fn bombs_are_cut_off() {
        let zeros = vec![0; 3 << 20];
        let bomb = archive(6, |builder| {
            builder
                .append_data(&mut header(zeros.len() as u64, EntryType::Regular), "zeros", &zeros[..])
                .unwrap();
        });
        assert!(bomb.len() < 1 << 17);
        let what = message(&bomb);
        assert!(what.contains("unpacks to more than 1048576 bytes; refused"), "{what}");
    }

    #[test]
    fn wrong_sizes_labels_and_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (index, (name, _)) in BATCHES.iter().enumerate() {
            fs::write(folder.path().join(name), batch(index)).unwrap();
        }
        let mut bad = batch(5);
        bad[RECORD] = 10;
        fs::write(folder.path().join("test_batch.bin"), &bad).unwrap();
        let what = open_shape(folder.path(), None, SMALL).unwrap_err().to_string();
        assert!(
            what.contains("1 of 12 images") && what.contains("test_batch.bin record 1: label 10"),
            "{what}"
        );
        fs::write(folder.path().join("test_batch.bin"), &bad[1..]).unwrap();
        let what = open_shape(folder.path(), None, SMALL).unwrap_err().to_string();
        assert!(what.contains("6145 bytes instead of 6146"), "{what}");
        fs::remove_file(folder.path().join("data_batch_2.bin")).unwrap();
        assert!(
            check(folder.path())
                .unwrap_err()
                .to_string()
                .contains("data_batch_1.bin: is not a CIFAR-10 batch")
        );
        assert!(check(Path::new("/nowhere")).unwrap_err().to_string().starts_with("/nowhere: "));
    }
}
