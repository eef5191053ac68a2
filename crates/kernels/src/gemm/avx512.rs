//! Sums of products for processors with AVX-512: a micro-kernel that keeps a tile of the output in registers while it
//! goes through all terms (a *batch-reduce* product), and packs nothing.
//!
//! Neither operand is copied: left factors are broadcast value by value, right factors are read along their contiguous
//! rows, which a tile's narrow panel keeps in the L2 cache. The terms of one output value are added in their order.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_prefetch, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::{Matrix, MatrixMut};

/// Rows of a tile.
const ROWS: usize = 8;
/// Columns of a tile: two registers.
const COLUMNS: usize = 2 * LANES;
const LANES: usize = 16;
/// How many values of the inner dimension are summed in one go before the tile goes back to memory: a long sum in single
/// precision is more exact in parts, and a part's panel of the right factor fits the L1 cache.
const DEPTH: usize = 128;
/// Steps of the inner dimension that are fetched ahead.
const AHEAD: usize = 24;

/// A part of a term along the inner dimension.
#[derive(Clone, Copy)]
struct Segment {
    a: *const f32,
    /// From row to row, and from column to column, of the left factor.
    a_strides: (usize, usize),
    b: *const f32,
    b_stride: usize,
    depth: usize,
}

/// Whether this processor has what [`sum`] needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Whether [`sum`] takes this right factor: its rows must be contiguous.
pub(super) fn takes(b: &Matrix<'_>) -> bool {
    b.col_stride == 1
}

/// Writes the sum of the products to `out`, or adds it.
///
/// # Safety
/// AVX-512F is available; every term `a · b` has the shape of `out`, and every `b` is one that [`takes`] accepts.
pub(super) unsafe fn sum(out: &mut MatrixMut<'_>, accumulate: bool, terms: &[(Matrix<'_>, Matrix<'_>)]) {
    let mut accumulate = accumulate;
    let mut batch: Vec<Segment> = Vec::with_capacity(terms.len());
    let mut depth = 0;
    for (a, b) in terms {
        let mut start = 0;
        while start < a.cols {
            let taken = (a.cols - start).min(DEPTH - depth);
            batch.push(Segment {
                a: a.data[start * a.col_stride..].as_ptr(),
                a_strides: (a.row_stride, a.col_stride),
                b: b.data[start * b.row_stride..].as_ptr(),
                b_stride: b.row_stride,
                depth: taken,
            });
            start += taken;
            depth += taken;
            if depth == DEPTH {
                // SAFETY: the caller's promises.
                unsafe { panels(out, accumulate, &batch) };
                (accumulate, depth) = (true, 0);
                batch.clear();
            }
        }
    }
    if depth > 0 || !accumulate {
        // SAFETY: the caller's promises.
        unsafe { panels(out, accumulate, &batch) };
    }
}

/// All tiles of `out`, panel by panel.
#[target_feature(enable = "avx512f")]
unsafe fn panels(out: &mut MatrixMut<'_>, accumulate: bool, segments: &[Segment]) {
    let unit = segments.iter().all(|segment| segment.a_strides.0 == 1);
    for col in (0..out.cols).step_by(COLUMNS) {
        let width = (out.cols - col).min(COLUMNS);
        for row in (0..out.rows).step_by(ROWS) {
            let height = (out.rows - row).min(ROWS);
            let place = Place { row, col, width, accumulate };
            // SAFETY: the tile lies in `out`, and so in every term.
            unsafe {
                match (height, width == COLUMNS, unit) {
                    (ROWS, true, true) => tile::<ROWS, true, true>(out, segments, place),
                    (ROWS, true, false) => tile::<ROWS, true, false>(out, segments, place),
                    (ROWS, false, _) => tile::<ROWS, false, false>(out, segments, place),
                    (7, ..) => tile::<7, false, false>(out, segments, place),
                    (6, ..) => tile::<6, false, false>(out, segments, place),
                    (5, ..) => tile::<5, false, false>(out, segments, place),
                    (4, ..) => tile::<4, false, false>(out, segments, place),
                    (3, ..) => tile::<3, false, false>(out, segments, place),
                    (2, ..) => tile::<2, false, false>(out, segments, place),
                    _ => tile::<1, false, false>(out, segments, place),
                }
            }
        }
    }
}

/// Where a tile lies in the output, and whether it is added to what is there.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    col: usize,
    width: usize,
    accumulate: bool,
}

/// One tile of `R` rows. `WHOLE`: it has all its columns. `UNIT`: rows of left factors are neighbours in memory.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize, const WHOLE: bool, const UNIT: bool>(
    out: &mut MatrixMut<'_>,
    segments: &[Segment],
    place: Place,
) {
    let Place { row, col, width, accumulate } = place;
    let masks = [mask(width), mask(width.saturating_sub(LANES))];
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for segment in segments {
        let a_row = if UNIT { 1 } else { segment.a_strides.0 };
        let (a_step, b_step) = (segment.a_strides.1, segment.b_stride);
        // SAFETY: row and column lie in the term's matrices; `wrapping_add` only moves past the last step, unread.
        unsafe {
            let mut a = segment.a.add(row * a_row);
            let mut b = segment.b.add(col);
            for _ in 0..segment.depth {
                let right = if WHOLE {
                    [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(LANES))]
                } else {
                    [
                        _mm512_maskz_loadu_ps(masks[0], b),
                        _mm512_maskz_loadu_ps(masks[1], b.wrapping_add(LANES)),
                    ]
                };
                if UNIT && col == 0 {
                    // The left factor's next rows, which other caches may not have yet: steps are often longer than a page.
                    _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(2 * ROWS).cast());
                }
                if row == 0 && col == 0 {
                    // What comes some steps later.
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * b_step).cast());
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * b_step + LANES).cast());
                    if UNIT {
                        _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(AHEAD * a_step).cast());
                    }
                }
                if row == 0 {
                    // The next panel's part of this row, which other caches may not have yet.
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(COLUMNS).cast());
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(COLUMNS + LANES).cast());
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = _mm512_set1_ps(*a.add(r * a_row));
                    sums[0] = _mm512_fmadd_ps(left, right[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(left, right[1], sums[1]);
                }
                a = a.wrapping_add(a_step);
                b = b.wrapping_add(b_step);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: the tile lies in `out`, which owns it; masks keep off what is beyond its columns.
        unsafe {
            let target = out.data.add((row + r) * out.row_stride + col);
            store::<WHOLE>(target, sums[0], masks[0], accumulate);
            store::<WHOLE>(target.wrapping_add(LANES), sums[1], masks[1], accumulate);
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn store<const WHOLE: bool>(target: *mut f32, sum: __m512, mask: u16, accumulate: bool) {
    // SAFETY: the caller owns the lanes of `mask`, and all of them where the tile is whole.
    unsafe {
        let mut sum = sum;
        if accumulate {
            let there = _mm512_maskz_loadu_ps(mask, target);
            sum = std::arch::x86_64::_mm512_add_ps(sum, there);
        }
        if WHOLE {
            _mm512_storeu_ps(target, sum);
        } else {
            _mm512_mask_storeu_ps(target, mask, sum);
        }
    }
}

/// The first `width` lanes.
fn mask(width: usize) -> u16 {
    if width >= LANES { u16::MAX } else { (1 << width) - 1 }
}
