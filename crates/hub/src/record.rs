//! Small JSON records of our own beside the shared cache: verdicts and listings.
//!
//! A record is written whole or not at all, and carries a format version. A record that is missing, damaged or of
//! another version reads as absent, since every one of them can be made anew.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record<T> {
    format: u32,
    content: T,
}

/// Writes `content` to `path`, whose folders are made.
pub(crate) fn write<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(&Record { format: FORMAT, content })?;
    write_whole(path, &text)
}

/// Reads the record at `path`, if there is a sound one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let record: Record<T> = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (record.format == FORMAT).then_some(record.content)
}

/// Puts `bytes` at `path` in one step, so that no reader sees a part of them.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_damaged_or_newer_one_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        assert_eq!(read::<Vec<u32>>(&path), None);
        write(&path, &vec![3, 1]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path), Some(vec![3, 1]));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert_eq!(read::<Vec<u32>>(&path), None);
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path), None);
    }
}
