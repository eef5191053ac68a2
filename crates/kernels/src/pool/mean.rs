//! Averages over windows: average, adaptive and global pooling.

use candle_core::{Result, Tensor, bail};

use super::Windows;
use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note};
use crate::{Gradient, tasks};

pub(super) fn mean_pool(x: &Hwnc, windows: Windows) -> Result<Hwnc> {
    let (_, _, n, c) = x.dims();
    let shape = (windows.rows.outputs(), windows.cols.outputs(), n, c);
    let y = by_number!(storage::is_half(x.tensor()), T => {
        let y = means::<T>(&Values::of(x.tensor())?, &windows, n * c);
        storage::tensor(y, shape)?
    });
    note(&[x.tensor()], &y, MeanPool(windows));
    Hwnc::new(y)
}

/// The means over windows of pixels of `size` values.
fn means<T: Number>(x: &[T], windows: &Windows, size: usize) -> Vec<T> {
    let outputs = windows.rows.outputs() * windows.cols.outputs();
    tasks::summed_pixels(outputs, size, |pixel, offset, values| {
        for input in windows.covered(pixel) {
            add_times(values, &x[input * size + offset..][..values.len()], 1.0);
        }
        let weight = windows.weight(pixel);
        values.iter_mut().for_each(|value| *value *= weight);
    })
}

tasks::vectorised! {
    fn add_times<'a, T: Number>(sums: &'a mut [f32], values: &'a [T], weight: f32) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value.wide();
        }
    }
}

/// The operation on the tape.
struct MeanPool(Windows);

impl Backward for MeanPool {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x] = inputs else { bail!("mean pooling: one input") };
        let (h, w, n, c) = x.dims4()?;
        let size = n * c;
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => {
            let dy = Values::<T>::of(&dy)?;
            let dy: &[T] = &dy;
            let dx: Vec<T> = tasks::summed_pixels(h * w, size, |pixel, offset, values| {
                for output in self.0.covering(pixel) {
                    let dy = &dy[output * size + offset..][..values.len()];
                    add_times(values, dy, self.0.weight(output));
                }
            });
            Ok(vec![Some(storage::tensor(dx, x.shape())?.into())])
        })
    }
}
