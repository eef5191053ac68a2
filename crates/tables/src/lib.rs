//! Parquet files as polars' tables: [`Described`] is what a file says of itself, [`read`] and [`read_rows`] give its rows, [`to_bytes`]
//! writes a table whole and [`Writer`] group by group.
//!
//! polars' reader and writer are generic over what they read from and write to, and large: nothing here is, so they are compiled
//! once, in this crate, and without the optimisation that other crates of the workspace have.

use std::fs::File;
use std::io::Write;

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;

/// What a parquet file says of itself.
pub struct Described {
    /// The columns and their types.
    pub schema: Arc<ArrowSchema>,
    /// Keys and values of the metadata.
    pub notes: Vec<(String, Option<String>)>,
    /// The rows of each row group.
    pub groups: Vec<usize>,
}

impl Described {
    /// The value of a key; none where there is no such key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref())
    }
}

/// What a file says of itself.
///
/// # Errors
/// When it is damaged or no parquet file.
pub fn describe(file: File) -> PolarsResult<Described> {
    let mut reader = ParquetReader::new(file);
    let schema = reader.schema()?;
    let metadata = reader.get_metadata()?;
    let notes = metadata.key_value_metadata.as_deref().unwrap_or_default();
    Ok(Described {
        schema,
        notes: notes.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect(),
        groups: metadata.row_groups.iter().map(|group| group.num_rows()).collect(),
    })
}

/// All rows. On this thread: tables are small and many, and polars' threads would wait for each other more than they read.
///
/// # Errors
/// When the file is damaged or no parquet file.
pub fn read(file: File) -> PolarsResult<DataFrame> {
    ParquetReader::new(file).read_parallel(ParallelStrategy::None).finish()
}

/// Some columns of `count` rows from `start` on, or of as many as there are.
///
/// # Errors
/// When there is no such column, or the file is damaged or no parquet file.
pub fn read_rows(
    file: File,
    columns: Vec<String>,
    (start, count): (usize, usize),
) -> PolarsResult<DataFrame> {
    ParquetReader::new(file)
        .with_columns(Some(columns))
        .with_slice(Some((start, count)))
        .read_parallel(ParallelStrategy::None)
        .finish()
}

/// A table as a file, with keys and values in its metadata.
///
/// # Errors
/// When a column is of a type that parquet does not have.
pub fn to_bytes(frame: &mut DataFrame, notes: Vec<(String, String)>) -> PolarsResult<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(notes)))
        .finish(frame.align_chunks_par())?;
    Ok(bytes)
}

/// A file that is written group by group.
pub struct Writer<'a>(BatchedWriter<&'a mut (dyn Write + Send)>);

impl<'a> Writer<'a> {
    /// Begins a file with the columns of `like`, whose rows are not written, and with keys and values in its metadata.
    ///
    /// # Errors
    /// When a column is of a type that parquet does not have, or the file cannot be written.
    pub fn new(
        file: &'a mut (dyn Write + Send),
        like: &DataFrame,
        notes: Vec<(String, String)>,
    ) -> PolarsResult<Self> {
        let writer = ParquetWriter::new(file);
        let writer = writer.with_key_value_metadata(Some(KeyValueMetadata::from_static(notes)));
        Ok(Self(writer.batched(like.schema())?))
    }

    /// Writes a group of rows.
    ///
    /// # Errors
    /// When its columns are others, or the file cannot be written.
    pub fn write(&mut self, group: &mut DataFrame) -> PolarsResult<()> {
        group.align_chunks_par();
        self.0.write_batch(group)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> PolarsResult<()> {
        self.0.finish().map(|_| ())
    }
}
