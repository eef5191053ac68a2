//! How a file of weights differs from a model: [`Mismatch`], which names all of it at once.

use std::fmt;

/// A tensor that has another shape than the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// torchvision's name.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<usize>,
    /// The file's shape.
    pub found: Vec<usize>,
}

/// How the tensors of a file differ from a model's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The model's title.
    pub model: String,
    /// The file.
    pub origin: String,
    /// Names that the model has and the file has not.
    pub missing: Vec<String>,
    /// Names that the file has and the model has not.
    pub unexpected: Vec<String>,
    /// Names that both have, in different shapes.
    pub misshapen: Vec<Misshapen>,
    /// Names whose values are not all finite numbers, or not of a type that fits.
    pub unusable: Vec<String>,
}

impl std::error::Error for Mismatch {}

/// Names that are shown of each kind.
const SHOWN: usize = 6;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the weights in {} are not those of {}", self.origin, self.model)?;
        let shapes =
            self.misshapen.iter().map(|m| format!("{} is {:?} for {:?}", m.name, m.found, m.expected));
        for (kind, items) in [
            ("missing", self.missing.clone()),
            ("unexpected", self.unexpected.clone()),
            ("of another shape", shapes.collect()),
            ("not finite numbers", self.unusable.clone()),
        ] {
            if items.is_empty() {
                continue;
            }
            write!(f, "; {kind}: {}", items[..items.len().min(SHOWN)].join(", "))?;
            if items.len() > SHOWN {
                write!(f, " and {} more", items.len() - SHOWN)?;
            }
        }
        write!(f, "; check that the file was made for this model")
    }
}
