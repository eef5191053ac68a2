//! x
mod plots;
