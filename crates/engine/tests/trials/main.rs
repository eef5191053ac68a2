//! Whole trials on the embedded digits.

mod folding;
mod harness;
mod phases;
mod pretraining;
mod training;

use frostline_allocator as _;
