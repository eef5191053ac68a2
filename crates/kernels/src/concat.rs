//! Maps side by side along their channels, as the branches of an Inception block end.
//!
//! The entry is [`concat_channels`]. At every pixel of every image the channels of one map follow those of another, so it
//! is a copy of runs of channels, and so is each gradient.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// Joins maps `[H, W, N, C₁]`, `[H, W, N, C₂]`, … to `[H, W, N, C₁ + C₂ + …]`. Each gets its channels of the gradient.
///
/// # Errors
/// When there is no map, or height, width or batch differ.
pub fn concat_channels(maps: &[Hwnc]) -> Result<Hwnc> {
    let Some(first) = maps.first() else { bail!("concatenation: there is no map to join") };
    let (h, w, n, _) = first.dims();
    if let Some(other) = maps.iter().find(|map| (map.height(), map.width(), map.batch()) != (h, w, n)) {
        bail!("concatenation: a map {:?} does not lie beside {:?}", other.dims(), first.dims());
    }
    if !maps.iter().all(|map| storage::runs_here(map.tensor())) {
        return composed::concat_channels(maps);
    }
    let kept = maps.iter().map(|map| Hwnc::new(storage::keep_as(map.tensor(), first.tensor().dtype())?));
    let maps = &kept.collect::<Result<Vec<_>>>()?;
    let y = by_number!(storage::is_half(first.tensor()), T => joined::<T>(maps, (h, w, n))?);
    let inputs: Vec<&Tensor> = maps.iter().map(Hwnc::tensor).collect();
    note(&inputs, &y, Concat);
    Hwnc::new(y)
}

fn joined<T: Number>(maps: &[Hwnc], (h, w, n): (usize, usize, usize)) -> Result<Tensor> {
    let channels = maps.iter().map(Hwnc::channels).sum();
    let mut y: Vec<T> = tasks::zeros(h * w * n * channels);
    let parts = maps.iter().map(|map| Ok((Values::<T>::of(map.tensor())?, map.channels())));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let parts: Vec<(&[T], usize)> = parts.iter().map(|(values, channels)| (&**values, *channels)).collect();
    let rows = rows_per_task(channels);
    y.par_chunks_mut((rows * channels).max(1)).enumerate().for_each(|(task, block)| {
        let mut from = 0;
        for &(values, width) in &parts {
            for (row, joined) in (task * rows..).zip(block.chunks_exact_mut(channels)) {
                joined[from..from + width].copy_from_slice(&values[row * width..(row + 1) * width]);
            }
            from += width;
        }
    });
    storage::tensor(y, (h, w, n, channels))
}

/// Rows of `width` values that one task copies.
fn rows_per_task(width: usize) -> usize {
    (tasks::VALUES / width.max(1)).max(1)
}

/// The operation on the tape: inputs are the maps.
struct Concat;

impl Backward for Concat {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let (_, _, _, channels) = y.dims4()?;
        let dy = storage::like(dy, y)?;
        let mut from = 0;
        let gradients = inputs.iter().map(|input| {
            let width = input.dim(3)?;
            let start = from;
            from += width;
            let part =
                || by_number!(storage::is_half(y), T => part::<T>(&Values::of(&dy)?, channels, start, input));
            wanted(input).then(part).transpose()
        });
        gradients.collect()
    }
}

/// The channels of `input`, from `start` on, of the gradient of `channels` channels.
fn part<T: Number>(dy: &[T], channels: usize, start: usize, input: &Tensor) -> Result<Gradient> {
    let width = input.dim(3)?;
    let mut dx: Vec<T> = tasks::zeros(input.elem_count());
    let rows = rows_per_task(width);
    dx.par_chunks_mut((rows * width).max(1)).enumerate().for_each(|(task, block)| {
        for (row, own) in (task * rows..).zip(block.chunks_exact_mut(width)) {
            own.copy_from_slice(&dy[row * channels + start..][..width]);
        }
    });
    Ok(storage::tensor(dx, input.shape())?.into())
}
