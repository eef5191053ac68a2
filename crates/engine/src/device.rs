//! Where tensors live and operations run: a [`DeviceKind`], how many devices of it are here, and [`open`], which gives one or says why
//! there is none and what to do. Which devices a binary can use was decided when it was built (features `cuda` and `metal`).

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};

/// What kind of device it is. Numbers have the same bits on two devices of a kind only where those are of the same model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's.
    Cuda,
    /// Apple's.
    Metal,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The binary cannot use this kind.
    #[error("this frostline was built without {}", title(*kind))]
    NotBuilt {
        /// The kind.
        kind: DeviceKind,
    },
    /// There is no driver, or none that works.
    #[error("no device of {} can be used: {cause}", title(*kind))]
    NoDriver {
        /// The kind.
        kind: DeviceKind,
        /// What the driver, or the lack of it, says.
        cause: String,
    },
    /// There are fewer.
    #[error("there is no {kind}:{ordinal}: {}", there_are(*kind, *count))]
    TooFew {
        /// The kind.
        kind: DeviceKind,
        /// Which was asked for, counted from 0.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// It is there and does not work.
    #[error("{kind}:{ordinal} cannot be used: {cause}")]
    Broken {
        /// The kind.
        kind: DeviceKind,
        /// Which.
        ordinal: usize,
        /// What it says.
        cause: String,
    },
}

impl DeviceError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::NotBuilt { kind: DeviceKind::Metal } => {
                "build it on a Mac: cargo build --release --features metal; or leave --device metal out".to_owned()
            }
            Self::NotBuilt { kind } => {
                format!("build it with `just cuda`, which needs no GPU (docs/devices.md); or leave --device {kind} out")
            }
            Self::NoDriver { kind: DeviceKind::Cuda, .. } | Self::Broken { kind: DeviceKind::Cuda, .. } => {
                "see whether nvidia-smi lists the GPU, and whether the linker finds libcuda, libcublas and libcurand \
                 (LD_LIBRARY_PATH): docs/devices.md; or leave --device cuda out"
                    .to_owned()
            }
            Self::NoDriver { kind, .. } | Self::Broken { kind, .. } => format!("leave --device {kind} out"),
            Self::TooFew { kind, count: 0, .. } => format!("leave --device {kind} out"),
            Self::TooFew { kind, count: 1, .. } => format!("write --device {kind}:0"),
            Self::TooFew { kind, count, .. } => format!("they are {kind}:0 to {kind}:{}", count - 1),
        }
    }
}

/// A device, which is tried.
///
/// # Errors
/// [`DeviceError`].
pub fn open(kind: DeviceKind, ordinal: usize) -> Result<Device, DeviceError> {
    let count = count(kind)?;
    if ordinal >= count {
        return Err(DeviceError::TooFew { kind, ordinal, count });
    }
    let opened = match kind {
        DeviceKind::Cpu => return Ok(Device::Cpu),
        // One stream for all threads: by default each thread has its own, and what one makes another would read too early.
        DeviceKind::Cuda => Device::new_cuda_with_stream(ordinal),
        DeviceKind::Metal => Device::new_metal(ordinal),
    };
    opened.and_then(tried).map_err(|cause| DeviceError::Broken { kind, ordinal, cause: first_line(&cause) })
}

/// A device that has done a product and a sum: one whose driver cannot run the kernels is found before the first trial.
fn tried(device: Device) -> candle_core::Result<Device> {
    let one = Tensor::ones((1, 1), DType::F32, &device)?;
    one.matmul(&one)?.affine(2.0, 1.0)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(device)
}

/// How many there are of a kind.
///
/// # Errors
/// [`DeviceError::NotBuilt`] and [`DeviceError::NoDriver`].
pub fn count(kind: DeviceKind) -> Result<usize, DeviceError> {
    match kind {
        DeviceKind::Cpu => Ok(1),
        DeviceKind::Cuda => cuda::count(),
        DeviceKind::Metal if cfg!(feature = "metal") => Ok(1),
        DeviceKind::Metal => Err(DeviceError::NotBuilt { kind }),
    }
}

/// What a device is called: `cpu`, or the kind with the name that the driver gives it.
pub fn name(device: &Device) -> String {
    match device {
        Device::Cpu => DeviceKind::Cpu.to_string(),
        Device::Cuda(_) => {
            cuda::name(device).map_or_else(|| "cuda".to_owned(), |name| format!("cuda ({name})"))
        }
        Device::Metal(_) => DeviceKind::Metal.to_string(),
    }
}

/// Bytes of a device's own memory that are free; none of the CPU, and where the driver does not tell.
pub fn free_memory(device: &Device) -> Option<u64> {
    if device.is_cuda() { cuda::free_memory(device) } else { None }
}

#[cfg(feature = "cuda")]
mod cuda {
    //! What the driver says.

    use candle_core::Device;
    use candle_core::cuda_backend::cudarc::driver::sys::CUresult;
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};

    use super::{DeviceError, DeviceKind};

    pub(super) fn count() -> Result<usize, DeviceError> {
        let count = CudaContext::device_count();
        let count =
            count.map_err(|error| DeviceError::NoDriver { kind: DeviceKind::Cuda, cause: cause(error) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn cause(error: DriverError) -> String {
        match error.0 {
            // What scripts/cuda-late.py gives.
            CUresult::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED => {
                "libcuda.so.1, which comes with NVIDIA's driver, was not found".to_owned()
            }
            CUresult::CUDA_ERROR_NO_DEVICE => "the driver sees no GPU".to_owned(),
            _ => error.to_string(),
        }
    }

    pub(super) fn name(device: &Device) -> Option<String> {
        device.as_cuda_device().ok()?.cuda_stream().context().name().ok()
    }

    pub(super) fn free_memory(device: &Device) -> Option<u64> {
        let (free, _) = device.as_cuda_device().ok()?.cuda_stream().context().mem_get_info().ok()?;
        Some(free as u64)
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    //! A binary without CUDA.

    use candle_core::Device;

    use super::{DeviceError, DeviceKind};

    pub(super) fn count() -> Result<usize, DeviceError> {
        Err(DeviceError::NotBuilt { kind: DeviceKind::Cuda })
    }

    pub(super) fn name(_: &Device) -> Option<String> {
        None
    }

    pub(super) fn free_memory(_: &Device) -> Option<u64> {
        None
    }
}

/// Of an error that brings a backtrace along.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn title(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "the CPU",
        DeviceKind::Cuda => "CUDA",
        DeviceKind::Metal => "Metal",
    }
}

fn there_are(kind: DeviceKind, count: usize) -> String {
    match count {
        0 => format!("there is no device of {}", title(kind)),
        1 => "there is one".to_owned(),
        count => format!("there are {count}"),
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        })
    }
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Cpu, Self::Cuda, Self::Metal];
        let found = all.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| format!("unknown device `{text}`; one of cpu, cuda, metal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_is_one() {
        assert!(open(DeviceKind::Cpu, 0).unwrap().is_cpu());
        assert_eq!((name(&Device::Cpu), free_memory(&Device::Cpu)), ("cpu".to_owned(), None));
        let error = open(DeviceKind::Cpu, 1).unwrap_err();
        assert_eq!(error.to_string(), "there is no cpu:1: there is one");
        assert_eq!(error.help(), "write --device cpu:0");
    }

    #[test]
    fn a_device_that_is_not_there_is_named_with_those_that_are() {
        let error = |count| DeviceError::TooFew { kind: DeviceKind::Cuda, ordinal: 7, count };
        assert_eq!(error(4).to_string(), "there is no cuda:7: there are 4");
        assert_eq!(error(4).help(), "they are cuda:0 to cuda:3");
        assert_eq!(error(0).to_string(), "there is no cuda:7: there is no device of CUDA");
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn what_was_not_built_in_says_how_to_build_it() {
        for (kind, title, advice) in
            [(DeviceKind::Cuda, "CUDA", "just cuda"), (DeviceKind::Metal, "Metal", "--features metal")]
        {
            let error = open(kind, 0).unwrap_err();
            assert_eq!(error.to_string(), format!("this frostline was built without {title}"));
            assert!(error.help().contains(advice), "{}", error.help());
        }
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in [DeviceKind::Cpu, DeviceKind::Cuda, DeviceKind::Metal] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("gpu".parse::<DeviceKind>().unwrap_err().contains("cpu, cuda, metal"));
    }
}
