//! The source `hub:OWNER/NAME[/CONFIG][@REVISION]`: an image-classification set on the Hub, in parquet files.
//!
//! Which file belongs to which split is read from its path, as the Hub does: the file's name up to the first of `-_.`
//! (`train-00000-of-00001.parquet`), else the nearest folder of such a name (`plain_text/train/0000.parquet`). The folders
//! that name neither a split nor `data` are the configuration. Used are `train`, `validation` (or `valid`, `val`, `dev`) and
//! `test`, or what `splits` names; where there is no `test`, `validation` is the test split, and where that is missing too, every
//! fifth training image of each class. A set with several configurations needs one named, unless one is the root or `default`.

use std::collections::{BTreeMap, BTreeSet};

use frostline_hub::{Expected, Fetched, Hub, HubFile, Progress, RepoKind};
use frostline_pictures::{Picture, decode};
use frostline_sources::{Reading, Source};

use crate::DataError;
use crate::dataset::{Dataset, FileLineage, Taken};
use crate::duplicates::Part;
use crate::gather::Gatherer;
use crate::roles::Wanted;
use crate::table::{Label, Row, Table};

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
    reading: Reading,
    taken: Vec<Taken>,
    files: Vec<(Part, Fetched)>,
}

impl HubSet {
    /// As [`crate::Prepared::fingerprint`].
    pub(crate) fn fingerprint(&self) -> String {
        let Self { source, reading, taken, files } = self;
        let files: Vec<String> =
            files.iter().map(|(part, file)| format!("{part:?} {} {}", file.file, file.sha256)).collect();
        format!("{source:?}\n{reading:?}\n{taken:?}\n{}", files.join("\n"))
    }
}

/// Downloads and verifies the files of `repo`. A pinned set needs no listing, and its hashes are known beforehand.
pub(crate) fn prepare(
    repo: &str,
    config: Option<&str>,
    revision: Option<&str>,
    reading: &Reading,
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<HubSet, DataError> {
    let pin = PINS.iter().find(|pin| {
        pin.repo == repo
            && revision.is_none_or(|r| r == pin.revision)
            && config.is_none_or(|c| c == pin.config)
            && reading.splits.is_none()
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
            let chosen = choose_files(&paths, config, Wanted(reading.splits.as_ref()))
                .map_err(|what| DataError::malformed(&source, what))?;
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
    let taken = [Part::Train, Part::Validation, Part::Test].into_iter().filter_map(|part| {
        let of_part = files.iter().filter(|(other, _)| *other == part);
        let names: Vec<&str> = of_part.map(|(_, fetched): &(Part, Fetched)| fetched.file.as_str()).collect();
        let from = match names.as_slice() {
            [] => return None,
            [one] => (*one).to_owned(),
            [first, ..] => format!("{} files from {first} on", names.len()),
        };
        Some(Taken::new(&format!("{} images", part.words()), from))
    });
    let (taken, reading) = (taken.collect(), reading.clone());
    Ok(HubSet { source, reading, taken, files })
}

pub(crate) fn open(set: &HubSet, resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    let mut gatherer = Gatherer::new(set.source.to_string(), resolution);
    let tables = tables(set)?;
    let classes = class_names(set, &tables)?;
    for ((part, fetched), table) in set.files.iter().zip(&tables) {
        let malformed = |what: String| DataError::malformed(place(set, fetched), what);
        let file = fetched.file.rsplit('/').next().unwrap_or(&fetched.file);
        let add = |rows: &[Row<'_>]| {
            gatherer.add(
                *part,
                rows,
                |row| read_row(row, classes.as_deref()),
                |row| format!("{file} row {}", row.index),
            );
        };
        table.for_each_group(add).map_err(malformed)?;
    }
    let numbered = || (0..gatherer.labels_seen()).map(|class| class.to_string()).collect();
    let classes = classes.unwrap_or_else(numbered);
    let mut taken = set.taken.clone();
    if let Some(table) = tables.first() {
        taken.push(Taken::new("image column", &table.image));
        taken.push(Taken::new("label column", &table.label));
    }
    let mut dataset = gatherer.finish(classes, taken)?;
    dataset.files = set.files.iter().map(|(_, fetched)| lineage(fetched)).collect();
    Ok(dataset)
}

fn place(set: &HubSet, fetched: &Fetched) -> String {
    format!("{} of {}", fetched.file, set.source)
}

/// The files of a set, which have the same columns and class names.
fn tables(set: &HubSet) -> Result<Vec<Table>, DataError> {
    let mut tables: Vec<Table> = Vec::new();
    for (_, fetched) in &set.files {
        let malformed = |what: String| DataError::malformed(place(set, fetched), what);
        let table = Table::open(&fetched.path, &set.reading).map_err(malformed)?;
        if let Some(first) = tables.first() {
            if first.names != table.names {
                return Err(malformed("has other class names than the first file".to_owned()));
            }
            if (&first.image, &first.label) != (&table.image, &table.label) {
                return Err(malformed(format!(
                    "would be read by the columns {} and {}, and the first file by {} and {}; name them with image-column and \
                     label-column",
                    table.image, table.label, first.image, first.label
                )));
            }
        }
        tables.push(table);
    }
    Ok(tables)
}

/// The classes that a set names: in its metadata, or by the words that stand as labels, sorted byte by byte. Those are the
/// training split's: a word that only another split has is no class.
fn class_names(set: &HubSet, tables: &[Table]) -> Result<Option<Vec<String>>, DataError> {
    if let Some(names) = tables.first().and_then(|table| table.names.clone()) {
        return Ok(Some(names));
    }
    let mut words = BTreeSet::new();
    for ((_, fetched), table) in set.files.iter().zip(tables).filter(|((part, _), _)| *part == Part::Train) {
        let found = table.words().map_err(|what| DataError::malformed(place(set, fetched), what))?;
        words.extend(found);
        if words.len() > UNNAMED_CLASSES as usize {
            let what = format!(
                "has more than {UNNAMED_CLASSES} words in the column {}; name another with label-column",
                table.label
            );
            return Err(DataError::malformed(place(set, fetched), what));
        }
    }
    Ok((!words.is_empty()).then(|| words.into_iter().collect()))
}

fn read_row(row: &Row<'_>, classes: Option<&[String]>) -> Result<(Picture, u32), String> {
    let limit = classes.map_or(UNNAMED_CLASSES, |classes| classes.len() as i64);
    let label = match row.label {
        Label::None => return Err("has no label".to_owned()),
        Label::Number(label) if (0..limit).contains(&label) => label as u32,
        Label::Number(-1) => return Err("has label -1, as splits without known labels do".to_owned()),
        Label::Number(label) => {
            return Err(format!("has label {label}, which is not one of {limit} classes"));
        }
        Label::Word(word) => classes
            .and_then(|classes| classes.binary_search_by(|class| class.as_str().cmp(word)).ok())
            .ok_or_else(|| format!("has label `{word}`, which no training image has"))?
            as u32,
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
fn choose_files<'a>(
    paths: &[&'a str],
    config: Option<&str>,
    wanted: Wanted<'_>,
) -> Result<Vec<(Part, &'a str)>, String> {
    let mut configs: BTreeMap<String, BTreeMap<Part, BTreeSet<&'a str>>> = BTreeMap::new();
    let mut others = BTreeSet::new();
    for path in paths.iter().filter(|path| path.ends_with(".parquet")) {
        match place_of(path, wanted) {
            Some((config, split)) => {
                configs.entry(config).or_default().entry(split).or_default().insert(path);
            }
            None => {
                others.insert(*path);
            }
        }
    }
    configs.retain(|_, splits| splits.contains_key(&Part::Train));
    let all = configs
        .keys()
        .map(|name| if name.is_empty() { "(root)" } else { name })
        .collect::<Vec<_>>()
        .join(", ");
    let splits = match config {
        _ if configs.is_empty() && others.is_empty() => {
            return Err(
                "has no parquet files of a train split; for some sets the Hub keeps a converted copy: \
                        try @refs/convert/parquet"
                    .to_owned(),
            );
        }
        _ if configs.is_empty() => {
            let shown: Vec<&str> = others.iter().take(5).copied().collect();
            return Err(format!(
                "has no parquet files of a split to train on; it has {}{}: name the splits with splits",
                shown.join(", "),
                if others.len() > shown.len() { ", …" } else { "" }
            ));
        }
        Some(config) => {
            configs.get(config).ok_or_else(|| format!("has no configuration `{config}`; it has {all}"))?
        }
        None if configs.len() == 1 => &configs[&all.replace("(root)", "")],
        None => configs.get("").or_else(|| configs.get("default")).ok_or_else(|| {
            format!("has several configurations, {all}: name one as in hub:OWNER/NAME/CONFIG")
        })?,
    };
    if let Some(named) = wanted.0 {
        let parts = [Part::Train, Part::Validation, Part::Test];
        let empty = parts
            .into_iter()
            .zip(named.roles())
            .find(|(part, (_, names))| !names.is_empty() && !splits.contains_key(part));
        if let Some((_, (role, names))) = empty {
            return Err(format!(
                "has no parquet files of the split {}, which splits names for {role}",
                names.join("+")
            ));
        }
    }
    let has_test = splits.contains_key(&Part::Test);
    let files = splits
        .iter()
        .flat_map(|(part, paths)| paths.iter().map(move |path| (wanted.settle(*part, has_test), *path)));
    Ok(files.collect())
}

/// Configuration and split of a file, or none if its path names no split.
fn place_of(path: &str, wanted: Wanted<'_>) -> Option<(String, Part)> {
    let mut folders: Vec<&str> = path.split('/').collect();
    let file = folders.pop()?;
    let word = file.split(['-', '_', '.']).next().unwrap_or_default();
    let split = wanted.part(word).or_else(|| folders.iter().rev().find_map(|folder| wanted.part(folder)))?;
    let config: Vec<&str> =
        folders.into_iter().filter(|folder| *folder != "data" && wanted.part(folder).is_none()).collect();
    Some((config.join("/"), split))
}

#[cfg(test)]
mod tests {
    use frostline_sources::SplitNames;

    use super::*;

    fn chosen(paths: &[&str], config: Option<&str>) -> Result<String, String> {
        let files = choose_files(paths, config, Wanted(None))?;
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
        let all = ["train.parquet", "dev.parquet", "test.parquet"];
        let whole = "Train=train.parquet Validation=dev.parquet Test=test.parquet";
        assert_eq!(chosen(&all, None).unwrap(), whole);
        let own: SplitNames = "train=train+extra,test=unseen".parse().unwrap();
        let named =
            |paths: &[&str]| choose_files(paths, None, Wanted(Some(&own))).map(|files| format!("{files:?}"));
        let svhn = ["x/train-0.parquet", "x/extra-0.parquet", "x/unseen-0.parquet", "x/test-0.parquet"];
        let expected =
            r#"[(Train, "x/extra-0.parquet"), (Train, "x/train-0.parquet"), (Test, "x/unseen-0.parquet")]"#;
        assert_eq!(named(&svhn).unwrap(), expected);
        assert!(named(&svhn[..2]).unwrap_err().contains("of the split unseen, which splits names for test"));
        let message = chosen(&["part-a.parquet"], None).unwrap_err();
        assert!(message.contains("it has part-a.parquet: name the splits with splits"), "{message}");
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
