//! Sums of the weights that meet copies of a pixel: a linear layer over a map that repeats each pixel is one over the map
//! without repeats.
//!
//! The entry is [`sum_copies`].

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use crate::storage::{self, Values};
use crate::tape::{Backward, note};
use crate::{Gradient, composed, tasks};

/// Weights `[h·w·C, C_out]` over a map of `(h, w)` pixels, each of which stands there `h/rows` by `w/cols` times, to those
/// over the `(rows, cols)` pixels themselves: `[rows·cols·C, C_out]`, each the sum of those of its copies.
///
/// Gradients reach the weights.
///
/// # Errors
/// When the weights do not fit the map, or its sides are not multiples of `rows` and `cols`.
pub fn sum_copies(weights: &Tensor, map: (usize, usize), cells: (usize, usize)) -> Result<Tensor> {
    let ((h, w), (rows, cols)) = (map, cells);
    let copied = |side: usize, cells: usize| cells > 0 && side >= cells && side.is_multiple_of(cells);
    if !copied(h, rows) || !copied(w, cols) {
        bail!("copies: {h}x{w} pixels are not whole copies of {rows}x{cols}");
    }
    let (inputs, c_out) = weights.dims2()?;
    if inputs == 0 || c_out == 0 || !inputs.is_multiple_of(h * w) {
        bail!("copies: weights {:?} are not over a map of {h}x{w} pixels", weights.dims());
    }
    if !storage::runs_here(weights) {
        return composed::sum_copies(weights, map, cells);
    }
    let weights = storage::keep_as(&weights.contiguous()?, DType::F32)?;
    let grid = Grid { map, cells, pixel: inputs / (h * w) * c_out };
    let sums = grid.sum(&Values::<f32>::of(&weights)?);
    let sums = storage::tensor(sums, (rows * cols * (inputs / (h * w)), c_out))?;
    note(&[&weights], &sums, grid);
    Ok(sums)
}

/// Which pixels are copies of which, and how many weights each has.
struct Grid {
    map: (usize, usize),
    cells: (usize, usize),
    pixel: usize,
}

impl Grid {
    /// The pixels that are copies of a cell, row by row.
    fn copies(&self, cell: usize) -> impl Iterator<Item = usize> {
        let ((h, w), (rows, cols)) = (self.map, self.cells);
        let (high, wide) = (h / rows, w / cols);
        let first = cell / cols * high * w + cell % cols * wide;
        (0..high * wide).map(move |copy| first + copy / wide * w + copy % wide)
    }

    fn sum(&self, weights: &[f32]) -> Vec<f32> {
        let mut sums: Vec<f32> = tasks::zeros(self.cells.0 * self.cells.1 * self.pixel);
        sums.par_chunks_mut(self.pixel).enumerate().for_each(|(cell, sums)| {
            sums.par_chunks_mut(tasks::VALUES).enumerate().for_each(|(block, sums)| {
                for pixel in self.copies(cell) {
                    let copy = &weights[pixel * self.pixel + block * tasks::VALUES..][..sums.len()];
                    add(sums, copy);
                }
            });
        });
        sums
    }
}

tasks::vectorised! {
    fn add<'a>(sums: &'a mut [f32], values: &'a [f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

impl Backward for Grid {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, &inputs[0])?;
        let dy = Values::<f32>::of(&dy)?;
        let mut dw: Vec<f32> = tasks::zeros(inputs[0].elem_count());
        for (cell, gradient) in dy.chunks_exact(self.pixel).enumerate() {
            for pixel in self.copies(cell) {
                dw[pixel * self.pixel..][..self.pixel].copy_from_slice(gradient);
            }
        }
        Ok(vec![Some(storage::tensor(dw, inputs[0].shape())?.into())])
    }
}
