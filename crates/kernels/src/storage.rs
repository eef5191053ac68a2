//! Tensors as slices, and slices as tensors.
//!
//! [`Values`] borrows the numbers of a contiguous f32 tensor on the CPU; [`tensor`] wraps a vector that an
//! operation has filled. Nothing here copies, and nothing here touches other devices.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// The numbers of a contiguous f32 tensor that lives on the CPU.
pub(crate) struct Values<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Values<'a> {
    /// Borrows the numbers of `tensor`; anything but contiguous f32 on the CPU is an error.
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let length = match &*storage {
            Storage::Cpu(values) => slice(values, layout)?.len(),
            _ => bail!("a CPU operation was given a tensor on {:?}", tensor.device().location()),
        };
        let start = layout.start_offset();
        Ok(Self { storage, range: start..start + length })
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

/// The numbers that `layout` selects from `storage`, for the forward pass of a custom operation.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a CPU operation was given a tensor that is not contiguous"),
        (other, _) => bail!(
            "CPU operations work on f32, not {:?}; convert the tensor first",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    }
}

/// The same as [`slice`], to be updated in place.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("only a contiguous f32 tensor can be updated in place"),
    }
}

/// A tensor on the CPU around numbers that are already computed.
pub(crate) fn tensor<S: Into<Shape>>(values: Vec<f32>, shape: S) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// Whether an operation runs in this crate's own code; otherwise it is composed from candle's.
pub(crate) fn runs_here(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}
