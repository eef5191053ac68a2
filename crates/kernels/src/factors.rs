//! Pixels times factors that all of them share: one for each image and channel. [`scaled`] multiplies, [`sums`] adds up what
//! the factors' gradients are made of.
//!
//! A pixel of `[H, W, N, C]` is `N·C` numbers that lie as the factors do, so both go along memory. Sums over pixels run in blocks of
//! these numbers, pixel by pixel, in the same order whatever the batch.

use rayon::prelude::*;

use crate::precision::Number;
use crate::tasks;

/// Pixels whose sums are taken by themselves first.
const PIXELS: usize = 64;

/// A second term: numbers, and their factors.
pub(crate) type Other<'a, T> = Option<(&'a [T], &'a [f32])>;

/// `x · factors [+ other · its factors] + shift` at each pixel of `factors.len()` numbers.
pub(crate) fn scaled<T: Number>(x: &[T], factors: &[f32], other: Other<'_, T>, shift: &[f32]) -> Vec<T> {
    let size = factors.len();
    let mut y: Vec<T> = tasks::zeros(x.len());
    tasks::pixel_blocks(&mut y, size).into_par_iter().for_each(|block| {
        let own = block.offset..block.offset + block.values.len();
        let place = block.pixel * size + own.start..block.pixel * size + own.end;
        let (x, factors, shift) = (&x[place.clone()], &factors[own.clone()], &shift[own.clone()]);
        match other {
            None => scale(block.values, x, factors, shift),
            Some((other, others)) => {
                scale_both(block.values, (x, factors), (&other[place], &others[own]), shift)
            }
        }
    });
    y
}

/// The sums over pixels of `f`, for each of the `size` numbers of a pixel.
pub(crate) fn sums<T: Number>(a: &[T], b: &[T], size: usize, f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut sums = vec![0.0f32; size];
    let width = tasks::even(size, tasks::TASKS).next_multiple_of(64).min(1024);
    sums.par_chunks_mut(width).enumerate().for_each_init(
        || vec![0.0f32; width],
        |room, (index, sums)| {
            let (start, room) = (index * width, &mut room[..sums.len()]);
            for (a, b) in a.chunks(PIXELS * size).zip(b.chunks(PIXELS * size)) {
                room.fill(0.0);
                for (a, b) in a.chunks_exact(size).zip(b.chunks_exact(size)) {
                    add(room, &a[start..start + sums.len()], &b[start..start + sums.len()], &f);
                }
                sums.iter_mut().zip(&*room).for_each(|(sum, part)| *sum += part);
            }
        },
    );
    sums
}

tasks::vectorised! {
    fn scale<'a, T: Number>(y: &'a mut [T], x: &'a [T], factors: &'a [f32], shift: &'a [f32]) {
        for (((y, x), factor), shift) in y.iter_mut().zip(x).zip(factors).zip(shift) {
            *y = T::nearest(x.wide() * factor + shift);
        }
    }
}

tasks::vectorised! {
    fn scale_both<'a, T: Number>(
        y: &'a mut [T],
        a: (&'a [T], &'a [f32]),
        b: (&'a [T], &'a [f32]),
        shift: &'a [f32],
    ) {
        let terms = a.0.iter().zip(a.1).zip(b.0.iter().zip(b.1)).zip(shift);
        for (y, (((a, of_a), (b, of_b)), shift)) in y.iter_mut().zip(terms) {
            *y = T::nearest(a.wide() * of_a + b.wide() * of_b + shift);
        }
    }
}

/// A function of two values.
trait Pair: Fn(f32, f32) -> f32 + Sync {}
impl<F: Fn(f32, f32) -> f32 + Sync> Pair for F {}

tasks::vectorised! {
    fn add<'a, T: Number, F: Pair>(sums: &'a mut [f32], a: &'a [T], b: &'a [T], f: &'a F) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f(a.wide(), b.wide());
        }
    }
}
