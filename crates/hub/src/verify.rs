//! Whether bytes on the disk are the bytes that were asked for.
//!
//! The main function is [`judge`]: it holds the measured hashes of a file against the pin and against what the Hub
//! announced. The Hub's ETag is the sha256 of a file kept in LFS and the git blob sha1 of a small one.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use frostline_text::hex;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::names::{Expected, is_hex};

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) size: u64,
    pub(crate) sha256: String,
    /// Only where the Hub announced one.
    pub(crate) git_sha1: Option<String>,
}

/// What the Hub says a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Sha256(String),
    GitSha1(String),
    Nothing,
}

impl Announced {
    /// Reads an ETag, without quotes.
    pub(crate) fn from_etag(etag: Option<&str>) -> Self {
        match etag {
            Some(etag) if is_hex(etag, 64) => Announced::Sha256(etag.to_ascii_lowercase()),
            Some(etag) if is_hex(etag, 40) => Announced::GitSha1(etag.to_ascii_lowercase()),
            _ => Announced::Nothing,
        }
    }
}

/// The outcome of [`judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Good,
    /// The Hub's file arrived undamaged, but it is another one than was pinned.
    NotThePinned,
    Wrong {
        algorithm: &'static str,
        wanted: String,
        found: String,
    },
    Unverifiable,
}

/// Holds `measured` against the pin, where there is one, and else against the announcement.
pub(crate) fn judge(measured: &Measured, expected: Option<&Expected>, announced: &Announced) -> Judgement {
    let as_announced = match announced {
        Announced::Sha256(wanted) => compare("sha256", wanted, &measured.sha256),
        Announced::GitSha1(wanted) => {
            compare("git sha1", wanted, measured.git_sha1.as_deref().unwrap_or_default())
        }
        Announced::Nothing => Judgement::Unverifiable,
    };
    let Some(pin) = expected else { return as_announced };
    let as_pinned = compare("sha256", &pin.sha256.to_ascii_lowercase(), &measured.sha256);
    if as_pinned == Judgement::Good && pin.size.is_none_or(|size| size == measured.size) {
        Judgement::Good
    } else if as_announced == Judgement::Good || as_pinned == Judgement::Good {
        Judgement::NotThePinned
    } else {
        as_pinned
    }
}

fn compare(algorithm: &'static str, wanted: &str, found: &str) -> Judgement {
    if wanted == found {
        Judgement::Good
    } else {
        Judgement::Wrong { algorithm, wanted: wanted.to_owned(), found: found.to_owned() }
    }
}

/// Reads the file at `path` once and hashes it.
pub(crate) fn measure(path: &Path, announced: &Announced) -> io::Result<Measured> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut sha256 = Sha256::new();
    let mut git = matches!(announced, Announced::GitSha1(_))
        .then(|| Sha1::new().chain_update(format!("blob {length}\0")));
    let mut size = 0;
    let mut block = vec![0; 1 << 18];
    loop {
        let count = match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&block[..count]);
        if let Some(git) = &mut git {
            git.update(&block[..count]);
        }
        size += count as u64;
    }
    Ok(Measured { size, sha256: hex(&sha256.finalize()), git_sha1: git.map(|git| hex(&git.finalize())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // `printf 'frost\n' | sha256sum` and `printf 'frost\n' | git hash-object --stdin`
    const SHA256: &str = "dd8f754d502a187e76e87042c26e51270eb776d33146aaaeabec436e27b993f3";
    const GIT: &str = "1ee0a8235204462ad576eb20280852587555686c";

    fn frost(announced: &Announced) -> Measured {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frost.txt");
        std::fs::write(&path, "frost\n").unwrap();
        measure(&path, announced).unwrap()
    }

    fn pin(sha256: &str, size: Option<u64>) -> Expected {
        Expected { sha256: sha256.into(), size }
    }

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let measured = frost(&Announced::from_etag(Some(GIT)));
        assert_eq!((measured.size, measured.sha256.as_str()), (6, SHA256));
        assert_eq!(measured.git_sha1.as_deref(), Some(GIT));
        assert_eq!(frost(&Announced::Nothing).git_sha1, None);
    }

    #[test]
    fn the_announcement_decides_where_nothing_is_pinned() {
        for (etag, good) in [(SHA256, true), (GIT, true), (&"0".repeat(64), false), (&"0".repeat(40), false)]
        {
            let announced = Announced::from_etag(Some(etag));
            let judgement = judge(&frost(&announced), None, &announced);
            assert_eq!(judgement == Judgement::Good, good, "{etag}: {judgement:?}");
        }
        for etag in [None, Some("abc-1"), Some("")] {
            let announced = Announced::from_etag(etag);
            assert_eq!(judge(&frost(&announced), None, &announced), Judgement::Unverifiable);
        }
    }

    #[test]
    fn the_pin_decides_where_there_is_one() {
        let announced = Announced::Sha256(SHA256.into());
        let measured = frost(&announced);
        let upper = SHA256.to_ascii_uppercase();
        assert_eq!(judge(&measured, Some(&pin(&upper, Some(6))), &Announced::Nothing), Judgement::Good);
        assert_eq!(judge(&measured, Some(&pin(SHA256, Some(7))), &announced), Judgement::NotThePinned);
        let other = pin(&"1".repeat(64), None);
        assert_eq!(judge(&measured, Some(&other), &announced), Judgement::NotThePinned);
        let damaged = judge(&measured, Some(&other), &Announced::Sha256("2".repeat(64)));
        assert!(matches!(damaged, Judgement::Wrong { wanted, .. } if wanted == other.sha256));
    }
}
