//! Versioned JSON with a digest of what it holds. A newer format is refused, anything that is not what was written is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostline_text::sha256;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::StoreError;

/// The format that this version writes. A stored file with a higher number is refused.
pub const FORMAT: u32 = 1;

/// `{"format": FORMAT, "sha256": …, key: content}`, indented, with a newline at the end. The digest is that of the content as
/// it stands in the file.
pub(super) fn to_bytes<T: Serialize>(path: &Path, key: &str, content: &T) -> Result<Vec<u8>, StoreError> {
    let content = serde_json::to_string_pretty(content)
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })?
        .replace('\n', "\n  ");
    let digest = sha256(content.as_bytes());
    Ok(format!("{{\n  \"format\": {FORMAT},\n  \"sha256\": \"{digest}\",\n  \"{key}\": {content}\n}}\n")
        .into_bytes())
}

/// Reads what [`to_bytes`] made. Files of versions that wrote no digest are read without that check.
///
/// # Errors
/// A file that cannot be read, is of a newer format, is cut off, was changed, or holds something else.
pub(super) fn read<T: DeserializeOwned>(path: &Path, key: &str) -> Result<T, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| StoreError::reading(path, error))?;
    let parts: BTreeMap<String, &RawValue> =
        serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    match parts.get("format").map(|format| format.get().parse::<u64>()) {
        Some(Ok(found)) if found > u64::from(FORMAT) => {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
        Some(Ok(_)) => {}
        _ => return Err(damaged("it states no format".to_owned())),
    }
    let content = parts.get(key).ok_or_else(|| damaged(format!("it has no {key:?}")))?.get();
    if let Some(stated) = parts.get("sha256")
        && stated.get().trim_matches('"') != sha256(content.as_bytes())
    {
        return Err(damaged("it was changed since it was written, as its SHA-256 tells; bring back a copy, or have it written anew".to_owned()));
    }
    serde_json::from_str(content).map_err(|error| damaged(error.to_string()))
}
