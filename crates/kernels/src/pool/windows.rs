//! The windows of a pooling, along each axis and as rectangles.
//!
//! The main type is [`Windows`]: a product of two [`Axis`] lists, clipped to the input. What a window's sum is
//! divided by is a product as well, of the lengths that count along each axis.

use std::ops::Range;

use candle_core::{Result, bail};

use super::spec::{PoolSpec, pool_output};
use crate::layout::Hwnc;

/// The windows along one axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// The input's size.
    pub(crate) size: usize,
    /// The input indices that each output covers.
    pub(crate) spans: Vec<Range<usize>>,
    /// The length that counts in an average, for each output.
    pub(crate) lengths: Vec<usize>,
    /// The outputs that cover each input.
    covering: Vec<Range<usize>>,
}

impl Axis {
    fn new(size: usize, spans: Vec<Range<usize>>, lengths: Vec<usize>) -> Self {
        // Starts and ends grow from window to window, so the windows over an input are neighbours.
        let covering = (0..size)
            .map(|input| {
                let first = spans.partition_point(|span| span.end <= input);
                let end = spans.partition_point(|span| span.start <= input);
                first..end.max(first)
            })
            .collect();
        Self { size, spans, lengths, covering }
    }

    fn strided(
        size: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        padded: bool,
    ) -> Self {
        let windows = (0..outputs).map(|output| {
            let start = output * stride;
            let end = (start + kernel).min(size + 2 * padding);
            let span = start.saturating_sub(padding).min(size)..end.saturating_sub(padding).min(size);
            let length = if padded { end - start } else { span.len() };
            (span, length)
        });
        let (spans, lengths) = windows.unzip();
        Self::new(size, spans, lengths)
    }

    fn adaptive(size: usize, outputs: usize) -> Self {
        let span = |output: usize| output * size / outputs..((output + 1) * size).div_ceil(outputs);
        let spans: Vec<_> = (0..outputs).map(span).collect();
        let lengths = spans.iter().map(|span| span.len()).collect();
        Self::new(size, spans, lengths)
    }

    /// The number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.spans.len()
    }

    /// The outputs whose windows cover an input.
    pub(super) fn covering(&self, input: usize) -> Range<usize> {
        self.covering[input].clone()
    }
}

/// The rectangular windows of a pooling.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
}

impl Windows {
    /// Windows of one size and stride.
    pub(crate) fn strided(what: &str, x: &Hwnc, spec: PoolSpec) -> Result<Self> {
        let PoolSpec { kernel, stride, padding, ceil, count_include_pad } = spec;
        let (h, w, n, c) = x.dims();
        if 2 * padding.0 > kernel.0 || 2 * padding.1 > kernel.1 {
            bail!("{what}: a padding of {padding:?} is more than half of the window {kernel:?}");
        }
        let sizes = (
            pool_output(h, kernel.0, stride.0, padding.0, ceil),
            pool_output(w, kernel.1, stride.1, padding.1, ceil),
        );
        let (Some(oh), Some(ow)) = sizes else {
            bail!(
                "{what}: no window of {}x{} pixels fits into an input of {h}x{w} with padding {}x{} (batch {n}, \
                 {c} channels), so there is no output; use larger images",
                kernel.0,
                kernel.1,
                padding.0,
                padding.1
            );
        };
        Ok(Self {
            rows: Axis::strided(h, oh, kernel.0, stride.0, padding.0, count_include_pad),
            cols: Axis::strided(w, ow, kernel.1, stride.1, padding.1, count_include_pad),
        })
    }

    /// Nearly equal windows that cover the input.
    pub(crate) fn adaptive(x: &Hwnc, (oh, ow): (usize, usize)) -> Result<Self> {
        let (h, w, _, _) = x.dims();
        if oh == 0 || ow == 0 || h == 0 || w == 0 {
            bail!("adaptive pooling: an input of {h}x{w} pixels cannot give {oh}x{ow}");
        }
        Ok(Self { rows: Axis::adaptive(h, oh), cols: Axis::adaptive(w, ow) })
    }

    /// `(input row, input column)` of an input pixel.
    pub(super) fn input(&self, pixel: usize) -> (usize, usize) {
        (pixel / self.cols.size, pixel % self.cols.size)
    }

    /// `(output row, output column)` of an output pixel.
    pub(super) fn output(&self, pixel: usize) -> (usize, usize) {
        (pixel / self.cols.outputs(), pixel % self.cols.outputs())
    }

    /// The input pixels of an output's window, row by row.
    pub(super) fn covered(&self, pixel: usize) -> impl Iterator<Item = usize> + '_ {
        let (oy, ox) = self.output(pixel);
        let cols = self.cols.spans[ox].clone();
        self.rows.spans[oy].clone().flat_map(move |iy| cols.clone().map(move |ix| iy * self.cols.size + ix))
    }

    /// The output pixels whose windows cover an input, row by row.
    pub(super) fn covering(&self, pixel: usize) -> impl Iterator<Item = usize> + '_ {
        let (iy, ix) = self.input(pixel);
        let cols = self.cols.covering(ix);
        self.rows.covering(iy).flat_map(move |oy| cols.clone().map(move |ox| oy * self.cols.outputs() + ox))
    }

    /// The place of an input pixel in an output's window, counted row by row.
    pub(super) fn place(&self, input: usize, output: usize) -> usize {
        let ((iy, ix), (oy, ox)) = (self.input(input), self.output(output));
        let (rows, cols) = (&self.rows.spans[oy], &self.cols.spans[ox]);
        (iy - rows.start) * cols.len() + (ix - cols.start)
    }

    /// What the sum of an output's window is multiplied by to be its average.
    pub(super) fn weight(&self, output: usize) -> f32 {
        let (oy, ox) = self.output(output);
        1.0 / (self.rows.lengths[oy] * self.cols.lengths[ox]) as f32
    }
}
