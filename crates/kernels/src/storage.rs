//! Tensors as slices, and slices as tensors.
//!
//! [`Values`] has the numbers of a contiguous tensor on the CPU in single precision: borrowed where it is f32, widened where
//! it is bf16; [`tensor`] wraps a vector that an operation has filled, [`tensor_like`] keeps it as another tensor is kept.
//! Nothing here touches other devices.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

use crate::{precision, tape};

/// The numbers of a contiguous tensor that lives on the CPU, f32 or bf16.
pub(crate) struct Values<'a>(Held<'a>);

enum Held<'a> {
    Here { storage: StorageRef<'a>, range: Range<usize> },
    Widened(Vec<f32>),
}

impl<'a> Values<'a> {
    /// The numbers of `tensor`; anything but contiguous f32 or bf16 on the CPU is an error.
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let length = match &*storage {
            Storage::Cpu(values) => match slice(values, layout)? {
                Cow::Borrowed(values) => values.len(),
                Cow::Owned(widened) => return Ok(Self(Held::Widened(widened))),
            },
            _ => bail!("a CPU operation was given a tensor on {:?}", tensor.device().location()),
        };
        let start = layout.start_offset();
        Ok(Self(Held::Here { storage, range: start..start + length }))
    }

    /// The numbers of a parameter as a factor of a product with `x`: rounded to bf16 where that is bf16.
    pub(crate) fn factor(parameter: &'a Tensor, x: &Tensor) -> Result<Self> {
        let values = Self::of(parameter)?;
        if !is_half(x) {
            return Ok(values);
        }
        let mut rounded = values.to_vec();
        precision::round(&mut rounded);
        Ok(Self(Held::Widened(rounded)))
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Held::Widened(values) => values,
            Held::Here { storage, range } => match &**storage {
                Storage::Cpu(CpuStorage::F32(values)) => &values[range.clone()],
                _ => &[],
            },
        }
    }
}

/// The numbers that `layout` selects from `storage`, for the forward pass of a custom operation.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a CPU operation was given a tensor that is not contiguous");
    };
    match storage {
        CpuStorage::F32(values) => Ok(Cow::Borrowed(&values[start..end])),
        CpuStorage::BF16(values) => Ok(Cow::Owned(precision::widen(&values[start..end]))),
        other => {
            bail!("CPU operations work on f32 and bf16, not {:?}; convert the tensor first", other.dtype())
        }
    }
}

/// The numbers of an f32 tensor, to be updated in place.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("only a contiguous f32 tensor can be updated in place"),
    }
}

/// Numbers that are already computed, kept as `like` is.
pub(crate) fn stored(values: Vec<f32>, like: &CpuStorage) -> CpuStorage {
    match like {
        CpuStorage::BF16(_) => CpuStorage::BF16(precision::narrow(&values)),
        _ => CpuStorage::F32(values),
    }
}

/// A tensor of f32 on the CPU around numbers that are already computed.
pub(crate) fn tensor<S: Into<Shape>>(values: Vec<f32>, shape: S) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// The same, kept as `like` is.
pub(crate) fn tensor_like<S: Into<Shape>>(values: Vec<f32>, shape: S, like: &Tensor) -> Result<Tensor> {
    match is_half(like) {
        true => Tensor::from_vec(precision::narrow(&values), shape.into(), &Device::Cpu),
        false => tensor(values, shape),
    }
}

/// Whether a tensor is kept in bf16.
pub(crate) fn is_half(tensor: &Tensor) -> bool {
    tensor.dtype() == DType::BF16
}

/// Whether an operation runs in this crate's own code; otherwise it is composed from candle's.
pub(crate) fn runs_here(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::BF16)
}

/// The same numbers as bf16, or as f32. Differentiable; a tensor that is so already is given back.
///
/// # Errors
/// When the tensor is of another type, or on another device, that cannot be converted.
pub fn keep_as(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let y = match runs_here(x) {
        true if dtype == DType::BF16 => {
            Tensor::from_vec(precision::narrow(&Values::of(x)?), x.shape(), &Device::Cpu)?
        }
        true => tensor(Values::of(x)?.to_vec(), x.shape())?,
        false => return x.to_dtype(dtype),
    };
    tape::note(&[x], &y, Converted);
    Ok(y)
}

/// A conversion on the tape.
struct Converted;

impl tape::Backward for Converted {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<crate::Gradient>>> {
        let dy = dy.contiguous()?;
        Ok(vec![Some(tensor_like(Values::of(&dy)?.to_vec(), dy.shape(), &inputs[0])?.into())])
    }
}
