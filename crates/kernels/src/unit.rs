//! What operations on the CPU run on: the widest vector unit that the processor has, unless [`keep_to_avx2`] was called, or candle's
//! operations as on another device, after [`compose_all`].

use std::sync::atomic::{AtomicBool, Ordering};

static AVX2: AtomicBool = AtomicBool::new(false);
static COMPOSED: AtomicBool = AtomicBool::new(false);

/// Has this process compose every operation on the CPU from candle's from now on, as on other devices; or no longer. For checks: what was
/// made before, such as an optimizer's state, does not go with what is made after.
pub fn compose_all(composed: bool) {
    COMPOSED.store(composed, Ordering::Relaxed);
}

/// Whether the CPU is treated as another device.
pub(crate) fn composes_all() -> bool {
    COMPOSED.load(Ordering::Relaxed)
}

/// Keeps this crate's operations to AVX2 in this process, as on a processor without AVX-512. For measurements: results in
/// f32 have the same bits, those in bf16 are rounded otherwise where the processor has AVX512-BF16, and nothing changes where there is
/// no AVX-512.
pub fn keep_to_avx2() {
    AVX2.store(true, Ordering::Relaxed);
}

/// Whether AVX-512 is to be left alone.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_kept_to_avx2() -> bool {
    AVX2.load(Ordering::Relaxed)
}

/// The unit of elementwise loops.
pub(crate) fn of_loops() -> pulp::Arch {
    #[cfg(target_arch = "x86_64")]
    if is_kept_to_avx2()
        && let Some(unit) = pulp::x86::V3::try_new()
    {
        return pulp::Arch::V3(unit);
    }
    pulp::Arch::new()
}
