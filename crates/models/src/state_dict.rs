//! Weights by name: [`StateDict`], in torchvision's names and shapes, read from and written to safetensors files
//! alone. [`read_header`] looks at names and shapes only. Whether they fit a model is `load.rs`'s question.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::ModelError;

/// Tensors by torchvision's names, sorted: F32 for parameters and statistics, I64 for `num_batches_tracked`.
#[derive(Clone, Debug)]
pub struct StateDict {
    origin: String,
    tensors: BTreeMap<String, Tensor>,
}

impl StateDict {
    /// An empty one; `origin` is what error messages call it, for instance a path.
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), tensors: BTreeMap::new() }
    }

    /// Where it comes from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Writes a safetensors file; it appears whole or not at all, in place of one that was there.
    ///
    /// # Errors
    /// [`ModelError::File`] where the file cannot be written; [`ModelError::Tensor`] where a tensor cannot be read.
    pub fn save_safetensors(&self, path: &Path) -> Result<(), ModelError> {
        let views = self.tensors.iter().map(|(name, tensor)| Ok((name, Stored::new(tensor)?)));
        let views = views.collect::<candle_core::Result<Vec<_>>>()?;
        safetensors::serialize_to_file(views, None, path).map_err(|error| {
            file_error(path, format!("cannot be written: {error}"), "check the folder and free space")
        })
    }
}

impl StateDict {
    /// The bytes of a safetensors file.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] where a tensor cannot be read.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, ModelError> {
        let views = self.tensors.iter().map(|(name, tensor)| Ok((name, Stored::new(tensor)?)));
        let views = views.collect::<candle_core::Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(|error| {
            ModelError::Input(format!("the tensors of {} make no safetensors file: {error}", self.origin))
        })
    }
}

/// A tensor as little-endian bytes.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(tensor: &Tensor) -> candle_core::Result<Self> {
        let flat = tensor.flatten_all()?;
        let mut bytes = Vec::with_capacity(tensor.elem_count() * 4);
        let dtype = if tensor.dtype() == DType::I64 {
            flat.to_vec1::<i64>()?.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
            Dtype::I64
        } else {
            let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
            Dtype::F32
        };
        Ok(Self { dtype, shape: tensor.dims().to_vec(), bytes })
    }
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        std::borrow::Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads every tensor of a safetensors file; F32, F64, F16 and BF16 become F32, I64 stays, and a `num_batches_tracked` of any type of
/// number becomes an I64 without dimensions.
///
/// # Errors
/// [`ModelError::File`] for a file that is missing, cut short, too long, corrupt, not safetensors at all, or that has a
/// tensor of another type.
pub fn read_safetensors(path: &Path) -> Result<StateDict, ModelError> {
    let Opened { mut reader, data_start, header } = open(path)?;
    let unreadable = |error: std::io::Error| {
        file_error(path, format!("cannot be read: {error}"), "check the file and its permissions")
    };
    reader.seek(SeekFrom::Start(data_start)).map_err(unreadable)?;
    let mut dict = StateDict::new(path.display().to_string());
    let mut bytes = Vec::new();
    for (name, info) in header {
        let dtype = supported(path, &name, info.dtype)?;
        let shape = shape_of(&name, &info);
        // The header was checked: tensors lie without gaps in the order of their offsets.
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        reader.read_exact(&mut bytes).map_err(unreadable)?;
        if counts_batches(&name) && shape.is_empty() {
            dict.insert(name, Tensor::new(number(&bytes, info.dtype, dtype)?, &Device::Cpu)?);
            continue;
        }
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu)?;
        let tensor = if dtype == DType::I64 { tensor } else { tensor.to_dtype(DType::F32)? };
        dict.insert(name, tensor);
    }
    Ok(dict)
}

/// Names and shapes of a safetensors file, in the order of the file; no tensor is read.
///
/// # Errors
/// As [`read_safetensors`].
pub fn read_header(path: &Path) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
    let header = open(path)?.header;
    header
        .into_iter()
        .map(|(name, info)| {
            supported(path, &name, info.dtype)?;
            let shape = shape_of(&name, &info);
            Ok((name, shape))
        })
        .collect()
}

struct Opened {
    reader: BufReader<File>,
    data_start: u64,
    /// In the order of the offsets.
    header: Vec<(String, TensorInfo)>,
}

const REFETCH: &str = "delete it, then fetch or export it again";
const SAFETENSORS_ONLY: &str =
    "Frostline reads safetensors alone; convert a PyTorch file with safetensors.torch.save_file";
/// The longest header that the safetensors format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Opens a file and checks that header and length agree.
fn open(path: &Path) -> Result<Opened, ModelError> {
    let unreadable =
        |error: std::io::Error| file_error(path, format!("cannot be read: {error}"), "check the path");
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);

    let mut start = Vec::new();
    reader.by_ref().take(8).read_to_end(&mut start).map_err(unreadable)?;
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"\x80\x02") {
        return Err(file_error(
            path,
            "is a PyTorch pickle, not a safetensors file".to_owned(),
            SAFETENSORS_ONLY,
        ));
    }
    let Ok(prefix) = <[u8; 8]>::try_from(start.as_slice()) else {
        return Err(file_error(path, format!("has {length} bytes, too few for a safetensors file"), REFETCH));
    };
    let header_length = u64::from_le_bytes(prefix);
    if header_length > LONGEST_HEADER {
        return Err(file_error(
            path,
            "is not a safetensors file, or is corrupt".to_owned(),
            SAFETENSORS_ONLY,
        ));
    }
    let data_start = 8 + header_length;
    if data_start > length {
        let problem = format!("is cut short: its header alone takes {data_start} bytes, {length} are there");
        return Err(file_error(path, problem, REFETCH));
    }
    let mut text = Vec::new();
    reader.by_ref().take(header_length).read_to_end(&mut text).map_err(unreadable)?;
    // Deserialising checks too that offsets have no gaps and sizes fit shape and type.
    let header: Metadata = serde_json::from_slice(&text)
        .map_err(|error| file_error(path, format!("has a corrupt header ({error})"), REFETCH))?;

    let whole = data_start + header.data_len() as u64;
    if whole != length {
        let state = if length < whole { "is cut short" } else { "is too long" };
        let problem = format!("{state}: its header promises {whole} bytes in all, {length} are there");
        return Err(file_error(path, problem, REFETCH));
    }
    let tensors = header.offset_keys().into_iter().filter_map(|name| {
        let info = header.info(&name)?.clone();
        Some((name, info))
    });
    Ok(Opened { reader, data_start, header: tensors.collect() })
}

/// Whether a tensor is a BatchNorm's count of batches.
fn counts_batches(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// A count of batches has no dimensions, however it is stored.
fn shape_of(name: &str, info: &TensorInfo) -> Vec<usize> {
    if counts_batches(name) && info.shape == [1] { Vec::new() } else { info.shape.clone() }
}

/// The one number that these little-endian bytes are.
fn number(bytes: &[u8], stored: Dtype, dtype: DType) -> candle_core::Result<i64> {
    let mut wide = [0u8; 8];
    let count = bytes.len().min(8);
    wide[..count].copy_from_slice(&bytes[..count]);
    let signed = |bits: u32| i64::from_le_bytes(wide) << (64 - bits) >> (64 - bits);
    Ok(match stored {
        Dtype::BOOL | Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 | Dtype::I64 => {
            i64::from_le_bytes(wide)
        }
        Dtype::I8 => signed(8),
        Dtype::I16 => signed(16),
        Dtype::I32 => signed(32),
        _ => {
            let value = Tensor::from_raw_buffer(bytes, dtype, &[], &Device::Cpu)?.to_dtype(DType::F64)?;
            value.to_scalar::<f64>()? as i64
        }
    })
}

fn supported(path: &Path, name: &str, dtype: Dtype) -> Result<DType, ModelError> {
    match dtype {
        Dtype::F32 => Ok(DType::F32),
        Dtype::F64 => Ok(DType::F64),
        Dtype::F16 => Ok(DType::F16),
        Dtype::BF16 => Ok(DType::BF16),
        Dtype::I64 => Ok(DType::I64),
        Dtype::BOOL
        | Dtype::U8
        | Dtype::I8
        | Dtype::U16
        | Dtype::I16
        | Dtype::U32
        | Dtype::I32
        | Dtype::U64
            if counts_batches(name) =>
        {
            Ok(DType::I64)
        }
        other => {
            let problem = format!("has {name} in {other:?}");
            Err(file_error(path, problem, "store tensors as F32, F64, F16 or BF16"))
        }
    }
}

pub(crate) fn file_error(path: &Path, problem: String, advice: &'static str) -> ModelError {
    ModelError::File { path: PathBuf::from(path), problem, advice }
}
