//! What an experiment names of images: where they come from ([`Source`]) and how they are changed while a model trains
//! ([`Augment`]). Words alone: nothing here opens a file or draws a number.

mod augment;
mod source;

pub use augment::{Augment, AugmentError};
pub use source::{Source, SourceError};
