//! The factors of products and where they are written: [`Matrix`] to read, with any strides, and [`MatrixMut`] to write.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::precision::Number;

/// A matrix to read: `rows × cols` with element `(i, j)` at `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T = f32> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
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
    pub(super) fn of<U>(self, data: &[U]) -> Matrix<'_, U> {
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
    pub(super) data: *mut T,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a view owns its elements exclusively (the type's invariant), as a `&mut [T]` does.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}

impl<'a, T> MatrixMut<'a, T> {
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

    /// All values, where no other columns lie between the rows.
    pub(crate) fn dense_values(&mut self) -> Option<&mut [T]> {
        // SAFETY: rows that follow one another without a gap are all inside the view, as one row is.
        let values = || unsafe { std::slice::from_raw_parts_mut(self.data, self.rows * self.cols) };
        (self.row_stride == self.cols).then(values)
    }

    /// One row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row is inside the view, which owns its elements for as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.cols) }
    }
}

impl<'a, T: Number> MatrixMut<'a, MaybeUninit<T>> {
    /// The same part of memory, with zeros.
    pub(super) fn cleared(mut self) -> MatrixMut<'a, T> {
        (0..self.rows).for_each(|row| self.row(row).fill(MaybeUninit::new(T::default())));
        let Self { data, rows, cols, row_stride, lifetime: _ } = self;
        MatrixMut { data: data.cast(), rows, cols, row_stride, lifetime: PhantomData }
    }
}

/// A product to be added.
pub(crate) type Term<'a, T> = (Matrix<'a, T>, Matrix<'a, T>);
