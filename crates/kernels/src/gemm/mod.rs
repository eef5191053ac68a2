//! Matrix products on one thread: the only unsafe module.
//!
//! [`multiply_sum`] adds up the products of a list of terms, which is what a convolution is; [`multiply`] is the sum of
//! one. Both are safe, bounds-checked fronts: for our own kernel where the processor has AVX-512 or AVX2, and for the `gemm`
//! crate elsewhere, which has NEON and portable code. They read [`Matrix`] views of f32 or bf16 (`half`) with any strides and write
//! a [`MatrixMut`] of f32, whose rows are contiguous and which can be split into column blocks that different threads own. They
//! never start a thread: the same product of f32 gives the same bits wherever it runs, on all processors that our own kernel
//! serves, and how work is split is decided by `tasks`.
#![expect(
    unsafe_code,
    reason = "products go through raw pointers, ours and the gemm crate's; every view is checked here"
)]

#[cfg(target_arch = "x86_64")]
mod half;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;
use std::ops::Range;

use ::half::bf16;

use crate::precision::{self, Number, converted};

/// A matrix to read: `rows × cols` with element `(i, j)` at `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T = f32> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Number> Matrix<'a, T> {
    /// A row-major matrix that fills `data`.
    pub(crate) fn dense(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix with contiguous rows that start `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(row_stride >= cols, "rows of {cols} values overlap at a stride of {row_stride}");
        if rows > 0 && cols > 0 {
            let end = (rows - 1) * row_stride + cols;
            assert!(end <= data.len(), "a {rows}x{cols} matrix leaves its {} values", data.len());
        }
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The same matrix with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The same view of other data.
    fn of<U>(self, data: &[U]) -> Matrix<'_, U> {
        Matrix {
            data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
        }
    }

    /// Some of the rows.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let skipped = if range.is_empty() || self.cols == 0 { 0 } else { range.start * self.row_stride };
        Self { data: &self.data[skipped..], rows: range.len(), ..self }
    }

    /// Some of the columns.
    pub(crate) fn cols(self, range: Range<usize>) -> Self {
        self.transposed().rows(range).transposed()
    }
}

/// A matrix to write: contiguous rows, `row_stride` apart.
///
/// Invariant: `data` is valid for reads and writes at `i·row_stride + j` for every `i < rows`, `j < cols`
/// as long as `'a` lives, and no other view reaches these elements meanwhile.
pub(crate) struct MatrixMut<'a, T = f32> {
    data: *mut T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a view owns its elements exclusively (the type's invariant), as a `&mut [T]` does.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}

impl<'a, T: Number> MatrixMut<'a, T> {
    /// A row-major matrix that fills `data`.
    pub(crate) fn dense(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix does not fill its values");
        Self { data: data.as_mut_ptr(), rows, cols, row_stride: cols, lifetime: PhantomData }
    }

    /// The number of rows.
    pub(crate) fn height(&self) -> usize {
        self.rows
    }

    /// Splits into blocks of `width` columns (the last may be narrower), each owned by itself.
    pub(crate) fn column_blocks(self, width: usize) -> Vec<Self> {
        assert!(width > 0, "a column block needs a column");
        let starts = (0..self.cols).step_by(width);
        starts
            .map(|start| Self {
                // `wrapping_add` as a matrix without rows may have no element at `start`.
                data: self.data.wrapping_add(start),
                rows: self.rows,
                cols: width.min(self.cols - start),
                row_stride: self.row_stride,
                lifetime: PhantomData,
            })
            .collect()
    }

    /// Some of the rows, for as long as `self` is borrowed.
    pub(crate) fn rows(&mut self, range: Range<usize>) -> MatrixMut<'_, T> {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        MatrixMut {
            data: self.data.wrapping_add(range.start * self.row_stride),
            rows: range.len(),
            cols: self.cols,
            row_stride: self.row_stride,
            lifetime: PhantomData,
        }
    }

    /// One row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row is inside the view, which owns its elements for as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.cols) }
    }
}

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

/// A product to be added.
pub(crate) type Term<'a, T> = (Matrix<'a, T>, Matrix<'a, T>);

impl Factor for f32 {
    fn multiply_sum(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, Self>]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(panels) = x86::best().filter(|_| terms.iter().all(|(_, b)| tile::takes(b))) {
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
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = x86::best_half().filter(|_| terms.iter().all(|(_, b)| tile::takes(b))) {
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
