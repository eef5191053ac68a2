//! The source `folder:DIR`: a sub-folder for each class.
//!
//! - `DIR/train/CLASS/FILE` with `DIR/test/CLASS/FILE`, or with `DIR/val` or `DIR/validation` where there is no `test`;
//! - or `DIR/CLASS/FILE` alone. Without test images, every fifth file of each class is a test image.
//!
//! Classes and files are sorted by name, byte by byte. Names that begin with a dot are skipped, and so is a file beside the
//! class folders. In a class folder everything must be an image, by what is in it and not by its name: all that is none is
//! named in one error, so that no image is left out unnoticed. Symbolic links are followed.

use std::fs;
use std::path::{Path, PathBuf};

use frostline_sources::Source;

use crate::dataset::Dataset;
use crate::decode::EXTENSIONS;
use crate::gather::{Gatherer, Part};
use crate::{DataError, decode};

/// The files of an image folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    root: PathBuf,
    classes: Vec<String>,
    train: Vec<Leaf>,
    test: Vec<Leaf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    path: PathBuf,
    label: u32,
}

/// Lists classes and files; opens none.
pub(crate) fn scan(root: &Path) -> Result<Tree, DataError> {
    let folders = visible(root)?.into_iter().filter(|path| path.is_dir()).collect::<Vec<_>>();
    let named = |name: &str| folders.iter().find(|path| path.file_name().is_some_and(|n| n == name));
    let top = named("train");
    let held_out = top.and_then(|_| ["test", "val", "validation"].into_iter().find_map(named));
    let classes = match top {
        Some(train) => visible(train)?.into_iter().filter(|path| path.is_dir()).collect(),
        None => folders.clone(),
    };
    let names: Vec<String> = classes.iter().map(|path| name_of(path)).collect();
    if names.is_empty() {
        let place = top.map_or(root, |path| path.as_path());
        return Err(DataError::malformed(
            place.display(),
            "has no class folders; put each class's images in a folder",
        ));
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (label, class) in classes.iter().enumerate() {
        let leaves = leaves(class, label as u32)?;
        if leaves.is_empty() {
            return Err(DataError::malformed(
                class.display(),
                "holds no images; add some or remove the folder",
            ));
        }
        train.extend(leaves);
    }
    for class in held_out.map(|path| visible(path)).transpose()?.unwrap_or_default() {
        if !class.is_dir() {
            continue;
        }
        let Some(label) = names.iter().position(|name| *name == name_of(&class)) else {
            return Err(DataError::malformed(class.display(), "is a class without training images"));
        };
        test.extend(leaves(&class, label as u32)?);
    }
    if let (Some(held_out), true) = (held_out, test.is_empty()) {
        return Err(DataError::malformed(
            held_out.display(),
            "holds no images; add some or remove the folder",
        ));
    }
    Ok(Tree { root: root.to_owned(), classes: names, train, test })
}

pub(crate) fn open(tree: &Tree, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    let mut gatherer = Gatherer::new(Source::Folder(tree.root.clone()).to_string(), resolution);
    let read = |leaf: &Leaf| {
        let bytes = fs::read(&leaf.path).map_err(|error| error.to_string())?;
        Ok((decode::decode(&bytes)?, leaf.label))
    };
    for (part, leaves) in [(Part::Train, &tree.train), (Part::Test, &tree.test)] {
        gatherer.add(part, leaves, read, |leaf| leaf.path.display().to_string());
    }
    gatherer.finish(tree.classes.clone())
}

/// All files of a class folder; whether each is an image is seen when it is decoded.
fn leaves(class: &Path, label: u32) -> Result<Vec<Leaf>, DataError> {
    let paths = visible(class)?;
    if let Some(other) = paths.iter().find(|path| !path.is_file()) {
        return Err(DataError::malformed(
            other.display(),
            "is a folder inside a class folder; put the images right into the folder of their class",
        ));
    }
    Ok(paths.into_iter().map(|path| Leaf { path, label }).collect())
}

/// Whether a file is called as images are.
pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    path.is_file() && EXTENSIONS.iter().any(|image| extension == *image)
}

/// What is in a folder, sorted by name, without what begins with a dot.
pub(crate) fn visible(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::io(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    /// Writes a PNG of 2x3 for each path; its first pixel's red is the position in the list.
    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (position, path) in paths.iter().enumerate() {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = RgbImage::from_fn(3, 2, |x, y| Rgb([position as u8, x as u8, y as u8]));
            image.save_with_format(path, image::ImageFormat::Png).unwrap();
        }
        folder
    }

    fn load(folder: &Path) -> Result<Dataset, DataError> {
        open(&scan(folder)?, None)
    }

    fn reds(images: &crate::Images) -> Vec<(u8, u32)> {
        (0..images.len()).map(|i| (images.image(i)[0], images.labels()[i])).collect()
    }

    #[test]
    fn train_and_test_folders_are_the_splits() {
        let folder =
            folder(&["train/b/2.png", "train/b/1.PNG", "train/a/x.png", "test/b/z.png", "val/a/y.png"]);
        let data = load(folder.path()).unwrap();
        assert_eq!((&data.classes[..], data.train.width()), (&["a".to_owned(), "b".to_owned()][..], 3));
        assert_eq!(reds(&data.train), [(2, 0), (1, 1), (0, 1)]);
        assert_eq!(reds(&data.test), [(3, 1)]);
        fs::remove_dir_all(folder.path().join("test")).unwrap();
        assert_eq!(reds(&load(folder.path()).unwrap().test), [(4, 0)]);
    }

    #[test]
    fn without_test_images_every_fifth_is_one_and_hidden_names_are_skipped() {
        let names: Vec<String> = (0..11).map(|i| format!("class/{i:02}.png")).collect();
        let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        fs::create_dir(folder.path().join(".cache")).unwrap();
        fs::write(folder.path().join("class/.DS_Store"), "x").unwrap();
        fs::write(folder.path().join("README.md"), "x").unwrap();
        let data = load(folder.path()).unwrap();
        assert_eq!(data.classes, ["class"]);
        assert_eq!(reds(&data.test), [(4, 0), (9, 0)]);
        assert_eq!(data.train.len(), 9);
        fs::create_dir(folder.path().join("empty")).unwrap();
        assert!(
            load(folder.path())
                .unwrap_err()
                .to_string()
                .ends_with("empty: holds no images; add some or remove the folder")
        );
    }

    #[test]
    fn what_is_no_image_is_named() {
        let folder = folder(&["train/a/1.png", "train/b/1.png", "test/a/1.png"]);
        let message = || load(folder.path()).unwrap_err().to_string();
        let at = |path: &str| folder.path().join(path);
        fs::rename(at("train/a/1.png"), at("train/a/an image without a name of its own")).unwrap();
        assert_eq!(load(folder.path()).unwrap().train.len(), 2);
        fs::write(at("train/a/notes.txt"), "x").unwrap();
        fs::write(at("test/a/cut.png"), &fs::read(at("test/a/1.png")).unwrap()[..40]).unwrap();
        fs::write(at("train/b/2.jpg"), "").unwrap();
        let what = message();
        assert!(
            what.contains("3 of 6 images in folder:") && what.contains("notes.txt: is no PNG, JPEG, WebP"),
            "{what}"
        );
        assert!(what.contains("2.jpg: is empty") && what.contains("cut.png: broken PNG"), "{what}");
        fs::create_dir(at("test/c")).unwrap();
        assert!(message().contains("is a class without training images"));
        fs::create_dir(at("train/a/deeper")).unwrap();
        assert!(message().contains("deeper: is a folder inside a class folder"));
    }

    #[test]
    fn empty_and_missing_folders_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("has no class folders"));
        fs::create_dir_all(folder.path().join("train")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("train: has no class folders"));
        assert!(load(&folder.path().join("none")).unwrap_err().to_string().contains("none: "));
    }

    #[test]
    fn mixed_sizes_need_a_resolution() {
        let folder = folder(&["train/a/1.png", "train/b/1.png", "test/a/1.png"]);
        RgbImage::new(5, 1).save(folder.path().join("train/b/2.png")).unwrap();
        let tree = scan(folder.path()).unwrap();
        let message = open(&tree, None).unwrap_err().to_string();
        assert!(message.contains("differ in size, from 1x3 to 2x5 (height x width)"), "{message}");
        let data = open(&tree, Some((4, 6))).unwrap();
        assert_eq!((data.train.height(), data.train.width(), data.native.largest), (4, 6, (2, 5)));
    }
}
