//! Sums of products: a micro-kernel that keeps a tile of the output in registers while it goes through all
//! terms (a *batch-reduce* product). [`sum`] is the whole of it, for any [`Vector`].
//!
//! Left factors are broadcast value by value, right factors are read along their contiguous rows. They are read where they
//! lie, unless their lines would crowd each other out of the cache ([`Copies`]). The terms of one output value are added in their order, each by
//! one fused multiply-add, so all vector units give the same bits.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::null;

use super::matrix::{Matrix, MatrixMut, Term};
use super::units::prefetch;
use crate::tasks;

/// A register of a vector unit. Its functions are for [`panels`], in a function that is compiled for that unit.
///
/// # Safety
/// The processor has the unit; pointers are good for the lanes that are read or written.
pub(super) trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;
    /// Which lanes are touched.
    type Mask: Copy;

    /// The first `width` lanes, or all.
    unsafe fn mask(width: usize) -> Self::Mask;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Zeros in the lanes that are not read.
    unsafe fn load_masked(mask: Self::Mask, from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_masked(self, mask: Self::Mask, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    /// `self + a · b`, rounded once; of pairs of bf16, which have the place of a value, both products.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

/// How many values of the inner dimension are summed in one go before the tile goes back to memory: a long sum in single
/// precision is more exact in parts, and a part's panel of the right factor fits the L1 cache.
const DEPTH: usize = 128;
/// Values in the widest register.
const LANES: usize = 16;
/// From so many rows on, a panel of the right factor is copied first: it is read for several tiles.
const COPIED: usize = 24;
/// Rows of the left factor that are copied together: whole tiles of either unit.
const LEFT: usize = 96;
/// Steps of the inner dimension that are fetched ahead.
const AHEAD: usize = 24;

/// A part of a term along the inner dimension.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) a: *const f32,
    /// From row to row, and from column to column, of the left factor.
    pub(super) a_strides: (usize, usize),
    pub(super) b: *const f32,
    pub(super) b_stride: usize,
    pub(super) depth: usize,
}

/// [`panels`], compiled for a vector unit.
pub(super) type Panels = unsafe fn(&mut MatrixMut<'_>, bool, &[Segment]);

/// Whether [`sum`] takes this right factor: its rows must be contiguous.
pub(super) fn takes<T>(b: &Matrix<'_, T>) -> bool {
    b.col_stride == 1
}

/// Writes the sum of the products to `out`, or adds it.
///
/// # Safety
/// The processor has the vector unit of `panels`; every term `a · b` has the shape of `out`, and every `b` is one that
/// [`takes`] accepts.
pub(super) unsafe fn sum(panels: Panels, out: &mut MatrixMut<'_>, accumulate: bool, terms: &[Term<'_, f32>]) {
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

/// Whether an L1 cache of 64 sets of eight lines keeps less than `steps` lines that stand `stride` values apart.
fn crowds(stride: usize, steps: usize) -> bool {
    let apart = (4 * stride).div_ceil(64);
    let sets = 64 >> apart.trailing_zeros().min(6);
    8 * sets < steps
}

/// All tiles of `out`, panel by panel; a tile has `ROWS` rows and two registers of columns.
///
/// # Safety
/// The processor has the vector unit, and the segments have the shape of `out`.
#[inline(always)]
pub(super) unsafe fn panels<V: Vector, const ROWS: usize>(
    out: &mut MatrixMut<'_>,
    accumulate: bool,
    segments: &[Segment],
) {
    const { assert!(ROWS <= 8 && V::LANES <= LANES, "rows beyond the last whole tile are at most seven") }
    let depth: usize = segments.iter().map(|segment| segment.depth).sum();
    let copies = Copies::of(segments, depth, (out.rows, out.cols.div_ceil(2 * V::LANES)));
    let in_lines = copies.left || segments.iter().all(|segment| segment.a_strides.0 == 1);
    let (mut left, mut right) = (Left([MaybeUninit::uninit(); _]), Right([MaybeUninit::uninit(); _]));
    for rows in tasks::blocks(out.rows, if copies.left { LEFT } else { out.rows }) {
        if copies.left {
            // SAFETY: the rows lie in every segment, and there is room for them and for the steps.
            unsafe { copy_left::<ROWS>(&mut left, segments, rows.clone()) };
        }
        for col in (0..out.cols).step_by(2 * V::LANES) {
            let width = (out.cols - col).min(2 * V::LANES);
            let mut copy = null();
            if copies.right {
                // SAFETY: the columns lie in every segment, whose steps there is room for.
                copy = unsafe { copy_right::<V>(&mut right, segments, col, width) };
            }
            for row in rows.clone().step_by(ROWS) {
                let height = (rows.end - row).min(ROWS);
                let place = Place { row, col, width, accumulate };
                let copied = [left.segment(row - rows.start, (row, height), depth)];
                let segments = if copies.left { &copied } else { segments };
                // SAFETY: the tile lies in `out`, and so in every term, of which the copies have rows and columns.
                unsafe {
                    match copies.right {
                        true => tall::<V, ROWS, true>(out, segments, copy, place, (height, in_lines)),
                        false => tall::<V, ROWS, false>(out, segments, copy, place, (height, in_lines)),
                    }
                }
            }
        }
    }
}

/// [`tile`] of so many rows, which are neighbours in memory in left factors that are `in_lines`.
#[inline(always)]
unsafe fn tall<V: Vector, const ROWS: usize, const COPY: bool>(
    out: &mut MatrixMut<'_>,
    segments: &[Segment],
    copy: *const f32,
    place: Place,
    (height, in_lines): (usize, bool),
) {
    // SAFETY: as the caller promises.
    unsafe {
        match (height, place.width == 2 * V::LANES, in_lines) {
            (_, true, true) if height == ROWS => {
                tile::<V, ROWS, true, true, COPY>(out, segments, copy, place)
            }
            (_, true, false) if height == ROWS => {
                tile::<V, ROWS, true, false, COPY>(out, segments, copy, place)
            }
            (_, false, _) if height == ROWS => {
                tile::<V, ROWS, false, false, COPY>(out, segments, copy, place)
            }
            (7, ..) => tile::<V, 7, false, false, COPY>(out, segments, copy, place),
            (6, ..) => tile::<V, 6, false, false, COPY>(out, segments, copy, place),
            (5, ..) => tile::<V, 5, false, false, COPY>(out, segments, copy, place),
            (4, ..) => tile::<V, 4, false, false, COPY>(out, segments, copy, place),
            (3, ..) => tile::<V, 3, false, false, COPY>(out, segments, copy, place),
            (2, ..) => tile::<V, 2, false, false, COPY>(out, segments, copy, place),
            _ => tile::<V, 1, false, false, COPY>(out, segments, copy, place),
        }
    }
}

/// Which factors are copied first, so that what a tile reads stands side by side: lines that are many values apart share few
/// sets of a cache, and of 128 such an L1 cache keeps but a part.
#[derive(Clone, Copy)]
struct Copies {
    left: bool,
    /// Wherever the left one is.
    right: bool,
}

impl Copies {
    /// For an output of so many rows and panels. A copy must be read several times to be worth it.
    fn of(segments: &[Segment], depth: usize, (rows, panels): (usize, usize)) -> Self {
        if depth > DEPTH || rows < COPIED {
            return Self { left: false, right: false };
        }
        let left = panels >= 12 && segments.iter().all(|segment| segment.a_strides.0 != 1);
        Self { left, right: left || segments.iter().any(|segment| crowds(segment.b_stride, depth)) }
    }
}

/// Rows of the left factors, by tiles, and in each step by step.
#[repr(align(64))]
struct Left([MaybeUninit<f32>; LEFT * DEPTH]);

impl Left {
    /// What a tile of `height` rows from `row` on reads, which stands behind `before` other rows.
    fn segment(&self, before: usize, (row, height): (usize, usize), depth: usize) -> Segment {
        let a = self.0.as_ptr().cast::<f32>().wrapping_add(before * depth).wrapping_sub(row);
        Segment { a, a_strides: (1, height), b: null(), b_stride: 0, depth }
    }
}

/// Copies rows, at most [`LEFT`], all steps of all segments.
///
/// # Safety
/// The rows lie in every segment, and the segments have at most [`DEPTH`] steps.
#[inline(always)]
unsafe fn copy_left<const ROWS: usize>(left: &mut Left, segments: &[Segment], rows: Range<usize>) {
    let mut to = left.0.as_mut_ptr().cast::<f32>();
    // SAFETY: rows and steps lie in their segments, and each value is written behind the one before.
    unsafe {
        for row in rows.clone().step_by(ROWS) {
            let height = (rows.end - row).min(ROWS);
            for segment in segments {
                let (across, along) = segment.a_strides;
                let a = segment.a.add(row * across);
                for step in 0..segment.depth {
                    for r in 0..height {
                        *to = a.add(step * along + r * across).read_unaligned();
                        to = to.add(1);
                    }
                }
            }
        }
    }
}

/// A panel of the right factors, step by step.
#[repr(align(64))]
struct Right([MaybeUninit<f32>; 2 * LANES * DEPTH]);

/// Copies `width` columns from `col` on, all steps of all segments, with zeros beyond.
///
/// # Safety
/// The processor has the vector unit, the columns lie in every segment, and the segments have at most [`DEPTH`] steps.
#[inline(always)]
unsafe fn copy_right<V: Vector>(
    room: &mut Right,
    segments: &[Segment],
    col: usize,
    width: usize,
) -> *const f32 {
    let start = room.0.as_mut_ptr().cast::<f32>();
    // SAFETY: masks keep off what is beyond the columns, and `wrapping_add` moves there unread; there is room for every step.
    unsafe {
        let masks = [V::mask(width), V::mask(width.saturating_sub(V::LANES))];
        let mut to = start;
        for segment in segments {
            let mut b = segment.b.add(col);
            for _ in 0..segment.depth {
                // What comes some steps later, and the next panel's part of this row.
                prefetch(b.wrapping_add(AHEAD * segment.b_stride));
                prefetch(b.wrapping_add(2 * V::LANES));
                V::load_masked(masks[0], b).store(to);
                V::load_masked(masks[1], b.wrapping_add(V::LANES)).store(to.add(V::LANES));
                to = to.add(2 * V::LANES);
                b = b.wrapping_add(segment.b_stride);
            }
        }
    }
    start
}

/// Where a tile lies in the output, and whether it is added to what is there.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    col: usize,
    width: usize,
    accumulate: bool,
}

/// One tile of `R` rows. `WHOLE`: it has all its columns. `UNIT`: rows of left factors are neighbours in memory. `COPY`: the right
/// factors' panel is at `copy`.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const WHOLE: bool, const UNIT: bool, const COPY: bool>(
    out: &mut MatrixMut<'_>,
    segments: &[Segment],
    mut copy: *const f32,
    place: Place,
) {
    let Place { row, col, width, accumulate } = place;
    // SAFETY: row and column lie in the matrices of `out` and of each term; masks keep off what is beyond the columns;
    // `wrapping_add` only moves past the last step, unread.
    unsafe {
        let masks = [V::mask(width), V::mask(width.saturating_sub(V::LANES))];
        let mut sums = [[V::splat(0.0); 2]; R];
        if accumulate {
            for r in 0..R {
                prefetch(out.data.add((row + r) * out.row_stride + col));
            }
        }
        for segment in segments {
            let a_row = if UNIT { 1 } else { segment.a_strides.0 };
            let (a_step, b_step) = (segment.a_strides.1, segment.b_stride);
            let mut a = segment.a.add(row * a_row);
            let mut b = segment.b.add(col);
            for _ in 0..segment.depth {
                let right = if COPY {
                    [V::load(copy), V::load(copy.add(V::LANES))]
                } else if WHOLE {
                    [V::load(b), V::load(b.add(V::LANES))]
                } else {
                    [V::load_masked(masks[0], b), V::load_masked(masks[1], b.wrapping_add(V::LANES))]
                };
                if UNIT && col == 0 {
                    // The left factor's next rows, which other caches may not have yet: steps are often longer than a page.
                    prefetch(a.wrapping_add(2 * R));
                }
                if row == 0 && col == 0 && UNIT {
                    prefetch(a.wrapping_add(AHEAD * a_step));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = V::splat(a.add(r * a_row).read_unaligned());
                    sums[0] = sums[0].add_product(left, right[0]);
                    sums[1] = sums[1].add_product(left, right[1]);
                }
                a = a.wrapping_add(a_step);
                if COPY {
                    copy = copy.add(2 * V::LANES);
                } else {
                    b = b.wrapping_add(b_step);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let target = out.data.add((row + r) * out.row_stride + col);
            store::<V, WHOLE>(target, sums[0], masks[0], accumulate);
            store::<V, WHOLE>(target.wrapping_add(V::LANES), sums[1], masks[1], accumulate);
        }
    }
}

/// The caller owns the lanes of `mask`, and all of them where the tile is whole.
#[inline(always)]
unsafe fn store<V: Vector, const WHOLE: bool>(target: *mut f32, sum: V, mask: V::Mask, accumulate: bool) {
    // SAFETY: as the caller promises.
    unsafe {
        let sum = if accumulate { sum.add(V::load_masked(mask, target)) } else { sum };
        if WHOLE { sum.store(target) } else { sum.store_masked(mask, target) }
    }
}
