//! The vector units of x86-64 processors, AVX-512 and AVX2 with FMA, as a [`Vector`] each, and [`best`], which finds out
//! what there is.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "functions of a vector are one intrinsic each, which needs what the trait's callers promise"
)]

use std::arch::x86_64::*;

use super::half::{Half, Layout, of_pairs};
use super::matrix::MatrixMut;
use super::tile::{Panels, Segment, Vector, panels};
use crate::unit::is_kept_to_avx2;

/// The product for the widest vectors that this processor has and may use; none for those without AVX2.
pub(super) fn best() -> Option<Panels> {
    all().into_iter().skip(usize::from(is_kept_to_avx2())).flatten().next()
}

/// The product of bf16 for this processor: by its own instructions where it has them, else of what is widened.
pub(super) fn best_half() -> Option<Half> {
    let widened = best().map(|panels| Half { panels, layout: Layout::Widened });
    if is_kept_to_avx2() { widened } else { of_pairs().or(widened) }
}

fn of_pairs() -> Option<Half> {
    let pairs = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
    pairs.then_some(Half { panels: avx512_bf16, layout: Layout::Pairs })
}

/// Every product of bf16 that this processor can run, and one that stands in for its own instructions.
#[cfg(test)]
pub(super) fn all_half() -> Vec<Option<Half>> {
    let [avx512, avx2] = all();
    let widened = |panels: Panels| Half { panels, layout: Layout::Widened };
    let stand_in = avx2.map(|_| Half { panels: avx2_pairs, layout: Layout::Pairs });
    vec![avx512.map(widened), avx2.map(widened), of_pairs(), stand_in]
}

/// As [`avx2`], of pairs.
#[cfg(test)]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_pairs(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<Avx2Pairs, 6>(out, accumulate, segments) }
}

/// Every product that this processor can run, the widest first.
pub(super) fn all() -> [Option<Panels>; 2] {
    let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    [is_x86_feature_detected!("avx512f").then_some(avx512 as Panels), fma.then_some(avx2 as Panels)]
}

/// 32 registers: 16 of sums, and two of the right factor.
#[target_feature(enable = "avx512f")]
unsafe fn avx512(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<Avx512, 8>(out, accumulate, segments) }
}

/// As [`avx512`], of pairs.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn avx512_bf16(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<Avx512Bf16, 8>(out, accumulate, segments) }
}

/// 16 registers: 12 of sums, two of the right factor, and one of the left.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    // SAFETY: the caller's promises, and this function is compiled for the unit.
    unsafe { panels::<Avx2, 6>(out, accumulate, segments) }
}

#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Vector for Avx512 {
    const LANES: usize = 16;
    type Mask = u16;

    #[inline(always)]
    unsafe fn mask(width: usize) -> u16 {
        if width >= Self::LANES { u16::MAX } else { (1 << width) - 1 }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self(_mm512_set1_ps(value))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(_mm512_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn load_masked(mask: u16, from: *const f32) -> Self {
        Self(_mm512_maskz_loadu_ps(mask, from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self.0)
    }

    #[inline(always)]
    unsafe fn store_masked(self, mask: u16, to: *mut f32) {
        _mm512_mask_storeu_ps(to, mask, self.0)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(_mm512_add_ps(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(_mm512_fmadd_ps(a.0, b.0, self.0))
    }
}

#[derive(Clone, Copy)]
struct Avx2(__m256);

impl Vector for Avx2 {
    const LANES: usize = 8;
    type Mask = __m256i;

    #[inline(always)]
    unsafe fn mask(width: usize) -> __m256i {
        let width = width.min(Self::LANES) as i32;
        _mm256_cmpgt_epi32(_mm256_set1_epi32(width), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self(_mm256_set1_ps(value))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(_mm256_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn load_masked(mask: __m256i, from: *const f32) -> Self {
        Self(_mm256_maskload_ps(from, mask))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self.0)
    }

    #[inline(always)]
    unsafe fn store_masked(self, mask: __m256i, to: *mut f32) {
        _mm256_maskstore_ps(to, mask, self.0)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(_mm256_add_ps(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(_mm256_fmadd_ps(a.0, b.0, self.0))
    }
}

of_pairs! {
    /// By the processor's own instruction.
    Avx512Bf16(Avx512), |sum, a, b| _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b))
}

#[cfg(test)]
of_pairs! {
    /// What stands in for that instruction where there is none: the upper numbers' product is added first.
    Avx2Pairs(Avx2), |sum, a, b| {
        let upper = |pair: __m256| _mm256_and_ps(pair, _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32)));
        let lower = |pair: __m256| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(pair)));
        _mm256_fmadd_ps(lower(a), lower(b), _mm256_fmadd_ps(upper(a), upper(b), sum))
    }
}

/// Has the line of the cache that holds `at` be fetched.
#[inline(always)]
pub(super) fn prefetch(at: *const f32) {
    // SAFETY: all x86-64 processors have it, and it reads nothing that a program could see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}
