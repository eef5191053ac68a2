//! What is written for every model of the zoo: its structure, read back here, and its logits, as onnxruntime computes them.

mod read;
mod runtime;
mod structure;

use frostline_zoo::{ModelCard, lay_out};

/// A resolution that a model takes, not square.
fn resolution(card: &ModelCard) -> (usize, usize) {
    [(40, 56), (28, 42), (32, 48), (32, 64), (64, 96), (80, 112)]
        .into_iter()
        .find(|&(height, width)| lay_out(card, 10, height, width).is_ok())
        .unwrap()
}
