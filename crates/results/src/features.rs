//! The file of images' features: [`Features`] as parquet, a row an image, for pandas, polars and their like. The vector is one column, a list of
//! f32, as many in every row.

use std::path::Path;

use frostline_tables::to_bytes;
use polars::prelude::*;

use crate::{StoreError, json, write_file};

/// The features of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Numbers an image.
    pub width: usize,
    /// Which images.
    pub of: FeaturesOf,
    /// Rows, `[N, width]` row-major, of those that have some.
    pub values: Vec<f32>,
}

/// What features are of, a row each.
#[derive(Clone, Debug, PartialEq)]
pub enum FeaturesOf {
    /// Images of a data set: columns `split`, `index`, `label`, `class`.
    Splits(Vec<SplitImage>),
    /// Files: columns `path` and `error`, which says why there are no features and is null where there are.
    Files(Vec<(String, Option<String>)>),
}

/// An image of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitImage {
    /// `train`, `validation` or `test`.
    pub split: &'static str,
    /// Its place in the source's training images, of which the first two are parts, or in its test images.
    pub index: u32,
    /// The class it belongs to.
    pub label: u32,
    /// The class's name.
    pub class: String,
}

impl Features {
    /// Writes the file, whole or not at all, with keys and values in its metadata.
    ///
    /// # Errors
    /// A failed write; rows that are not as many as there are images.
    pub fn write(&self, path: &Path, notes: &[(String, String)]) -> Result<(), StoreError> {
        let format = ("frostline.format".to_owned(), json::FORMAT.to_string());
        let notes = [format].into_iter().chain(notes.iter().cloned()).collect();
        let bytes = self.frame().and_then(|mut frame| to_bytes(&mut frame, notes));
        let damaged =
            |error: PolarsError| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() };
        write_file(path, &bytes.map_err(damaged)?)
    }

    fn frame(&self) -> PolarsResult<DataFrame> {
        match &self.of {
            FeaturesOf::Splits(images) => {
                let strings = |text: fn(&SplitImage) -> &str| images.iter().map(text).collect::<Vec<_>>();
                let numbers = |number: fn(&SplitImage) -> u32| images.iter().map(number).collect::<Vec<_>>();
                let frame = df![
                    "split" => strings(|image| image.split),
                    "index" => numbers(|image| image.index),
                    "label" => numbers(|image| image.label),
                    "class" => strings(|image| &image.class),
                ]?;
                frame.hstack(&[self.vectors(images.iter().map(|_| true))?])
            }
            FeaturesOf::Files(files) => {
                let path: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
                let error: Vec<Option<&str>> = files.iter().map(|(_, error)| error.as_deref()).collect();
                let vectors = self.vectors(files.iter().map(|(_, error)| error.is_none()))?;
                df!["path" => path]?.hstack(&[vectors, Column::new("error".into(), error)])
            }
        }
    }

    /// A list for each image that has one.
    fn vectors(&self, there: impl ExactSizeIterator<Item = bool>) -> PolarsResult<Column> {
        let name = PlSmallStr::from_static("features");
        let mut lists = ListPrimitiveChunkedBuilder::<Float32Type>::new(
            name,
            there.len(),
            self.values.len(),
            DataType::Float32,
        );
        let mut rows = self.values.chunks_exact(self.width.max(1));
        for there in there {
            match there.then(|| rows.next()) {
                Some(Some(row)) => lists.append_slice(row),
                Some(None) => polars_bail!(ShapeMismatch: "there are fewer features than images"),
                None => lists.append_null(),
            }
        }
        Ok(lists.finish().into_column())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn every_image_is_a_row_and_what_is_broken_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let files = vec![
            ("a.png".to_owned(), None),
            ("b.png".to_owned(), Some("is empty".to_owned())),
            ("c.png".to_owned(), None),
        ];
        let features = Features { width: 2, of: FeaturesOf::Files(files), values: vec![1.0, 2.0, 3.0, 4.0] };
        features.write(&path, &[("frostline.trial".to_owned(), "0123".to_owned())]).unwrap();
        let described = frostline_tables::describe(File::open(&path).unwrap()).unwrap();
        assert_eq!(
            (described.note("frostline.trial"), described.note("frostline.format")),
            (Some("0123"), Some("1"))
        );
        let frame = frostline_tables::read(File::open(&path).unwrap()).unwrap();
        assert_eq!(frame.get_column_names(), ["path", "features", "error"]);
        let lists = frame.column("features").unwrap().list().unwrap();
        let row = |index: usize| -> Option<Vec<f32>> {
            Some(lists.get_as_series(index)?.f32().unwrap().into_no_null_iter().collect())
        };
        assert_eq!((row(0), row(1), row(2)), (Some(vec![1.0, 2.0]), None, Some(vec![3.0, 4.0])));

        let image = |index| SplitImage { split: "test", index, label: 1, class: "elm".to_owned() };
        let few =
            Features { width: 2, of: FeaturesOf::Splits(vec![image(0), image(7)]), values: vec![1.0; 4] };
        few.write(&path, &[]).unwrap();
        let frame = frostline_tables::read(File::open(&path).unwrap()).unwrap();
        assert_eq!(frame.get_column_names(), ["split", "index", "label", "class", "features"]);
        let short = Features { values: vec![1.0; 2], ..few };
        assert!(short.write(&path, &[]).unwrap_err().to_string().contains("fewer features"));
    }
}
