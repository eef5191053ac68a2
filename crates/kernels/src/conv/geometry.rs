//! The geometry of a convolution: sizes, and the runs of pixels that a tap can reach.
//!
//! The main type is [`Geometry`]. A [`Run`] is the largest set of neighbouring output pixels of a row whose
//! input pixel at one horizontal tap lies inside the input.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::{ConvSpec, conv_output};
use crate::layout::Hwnc;

/// The sizes of one convolution: input `[h, w, n, c_in]`, kernel `[kh, kw]`, output `[oh, ow, n, c_out]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) n: usize,
    pub(crate) c_in: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) c_out: usize,
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
}

/// Output pixels `first..first + length` of a row, and the input pixel that belongs to `first`; the inputs
/// of the following outputs are one stride apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) input: usize,
    pub(crate) length: usize,
}

impl Geometry {
    /// Reads the sizes off the arguments; shapes that do not fit are errors.
    pub(crate) fn new(x: &Hwnc, weights: &Tensor, spec: ConvSpec) -> Result<Self> {
        let (h, w, n, c) = x.dims();
        let &[kh, kw, c_in, c_out] = weights.dims() else {
            bail!("convolution: weights need [kh, kw, C_in, C_out], but they are {:?}", weights.dims());
        };
        if c != c_in {
            bail!(
                "convolution: the weights take {c_in} channels, but the input [H, W, N, C] is {:?}",
                x.dims()
            );
        }
        if n == 0 || c_in == 0 || c_out == 0 || spec.stride.0 == 0 || spec.stride.1 == 0 {
            bail!(
                "convolution: input {:?}, weights {:?} or {spec:?} contain a zero",
                x.dims(),
                weights.dims()
            );
        }
        let ConvSpec { stride, padding } = spec;
        let sizes = (conv_output(h, kh, stride.0, padding.0), conv_output(w, kw, stride.1, padding.1));
        let (Some(oh), Some(ow)) = sizes else {
            bail!(
                "convolution: a {kh}x{kw} kernel is larger than its input of {h}x{w} pixels with padding \
                 {}x{}, so there is no output; use larger images",
                padding.0,
                padding.1
            );
        };
        Ok(Self { h, w, n, c_in, kh, kw, oh, ow, c_out, stride, padding })
    }

    /// The input row that output row `oy` sees at vertical tap `ky`, unless it is padding.
    pub(crate) fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.stride.0 + ky).checked_sub(self.padding.0).filter(|&iy| iy < self.h)
    }

    /// The output row that sees input row `iy` at vertical tap `ky`, where there is one.
    pub(crate) fn output_row(&self, iy: usize, ky: usize) -> Option<usize> {
        let distance = (iy + self.padding.0).checked_sub(ky)?;
        (distance % self.stride.0 == 0).then_some(distance / self.stride.0).filter(|&oy| oy < self.oh)
    }

    /// The part of output pixels `within` that horizontal tap `kx` reaches.
    pub(crate) fn run(&self, kx: usize, within: Range<usize>) -> Option<Run> {
        let (stride, padding) = (self.stride.1, self.padding.1);
        let first = padding.saturating_sub(kx).div_ceil(stride).max(within.start);
        let end = (self.w + padding).checked_sub(kx)?.div_ceil(stride).min(within.end);
        let length = end.checked_sub(first).filter(|&length| length > 0)?;
        Some(Run { first, input: first * stride + kx - padding, length })
    }

    /// Whether a tap reaches the input from any output; the weights of the others never see data.
    pub(crate) fn is_live(&self, ky: usize, kx: usize) -> bool {
        (0..self.oh).any(|oy| self.input_row(oy, ky).is_some()) && self.run(kx, 0..self.ow).is_some()
    }

    /// The row of the input, `[w, n, c_in]`.
    pub(crate) fn input<'a>(&self, x: &'a [f32], iy: usize) -> &'a [f32] {
        let row = self.w * self.n * self.c_in;
        &x[iy * row..(iy + 1) * row]
    }

    /// Neighbouring pixels of an output row, `[pixels, n, c_out]`.
    pub(crate) fn output<'a>(&self, y: &'a [f32], oy: usize, pixels: Range<usize>) -> &'a [f32] {
        let pixel = self.n * self.c_out;
        &y[(oy * self.ow + pixels.start) * pixel..(oy * self.ow + pixels.end) * pixel]
    }

    /// The weights of one tap, `[c_in, c_out]`.
    pub(crate) fn tap<'a>(&self, weights: &'a [f32], ky: usize, kx: usize) -> &'a [f32] {
        let tap = self.c_in * self.c_out;
        let start = (ky * self.kw + kx) * tap;
        &weights[start..start + tap]
    }

    /// The input pixels of a run as dense rows, `[length·n, c_in]`: a part of the row itself where the
    /// stride is 1, gathered into `scratch` where it is not.
    pub(crate) fn gather<'a>(&self, row: &'a [f32], run: Run, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let pixel = self.n * self.c_in;
        let stride = self.stride.1;
        if stride == 1 || run.length == 1 {
            return &row[run.input * pixel..(run.input + run.length) * pixel];
        }
        scratch.clear();
        for step in 0..run.length {
            let start = (run.input + step * stride) * pixel;
            scratch.extend_from_slice(&row[start..start + pixel]);
        }
        scratch
    }
}
