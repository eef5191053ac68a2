//! Where images come from, as one string: [`Source`], with its parser. It touches neither disk nor network.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A source string that names no kind of source, or misses a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "data source `{given}`: {what}; write `digits`, `hub:OWNER/NAME[/CONFIG][@REVISION]`, \
     `cifar:DIR-OR-TAR.GZ` or `folder:DIR`"
)]
pub struct SourceError {
    /// The string as given.
    pub given: String,
    /// What is wrong with it.
    pub what: String,
}

/// A data source. Its string form is read by [`FromStr`] and written by `Display`, and the two agree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `digits`: the embedded UCI handwritten digits, 1,797 grey images of 8x8.
    Digits,
    /// `hub:OWNER/NAME[/CONFIG][@REVISION]`: an image-classification set on the Hub, in parquet files.
    Hub {
        /// `OWNER/NAME`.
        repo: String,
        /// The configuration: the folder of the parquet files, where a set has several.
        config: Option<String>,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
    /// `cifar:DIR-OR-TAR.GZ`: CIFAR-10 in the binary form that Toronto distributes.
    Cifar(PathBuf),
    /// `folder:DIR`: a sub-folder for each class.
    Folder(PathBuf),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(given: &str) -> Result<Self, SourceError> {
        let wrong = |what: &str| SourceError { given: given.to_owned(), what: what.to_owned() };
        let (kind, rest) = match given.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (given, None),
        };
        match (kind, rest) {
            ("digits", None) => Ok(Self::Digits),
            ("digits", Some(_)) => Err(wrong("takes nothing after `digits`")),
            ("cifar" | "folder" | "hub", None | Some("")) => Err(wrong("nothing follows the kind")),
            ("cifar", Some(path)) => Ok(Self::Cifar(path.into())),
            ("folder", Some(path)) => Ok(Self::Folder(path.into())),
            ("hub", Some(rest)) => parse_hub(rest).map_err(|what| wrong(&what)),
            _ => Err(wrong("no such kind of source")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Hub { repo, config, revision } => {
                write!(f, "hub:{repo}")?;
                if let Some(config) = config {
                    write!(f, "/{config}")?;
                }
                revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
            }
            Self::Cifar(path) => write!(f, "cifar:{}", path.display()),
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
        }
    }
}

fn parse_hub(rest: &str) -> Result<Source, String> {
    let (id, revision) = match rest.split_once('@') {
        Some((_, "")) => return Err("nothing follows `@`".to_owned()),
        Some((id, revision)) => (id, Some(revision.to_owned())),
        None => (rest, None),
    };
    let parts: Vec<&str> = id.split('/').collect();
    if let Some(part) = parts.iter().find(|part| !is_name(part)) {
        return Err(format!("`{part}` is not a name on the Hub"));
    }
    let (repo, config) = match parts[..] {
        [owner, name] => (format!("{owner}/{name}"), None),
        [owner, name, config] => (format!("{owner}/{name}"), Some(config.to_owned())),
        _ => return Err("a set on the Hub is OWNER/NAME".to_owned()),
    };
    Ok(Source::Hub { repo, config, revision })
}

fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && part.chars().all(allowed) && part.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_make_the_round_trip() {
        for text in [
            "digits",
            "hub:uoft-cs/cifar10",
            "hub:uoft-cs/cifar10@0b2714987fa478483af9968de7c934580d0bb9a2",
            "hub:ufldl-stanford/svhn/cropped_digits@refs/convert/parquet",
            "cifar:some/cifar-10-binary.tar.gz",
            "folder:C:/a b/c",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_said() {
        for (text, part) in [
            ("digit", "no such kind"),
            ("digits:8", "takes nothing after"),
            ("folder:", "nothing follows"),
            ("hub:mnist", "OWNER/NAME"),
            ("hub:a/b/c/d", "OWNER/NAME"),
            ("hub:a/..", "`..` is not a name"),
            ("hub:a/b@", "nothing follows `@`"),
            ("", "no such kind"),
        ] {
            let message = text.parse::<Source>().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("folder:DIR"), "{message}");
        }
    }
}
