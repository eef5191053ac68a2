//! The vector unit of 64-bit ARM processors, NEON, as a [`Vector`], and [`best`], which is always that.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "functions of a vector are few intrinsics each, which need what the trait's callers promise"
)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::half::{Half, Layout, of_pairs};
use super::matrix::MatrixMut;
use super::tile::{Panels, Segment, Vector, panels};

/// The product for this processor: all that the target stands for have NEON.
pub(super) fn best() -> Option<Panels> {
    Some(neon)
}

/// The product of bf16 for this processor: by its own instructions where it has them, else of what is widened.
pub(super) fn best_half() -> Option<Half> {
    of_pairs().or(Some(Half { panels: neon, layout: Layout::Widened }))
}

fn of_pairs() -> Option<Half> {
    is_aarch64_feature_detected!("bf16").then_some(Half { panels: neon_bf16, layout: Layout::Pairs })
}

/// Every product that this processor can run.
#[cfg(test)]
pub(super) fn all() -> [Option<Panels>; 1] {
    [best()]
}

/// Every product of bf16 that this processor can run.
#[cfg(test)]
pub(super) fn all_half() -> [Option<Half>; 2] {
    [Some(Half { panels: neon, layout: Layout::Widened }), of_pairs()]
}

/// 32 registers, two to a vector: 24 of sums, four of the right factor, and one of the left.
#[target_feature(enable = "neon")]
unsafe fn neon(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<Neon, 6>(out, accumulate, segments) }
}

/// As [`neon`], of pairs.
#[target_feature(enable = "neon,bf16")]
unsafe fn neon_bf16(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<NeonBf16, 6>(out, accumulate, segments) }
}

/// Two registers of four values: a step then has 24 products for 10 loads, where tiles of single registers would have 16.
#[derive(Clone, Copy)]
struct Neon([float32x4_t; 2]);

impl Vector for Neon {
    const LANES: usize = 8;
    /// How many lanes: the unit has no masks.
    type Mask = usize;

    #[inline(always)]
    unsafe fn mask(width: usize) -> usize {
        width.min(Self::LANES)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([vdupq_n_f32(value); 2])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self([vld1q_f32(from), vld1q_f32(from.add(4))])
    }

    #[inline(always)]
    unsafe fn load_masked(width: usize, from: *const f32) -> Self {
        if width == Self::LANES {
            return Self::load(from);
        }
        let mut values = [0.0; Self::LANES];
        std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), width);
        Self::load(values.as_ptr())
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        vst1q_f32(to, self.0[0]);
        vst1q_f32(to.add(4), self.0[1]);
    }

    #[inline(always)]
    unsafe fn store_masked(self, width: usize, to: *mut f32) {
        if width == Self::LANES {
            return self.store(to);
        }
        let mut values = [0.0; Self::LANES];
        self.store(values.as_mut_ptr());
        std::ptr::copy_nonoverlapping(values.as_ptr(), to, width);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self([vaddq_f32(self.0[0], other.0[0]), vaddq_f32(self.0[1], other.0[1])])
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self([vfmaq_f32(self.0[0], a.0[0], b.0[0]), vfmaq_f32(self.0[1], a.0[1], b.0[1])])
    }
}

/// Adds to each sum the products of a pair of bf16. (The compiler's intrinsic for it is not stable yet.)
#[inline(always)]
unsafe fn add_pairs(mut sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // Rounds otherwise than `vdpbf16ps`: the sum of the pair's products to odd, then what is added to the sum.
    asm!(
        ".arch_extension bf16",
        "bfdot {sum:v}.4s, {a:v}.8h, {b:v}.8h",
        sum = inout(vreg) sum,
        a = in(vreg) a,
        b = in(vreg) b,
        options(pure, nomem, nostack, preserves_flags)
    );
    sum
}

of_pairs! {
    /// By the processor's own instruction.
    NeonBf16(Neon), |sum, a, b| [add_pairs(sum[0], a[0], b[0]), add_pairs(sum[1], a[1], b[1])]
}

/// Has the line of the cache that holds `at` be fetched.
#[inline(always)]
pub(super) fn prefetch(at: *const f32) {
    // SAFETY: a hint, which reads nothing that a program could see.
    unsafe { asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nomem, nostack, preserves_flags)) }
}
