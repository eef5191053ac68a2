//! The geometry of a convolution: sizes, and which pixels of input and output meet at which tap.
//!
//! The main type is [`Geometry`]. Neighbouring pixels whose partners follow one by one are taken together, as their
//! rows are neighbours in memory.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::spec::{ConvSpec, conv_output};
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

/// Neighbouring pixels of a row, and the pixels that meet the first of them: horizontal tap and pixel. Those that meet
/// the others follow one by one.
pub(crate) type Met = (Range<usize>, Vec<(usize, usize)>);

impl Geometry {
    /// Reads the sizes off the arguments; shapes that do not fit are errors.
    pub(crate) fn new(x: &Hwnc, weights: &Tensor, spec: ConvSpec) -> Result<Self> {
        Self::in_groups(x, weights, spec, 1)
    }

    /// As [`Geometry::new`] for weights `[kh, kw, c_in / groups, c_out]`, of which each group of outputs has its own inputs.
    pub(crate) fn in_groups(x: &Hwnc, weights: &Tensor, spec: ConvSpec, groups: usize) -> Result<Self> {
        let (h, w, n, c) = x.dims();
        let &[kh, kw, c_in, c_out] = weights.dims() else {
            bail!("convolution: weights need [kh, kw, C_in, C_out], but they are {:?}", weights.dims());
        };
        if c != c_in * groups {
            bail!(
                "convolution: the weights take {} channels, but the input [H, W, N, C] is {:?}",
                c_in * groups,
                x.dims()
            );
        }
        if n == 0 || c == 0 || c_out == 0 || spec.stride.0 == 0 || spec.stride.1 == 0 {
            bail!(
                "convolution: input {:?}, weights {:?} or {spec:?} contain a zero",
                x.dims(),
                weights.dims()
            );
        }
        if !c_out.is_multiple_of(groups) {
            bail!("convolution: {c_out} output channels are not {groups} whole groups");
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
        Ok(Self { h, w, n, c_in: c, kh, kw, oh, ow, c_out, stride, padding })
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

    /// The input pixel that output pixel `ox` sees at horizontal tap `kx`, unless it is padding.
    pub(crate) fn input_pixel(&self, ox: usize, kx: usize) -> Option<usize> {
        (ox * self.stride.1 + kx).checked_sub(self.padding.1).filter(|&ix| ix < self.w)
    }

    /// The output pixel that sees input pixel `ix` at horizontal tap `kx`, where there is one.
    pub(crate) fn output_pixel(&self, ix: usize, kx: usize) -> Option<usize> {
        let distance = (ix + self.padding.1).checked_sub(kx)?;
        (distance % self.stride.1 == 0).then_some(distance / self.stride.1).filter(|&ox| ox < self.ow)
    }

    /// Output pixels with the input pixels that they see.
    pub(crate) fn inputs(&self, pixels: Range<usize>) -> Vec<Met> {
        self.grouped(pixels, |ox, kx| self.input_pixel(ox, kx))
    }

    /// Input pixels with the output pixels that see them.
    pub(crate) fn outputs(&self, pixels: Range<usize>) -> Vec<Met> {
        self.grouped(pixels, |ix, kx| self.output_pixel(ix, kx))
    }

    /// Runs of output pixels that see, through one tap, input pixels that follow one by one; and the first of these.
    pub(crate) fn runs(&self, kx: usize) -> Vec<(Range<usize>, usize)> {
        let tap =
            self.grouped(0..self.ow, |ox, other| if other == kx { self.input_pixel(ox, kx) } else { None });
        tap.into_iter().filter_map(|(pixels, seen)| Some((pixels, seen.first()?.1))).collect()
    }

    /// Splits pixels where what meets them does not simply move on by one pixel.
    fn grouped(&self, pixels: Range<usize>, met: impl Fn(usize, usize) -> Option<usize>) -> Vec<Met> {
        let mut groups: Vec<Met> = Vec::new();
        for pixel in pixels {
            let meets: Vec<_> = (0..self.kw).filter_map(|kx| Some((kx, met(pixel, kx)?))).collect();
            if let Some((group, first)) = groups.last_mut() {
                let moved = first.iter().map(|&(kx, other)| (kx, other + group.len()));
                if moved.eq(meets.iter().copied()) {
                    group.end += 1;
                    continue;
                }
            }
            groups.push((pixel..pixel + 1, meets));
        }
        groups
    }

    /// Whether a tap reaches the input from any output; the weights of the others never see data.
    pub(crate) fn is_live(&self, ky: usize, kx: usize) -> bool {
        (0..self.oh).any(|oy| self.input_row(oy, ky).is_some())
            && (0..self.ow).any(|ox| self.input_pixel(ox, kx).is_some())
    }

    /// Neighbouring pixels of an input row, `[pixels, n, c_in]`.
    pub(crate) fn input<'a, T>(&self, x: &'a [T], iy: usize, pixels: Range<usize>) -> &'a [T] {
        let pixel = self.n * self.c_in;
        &x[(iy * self.w + pixels.start) * pixel..(iy * self.w + pixels.end) * pixel]
    }

    /// Neighbouring pixels of an output row, `[pixels, n, c_out]`.
    pub(crate) fn output<'a, T>(&self, y: &'a [T], oy: usize, pixels: Range<usize>) -> &'a [T] {
        let pixel = self.n * self.c_out;
        &y[(oy * self.ow + pixels.start) * pixel..(oy * self.ow + pixels.end) * pixel]
    }

    /// The weights of one tap, `[c_in, c_out]`, or `[c_out, c_in]` where they are transposed.
    pub(crate) fn tap<'a, T>(&self, weights: &'a [T], ky: usize, kx: usize) -> &'a [T] {
        let tap = self.c_in * self.c_out;
        let start = (ky * self.kw + kx) * tap;
        &weights[start..start + tap]
    }
}
