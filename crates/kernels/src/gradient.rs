//! The gradient of a variable, whole or as the two factors that give it.
//!
//! The weights of a linear layer have the gradient `xᵀ · dy`, which is as large as the weights and far larger than its
//! factors. [`Gradient`] keeps the factors, and an update multiplies them out block by block where it needs the numbers:
//! the whole is never written to memory and read back.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::gemm::{Factor, Matrix, MatrixMut, multiply};
use crate::storage::{self, Values, by_number};
use crate::tasks;

/// The gradient of one variable, in its shape.
#[derive(Clone, Debug)]
pub struct Gradient(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Whole(Tensor),
    /// `leftᵀ · right` of `[N, rows]` and `[N, cols]`, contiguous on the CPU, f32 or bf16 alike.
    Product {
        left: Tensor,
        right: Tensor,
    },
}

impl From<Tensor> for Gradient {
    fn from(tensor: Tensor) -> Self {
        Self(Kept::Whole(tensor))
    }
}

impl Gradient {
    /// `leftᵀ · right` of `[N, rows]` and `[N, cols]`, both contiguous on the CPU, f32 or bf16 alike.
    pub(crate) fn product(left: Tensor, right: Tensor) -> Self {
        Self(Kept::Product { left, right })
    }

    /// Its shape, which is that of the variable.
    pub fn dims(&self) -> Vec<usize> {
        match &self.0 {
            Kept::Whole(tensor) => tensor.dims().to_vec(),
            Kept::Product { left, right } => {
                left.dims()[1..].iter().chain(&right.dims()[1..]).copied().collect()
            }
        }
    }

    /// All its numbers.
    ///
    /// # Errors
    /// When the product of the factors fails.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.0 {
            Kept::Whole(tensor) => Ok(tensor.clone()),
            Kept::Product { .. } => {
                let dims = self.dims();
                let mut whole = tasks::zeros(dims.iter().product());
                self.with_blocks([&mut whole], |[whole], block| whole.copy_from_slice(block))?;
                storage::tensor(whole, dims)
            }
        }
    }

    /// Goes through all numbers in blocks, on all threads: `update` gets a block and the same part of each array. The
    /// arrays have as many values as the gradient, which lives on the CPU.
    pub(crate) fn with_blocks<const K: usize>(
        &self,
        arrays: [&mut [f32]; K],
        update: impl Fn([&mut [f32]; K], &[f32]) + Sync,
    ) -> Result<()> {
        match &self.0 {
            Kept::Whole(tensor) => {
                let tensor = tensor.contiguous()?;
                let values = Values::<f32>::of(&tensor)?;
                let blocks =
                    split(arrays, tasks::VALUES).into_par_iter().zip(values.par_chunks(tasks::VALUES));
                blocks.for_each(|(arrays, block)| update(arrays, block));
            }
            Kept::Product { left, right } => {
                let ((n, rows), cols) = (left.dims2()?, right.dim(1)?);
                by_number!(storage::is_half(left), T => {
                    let (left, right) = (Values::<T>::of(left)?, Values::<T>::of(right)?);
                    let left = Matrix::dense(&left, n, rows).transposed();
                    multiply_blocks(left, Matrix::dense(&right, n, cols), (rows, cols), arrays, update);
                });
            }
        }
        Ok(())
    }
}

/// Columns of a block of a product: four thousand bytes of each array run on.
const COLUMNS: usize = 1024;

/// Parts of a task's rows: what is read of the right factor for one serves the others from the cache.
const PARTS: usize = 4;

fn multiply_blocks<T: Factor, const K: usize>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    (rows, cols): (usize, usize),
    arrays: [&mut [f32]; K],
    update: impl Fn([&mut [f32]; K], &[f32]) + Sync,
) {
    let width = cols.clamp(1, COLUMNS);
    let height = (tasks::VALUES / width).next_multiple_of(8);
    let per_task = height * PARTS;
    split(arrays, per_task * cols.max(1)).into_par_iter().enumerate().for_each_init(
        Vec::new,
        |block, (task, mut arrays)| {
            let rows = task * per_task..rows.min((task + 1) * per_task);
            for columns in tasks::blocks(cols, width) {
                for part in tasks::blocks(rows.len(), height) {
                    block.resize(part.len() * columns.len(), 0.0);
                    let left = left.rows(rows.start + part.start..rows.start + part.end);
                    let mut out = MatrixMut::dense(block, part.len(), columns.len());
                    multiply(&mut out, false, left, right.cols(columns.clone()));
                    if columns.len() == cols {
                        update(
                            arrays.each_mut().map(|array| &mut array[part.start * cols..part.end * cols]),
                            block,
                        );
                        continue;
                    }
                    for (row, block) in part.zip(block.chunks_exact(columns.len())) {
                        let place = row * cols + columns.start..row * cols + columns.end;
                        update(arrays.each_mut().map(|array| &mut array[place.clone()]), block);
                    }
                }
            }
        },
    );
}

/// Parts of `size` values of all arrays together.
fn split<const K: usize>(arrays: [&mut [f32]; K], size: usize) -> Vec<[&mut [f32]; K]> {
    let mut rest = arrays;
    let mut parts = Vec::new();
    while rest.iter().any(|array| !array.is_empty()) {
        let cut = rest.map(|array| array.split_at_mut(size.min(array.len())));
        let mut heads = Vec::with_capacity(K);
        rest = cut.map(|(head, tail)| {
            heads.push(head);
            tail
        });
        parts.extend(<[&mut [f32]; K]>::try_from(heads));
    }
    parts
}
