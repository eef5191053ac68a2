//! The source `hub:OWNER/NAME[/CONFIG][@REVISION]`: an image-classification set on the Hub, in parquet files.
//!
//! Which file belongs to which split is read from its path, as the Hub does: the file's name up to the first of `-_.`
//! (`train-00000-of-00001.parquet`), else the nearest folder of such a name (`plain_text/train/0000.parquet`). The folders
//! that name neither a split nor `data` are the configuration. Only `train` and `test` are used; where there is
//! no `test`, `validation` (or `valid`, `val`, `dev`) is the test split, and where that is missing too, every fifth
//! training image of each class. A set with several configurations needs one named, unless one is the root or `default`.

use std::collections::{BTreeMap, BTreeSet};

use frostline_hub::{Expected, Fetched, Hub, HubFile, Progress, RepoKind};
use frostline_sources::Source;

use crate::DataError;
use crate::dataset::{Dataset, FileLineage};
use crate::decode::decode;
use crate::gather::{Gatherer, Part};
use crate::table::{Row, Table};

/// A set of which revision and files are known for good.
struct Pin {
    repo: &'static str,
    revision: &'static str,
    config: &'static str,
    files: &'static [(Part, &'static str, &'static str)],
}

const PINS: &[Pin] = &[Pin {
    repo: "uoft-cs/cifar10",
    revision: "0b2714987fa478483af9968de7c934580d0bb9a2",
    config: "plain_text",
    files: &[
        (
            Part::Train,
            "plain_text/train-00000-of-00001.parquet",
            "8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883",
        ),
        (
            Part::Test,
            "plain_text/test-00000-of-00001.parquet",
            "841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de",
        ),
    ],
}];

/// Most classes of a set that does not name them.
const UNNAMED_CLASSES: i64 = 1 << 16;

/// The verified files of a set.
#[derive(Clone, Debug)]
pub(crate) struct HubSet {
    source: Source,
    files: Vec<(Part, Fetched)>,
}

/// Downloads and verifies the files of `repo`. A pinned set needs no listing, and its hashes are known beforehand.
pub(crate) fn prepare(
    repo: &str,
    config: Option<&str>,
    revision: Option<&str>,
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<HubSet, DataError> {
    let pin = PINS.iter().find(|pin| {
        pin.repo == repo
            && revision.is_none_or(|r| r == pin.revision)
            && config.is_none_or(|c| c == pin.config)
    });
    let source = Source::Hub {
        repo: repo.to_owned(),
        config: config.map(str::to_owned),
        revision: revision.map(str::to_owned),
    };
    let wanted: Vec<(Part, String, String, Option<Expected>)> = match pin {
        Some(pin) => {
            let expected = |sha256: &str| Some(Expected { sha256: sha256.to_owned(), size: None });
            let file = |&(part, path, sum): &(Part, &str, &str)| {
                (part, path.to_owned(), pin.revision.to_owned(), expected(sum))
            };
            pin.files.iter().map(file).collect()
        }
        None => {
            let listing = hub.list(RepoKind::Dataset, repo, revision)?;
            let paths: Vec<&str> = listing.files.iter().map(|file| file.path.as_str()).collect();
            let chosen = choose_files(&paths, config).map_err(|what| DataError::malformed(&source, what))?;
            let file = |(part, path): (Part, &str)| (part, path.to_owned(), listing.commit.clone(), None);
            chosen.into_iter().map(file).collect()
        }
    };
    let mut files = Vec::new();
    for (part, path, revision, expected) in wanted {
        let (kind, repo) = (RepoKind::Dataset, repo.to_owned());
        let file = HubFile { kind, repo, revision: Some(revision), path, expected };
        files.push((part, hub.fetch(&file, progress)?));
    }
    Ok(HubSet { source, files })
}

pub(crate) fn open(set: &HubSet, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    let mut gatherer = Gatherer::new(set.source.to_string(), resolution);
    let mut names: Option<Vec<String>> = None;
    for (position, (part, fetched)) in set.files.iter().enumerate() {
        let place = format!("{} of {}", fetched.file, set.source);
        let malformed = |what: String| DataError::malformed(&place, what);
        let table = Table::open(&fetched.path).map_err(malformed)?;
        if position == 0 {
            names.clone_from(&table.names);
        } else if names != table.names {
            return Err(malformed("has other class names than the first file".to_owned()));
        }
        let classes = names.as_ref().map(Vec::len);
        let file = fetched.file.rsplit('/').next().unwrap_or(&fetched.file);
        let add = |rows: &[Row<'_>]| {
            gatherer.add(
                *part,
                rows,
                |row| read_row(row, classes),
                |row| format!("{file} row {}", row.index),
            );
        };
        table.for_each_group(add).map_err(malformed)?;
    }
    let numbered = || (0..gatherer.labels_seen()).map(|class| class.to_string()).collect();
    let classes = names.unwrap_or_else(numbered);
    let mut dataset = gatherer.finish(classes)?;
    dataset.files = set.files.iter().map(|(_, fetched)| lineage(fetched)).collect();
    Ok(dataset)
}

fn read_row(row: &Row<'_>, classes: Option<usize>) -> Result<(crate::decode::Picture, u32), String> {
    let limit = classes.map_or(UNNAMED_CLASSES, |classes| classes as i64);
    let label = match row.label {
        None => return Err("has no label".to_owned()),
        Some(label) if (0..limit).contains(&label) => label as u32,
        Some(-1) => return Err("has label -1, as splits without known labels do".to_owned()),
        Some(label) => return Err(format!("has label {label}, which is not one of {limit} classes")),
    };
    let bytes = row.bytes.ok_or("has no image bytes in the file")?;
    Ok((decode(bytes)?, label))
}

fn lineage(fetched: &Fetched) -> FileLineage {
    FileLineage {
        name: format!("{}/{}", fetched.repo, fetched.file),
        revision: Some(fetched.revision.clone()),
        sha256: fetched.sha256.clone(),
        size: fetched.size,
    }
}

/// The parquet files of one configuration with their splits, training first, each split sorted by path.
fn choose_files<'a>(paths: &[&'a str], config: Option<&str>) -> Result<Vec<(Part, &'a str)>, String> {
    let mut configs: BTreeMap<String, BTreeMap<&'static str, BTreeSet<&'a str>>> = BTreeMap::new();
    for path in paths.iter().filter(|path| path.ends_with(".parquet")) {
        if let Some((config, split)) = place_of(path) {
            configs.entry(config).or_default().entry(split).or_default().insert(path);
        }
    }
    configs.retain(|_, splits| splits.contains_key("train"));
    let all = configs
        .keys()
        .map(|name| if name.is_empty() { "(root)" } else { name })
        .collect::<Vec<_>>()
        .join(", ");
    let splits = match config {
        _ if configs.is_empty() => {
            return Err(
                "has no parquet files of a train split; for some sets the Hub keeps a converted copy: \
                        try @refs/convert/parquet"
                    .to_owned(),
            );
        }
        Some(config) => {
            configs.get(config).ok_or_else(|| format!("has no configuration `{config}`; it has {all}"))?
        }
        None if configs.len() == 1 => &configs[&all.replace("(root)", "")],
        None => configs.get("").or_else(|| configs.get("default")).ok_or_else(|| {
            format!("has several configurations, {all}: name one as in hub:OWNER/NAME/CONFIG")
        })?,
    };
    let test = splits.get("test").or_else(|| splits.get("validation"));
    let files = |part, set: Option<&BTreeSet<&'a str>>| -> Vec<(Part, &'a str)> {
        set.into_iter().flatten().map(|path| (part, *path)).collect()
    };
    Ok([files(Part::Train, splits.get("train")), files(Part::Test, test)].concat())
}

/// Configuration and split of a file, or none if its path names no split.
fn place_of(path: &str) -> Option<(String, &'static str)> {
    let mut folders: Vec<&str> = path.split('/').collect();
    let file = folders.pop()?;
    let word = file.split(['-', '_', '.']).next().unwrap_or_default();
    let split = split_of(word).or_else(|| folders.iter().rev().find_map(|folder| split_of(folder)))?;
    let config: Vec<&str> =
        folders.into_iter().filter(|folder| *folder != "data" && split_of(folder).is_none()).collect();
    Some((config.join("/"), split))
}

fn split_of(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "test" | "testing" => Some("test"),
        "validation" | "valid" | "val" | "dev" => Some("validation"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(paths: &[&str], config: Option<&str>) -> Result<String, String> {
        let files = choose_files(paths, config)?;
        Ok(files.iter().map(|(part, path)| format!("{part:?}={path}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn splits_are_read_from_paths() {
        let flat = [
            "README.md",
            "data/test-00000-of-00001.parquet",
            "data/train-00001-of-00002-ab.parquet",
            "data/train-00000-of-00002-cd.parquet",
        ];
        assert_eq!(
            chosen(&flat, None).unwrap(),
            "Train=data/train-00000-of-00002-cd.parquet Train=data/train-00001-of-00002-ab.parquet \
             Test=data/test-00000-of-00001.parquet"
        );
        let converted = [
            "plain_text/test/0000.parquet",
            "plain_text/train/0000.parquet",
            "plain_text/extra/0000.parquet",
        ];
        assert_eq!(
            chosen(&converted, None).unwrap(),
            "Train=plain_text/train/0000.parquet Test=plain_text/test/0000.parquet"
        );
        let held_out = ["train.parquet", "valid.parquet"];
        assert_eq!(chosen(&held_out, None).unwrap(), "Train=train.parquet Test=valid.parquet");
        assert_eq!(chosen(&["data/train-0.parquet"], None).unwrap(), "Train=data/train-0.parquet");
    }

    #[test]
    fn several_configurations_need_a_choice() {
        let svhn = [
            "cropped_digits/train-0.parquet",
            "cropped_digits/test-0.parquet",
            "full_numbers/train-0.parquet",
        ];
        let message = chosen(&svhn, None).unwrap_err();
        assert!(message.contains("cropped_digits, full_numbers: name one"), "{message}");
        let cropped = "Train=cropped_digits/train-0.parquet Test=cropped_digits/test-0.parquet";
        assert_eq!(chosen(&svhn, Some("cropped_digits")).unwrap(), cropped);
        assert!(chosen(&svhn, Some("croped")).unwrap_err().contains("no configuration `croped`"));
        let default = ["a/train-0.parquet", "default/train-0.parquet"];
        assert_eq!(chosen(&default, None).unwrap(), "Train=default/train-0.parquet");
    }

    #[test]
    fn a_set_without_parquet_names_the_way_out() {
        assert!(chosen(&["train.zip", "README.md"], None).unwrap_err().contains("@refs/convert/parquet"));
    }
}
