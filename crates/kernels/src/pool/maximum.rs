//! Max pooling with the place of each maximum kept for the gradient.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::Windows;
use crate::layout::Hwnc;
use crate::storage::{self, Values};
use crate::{tape, tasks};

pub(super) fn max_pool(x: &Hwnc, windows: Windows) -> Result<Hwnc> {
    let places = tape::wanted(x.tensor()).then(OnceLock::new);
    Hwnc::new(tape::apply1(x.tensor(), MaxPool { windows, places })?)
}

struct MaxPool {
    windows: Windows,
    /// For each output value, which pixel of its window was taken; kept if the input has a tape.
    places: Option<OnceLock<Vec<u16>>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool-hwnc"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (like, x) = (x, storage::slice(x, layout)?);
        let (_, _, n, c) = layout.shape().dims4()?;
        let (oh, ow) = (self.windows.rows.outputs(), self.windows.cols.outputs());
        let pixel = n * c;
        let mut y = tasks::zeros(oh * ow * pixel);
        let mut places = vec![0u16; y.len()];
        let blocks = tasks::pixel_blocks(&mut y, pixel).into_par_iter();
        blocks.zip(tasks::pixel_blocks(&mut places, pixel)).for_each(|(y, places)| {
            for (place, input) in self.windows.covered(y.pixel).enumerate() {
                let x = &x[input * pixel + y.offset..][..y.values.len()];
                if place == 0 {
                    y.values.copy_from_slice(x);
                } else {
                    take_larger(x, place as u16, y.values, places.values);
                }
            }
        });
        if let Some(kept) = &self.places {
            // A second forward pass of the same operation would find the same places.
            kept.get_or_init(|| places);
        }
        Ok((storage::stored(y, like), Shape::from((oh, ow, n, c))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(places) = self.places.as_ref().and_then(OnceLock::get) else {
            bail!("max pooling: no places were kept, as the input had no tape");
        };
        let (h, w, n, c) = x.dims4()?;
        let pixel = n * c;
        let dy = dy.contiguous()?;
        let dy = Values::of(&dy)?;
        let dy = &*dy;
        let mut dx = tasks::zeros(h * w * pixel);
        tasks::pixel_blocks(&mut dx, pixel).into_par_iter().for_each(|dx| {
            for output in self.windows.covering(dx.pixel) {
                let place = self.windows.place(dx.pixel, output) as u16;
                let at = output * pixel + dx.offset..output * pixel + dx.offset + dx.values.len();
                add_where(&dy[at.clone()], &places[at], place, dx.values);
            }
        });
        Ok(Some(storage::tensor_like(dx, x.shape(), x)?))
    }
}

tasks::vectorised! {
    /// Takes the values that are larger than the best so far, or NaN.
    fn take_larger<'a>(x: &'a [f32], place: u16, best: &'a mut [f32], places: &'a mut [u16]) {
        for ((x, best), at) in x.iter().zip(best).zip(places) {
            let take = *x > *best || x.is_nan();
            *best = if take { *x } else { *best };
            *at = if take { place } else { *at };
        }
    }
}

tasks::vectorised! {
    /// Adds the gradients of the outputs that took their value from `place`.
    fn add_where<'a>(dy: &'a [f32], places: &'a [u16], place: u16, dx: &'a mut [f32]) {
        for ((dy, at), dx) in dy.iter().zip(places).zip(dx) {
            *dx += if *at == place { *dy } else { 0.0 };
        }
    }
}
