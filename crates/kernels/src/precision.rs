//! bf16, the upper half of an f32: how tensors of it are widened to be computed with, and rounded to be kept.
//!
//! Arithmetic is in single precision whatever a tensor is kept in, as in PyTorch's autocast: activations and their gradients are
//! bf16, products take factors of bf16 and add them up in f32, and parameters, statistics, losses and the optimizer's moments are
//! f32. Rounding is to the nearest, to even where two are as near.

use half::bf16;
use rayon::prelude::*;

use crate::tasks;

/// The numbers in single precision, exactly.
pub(crate) fn widen(values: &[bf16]) -> Vec<f32> {
    let mut wide = tasks::zeros(values.len());
    let blocks = wide.par_chunks_mut(tasks::VALUES).zip(values.par_chunks(tasks::VALUES));
    blocks.for_each(|(wide, values)| widen_block(wide, values));
    wide
}

/// The nearest numbers of bf16.
pub(crate) fn narrow(values: &[f32]) -> Vec<bf16> {
    let mut narrow = vec![bf16::ZERO; values.len()];
    let blocks = narrow.par_chunks_mut(tasks::VALUES).zip(values.par_chunks(tasks::VALUES));
    blocks.for_each(|(narrow, values)| narrow_block(narrow, values));
    narrow
}

/// Puts the nearest number of bf16 in the place of each.
pub(crate) fn round(values: &mut [f32]) {
    values.par_chunks_mut(tasks::VALUES).for_each(round_block);
}

/// The bits of the nearest number of bf16; NaN stays NaN.
#[inline(always)]
fn nearest(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if value.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded }
}

#[inline(always)]
fn wide(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

tasks::vectorised! {
    fn widen_block<'a>(wide_values: &'a mut [f32], values: &'a [bf16]) {
        for (value, narrow) in wide_values.iter_mut().zip(values) {
            *value = wide(narrow.to_bits());
        }
    }
}

tasks::vectorised! {
    fn narrow_block<'a>(narrow: &'a mut [bf16], values: &'a [f32]) {
        for (narrow, value) in narrow.iter_mut().zip(values) {
            *narrow = bf16::from_bits(nearest(*value));
        }
    }
}

tasks::vectorised! {
    /// As [`round`], on this thread.
    pub(crate) fn round_block<'a>(values: &'a mut [f32]) {
        for value in values {
            *value = wide(nearest(*value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_that_of_the_half_crate(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assert_eq!(nearest(value), bf16::from_f32(value).to_bits());
            let mut rounded = [value];
            round(&mut rounded);
            prop_assert_eq!(rounded[0].to_bits(), widen(&narrow(&[value]))[0].to_bits());
            prop_assert_eq!(rounded[0].is_nan(), value.is_nan());
        }
    }
}
