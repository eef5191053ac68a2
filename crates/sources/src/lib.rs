//! What an experiment names of images: where they come from ([`Source`]), how they are read where that leaves a choice
//! ([`Reading`], [`OnDuplicates`]), and how they are changed while a model trains ([`Augment`]). Words alone: nothing here opens a
//! file or draws a number.

mod augment;
mod fold;
mod reading;
mod source;

pub use augment::{Augment, AugmentError, Policy};
pub use fold::{Fold, FoldError};
pub use reading::{OnDuplicates, Reading, SplitNames, SplitsError};
pub use source::{Source, SourceError};
