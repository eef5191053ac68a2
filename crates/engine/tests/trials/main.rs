//! Whole trials on the embedded digits.

mod harness;
mod phases;
mod pretraining;
mod training;
