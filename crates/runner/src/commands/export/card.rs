//! Where the model card of exported weights goes: [`place`]. What people wrote themselves, and the card of other weights, stays.

use std::path::{Path, PathBuf};

use frostline_report::card_is_of;

use crate::error::Error;

/// Where a card goes, and a word on why not to the usual place.
pub(super) struct Place {
    /// `README.md`, or the name of the weights with `.md`; none where both are taken.
    pub(super) path: Option<PathBuf>,
    /// What stays as it is.
    pub(super) taken: Option<PathBuf>,
}

/// The place for the card of the weights at `output`.
///
/// # Errors
/// A file that is there cannot be read.
pub(super) fn place(output: &Path) -> Result<Place, Error> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let mut taken = None;
    for path in [output.with_file_name("README.md"), output.with_extension("md")] {
        let free = match std::fs::read(&path) {
            Ok(bytes) => card_is_of(&String::from_utf8_lossy(&bytes)).is_some_and(|of| of == name),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::reading(&path, error, None)),
        };
        if free {
            return Ok(Place { path: Some(path), taken });
        }
        taken.get_or_insert(path);
    }
    Ok(Place { path: None, taken })
}

impl Place {
    /// What to tell of it, a line.
    pub(super) fn told(&self) -> String {
        let taken =
            self.taken.as_ref().map(|path| format!("{} is not of these weights and stays", path.display()));
        match (&self.path, taken) {
            (Some(path), None) => format!("{}  model card\n", path.display()),
            (Some(path), Some(taken)) => format!("{}  model card, as {taken}\n", path.display()),
            (None, Some(taken)) => {
                format!("no model card: {taken}, and so does the .md file of their name\n")
            }
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("m.safetensors");
        let at = |name: &str| folder.path().join(name);
        assert_eq!(place(&output).unwrap().path, Some(at("README.md")));
        std::fs::write(at("README.md"), "x\n<!-- Written by `frostline export` for m.safetensors -->\n")
            .unwrap();
        assert_eq!(place(&output).unwrap().path, Some(at("README.md")), "it is of these weights");
        for other in ["My notes.", "<!-- Written by `frostline export` for n.safetensors -->"] {
            std::fs::write(at("README.md"), other).unwrap();
            let place = place(&output).unwrap();
            assert_eq!((place.path.clone(), place.taken.clone()), (Some(at("m.md")), Some(at("README.md"))));
            assert!(place.told().contains("README.md is not of these weights and stays"), "{}", place.told());
        }
        std::fs::write(at("m.md"), "notes too").unwrap();
        let place = place(&output).unwrap();
        assert!(place.path.is_none() && place.told().starts_with("no model card"), "{}", place.told());
    }
}
