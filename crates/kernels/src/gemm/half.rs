//! Sums of products of bf16, by the tiles that those of f32 go through.
//!
//! [`sum`] lays out a part of the factors first, so many steps of the inner dimension at a time that it stays in the cache: widened
//! to f32; or, for processors that multiply bf16 themselves, with each two steps as a pair in the place of an f32. A left
//! factor whose rows are contiguous is in pairs already, and is left where it is.

use ::half::bf16;

use super::matrix::{Matrix, MatrixMut, Term};
use super::tile::{Panels, Segment};
use crate::precision::Number;
use crate::tasks;

/// How a processor multiplies bf16.
#[derive(Clone, Copy)]
pub(super) struct Half {
    pub(super) panels: Panels,
    pub(super) layout: Layout,
}

/// How the factors lie that tiles read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// As f32.
    Widened,
    /// Two steps of the inner dimension as the lower and the upper half of a value.
    Pairs,
}

/// Rows of the left factor that are laid out together.
const ROWS: usize = 64;

impl Layout {
    /// Steps of the inner dimension that are laid out together.
    fn depth(self) -> usize {
        match self {
            Self::Widened => 128,
            Self::Pairs => 256,
        }
    }

    /// The values that a factor's steps become.
    fn steps(self, depth: usize) -> usize {
        match self {
            Self::Widened => depth,
            Self::Pairs => depth.div_ceil(2),
        }
    }
}

/// A register of sums of pairs of bf16, each pair in the place of a value: the numbers of `V`, but for the product.
macro_rules! of_pairs {
    ($(#[$doc:meta])* $name:ident($single:ident), |$sum:ident, $a:ident, $b:ident| $product:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name($single);

        impl Vector for $name {
            const LANES: usize = $single::LANES;
            type Mask = <$single as Vector>::Mask;

            #[inline(always)]
            unsafe fn mask(width: usize) -> Self::Mask {
                $single::mask(width)
            }

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                Self($single::splat(value))
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                Self($single::load(from))
            }

            #[inline(always)]
            unsafe fn load_masked(mask: Self::Mask, from: *const f32) -> Self {
                Self($single::load_masked(mask, from))
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                self.0.store(to);
            }

            #[inline(always)]
            unsafe fn store_masked(self, mask: Self::Mask, to: *mut f32) {
                self.0.store_masked(mask, to);
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(self.0.add(other.0))
            }

            #[inline(always)]
            unsafe fn add_product(self, $a: Self, $b: Self) -> Self {
                let ($sum, $a, $b) = (self.0.0, $a.0.0, $b.0.0);
                Self($single($product))
            }
        }
    };
}
pub(super) use of_pairs;

/// Writes the sum of the products to `out`, or adds it.
///
/// # Safety
/// The processor has the vector unit of `half`; every term `a · b` has the shape of `out`, and every `b` is one that
/// `tile::takes` accepts.
pub(super) unsafe fn sum(half: Half, out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, bf16>]) {
    let mut accumulate = accumulate;
    let mut laid = Laid { half, right: Vec::new(), left: Vec::new() };
    let mut batch: Vec<Term<'_, bf16>> = Vec::with_capacity(terms.len());
    let (whole, mut depth) = (half.layout.depth(), 0);
    for (a, b) in terms {
        let mut start = 0;
        while start < a.cols {
            let taken = (a.cols - start).min(whole - depth);
            batch.push((a.cols(start..start + taken), b.rows(start..start + taken)));
            start += taken;
            depth += taken.next_multiple_of(2); // So that no pair is cut.
            if depth == whole {
                // SAFETY: the caller's promises.
                unsafe { laid.run(out, accumulate, &batch) };
                (accumulate, depth) = (true, 0);
                batch.clear();
            }
        }
    }
    if depth > 0 || !accumulate {
        // SAFETY: the caller's promises.
        unsafe { laid.run(out, accumulate, &batch) };
    }
}

/// Parts of the factors as tiles read them.
struct Laid {
    half: Half,
    right: Vec<f32>,
    left: Vec<f32>,
}

impl Laid {
    /// # Safety
    /// As [`sum`].
    unsafe fn run(&mut self, out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, bf16>]) {
        let Half { panels, layout } = self.half;
        let (rows, cols) = (out.rows, out.cols);
        let steps: usize = terms.iter().map(|(a, _)| layout.steps(a.cols)).sum();
        grow(&mut self.right, steps * cols);
        let mut from = 0;
        for (_, b) in terms {
            let length = layout.steps(b.rows) * cols;
            lay_lines(layout, &mut self.right[from..from + length], b);
            from += length;
        }
        for part in tasks::blocks(rows, ROWS) {
            let height = part.len();
            grow(&mut self.left, steps * height);
            let (mut rest, mut right) = (&mut self.left[..], self.right.as_ptr());
            let mut segments = Vec::with_capacity(terms.len());
            for (a, _) in terms {
                let a = a.rows(part.clone());
                let depth = layout.steps(a.cols);
                let (own, others) = rest.split_at_mut(depth * height);
                rest = others;
                let (a, a_strides) = lay_left(layout, own, &a);
                segments.push(Segment { a, a_strides, b: right, b_stride: cols, depth });
                right = right.wrapping_add(depth * cols);
            }
            // SAFETY: each segment has as many rows and columns as this part of `out`, in `left` (or in the factor itself) and
            // in `right`, which live on and are not written meanwhile.
            unsafe { panels(&mut out.rows(part), accumulate, &segments) };
        }
    }
}

fn grow(room: &mut Vec<f32>, length: usize) {
    if room.len() < length {
        room.resize(length, 0.0);
    }
}

/// Lays out rows of a left factor: where they then lie, and from row to row and from step to step.
fn lay_left(layout: Layout, own: &mut [f32], a: &Matrix<'_, bf16>) -> (*const f32, (usize, usize)) {
    if a.row_stride == 1 && a.col_stride != 1 {
        lay_lines(layout, own, &a.transposed());
        return (own.as_ptr(), (1, a.rows));
    }
    let depth = layout.steps(a.cols);
    match layout {
        Layout::Widened => widen_lines(own, a.cols, a.data, a.row_stride),
        Layout::Pairs
            if a.col_stride == 1
                && a.cols.is_multiple_of(2)
                && (a.row_stride.is_multiple_of(2) || a.rows == 1) =>
        {
            return (a.data.as_ptr().cast(), (a.row_stride / 2, 1));
        }
        Layout::Pairs => {
            for (row, pairs) in own.chunks_exact_mut(depth.max(1)).enumerate() {
                let row = &a.data[row * a.row_stride..][..a.cols];
                for (pair, values) in pairs.iter_mut().zip(row.chunks(2)) {
                    *pair = self::pair(values[0], values.get(1).copied().unwrap_or(bf16::ZERO));
                }
            }
        }
    }
    (own.as_ptr(), (depth, 1))
}

/// Lays out a factor whose rows are contiguous and are steps of the inner dimension.
fn lay_lines(layout: Layout, own: &mut [f32], lines: &Matrix<'_, bf16>) {
    match layout {
        Layout::Widened => widen_lines(own, lines.cols, lines.data, lines.row_stride),
        Layout::Pairs => pair_lines(own, lines.cols, lines.data, lines.row_stride, lines.rows),
    }
}

/// The first number below the second.
#[inline(always)]
fn pair(first: bf16, second: bf16) -> f32 {
    f32::from_bits(u32::from(first.to_bits()) | (u32::from(second.to_bits()) << 16))
}

tasks::vectorised! {
    /// Widens lines of `width` numbers that start `stride` apart, and puts one behind the other.
    fn widen_lines<'a>(lines: &'a mut [f32], width: usize, from: &'a [bf16], stride: usize) {
        for (index, line) in lines.chunks_exact_mut(width.max(1)).enumerate() {
            for (value, from) in line.iter_mut().zip(&from[index * stride..][..width]) {
                *value = from.wide();
            }
        }
    }
}

tasks::vectorised! {
    /// Joins each two of `count` lines to one of pairs; zeros are the partner of an odd one.
    fn pair_lines<'a>(pairs: &'a mut [f32], width: usize, from: &'a [bf16], stride: usize, count: usize) {
        for (index, line) in pairs.chunks_exact_mut(width.max(1)).enumerate() {
            let first = &from[2 * index * stride..][..width];
            if 2 * index + 1 == count {
                line.iter_mut().zip(first).for_each(|(value, first)| *value = pair(*first, bf16::ZERO));
                continue;
            }
            let second = &from[(2 * index + 1) * stride..][..width];
            for ((value, first), second) in line.iter_mut().zip(first).zip(second) {
                *value = pair(*first, *second);
            }
        }
    }
}
