//! Matrix products on one thread: the only unsafe module.
//!
//! [`multiply_sum`] adds up the products of a list of terms, which is what a convolution is; [`multiply`] is the sum of
//! one. Both are safe, bounds-checked fronts: for our own kernel where the processor has AVX-512, AVX2 or NEON, and for the `gemm`
//! crate elsewhere, which has portable code. They read [`Matrix`] views of f32 or bf16 (`half`) with any strides and write
//! a [`MatrixMut`] of f32, whose rows are contiguous and which can be split into column blocks that different threads own. They
//! never start a thread: the same product of f32 gives the same bits wherever it runs, on all processors that our own kernel
//! serves, and how work is split is decided by `tasks`. [`written`] and its like are where outputs get their memory, uncleared until a task
//! has its block.
#![expect(
    unsafe_code,
    reason = "products go through raw pointers, ours and the gemm crate's; every view is checked here"
)]

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod half;
mod matrix;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
#[cfg(target_arch = "aarch64")]
#[path = "arm.rs"]
mod units;
#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
mod units;
mod written;

use ::half::bf16;

use crate::precision::{self, Number, converted};
pub(crate) use matrix::{Matrix, MatrixMut, Term};
pub(crate) use written::{written, written_blocks, written_pairs};

/// A number that products take as factors.
pub(crate) trait Factor: Number {
    /// [`multiply_sum`] of terms whose shapes agree.
    fn multiply_sum(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, Self>]);

    /// Lets `compute` write all of `out` in single precision. `room` is for use.
    fn write_wide(
        out: &mut MatrixMut<'_, Self>,
        room: &mut Vec<f32>,
        compute: impl FnOnce(&mut MatrixMut<'_>),
    );
}

impl Factor for f32 {
    fn multiply_sum(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, Self>]) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(panels) = units::best().filter(|_| terms.iter().all(|(_, b)| tile::takes(b))) {
            // SAFETY: the processor has the unit, the caller has checked that the shapes agree, and the right factors are of its
            // kind.
            unsafe { tile::sum(panels, out, accumulate, terms) };
            return;
        }
        one_by_one(out, accumulate, terms);
    }

    fn write_wide(
        out: &mut MatrixMut<'_, Self>,
        _room: &mut Vec<f32>,
        compute: impl FnOnce(&mut MatrixMut<'_>),
    ) {
        compute(out);
    }
}

impl Factor for bf16 {
    fn multiply_sum(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, Self>]) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(kernel) = units::best_half().filter(|_| terms.iter().all(|(_, b)| tile::takes(b))) {
            // SAFETY: as above.
            unsafe { half::sum(kernel, out, accumulate, terms) };
            return;
        }
        let wide: Vec<(Vec<f32>, Vec<f32>)> =
            terms.iter().map(|(a, b)| (converted(a.data), converted(b.data))).collect();
        let terms = terms.iter().zip(&wide).map(|((a, b), (wide_a, wide_b))| (a.of(wide_a), b.of(wide_b)));
        one_by_one(out, accumulate, &terms.collect::<Vec<_>>());
    }

    fn write_wide(
        out: &mut MatrixMut<'_, Self>,
        room: &mut Vec<f32>,
        compute: impl FnOnce(&mut MatrixMut<'_>),
    ) {
        room.resize((out.rows * out.cols).max(room.len()), 0.0);
        let room = &mut room[..out.rows * out.cols];
        compute(&mut MatrixMut::dense(room, out.rows, out.cols));
        for (row, values) in room.chunks_exact(out.cols.max(1)).enumerate() {
            precision::convert(out.row(row), values);
        }
    }
}

/// Writes `a · b` to `out`, or adds it to what is there, on the calling thread.
///
/// The result depends on the shapes, the strides and the numbers alone.
pub(crate) fn multiply<T: Factor>(
    out: &mut MatrixMut<'_>,
    accumulate: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    multiply_sum(out, accumulate, &[(a, b)]);
}

/// Writes the sum of the products `a · b` to `out`, or adds it to what is there, on the calling thread. Without terms
/// the sum is zero.
pub(crate) fn multiply_sum<T: Factor>(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, T>]) {
    for (a, b) in terms {
        assert!(
            a.cols == b.rows && out.rows == a.rows && out.cols == b.cols,
            "a product of {}x{} and {}x{} does not give {}x{}",
            a.rows,
            a.cols,
            b.rows,
            b.cols,
            out.rows,
            out.cols
        );
    }
    if out.rows > 0 && out.cols > 0 {
        T::multiply_sum(out, accumulate, terms);
    }
}

/// [`multiply_sum`] of f32 by the `gemm` crate, term by term.
fn one_by_one(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, f32>]) {
    if terms.is_empty() && !accumulate {
        (0..out.rows).for_each(|row| out.row(row).fill(0.0));
    }
    for (index, (a, b)) in terms.iter().enumerate() {
        let accumulate = accumulate || index > 0;
        // SAFETY: `Matrix` has checked that every index stays in its slice, `MatrixMut` owns its elements, the
        // caller has checked that the shapes agree, and strides are lengths within allocations, so they fit in isize.
        unsafe {
            gemm::gemm(
                out.rows,
                out.cols,
                a.cols,
                out.data,
                1,
                out.row_stride as isize,
                accumulate,
                a.data.as_ptr(),
                a.col_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.col_stride as isize,
                b.row_stride as isize,
                if accumulate { 1.0 } else { 0.0 },
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}
