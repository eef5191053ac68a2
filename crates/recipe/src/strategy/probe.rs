//! Classifiers on frozen features that are fitted at once: [`Probe`].

use std::fmt;

/// What is put on the trunk's features in place of a head that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Ridge regression, in closed form.
    Ridge,
    /// Logistic regression, to convergence.
    Logistic,
    /// A vote of so many nearest training images, by cosine similarity.
    Neighbours(usize),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ridge => f.write_str("probe:ridge"),
            Self::Logistic => f.write_str("probe:logistic"),
            Self::Neighbours(count) => write!(f, "knn:{count}"),
        }
    }
}
