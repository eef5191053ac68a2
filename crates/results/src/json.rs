//! Versioned JSON: `{"format": 1, "<key>": …}`. A newer format is refused, anything that is not whole is named.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::StoreError;

/// The format that this version writes. A stored file with a higher number is refused.
pub const FORMAT: u32 = 1;

/// `{"format": FORMAT, key: content}`, indented, with a newline at the end.
pub(super) fn to_bytes<T: Serialize>(path: &Path, key: &str, content: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec_pretty(&Versioned { key, content })
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

struct Versioned<'a, T> {
    key: &'a str,
    content: &'a T,
}

impl<T: Serialize> Serialize for Versioned<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("format", &FORMAT)?;
        map.serialize_entry(self.key, self.content)?;
        map.end()
    }
}

/// Reads what [`to_bytes`] made.
///
/// # Errors
/// A file that cannot be read, is of a newer format, is cut off, or holds something else.
pub(super) fn read<T: DeserializeOwned>(path: &Path, key: &str) -> Result<T, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(|error| StoreError::reading(path, error))?;
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match value.get("format").and_then(Value::as_u64) {
        None => return Err(damaged("it states no format".to_owned())),
        Some(found) if found > u64::from(FORMAT) => {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
        Some(_) => {}
    }
    let content = value.get_mut(key).map(Value::take).ok_or_else(|| damaged(format!("it has no {key:?}")))?;
    serde_json::from_value(content).map_err(|error| damaged(error.to_string()))
}
