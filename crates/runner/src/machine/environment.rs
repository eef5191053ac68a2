//! Where this process runs: [`environment`] looks at the machine and the binary.

use frostline_results::{Build, Environment};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Looks at the machine. `threads` and `device` are what the sweep computes with.
pub fn environment(threads: usize, device: &str) -> Environment {
    let system = System::new_with_specifics(
        RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram()),
    )
    .ok();
    let cpu = system.as_ref().and_then(|system| system.cpus().first());
    let name = System::long_os_version().or_else(|_| System::name()).unwrap_or_default();
    let kernel = System::kernel_version().unwrap_or_default();
    Environment {
        processor: cpu.map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        physical_cores: System::physical_core_count().unwrap_or(0),
        logical_cores: std::thread::available_parallelism().map_or(0, usize::from),
        threads,
        device: device.to_owned(),
        features: features(),
        memory_bytes: system.as_ref().map_or(0, System::total_memory),
        system: format!("{name}, kernel {kernel}"),
        build: build(),
    }
}

/// How the running binary was made.
pub fn build() -> Build {
    Build {
        frostline: env!("CARGO_PKG_VERSION").to_owned(),
        revision: Some(env!("FROSTLINE_REVISION")).filter(|r| !r.is_empty()).map(str::to_owned),
        rustc: env!("FROSTLINE_RUSTC_VERSION").trim_start_matches("rustc ").to_owned(),
        rustflags: env!("FROSTLINE_RUSTFLAGS").to_owned(),
        profile: env!("FROSTLINE_PROFILE").to_owned(),
        target: env!("FROSTLINE_TARGET").to_owned(),
        target_features: env!("FROSTLINE_TARGET_FEATURES").to_owned(),
        candle: env!("FROSTLINE_CANDLE_VERSION").to_owned(),
        gemm: env!("FROSTLINE_GEMM_VERSION").to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<String> {
    macro_rules! present {
        ($($name:tt),*) => { [$(($name, std::is_x86_feature_detected!($name))),*] };
    }
    named(&present!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16"
    ))
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<String> {
    macro_rules! present {
        ($($name:tt),*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    named(&present!("neon", "fp16", "dotprod", "bf16", "i8mm", "sve", "sve2"))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<String> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn named(present: &[(&str, bool)]) -> Vec<String> {
    present.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described_and_its_id_follows_the_description() {
        let two = environment(2, "cpu");
        assert!(two.logical_cores > 0 && two.memory_bytes > 0, "{two:?}");
        assert!(!two.build.rustc.is_empty() && !two.build.profile.is_empty());
        assert_eq!(two.id().len(), 12);
        assert_eq!(two.id(), environment(2, "cpu").id());
        assert_ne!(two.id(), environment(1, "cpu").id());
    }
}
