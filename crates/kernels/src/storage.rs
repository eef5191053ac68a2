//! Tensors as slices, and slices as tensors.
//!
//! [`Values`] has the numbers of a contiguous tensor on the CPU, f32 or bf16, and [`tensor`] wraps a vector that an operation has
//! filled. An operation is written once for any [`Number`], and [`by_number`] chooses. Nothing here touches other devices.

use std::marker::PhantomData;
use std::ops::{Deref, Range};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use half::bf16;

use crate::precision::{Number, converted};
use crate::{tape, unit};

/// Runs code with a type `$number` that is `bf16` where `$half` holds, and `f32` elsewhere.
macro_rules! by_number {
    ($half:expr, $number:ident => $body:expr) => {
        if $half {
            type $number = half::bf16;
            $body
        } else {
            type $number = f32;
            $body
        }
    };
}
pub(crate) use by_number;

/// The numbers of a contiguous tensor that lives on the CPU, f32 or bf16.
pub(crate) struct Values<'a, T = f32> {
    storage: StorageRef<'a>,
    range: Range<usize>,
    kind: PhantomData<T>,
}

impl<'a, T: Number> Values<'a, T> {
    /// The numbers of `tensor`; anything but contiguous ones of `T` on the CPU is an error.
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let range = match &*storage {
            Storage::Cpu(values) => {
                slice::<T>(values, layout)?;
                layout.start_offset()..layout.start_offset() + layout.shape().elem_count()
            }
            _ => bail!("a CPU operation was given a tensor on {:?}", tensor.device().location()),
        };
        Ok(Self { storage, range, kind: PhantomData })
    }
}

impl<T: Number> Deref for Values<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.storage {
            Storage::Cpu(values) => {
                T::cpu_storage_as_slice(values).map_or(&[], |values| &values[self.range.clone()])
            }
            _ => &[],
        }
    }
}

/// The numbers of a contiguous tensor in single precision: a copy where they are not f32. For what is small.
pub(crate) fn singles(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.contiguous()?;
    by_number!(is_half(&tensor), T => Ok(converted::<T, f32>(&Values::of(&tensor)?)))
}

/// The numbers that `layout` selects from `storage`, for the forward pass of a custom operation.
pub(crate) fn slice<'a, T: Number>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a CPU operation was given a tensor that is not contiguous");
    };
    match T::cpu_storage_as_slice(storage) {
        Ok(values) => Ok(&values[start..end]),
        Err(_) => bail!(
            "a CPU operation on {:?} was given a tensor of {:?}; convert it first",
            T::DTYPE,
            storage.dtype()
        ),
    }
}

/// The numbers of an f32 tensor, to be updated in place.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("only a contiguous f32 tensor can be updated in place"),
    }
}

/// A tensor on the CPU around numbers that are already computed.
pub(crate) fn tensor<T: Number, S: Into<Shape>>(values: Vec<T>, shape: S) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// Whether a tensor is kept in bf16.
pub(crate) fn is_half(tensor: &Tensor) -> bool {
    tensor.dtype() == DType::BF16
}

/// Whether an operation runs in this crate's own code; otherwise it is composed from candle's.
pub(crate) fn runs_here(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::BF16) && !unit::composes_all()
}

/// The same numbers as bf16, or as f32. Differentiable; a tensor that is so already is given back.
///
/// # Errors
/// When the tensor is of another type, or on another device, that cannot be converted.
pub fn keep_as(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    if !runs_here(x) || !matches!(dtype, DType::F32 | DType::BF16) {
        return x.to_dtype(dtype);
    }
    let y = convert(&x.contiguous()?, dtype)?;
    tape::note(&[x], &y, Converted);
    Ok(y)
}

/// As [`keep_as`], off the tape: a contiguous tensor on the CPU.
fn convert(x: &Tensor, dtype: DType) -> Result<Tensor> {
    match (x.dtype(), dtype) {
        (DType::F32, DType::BF16) => tensor(converted::<f32, bf16>(&Values::of(x)?), x.shape()),
        (DType::BF16, DType::F32) => tensor(converted::<bf16, f32>(&Values::of(x)?), x.shape()),
        _ => Ok(x.clone()),
    }
}

/// A gradient as it is gone on with: contiguous, and kept as its tensor is.
pub(crate) fn like(dy: &Tensor, tensor: &Tensor) -> Result<Tensor> {
    convert(&dy.contiguous()?, tensor.dtype())
}

/// A conversion on the tape.
struct Converted;

impl tape::Backward for Converted {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<crate::Gradient>>> {
        Ok(vec![Some(like(dy, &inputs[0])?.into())])
    }
}
