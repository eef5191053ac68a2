//! Digests as lower-case hexadecimal digits: [`sha256`] of a content, [`digest_of_file`] of a file, [`id`] for what is named
//! by the beginning of one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// How many digits tell one thing from any other of its kind.
const DIGITS_OF_ID: usize = 12;

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0'); // Four bits are a digit.
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// SHA-256 of a content, 64 digits.
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// The first twelve digits of the SHA-256 of a text: the id of what the text describes.
pub fn id(text: &str) -> String {
    let mut digest = sha256(text.as_bytes());
    digest.truncate(DIGITS_OF_ID);
    digest
}

/// SHA-256 of a file, 64 digits, and its size in bytes. It is read block by block.
///
/// # Errors
/// The file cannot be read.
pub fn digest_of_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => {
                hasher.update(&block[..read]);
                size += read as u64;
            }
        }
    }
    Ok((hex(&hasher.finalize()), size))
}

/// Hands on what is written, and knows its SHA-256.
pub struct Digesting<W> {
    out: W,
    hasher: Sha256,
}

impl<W: Write> Digesting<W> {
    /// To `out`.
    pub fn new(out: W) -> Self {
        Self { out, hasher: Sha256::new() }
    }

    /// SHA-256 of all that was written, 64 digits.
    pub fn digest(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let written = self.out.write(content)?;
        self.hasher.update(&content[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a byte at a time.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, content: &[u8]) -> io::Result<usize> {
            self.0.extend(content.first());
            Ok(content.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_is_what_is_digested() {
        let mut slow = Slow(Vec::new());
        let mut out = Digesting::new(&mut slow);
        out.write_all(b"a").unwrap();
        out.write_all(b"bc").unwrap();
        assert_eq!(out.digest(), ABC);
        assert_eq!(slow.0, b"abc");
    }

    /// FIPS 180-4's example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_sha_256() {
        assert_eq!(sha256(b"abc"), ABC);
        assert_eq!(id("abc"), ABC[..DIGITS_OF_ID]);
        let path = std::env::temp_dir().join(format!("frostline-digest-{}", std::process::id()));
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(digest_of_file(&path).unwrap(), (ABC.to_owned(), 3));
        std::fs::remove_file(&path).unwrap();
        assert!(digest_of_file(&path).is_err());
    }
}
