//! The source `folder:DIR`: a sub-folder for each class.
//!
//! - `DIR/train/CLASS/FILE` with `DIR/test/CLASS/FILE`, `DIR/val/CLASS/FILE`, or both; the folders may have other usual names,
//!   or those of `splits`. Where there is no test split, the validation split is that.
//! - or `DIR/CLASS/FILE` alone. Without test images, every fifth file of each class is a test image.
//!
//! Classes and files are sorted by name, byte by byte. Names that begin with a dot are skipped, and so is a file beside the
//! class folders that is not called as images are. In a class folder everything must be an image, by what is in it and not by its
//! name: all that is none is named in one error, so that no image is left out unnoticed. Symbolic links are followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_pictures::{EXTENSIONS, decode};
use frostline_sources::{Source, SplitNames};
use frostline_text::{plural, sha256};
use rayon::prelude::*;

use crate::DataError;
use crate::dataset::{Dataset, Taken};
use crate::duplicates::Part;
use crate::gather::Gatherer;
use crate::roles::Wanted;

/// The files of an image folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    root: PathBuf,
    classes: Vec<String>,
    splits: Vec<(Part, Vec<Leaf>)>,
    taken: Vec<Taken>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    path: PathBuf,
    label: u32,
}

impl Tree {
    /// As [`crate::Prepared::fingerprint`].
    pub(crate) fn fingerprint(&self) -> Option<String> {
        let leaves: Vec<(Part, &Leaf)> = self
            .splits
            .iter()
            .flat_map(|(part, leaves)| leaves.iter().map(move |leaf| (*part, leaf)))
            .collect();
        let line = |(part, leaf): &(Part, &Leaf)| {
            let bytes = fs::read(&leaf.path).ok()?; // Decoding tells all that cannot be read.
            let path = leaf.path.strip_prefix(&self.root).unwrap_or(&leaf.path);
            Some(format!("{part:?} {} {} {}", leaf.label, path.display(), sha256(&bytes)))
        };
        let lines: Vec<String> = leaves.par_iter().map(line).collect::<Option<_>>()?;
        Some(format!("{}\n{:?}\n{:?}\n{}", self.root.display(), self.classes, self.taken, lines.join("\n")))
    }
}

/// Lists classes and files; opens none.
pub(crate) fn scan(root: &Path, names: Option<&SplitNames>) -> Result<Tree, DataError> {
    let folders = folders_in(root)?;
    let splits = split_folders(root, &folders, Wanted(names))?;
    let mut taken = Vec::new();
    let sets = if splits.is_empty() {
        taken.push(Taken::new("training images", "one folder for each class"));
        vec![(Part::Train, vec![root.to_owned()])]
    } else {
        let unused: Vec<String> = folders
            .iter()
            .filter(|path| splits.iter().all(|(_, folders)| !folders.contains(path)))
            .map(|path| format!("{}/", name_of(path)))
            .collect();
        taken.extend(splits.iter().map(|(part, folders)| took(*part, folders)));
        if !unused.is_empty() {
            taken.push(Taken::new("not used", unused.join(", ")));
        }
        splits
    };
    let mut classes = BTreeSet::new();
    for folder in sets.iter().filter(|(part, _)| *part == Part::Train).flat_map(|(_, folders)| folders) {
        classes.extend(class_folders(folder)?.iter().map(|path| name_of(path)));
    }
    let classes: Vec<String> = classes.into_iter().collect();
    let mut splits = Vec::new();
    for (part, folders) in sets {
        let mut all = Vec::new();
        for folder in folders {
            all.extend(split_leaves(&folder, &classes)?);
        }
        splits.push((part, all));
    }
    Ok(Tree { root: root.to_owned(), classes, splits, taken })
}

fn took(part: Part, folders: &[PathBuf]) -> Taken {
    let from: Vec<String> = folders.iter().map(|path| format!("{}/", name_of(path))).collect();
    Taken::new(&format!("{} images", part.words()), from.join(", "))
}

/// The folders of each split, the training split first; none where the folders are classes.
fn split_folders(
    root: &Path,
    folders: &[PathBuf],
    wanted: Wanted<'_>,
) -> Result<Vec<(Part, Vec<PathBuf>)>, DataError> {
    let malformed = |what: String| Err(DataError::malformed(root.display(), what));
    let of = |part: Part| -> Vec<PathBuf> {
        folders.iter().filter(|path| wanted.part(&name_of(path)) == Some(part)).cloned().collect()
    };
    let there = || folders.iter().map(|path| name_of(path)).collect::<Vec<_>>().join(", ");
    if let Some(splits) = wanted.0 {
        let missing = splits
            .roles()
            .into_iter()
            .flat_map(|(_, names)| names)
            .find(|name| folders.iter().all(|path| name_of(path) != **name));
        if let Some(name) = missing {
            return malformed(format!(
                "has no folder `{name}`, which splits names; its folders are {}",
                there()
            ));
        }
    }
    let train = of(Part::Train);
    if train.is_empty() {
        return if !folders.is_empty() && folders.iter().all(|path| wanted.part(&name_of(path)).is_some()) {
            malformed(format!(
                "has {} and no `train`; add it, or name what is trained on with splits",
                there()
            ))
        } else {
            Ok(Vec::new())
        };
    }
    let has_test = !of(Part::Test).is_empty();
    let mut splits = vec![(Part::Train, train)];
    for part in [Part::Validation, Part::Test] {
        let folders = of(part);
        if !folders.is_empty() {
            splits.push((wanted.settle(part, has_test), folders));
        }
    }
    let ambiguous = splits.iter().find(|(_, folders)| wanted.0.is_none() && folders.len() > 1);
    if let Some((part, folders)) = ambiguous {
        let names: Vec<String> = folders.iter().map(|path| name_of(path)).collect();
        let what = format!(
            "has {}, which are all names of a {} split; say which is meant with splits",
            names.join(" and "),
            part.words()
        );
        return malformed(what);
    }
    Ok(splits)
}

/// The class folders of a split, or of a whole set.
fn class_folders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let malformed = |what: String| Err(DataError::malformed(folder.display(), what));
    let images = visible(folder)?.into_iter().filter(|path| is_image(path)).collect::<Vec<_>>();
    let classes = folders_in(folder)?;
    let lie = if images.len() == 1 { "lies" } else { "lie" };
    match (classes.is_empty(), images.first()) {
        (true, None) => malformed("has no class folders; put each class's images in a folder".to_owned()),
        (true, Some(_)) => malformed(format!(
            "has no class folders, and {} that {lie} right in it; put each class's images in a folder of its own",
            plural(images.len(), "image")
        )),
        (false, Some(first)) => malformed(format!(
            "has class folders and, beside them, {} ({}{}), of no class; move each into the folder of its class, or away",
            plural(images.len(), "image"),
            name_of(first),
            if images.len() > 1 { ", …" } else { "" }
        )),
        (false, None) => Ok(classes),
    }
}

/// All files of a split with their labels.
fn split_leaves(folder: &Path, classes: &[String]) -> Result<Vec<Leaf>, DataError> {
    let folders = class_folders(folder)?;
    if folders.iter().all(|class| holds_folders_alone(class)) {
        let what = format!(
            "holds folders of folders ({0}/…), where images should be; if {0} is the set, name the source folder:{1}",
            name_of(&folders[0]),
            folders[0].display()
        );
        return Err(DataError::malformed(folder.display(), what));
    }
    let mut all = Vec::new();
    for class in folders {
        let Some(label) = classes.iter().position(|name| *name == name_of(&class)) else {
            return Err(DataError::malformed(class.display(), "is a class without training images"));
        };
        all.extend(leaves(&class, label as u32)?);
    }
    Ok(all)
}

pub(crate) fn open(tree: &Tree, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    let mut gatherer = Gatherer::new(Source::Folder(tree.root.clone()).to_string(), resolution);
    let read = |leaf: &Leaf| {
        let bytes = fs::read(&leaf.path).map_err(|error| error.to_string())?;
        Ok((decode(&bytes)?, leaf.label))
    };
    let name = |leaf: &Leaf| leaf.path.strip_prefix(&tree.root).unwrap_or(&leaf.path).display().to_string();
    for (part, leaves) in &tree.splits {
        gatherer.add(*part, leaves, read, name);
    }
    gatherer.finish(tree.classes.clone(), tree.taken.clone())
}

/// All files of a class folder; whether each is an image is seen when it is decoded.
fn leaves(class: &Path, label: u32) -> Result<Vec<Leaf>, DataError> {
    let malformed = |path: &Path, what: &str| Err(DataError::malformed(path.display(), what));
    let paths = visible(class)?;
    if paths.is_empty() {
        return malformed(class, "holds no images; add some or remove the folder");
    }
    if let Some(other) = paths.iter().find(|path| !path.is_file()) {
        return malformed(
            other,
            "is a folder inside a class folder; put the images right into the folder of their class",
        );
    }
    Ok(paths.into_iter().map(|path| Leaf { path, label }).collect())
}

/// Whether a folder has folders in it and no files.
fn holds_folders_alone(folder: &Path) -> bool {
    visible(folder).is_ok_and(|paths| !paths.is_empty() && paths.iter().all(|path| path.is_dir()))
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(visible(folder)?.into_iter().filter(|path| path.is_dir()).collect())
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
mod tests;
