//! Max pooling with the place of each maximum kept for the gradient.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::Windows;
use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, tasks};

pub(super) fn max_pool(x: &Hwnc, windows: Windows) -> Result<Hwnc> {
    let (_, _, n, c) = x.dims();
    let shape = (windows.rows.outputs(), windows.cols.outputs(), n, c);
    let (y, places) = by_number!(storage::is_half(x.tensor()), T => {
        let (y, places) = largest::<T>(&Values::of(x.tensor())?, &windows, n * c);
        (storage::tensor(y, shape)?, places)
    });
    let places = if wanted(x.tensor()) { places } else { Vec::new() };
    note(&[x.tensor()], &y, MaxPool { windows, places });
    Hwnc::new(y)
}

/// The largest values of pixels of `size` values, and which pixel of its window each was in.
fn largest<T: Number>(x: &[T], windows: &Windows, size: usize) -> (Vec<T>, Vec<u16>) {
    let mut y: Vec<T> = tasks::zeros(windows.rows.outputs() * windows.cols.outputs() * size);
    let mut places = vec![0u16; y.len()];
    let blocks = tasks::pixel_blocks(&mut y, size).into_par_iter();
    blocks.zip(tasks::pixel_blocks(&mut places, size)).for_each(|(y, places)| {
        for (place, input) in windows.covered(y.pixel).enumerate() {
            let x = &x[input * size + y.offset..][..y.values.len()];
            if place == 0 {
                y.values.copy_from_slice(x);
            } else {
                take_larger(x, place as u16, y.values, places.values);
            }
        }
    });
    (y, places)
}

/// The operation on the tape, with the place of each output in its window.
struct MaxPool {
    windows: Windows,
    places: Vec<u16>,
}

impl Backward for MaxPool {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x] = inputs else { bail!("max pooling: one input") };
        let (h, w, n, c) = x.dims4()?;
        let size = n * c;
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => {
            let dy = Values::<T>::of(&dy)?;
            let dy: &[T] = &dy;
            let dx: Vec<T> = tasks::summed_pixels(h * w, size, |pixel, offset, values| {
                for output in self.windows.covering(pixel) {
                    let place = self.windows.place(pixel, output) as u16;
                    let at = output * size + offset..output * size + offset + values.len();
                    add_where(&dy[at.clone()], &self.places[at], place, values);
                }
            });
            Ok(vec![Some(storage::tensor(dx, x.shape())?.into())])
        })
    }
}

tasks::vectorised! {
    /// Takes the values that are larger than the best so far, or NaN.
    fn take_larger<'a, T: Number>(x: &'a [T], place: u16, best: &'a mut [T], places: &'a mut [u16]) {
        for ((x, best), at) in x.iter().zip(best).zip(places) {
            let take = x.wide() > best.wide() || x.wide().is_nan();
            *best = if take { *x } else { *best };
            *at = if take { place } else { *at };
        }
    }
}

tasks::vectorised! {
    /// Adds the gradients of the outputs that took their value from `place`.
    fn add_where<'a, T: Number>(dy: &'a [T], places: &'a [u16], place: u16, dx: &'a mut [f32]) {
        for ((dy, at), dx) in dy.iter().zip(places).zip(dx) {
            *dx += if *at == place { dy.wide() } else { 0.0 };
        }
    }
}
