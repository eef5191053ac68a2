//! TensorBoard's event files: records framed as TFRecords, each an `Event` message of protocol buffers with scalars.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use frostline_results::{StoreError, write_file};

use super::{Point, Run, file_name, make_folder};

/// Writes an event file for each trial, in a folder named by its trial and seed.
///
/// # Errors
/// A failed write.
pub(super) fn write(folder: &Path, runs: &[Run<'_>]) -> Result<(), StoreError> {
    for run in runs {
        let folder = folder.join(file_name(&format!("{} {}", run.trial.label(), run.trial.id)));
        make_folder(&folder)?;
        let mut bytes = record(&event(run.began, 0, &text(3, "brain.Event:2")));
        for Point { name, value, epoch, time } in run.points() {
            let scalar = [text(1, name), float(2, value as f32)].concat();
            bytes.extend(record(&event(time, epoch as u64, &message(5, &message(1, &scalar)))));
        }
        grow(&folder.join(format!("events.out.tfevents.{:.0}.frostline", run.began)), &bytes)?;
    }
    Ok(())
}

/// Makes `content` of a file, by appending where it holds the beginning already: TensorBoard reads on from where it was.
fn grow(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    match fs::read(path).ok().and_then(|there| content.strip_prefix(there.as_slice())) {
        Some(rest) if rest.len() < content.len() => {
            let append = || OpenOptions::new().append(true).open(path)?.write_all(rest);
            append().map_err(|error| StoreError::writing(path, error))
        }
        _ => write_file(path, content),
    }
}

/// A TFRecord: the length and the data, each with its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts = [&length[..], &masked(&length), data, &masked(data)];
    parts.concat()
}

/// The checksum (CRC-32C), masked as TFRecords have it.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// An `Event`: field 1 is the time, 2 the step, and what follows.
fn event(time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend(time.to_le_bytes());
    bytes.push(2 << 3);
    bytes.extend(varint(step));
    bytes.extend(what);
    bytes
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

/// A field whose length is told.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [&[field << 3 | 5][..], &value.to_le_bytes()].concat()
}

/// Seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_checksums_by_hand() {
        assert_eq!((varint(1), varint(300)), (vec![1], vec![0xac, 0x02]));
        // RFC 3720: the CRC-32C of 32 zero bytes is 8a9136aa; rotated by 15 bits and the constant added.
        let masked_zeros = 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked(&[0; 32]), masked_zeros.to_le_bytes());
    }
}
