//! Whole trials on the embedded digits.

mod batches;
mod cases;
mod folding;
mod harness;
mod phases;
mod pretraining;
mod probes;
mod steps;
mod together;
mod training;

use frostline_allocator as _;
