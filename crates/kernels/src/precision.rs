//! The numbers of tensors, f32 or bf16, which is the upper half of an f32: how they are read and kept.
//!
//! Arithmetic is in single precision whatever a tensor is kept in, as in PyTorch's autocast: activations and their gradients are
//! bf16, products take factors of bf16 and add them up in f32, and parameters, statistics, losses and the optimizer's moments are
//! f32. Rounding is to the nearest, to even where two are as near. Loops over a [`Number`] widen and round in registers, so
//! that bf16 is half the memory to go through.

use std::borrow::Cow;

use candle_core::WithDType;
use half::bf16;
use rayon::prelude::*;

use crate::tasks;

/// What a tensor of this crate holds.
pub(crate) trait Number: WithDType + Default {
    /// In single precision, exactly.
    fn wide(self) -> f32;
    /// The nearest to a value.
    fn nearest(value: f32) -> Self;
    /// The numbers, where they are f32.
    fn singles(values: &[Self]) -> Option<&[f32]>;
    /// Numbers of single precision as these.
    fn kept(values: Vec<f32>) -> Vec<Self>;
    /// As [`Number::kept`], copied only where they change.
    fn of_singles(values: &[f32]) -> Cow<'_, [Self]>;
    /// Lets `write` see and change zeros in single precision, and keeps what they become. `values` are zeros; `room` is for use.
    fn written(values: &mut [Self], room: &mut Vec<f32>, write: impl FnOnce(&mut [f32]));
}

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    fn singles(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }

    fn kept(values: Vec<f32>) -> Vec<Self> {
        values
    }

    fn of_singles(values: &[f32]) -> Cow<'_, [Self]> {
        Cow::Borrowed(values)
    }

    fn written(values: &mut [Self], _room: &mut Vec<f32>, write: impl FnOnce(&mut [f32])) {
        write(values);
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
        // NaN stays NaN.
        Self::from_bits(if value.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded })
    }

    fn singles(_values: &[Self]) -> Option<&[f32]> {
        None
    }

    fn kept(values: Vec<f32>) -> Vec<Self> {
        converted(&values)
    }

    fn of_singles(values: &[f32]) -> Cow<'_, [Self]> {
        Cow::Owned(converted(values))
    }

    fn written(values: &mut [Self], room: &mut Vec<f32>, write: impl FnOnce(&mut [f32])) {
        room.clear();
        room.resize(values.len(), 0.0);
        write(room);
        convert(values, room);
    }
}

/// Numbers of one kind as those of the other: exact, or the nearest.
pub(crate) fn converted<A: Number, B: Number>(values: &[A]) -> Vec<B> {
    let mut converted = tasks::zeros(values.len());
    let blocks = converted.par_chunks_mut(tasks::VALUES).zip(values.par_chunks(tasks::VALUES));
    blocks.for_each(|(converted, values)| convert(converted, values));
    converted
}

tasks::vectorised! {
    /// As [`converted`], on this thread.
    pub(crate) fn convert<'a, A: Number, B: Number>(converted: &'a mut [B], values: &'a [A]) {
        for (converted, value) in converted.iter_mut().zip(values) {
            *converted = B::nearest(value.wide());
        }
    }
}

tasks::vectorised! {
    /// Puts the nearest number of bf16 in the place of each.
    pub(crate) fn round<'a>(values: &'a mut [f32]) {
        for value in values {
            *value = bf16::nearest(*value).wide();
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
            let nearest = <bf16 as Number>::nearest(value);
            prop_assert_eq!(nearest.to_bits(), bf16::from_f32(value).to_bits());
            let mut rounded = [value];
            round(&mut rounded);
            prop_assert_eq!(rounded[0].to_bits(), nearest.wide().to_bits());
            prop_assert_eq!(rounded[0].is_nan(), value.is_nan());
            prop_assert_eq!(converted::<f32, bf16>(&[value])[0].to_bits(), nearest.to_bits());
        }
    }
}
