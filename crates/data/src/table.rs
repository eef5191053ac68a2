//! One parquet file of an image-classification set: [`Table`] knows its columns (`columns.rs` finds them) and reads a row group
//! at a time.

use polars::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use frostline_sources::Reading;

use crate::columns::{choose, class_names};

/// A parquet file with known columns.
pub(crate) struct Table {
    path: PathBuf,
    pub(crate) image: String,
    pub(crate) label: String,
    /// Class names, where the metadata has them, or the label is true or false.
    pub(crate) names: Option<Vec<String>>,
    /// Rows of each row group.
    groups: Vec<usize>,
}

/// One row. Either part may be absent.
pub(crate) struct Row<'a> {
    /// Position in the file, from 0.
    pub(crate) index: usize,
    pub(crate) bytes: Option<&'a [u8]>,
    pub(crate) label: Label<'a>,
}

/// What stands in the column of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label<'a> {
    None,
    /// The number of a class; of true and false, 1 and 0.
    Number(i64),
    /// The name of a class.
    Word(&'a str),
}

impl Table {
    /// Reads schema and metadata. The error says what is wrong with the file.
    pub(crate) fn open(path: &Path, reading: &Reading) -> Result<Self, String> {
        guarded(|| {
            let file = frostline_tables::describe(opened(path)?).map_err(damaged)?;
            let features = file.note("huggingface");
            let features: Value =
                features.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let features = &features["info"]["features"];
            let fields: Vec<(&str, &ArrowDataType)> =
                file.schema.iter().map(|(name, field)| (name.as_str(), field.dtype())).collect();
            let (image, label) = choose(&fields, features, reading)?;
            let truth =
                fields.iter().any(|(name, dtype)| *name == label && **dtype == ArrowDataType::Boolean);
            let truth = truth.then(|| ["false", "true"].map(str::to_owned).to_vec());
            let names = class_names(&features[&label]).or(truth);
            Ok(Self { path: path.to_owned(), image, label, names, groups: file.groups })
        })
    }

    /// Calls `visit` with the rows of each row group, in order; one group is in memory at a time.
    pub(crate) fn for_each_group(&self, mut visit: impl FnMut(&[Row<'_>])) -> Result<(), String> {
        let mut start = 0;
        for &rows in &self.groups {
            let frame = guarded(|| self.read_group(start, rows))?;
            let failed = |error: PolarsError| format!("column types changed within the file: {error}");
            let images = frame.column(&self.image).map_err(failed)?;
            let images = match images.dtype() {
                DataType::Struct(_) => {
                    images.struct_().and_then(|fields| fields.field_by_name("bytes")).map_err(failed)?
                }
                _ => images.as_materialized_series().clone(),
            };
            let bytes = images.binary().map_err(failed)?;
            let labels = frame.column(&self.label).and_then(Labels::of).map_err(failed)?;
            let pairs = bytes.iter().zip(labels.all()).enumerate();
            let rows: Vec<Row<'_>> =
                pairs.map(|(row, (bytes, label))| Row { index: start + row, bytes, label }).collect();
            visit(&rows);
            start += rows.len();
        }
        Ok(())
    }

    /// The words that stand as labels, if they are words.
    pub(crate) fn words(&self) -> Result<BTreeSet<String>, String> {
        let (mut words, mut start) = (BTreeSet::new(), 0);
        for &rows in &self.groups {
            let frame = guarded(|| self.read_columns(start, rows, vec![self.label.clone()]))?;
            let labels = frame.column(&self.label).and_then(Labels::of);
            let labels = labels.map_err(|error| format!("column types changed within the file: {error}"))?;
            let Labels::Words(found) = labels else { return Ok(words) };
            words.extend(found.iter().flatten().map(str::to_owned));
            start += rows;
        }
        Ok(words)
    }

    fn read_group(&self, start: usize, rows: usize) -> Result<DataFrame, String> {
        self.read_columns(start, rows, vec![self.image.clone(), self.label.clone()])
    }

    fn read_columns(&self, start: usize, rows: usize, columns: Vec<String>) -> Result<DataFrame, String> {
        let frame =
            frostline_tables::read_rows(opened(&self.path)?, columns, (start, rows)).map_err(damaged)?;
        if frame.height() == rows {
            Ok(frame)
        } else {
            Err(format!(
                "is damaged: {} rows from row {start} on instead of {rows}; get it anew",
                frame.height()
            ))
        }
    }
}

fn opened(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| error.to_string())
}

fn damaged(error: PolarsError) -> String {
    format!("is damaged or no parquet file: {error}; get it anew")
}

/// Runs `read`; a panic within polars, which some damaged files set off, is an error as any other.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // Nothing that `read` touches is used after a panic, so no broken state can be seen.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("is damaged: the parquet reader gave up on it; get it anew".to_owned()))
}

/// The column of labels of one row group.
enum Labels {
    Numbers(Int64Chunked),
    Words(StringChunked),
}

impl Labels {
    fn of(column: &Column) -> PolarsResult<Self> {
        match column.dtype() {
            DataType::String => Ok(Self::Words(column.str()?.clone())),
            DataType::Categorical(..) | DataType::Enum(..) => {
                Ok(Self::Words(column.cast(&DataType::String)?.str()?.clone()))
            }
            _ => Ok(Self::Numbers(column.cast(&DataType::Int64)?.i64()?.clone())),
        }
    }

    fn all(&self) -> Box<dyn Iterator<Item = Label<'_>> + '_> {
        match self {
            Self::Numbers(numbers) => Box::new(numbers.iter().map(|n| n.map_or(Label::None, Label::Number))),
            Self::Words(words) => Box::new(words.iter().map(|word| word.map_or(Label::None, Label::Word))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A file with 7 rows in several row groups.
    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        let bytes: Vec<Option<Vec<u8>>> =
            (0..7u8).map(|i| (i != 4).then(|| vec![i; 40 + i as usize])).collect();
        let bytes = Series::new("bytes".into(), bytes);
        let paths = Series::new("path".into(), ["x.png"; 7]);
        let image = StructChunked::from_series("image".into(), 7, [bytes, paths].iter()).unwrap();
        let label =
            Series::new("label".into(), [Some(0i64), Some(2), None, Some(1), Some(0), Some(0), Some(-1)]);
        let mut frame = DataFrame::new(7, vec![image.into_series().into(), label.into()]).unwrap();
        let info =
            json!({"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b", "c"]}}}});
        let pairs = vec![("huggingface".to_owned(), info.to_string())];
        let writer = ParquetWriter::new(File::create(&path).unwrap()).with_row_group_size(Some(3));
        writer
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(pairs)))
            .finish(&mut frame)
            .unwrap();
        (folder, path)
    }

    #[test]
    fn rows_come_group_by_group_with_their_gaps() {
        let (_folder, path) = file();
        fn kept(label: Label<'_>) -> Label<'static> {
            if let Label::Number(number) = label { Label::Number(number) } else { Label::None }
        }
        let table = Table::open(&path, &Reading::default()).unwrap();
        assert_eq!(table.names.as_deref(), Some(&["a", "b", "c"].map(String::from)[..]));
        let (mut rows, mut groups) = (Vec::new(), 0);
        let visit = |group: &[Row<'_>]| {
            groups += 1;
            rows.extend(
                group.iter().map(|row| (row.index, row.bytes.map(|b| (b[0], b.len())), kept(row.label))),
            );
        };
        table.for_each_group(visit).unwrap();
        assert!(groups > 1);
        assert_eq!(rows[2], (2, Some((2, 42)), Label::None));
        assert_eq!(rows[4], (4, None, Label::Number(0)));
        assert_eq!((rows.len(), rows[6]), (7, (6, Some((6, 46)), Label::Number(-1))));
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let (folder, path) = file();
        let whole = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged.parquet");
        let read = |bytes: &[u8]| {
            std::fs::write(&damaged, bytes).unwrap();
            Table::open(&damaged, &Reading::default()).and_then(|table| table.for_each_group(|_| {}))
        };
        assert!(read(&whole).is_ok());
        for length in (0..whole.len()).step_by(7) {
            let message = read(&whole[..length]).unwrap_err();
            assert!(message.contains("is damaged"), "cut to {length}: {message}");
        }
        assert!(read(b"<html>503</html>").unwrap_err().contains("is damaged or no parquet file"));
        // Parquet has checksums only where a writer adds them, so a flipped bit may pass; but it must not panic. Only
        // the footer is tried: a page header that claims absurd sizes makes polars allocate until the process aborts,
        // which nothing here can catch. The hashes that guard downloads see such a file first.
        let length = whole.len();
        let footer = u32::from_le_bytes(whole[length - 8..length - 4].try_into().unwrap()) as usize;
        for position in (length - 8 - footer..length).step_by(3) {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x55;
            let _ = read(&flipped);
        }
    }
}
