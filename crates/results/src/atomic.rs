//! Writing that a crash cannot cut in half: [`write_file`] for a file, [`publish_folder`] for a folder, [`tidy`] for
//! what a killed process left behind. Nothing here knows what the files mean; the system is asked by way of `disk`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, disk};

const PARTIAL: &str = ".partial";
const OLD: &str = ".old";
/// Bytes that are gathered for one write.
const PIECE: usize = 1 << 20;

/// Writes a file so that its name always stands for the whole of the old or the whole of the new content.
///
/// # Errors
/// A full disk, missing permissions, or any other failure; the old content is then still there.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_file_with(path, |file| disk::write(file, content).map_err(|error| StoreError::writing(path, error)))
}

/// As [`write_file`], with content that is written piece by piece.
pub(super) fn write_file_with(
    path: &Path,
    content: impl FnOnce(&mut File) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let partial = beside(path, PARTIAL);
    let failed = |error| StoreError::writing(&partial, error);
    let write = || {
        let mut file = disk::create(&partial).map_err(failed)?;
        content(&mut file)?;
        disk::sync(&file).map_err(failed)
    };
    let written = write()
        .and_then(|()| disk::rename(&partial, path).map_err(|error| StoreError::writing(path, error)))
        .and_then(|()| sync_folder(parent(path)));
    if written.is_err() {
        let _ = disk::remove_file(&partial); // the first error is the one to tell
    }
    written
}

/// Writes a file and waits until the disk has it. Its name may stand for a part of it meanwhile.
pub(super) fn write_through(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_through_with(path, |out| out.write_all(content))
}

/// As [`write_through`], with content that is written piece by piece.
pub(super) fn write_through_with(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), StoreError> {
    let write = || {
        let mut file = disk::create(path)?;
        let mut out = BufWriter::with_capacity(PIECE, disk::Through(&mut file));
        content(&mut out)?;
        out.flush()?;
        drop(out);
        disk::sync(&file)
    };
    write().map_err(|error| StoreError::writing(path, error))
}

/// Makes `folder` appear whole: `fill` writes into a folder beside it, which then takes its name. A folder that
/// had the name before is kept until the new one is whole.
pub(super) fn publish_folder(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (partial, old) = (beside(folder, PARTIAL), beside(folder, OLD));
    let publish = || {
        remove_folder(&partial)?;
        disk::create_dir(&partial).map_err(|error| StoreError::writing(&partial, error))?;
        fill(&partial)?;
        sync_folder(&partial)?;
        // From here on `partial` is whole, which `tidy` relies on when it finds an `old`.
        if folder.exists() {
            rename(folder, &old)?;
        }
        rename(&partial, folder)?;
        sync_folder(parent(folder))
    };
    let published = publish();
    if published.is_err() {
        if !folder.exists() && old.exists() {
            rename(&old, folder)?;
        }
        let _ = disk::remove_dir_all(&partial); // frees the disk; the first error is the one to tell
    }
    published.and_then(|()| remove_folder(&old))
}

/// Gives a whole folder another place on the same disk.
pub(super) fn move_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    rename(from, to)?;
    sync_folder(parent(from))?;
    sync_folder(parent(to))
}

/// Brings a folder of published folders and files to rest after a process was killed: replacements that were whole
/// are completed, anything unfinished is removed.
pub(super) fn tidy(folder: &Path) -> Result<(), StoreError> {
    let names = hidden(folder)?;
    for name in names.iter().filter_map(|name| name.strip_suffix(OLD)) {
        let target = folder.join(&name[1..]);
        let (partial, old) = (beside(&target, PARTIAL), beside(&target, OLD));
        if !target.exists() {
            rename(if partial.exists() { &partial } else { &old }, &target)?;
        }
        remove_folder(&old)?;
    }
    for name in names.iter().filter(|name| name.ends_with(PARTIAL)) {
        let path = folder.join(name);
        if path.is_dir() {
            remove_folder(&path)?;
        } else if path.exists() {
            disk::remove_file(&path).map_err(|error| StoreError::writing(&path, error))?;
        }
    }
    sync_folder(folder)
}

/// The names in a folder that begin with a dot and that we may have made, in order.
fn hidden(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = std::fs::read_dir(folder).map_err(|error| StoreError::reading(folder, error))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| StoreError::reading(folder, error))?.file_name();
        if let Some(name) =
            name.to_str().filter(|n| n.starts_with('.') && (n.ends_with(PARTIAL) || n.ends_with(OLD)))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// `trials/3f2a` becomes `trials/.3f2a.partial`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{suffix}"))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    disk::rename(from, to).map_err(|error| StoreError::writing(to, error))
}

/// Removes a folder with all that is in it, where it is there.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match disk::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::writing(path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder go at once, so that a crash leaves it whole or not at all.
pub(super) fn retire_folder(path: &Path) -> Result<(), StoreError> {
    let partial = beside(path, PARTIAL);
    remove_folder(&partial)?;
    match disk::rename(path, &partial) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::writing(path, error)),
        Ok(()) => remove_folder(&partial),
    }
}

/// Makes renames in a folder survive a power cut. Only Unix lets a folder be opened for that.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| disk::sync(&folder))
            .map_err(|error| StoreError::writing(folder, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn content(folder: &Path) -> String {
        fs::read_to_string(folder.join("value")).unwrap()
    }

    fn fill(folder: &Path, value: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("value"), value).unwrap();
    }

    #[test]
    fn a_file_is_replaced_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.md");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_folder_and_removes_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a1");
        publish_folder(&folder, |f| write_through(&f.join("value"), b"old")).unwrap();
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failed = publish_folder(&folder, |f| {
            write_through(&f.join("value"), b"half")?;
            Err(StoreError::writing(f, full()))
        });
        assert!(matches!(failed, Err(StoreError::Full { .. })));
        assert_eq!(content(&folder), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        publish_folder(&folder, |f| write_through(&f.join("value"), b"new")).unwrap();
        assert_eq!(content(&folder), "new");
    }

    #[test]
    fn what_a_killed_process_left_is_completed_put_back_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fill(&at(".cut.partial"), "half"); // killed while it wrote
        fill(&at("both"), "new"); // killed before it removed the old one
        fill(&at(".both.old"), "old");
        fill(&at(".between.old"), "old"); // killed between the two renames
        fill(&at(".between.partial"), "new");
        fill(&at(".only.old"), "old");
        fs::write(at(".report.md.partial"), "half").unwrap();
        fs::write(at(".lock"), "1").unwrap();
        tidy(dir.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".lock", "between", "both", "only"]);
        assert_eq!(
            [content(&at("between")), content(&at("both")), content(&at("only"))],
            ["new", "new", "old"]
        );
        tidy(dir.path()).unwrap();
    }
}
