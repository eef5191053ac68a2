//! A map of half the height and width, each of whose pixels has the channels of four: how Swin's stages begin.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note};
use crate::{Gradient, composed, tasks};

/// Squares of four pixels side by side along the channels, column by column: from `[H, W, N, C]` to `[⌈H/2⌉, ⌈W/2⌉, N, 4·C]`. Beyond
/// an odd edge are zeros.
///
/// # Errors
/// When a tensor cannot be read.
pub fn merge_pixels(x: &Hwnc) -> Result<Hwnc> {
    if !storage::runs_here(x.tensor()) {
        return composed::merge_pixels(x);
    }
    let squares = Squares(x.dims());
    let y = by_number!(storage::is_half(x.tensor()), T => {
        let y = squares.merged::<T>(&Values::of(x.tensor())?);
        storage::tensor(y, squares.output())?
    });
    note(&[x.tensor()], &y, squares);
    Hwnc::new(y)
}

/// The operation on the tape, with `(h, w, n, c)` of the input.
struct Squares((usize, usize, usize, usize));

impl Squares {
    fn output(&self) -> (usize, usize, usize, usize) {
        let (h, w, n, c) = self.0;
        (h.div_ceil(2), w.div_ceil(2), n, 4 * c)
    }

    /// The pixel that stands at a quarter of an output pixel, unless it is beyond the edge.
    fn pixel(&self, output: usize, quarter: usize) -> Option<usize> {
        let ((h, w, ..), (_, wide, ..)) = (self.0, self.output());
        let (y, x) = (2 * (output / wide) + quarter % 2, 2 * (output % wide) + quarter / 2);
        (y < h && x < w).then_some(y * w + x)
    }

    fn merged<T: Number>(&self, x: &[T]) -> Vec<T> {
        let ((_, _, n, c), (high, wide, ..)) = (self.0, self.output());
        let mut y: Vec<T> = tasks::zeros(high * wide * n * 4 * c);
        y.par_chunks_mut((n * 4 * c).max(1)).enumerate().for_each(|(output, y)| {
            for quarter in 0..4 {
                let Some(pixel) = self.pixel(output, quarter) else { continue };
                let images = y.chunks_exact_mut(4 * c).zip(x[pixel * n * c..].chunks_exact(c));
                images.for_each(|(y, x)| y[quarter * c..(quarter + 1) * c].copy_from_slice(x));
            }
        });
        y
    }

    fn divided<T: Number>(&self, y: &[T]) -> Vec<T> {
        let ((h, w, n, c), (_, wide, ..)) = (self.0, self.output());
        let mut x: Vec<T> = tasks::zeros(h * w * n * c);
        x.par_chunks_mut((n * c).max(1)).enumerate().for_each(|(pixel, x)| {
            let (row, col) = (pixel / w, pixel % w);
            let (output, quarter) = (row / 2 * wide + col / 2, row % 2 + 2 * (col % 2));
            let images = x.chunks_exact_mut(c).zip(y[output * n * 4 * c..].chunks_exact(4 * c));
            images.for_each(|(x, y)| x.copy_from_slice(&y[quarter * c..(quarter + 1) * c]));
        });
        x
    }
}

impl Backward for Squares {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => {
            let dx = self.divided::<T>(&Values::of(&dy)?);
            Ok(vec![Some(storage::tensor(dx, inputs[0].shape())?.into())])
        })
    }
}
