//! What is done to the outputs of a convolution as soon as they are summed, while a core's cache has them: [`Finish`].

use std::ops::Range;

use crate::gemm::MatrixMut;
use crate::norm::passes::{Pass, normalise_rows_in_place};
use crate::precision::Number;

/// A bias, or a norm by given statistics, with what follows it.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T> {
    /// Added to the sums before they are rounded to what is kept.
    bias: Option<&'a [f32]>,
    norm: Option<Norm<'a, T>>,
}

/// `(z - mean) · scale + beta [+ residual]`, then ReLU if asked for.
#[derive(Clone, Copy)]
struct Norm<'a, T> {
    pass: Pass<'a>,
    /// Of the whole output, `[pixels·n, c_out]`.
    residual: Option<&'a [T]>,
    relu: bool,
}

impl<'a, T: Number> Finish<'a, T> {
    pub(crate) fn bias(bias: Option<&'a [f32]>) -> Self {
        Self { bias, norm: None }
    }

    /// By statistics that are known before the sums; a residual has the shape of the output.
    pub(crate) fn norm(pass: Pass<'a>, residual: Option<&'a [T]>, relu: bool) -> Self {
        Self { bias: None, norm: Some(Norm { pass, residual, relu }) }
    }

    /// The same where what is kept is f32; none where it is not.
    pub(super) fn singles(self) -> Option<Finish<'a, f32>> {
        let norm = match self.norm {
            None => None,
            Some(Norm { pass, residual: None, relu }) => Some(Norm { pass, residual: None, relu }),
            Some(Norm { pass, residual: Some(residual), relu }) => {
                Some(Norm { pass, residual: Some(T::singles(residual)?), relu })
            }
        };
        Some(Finish { bias: self.bias, norm })
    }

    /// Adds the bias of some columns to their sums.
    pub(super) fn add_bias(&self, out: &mut MatrixMut<'_>, columns: &Range<usize>) {
        let Some(bias) = self.bias else { return };
        let bias = &bias[columns.clone()];
        for row in 0..out.height() {
            for (value, bias) in out.row(row).iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }

    /// Normalises some columns of the output's rows from `first` on.
    pub(super) fn normalise(&self, out: &mut MatrixMut<'_, T>, first: usize, columns: &Range<usize>) {
        let Some(Norm { pass, residual, relu }) = &self.norm else { return };
        let c_out = pass.channels();
        let pass = pass.columns(columns);
        if let Some(rows) = out.dense_values() {
            let residual = residual.map(|residual| &residual[first * c_out..][..rows.len()]);
            return normalise_rows_in_place(&pass, rows, residual, *relu);
        }
        for row in 0..out.height() {
            let residual = residual.map(|residual| &residual[(first + row) * c_out..][columns.clone()]);
            normalise_rows_in_place(&pass, out.row(row), residual, *relu);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use half::bf16;

    use super::*;
    use crate::conv::{ConvSpec, Geometry, forward};
    use crate::gemm::Factor;
    use crate::layout::Hwnc;
    use crate::norm::passes::normalise;

    fn drawn(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(draw).take(count).collect()
    }

    /// A norm where the sums are made gives the bits of one after them.
    fn hold<T: Factor + std::fmt::Debug>(
        (side, n, c_in, c_out): (usize, usize, usize, usize),
        kernel: usize,
    ) {
        let device = Device::Cpu;
        let x = drawn(1, side * side * n * c_in);
        let w = drawn(2, kernel * kernel * c_in * c_out);
        let map = Hwnc::from_vec(x.clone(), (side, side, n, c_in), &device).unwrap();
        let weights = Tensor::from_vec(w.clone(), (kernel, kernel, c_in, c_out), &device).unwrap();
        let spec = ConvSpec { stride: (1, 1), padding: (kernel / 2, kernel / 2) };
        let g = Geometry::new(&map, &weights, spec).unwrap();
        let kept = |values: &[f32]| values.iter().map(|value| T::nearest(*value)).collect::<Vec<T>>();
        let (x, w, residual) = (kept(&x), kept(&w), kept(&drawn(3, side * side * n * c_out)));
        let (mean, scale, beta) = (drawn(4, c_out), drawn(5, c_out), drawn(6, c_out));
        let pass = Pass { mean: &mean, scale: &scale, beta: &beta };
        for (residual, relu) in [(None, true), (Some(&*residual), true), (Some(&*residual), false)] {
            for gradients in [false, true] {
                let sums = forward(&g, &x, &w, Finish::bias(None), gradients);
                let after = normalise(&pass, &sums, residual, relu);
                let at_once = forward(&g, &x, &w, Finish::norm(pass, residual, relu), gradients);
                let bits =
                    |values: &[T]| values.iter().map(|value| value.wide().to_bits()).collect::<Vec<_>>();
                assert!(
                    bits(&after) == bits(&at_once),
                    "{side} {n} {c_in} {c_out} {kernel} {relu} {gradients}"
                );
            }
        }
    }

    #[test]
    fn a_norm_at_once_gives_the_bits_of_one_afterwards() {
        // Patches; Winograd's tiles with an odd edge and a second block of images; taps in blocks of columns; all of one pixel.
        for shape in [(5, 3, 3, 32), (7, 33, 32, 48), (2, 3, 40, 200), (1, 70, 64, 130)] {
            hold::<f32>(shape, 3);
            hold::<bf16>(shape, 3);
        }
        hold::<f32>((4, 9, 48, 80), 1);
    }
}
