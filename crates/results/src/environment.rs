//! Where trials ran: [`Environment`], stored with the results and printed in the report. It holds nothing that names
//! a person or a machine.

use frostline_text::id;
use serde::{Deserialize, Serialize};

/// The machine, the system and the binary. What the system does not tell is empty or zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// The processor's name as its maker gives it.
    pub processor: String,
    /// The architecture, for instance `x86_64`.
    pub architecture: String,
    /// Cores; zero where the system does not tell.
    pub physical_cores: usize,
    /// Threads that the processor runs at once and this process may use.
    pub logical_cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Where tensors live: `cpu`, `metal`, `cuda (NVIDIA A100)`; several where the trials ask for several.
    pub device: String,
    /// Vector instructions that this processor has.
    pub features: Vec<String>,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// The operating system and its kernel.
    pub system: String,
    /// How the binary was made.
    pub build: Build,
}

/// How a `frostline` binary was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Build {
    /// Frostline's version.
    pub frostline: String,
    /// The commit it was built from; none outside a git repository.
    pub revision: Option<String>,
    /// The compiler's version.
    pub rustc: String,
    /// `RUSTFLAGS`; some of candle's vector code is chosen by them.
    pub rustflags: String,
    /// `release` or `debug`.
    pub profile: String,
    /// The target triple.
    pub target: String,
    /// Vector instructions that the compiler was allowed to assume.
    pub target_features: String,
    /// candle's version.
    pub candle: String,
    /// The version of gemm, which multiplies matrices.
    pub gemm: String,
}

impl Environment {
    /// A name for this environment: the first 12 hex digits of the SHA-256 over all of it.
    pub fn id(&self) -> String {
        // Numbers and texts only, which JSON can always hold.
        id(&serde_json::to_string(self).unwrap_or_default())
    }
}
