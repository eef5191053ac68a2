//! One parquet file of an image-classification set: [`Table`] finds its columns and reads a row group at a time.
//!
//! Column types are those of Hugging Face `datasets`: an image is `struct<bytes: binary, path: utf8>` (or `binary`, if the
//! metadata calls it an image), a label an integer. The file's `huggingface` metadata tells classes by name.
//! Where several columns fit, the image is `image`, `img` or the first; the label is `fine_label` (CIFAR-100 has two),
//! `label`, `labels` or the first, and a label with class names goes before one without.

use polars::prelude::*;
use serde_json::Value;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A parquet file with known columns.
pub(crate) struct Table {
    path: PathBuf,
    image: String,
    label: String,
    /// Class names, where the metadata has them.
    pub(crate) names: Option<Vec<String>>,
    /// Rows of each row group.
    groups: Vec<usize>,
}

/// One row. Either part may be absent.
pub(crate) struct Row<'a> {
    /// Position in the file, from 0.
    pub(crate) index: usize,
    pub(crate) bytes: Option<&'a [u8]>,
    pub(crate) label: Option<i64>,
}

impl Table {
    /// Reads schema and metadata. The error says what is wrong with the file.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        guarded(|| {
            let mut reader = reader(path)?;
            let schema = reader.schema().map_err(damaged)?;
            let metadata = reader.get_metadata().map_err(damaged)?;
            let pairs = metadata.key_value_metadata.as_deref().unwrap_or_default();
            let features =
                pairs.iter().find(|pair| pair.key == "huggingface").and_then(|pair| pair.value.as_deref());
            let features: Value =
                features.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let features = &features["info"]["features"];
            let groups = metadata.row_groups.iter().map(|group| group.num_rows()).collect();
            let fields: Vec<(&str, &ArrowDataType)> =
                schema.iter().map(|(name, field)| (name.as_str(), field.dtype())).collect();
            let (image, label) = choose_columns(&fields, features)?;
            let names = class_names(&features[&label]);
            Ok(Self { path: path.to_owned(), image, label, names, groups })
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
            let labels =
                frame.column(&self.label).and_then(|column| column.cast(&DataType::Int64)).map_err(failed)?;
            let labels = labels.i64().map_err(failed)?;
            let pairs = bytes.iter().zip(labels.iter()).enumerate();
            let rows: Vec<Row<'_>> =
                pairs.map(|(row, (bytes, label))| Row { index: start + row, bytes, label }).collect();
            visit(&rows);
            start += rows.len();
        }
        Ok(())
    }

    fn read_group(&self, start: usize, rows: usize) -> Result<DataFrame, String> {
        let columns = vec![self.image.clone(), self.label.clone()];
        let frame = reader(&self.path)?
            .with_columns(Some(columns))
            .with_slice(Some((start, rows)))
            .read_parallel(ParallelStrategy::None)
            .finish()
            .map_err(damaged)?;
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

fn reader(path: &Path) -> Result<ParquetReader<File>, String> {
    File::open(path).map(ParquetReader::new).map_err(|error| error.to_string())
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

/// Names of the image column and the label column.
fn choose_columns(fields: &[(&str, &ArrowDataType)], features: &Value) -> Result<(String, String), String> {
    let typed = |name: &str| features[name]["_type"].as_str().unwrap_or_default().to_owned();
    let is_image = |name: &str, dtype: &ArrowDataType| match dtype {
        ArrowDataType::Struct(inner) => {
            inner.iter().any(|field| field.name == "bytes" && is_binary(field.dtype()))
        }
        binary => is_binary(binary) && typed(name) == "Image",
    };
    let images: Vec<&str> =
        fields.iter().filter(|(name, dtype)| is_image(name, dtype)).map(|(name, _)| *name).collect();
    let labels: Vec<&str> =
        fields.iter().filter(|(_, dtype)| is_integer(dtype)).map(|(name, _)| *name).collect();
    let classed: Vec<&str> = labels.iter().copied().filter(|name| typed(name) == "ClassLabel").collect();
    let labels = if classed.is_empty() { labels } else { classed };
    let choose = |found: &[&str], preferred: &[&str]| {
        let known = preferred.iter().find(|name| found.contains(name)).or(found.first());
        known.map(|name| (*name).to_owned())
    };
    let missing = |kind: &str| {
        let columns: Vec<String> = fields.iter().map(|(name, dtype)| format!("{name}: {dtype:?}")).collect();
        format!("has no {kind} column; its columns are {}", columns.join(", "))
    };
    let image = choose(&images, &["image", "img"]).ok_or_else(|| missing("image (struct<bytes, path>)"))?;
    let label =
        choose(&labels, &["fine_label", "label", "labels"]).ok_or_else(|| missing("integer label"))?;
    Ok((image, label))
}

fn is_binary(dtype: &ArrowDataType) -> bool {
    matches!(dtype, ArrowDataType::Binary | ArrowDataType::LargeBinary | ArrowDataType::BinaryView)
}

fn is_integer(dtype: &ArrowDataType) -> bool {
    use ArrowDataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    matches!(dtype, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
}

/// The names of a `ClassLabel` feature: a list, or in old files an object from number to name.
fn class_names(feature: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match &feature["names"] {
        Value::Array(names) => names.iter().map(text).collect(),
        Value::Object(names) => {
            (0..names.len()).map(|class| names.get(&class.to_string()).and_then(text)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image() -> ArrowDataType {
        let field = |name: &str, dtype| ArrowField::new(name.into(), dtype, true);
        ArrowDataType::Struct(vec![field("bytes", ArrowDataType::Binary), field("path", ArrowDataType::Utf8)])
    }

    fn chosen(fields: &[(&str, ArrowDataType)], features: Value) -> Result<(String, String), String> {
        let fields: Vec<_> = fields.iter().map(|(name, dtype)| (*name, dtype)).collect();
        choose_columns(&fields, &features)
    }

    #[test]
    fn columns_are_found_by_type_then_by_name() {
        let (int, text) = (ArrowDataType::Int64, ArrowDataType::Utf8);
        let names = |image: &str, label: &str| Ok((image.to_owned(), label.to_owned()));
        let plain = [("img", image()), ("label", int.clone())];
        assert_eq!(chosen(&plain, Value::Null), names("img", "label"));
        let cifar100 = [("img", image()), ("coarse_label", int.clone()), ("fine_label", int.clone())];
        let classes = json!({"coarse_label": {"_type": "ClassLabel"}, "fine_label": {"_type": "ClassLabel"}});
        assert_eq!(chosen(&cifar100, classes), names("img", "fine_label"));
        let numbered =
            [("id", int.clone()), ("scan", image()), ("kind", int.clone()), ("note", text.clone())];
        assert_eq!(chosen(&numbered, json!({"kind": {"_type": "ClassLabel"}})), names("scan", "kind"));
        let raw = [("image", ArrowDataType::LargeBinary), ("labels", int.clone())];
        assert_eq!(chosen(&raw, json!({"image": {"_type": "Image"}})), names("image", "labels"));
        assert!(chosen(&raw, Value::Null).unwrap_err().contains("no image (struct<bytes, path>) column"));
        let unlabelled = [("image", image()), ("label", text)];
        let message = chosen(&unlabelled, Value::Null).unwrap_err();
        assert!(
            message.starts_with("has no integer label column; its columns are image: Struct"),
            "{message}"
        );
    }

    #[test]
    fn class_names_come_in_two_forms() {
        let names = Some(vec!["ant".to_owned(), "bee".to_owned()]);
        assert_eq!(class_names(&json!({"names": ["ant", "bee"]})), names);
        assert_eq!(class_names(&json!({"names": {"1": "bee", "0": "ant"}})), names);
        assert_eq!(class_names(&json!({"num_classes": 2})), None);
        assert_eq!(class_names(&Value::Null), None);
    }

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
        let table = Table::open(&path).unwrap();
        assert_eq!(table.names.as_deref(), Some(&["a", "b", "c"].map(String::from)[..]));
        let (mut rows, mut groups) = (Vec::new(), 0);
        let visit = |group: &[Row<'_>]| {
            groups += 1;
            rows.extend(group.iter().map(|row| (row.index, row.bytes.map(|b| (b[0], b.len())), row.label)));
        };
        table.for_each_group(visit).unwrap();
        assert!(groups > 1);
        assert_eq!(rows[2], (2, Some((2, 42)), None));
        assert_eq!(rows[4], (4, None, Some(0)));
        assert_eq!((rows.len(), rows[6]), (7, (6, Some((6, 46)), Some(-1))));
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let (folder, path) = file();
        let whole = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged.parquet");
        let read = |bytes: &[u8]| {
            std::fs::write(&damaged, bytes).unwrap();
            Table::open(&damaged).and_then(|table| table.for_each_group(|_| {}))
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
