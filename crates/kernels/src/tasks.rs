//! How work is split: by shape alone, never by the number of threads.
//!
//! A split names blocks of rows or columns; each block is computed by one thread in a fixed order, and what
//! several blocks contribute to one sum is added in the order of the blocks. So results have the same bits
//! for any number of threads. Splits aim at [`TASKS`] blocks or more, and at matrix products of a good size.

use std::ops::Range;

use rayon::prelude::*;

use crate::precision::Number;

/// Defines a function of loops over slices that is compiled once for each kind of vector unit and runs with the widest that
/// the processor has. The loops keep the order of their operations and fuse none, so the numbers do not depend on the kind.
///
/// (A closure would do, if the compiler could be told to inline it into each of the versions.)
macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident<$a:lifetime $(, $f:ident: $bound:path)*>(
        $($argument:ident: $type:ty),* $(,)?
    ) $body:block) => {
        $(#[$doc])*
        $visibility fn $name<$a $(, $f: $bound)*>($($argument: $type),*) {
            struct Loops<$a $(, $f)*> {
                $($argument: $type,)*
                lifetime: std::marker::PhantomData<(&$a (), $($f,)*)>,
            }
            impl<$a $(, $f: $bound)*> pulp::NullaryFnOnce for Loops<$a $(, $f)*> {
                type Output = ();

                #[inline(always)]
                fn call(self) {
                    let Self { $($argument,)* lifetime: _ } = self;
                    $body
                }
            }
            $crate::unit::of_loops().dispatch(Loops { $($argument,)* lifetime: std::marker::PhantomData });
        }
    };
}
pub(crate) use vectorised;

/// The number of tasks that a split aims at: enough for eight threads to stay level.
pub(crate) const TASKS: usize = 16;

/// Rows that a block of a large product has at least, so that what is copied for it is read often.
pub(crate) const ROWS: usize = 256;

/// Columns that a block of a product has at least: one register tile of AVX-512.
pub(crate) const COLUMNS: usize = 64;

/// Values in a block of an elementwise loop: large enough to hide the cost of a task, small enough for L2.
pub(crate) const VALUES: usize = 16 * 1024;

/// The size of each of `blocks` nearly equal blocks that together cover `total` (the last may be smaller).
pub(crate) fn even(total: usize, blocks: usize) -> usize {
    total.div_ceil(blocks.max(1)).max(1)
}

/// Zeros; where there are many, all threads write them.
pub(crate) fn zeros<T: Number>(length: usize) -> Vec<T> {
    if length < 4 * VALUES {
        return vec![T::default(); length];
    }
    let mut zeros = Vec::with_capacity(length);
    rayon::iter::repeat_n(T::default(), length).with_min_len(VALUES).collect_into_vec(&mut zeros);
    zeros
}

/// Blocks of `size` that cover `0..total`.
pub(crate) fn blocks(total: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..total).step_by(size.max(1)).map(move |start| start..(start + size).min(total))
}

/// How many columns a block has when `others` blocks exist along other dimensions.
pub(crate) fn columns(total: usize, others: usize) -> usize {
    let mut width = total.next_multiple_of(COLUMNS);
    while width > COLUMNS && others * total.div_ceil(width) < TASKS {
        width = (width / 2).next_multiple_of(COLUMNS);
    }
    width.min(total.max(1))
}

/// Height and width of the blocks of a gradient of weights, `[rows, cols]`, when `others` such gradients exist. Tall blocks read
/// what they sum over less often; a height is of whole tiles of any unit.
pub(crate) fn weight_blocks(rows: usize, cols: usize, others: usize) -> (usize, usize) {
    const HEIGHTS: (usize, usize) = (192, 96);
    const TILES: usize = 24;
    let enough = others * rows.div_ceil(HEIGHTS.0) * cols.div_ceil(COLUMNS) >= TASKS;
    let height = if enough { HEIGHTS.0 } else { HEIGHTS.1 };
    let height = even(rows, rows.div_ceil(height)).next_multiple_of(TILES).min(rows.max(1));
    (height, columns(cols, others * rows.div_ceil(height)))
}

/// Sums of the columns of `[rows, width]`, in single precision over blocks and in double beyond.
pub(crate) fn column_sums<T: Number>(values: &[T], width: usize) -> Vec<f32> {
    let rows_per_task = (VALUES / width.max(1)).max(1);
    let partial: Vec<Vec<f32>> = values
        .par_chunks((rows_per_task * width).max(1))
        .map(|block| {
            let mut sums = vec![0.0f32; width];
            add_rows(&mut sums, block);
            sums
        })
        .collect();
    (0..width).map(|column| partial.iter().map(|sums| f64::from(sums[column])).sum::<f64>() as f32).collect()
}

vectorised! {
    fn add_rows<'a, T: Number>(sums: &'a mut [f32], rows: &'a [T]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value.wide();
            }
        }
    }
}

/// The sum of `f` over the pairs of two rows of one length, in sixteen lanes that are added in a fixed order: the same bits
/// from any vector unit. For use within [`vectorised`] loops.
#[inline(always)]
pub(crate) fn row_sum<A: Number, B: Number>(a: &[A], b: &[B], f: impl Fn(f32, f32) -> f32) -> f32 {
    fold_row(a, b, 0.0, |sum, a, b| sum + f(a, b), |a, b| a + b)
}

/// The largest value of a row, as [`row_sum`]; it ignores NaN.
#[inline(always)]
pub(crate) fn row_maximum(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    fold_row(row, row, f32::NEG_INFINITY, |largest, value, _| larger(largest, value), larger)
}

#[inline(always)]
fn fold_row<A: Number, B: Number>(
    a: &[A],
    b: &[B],
    start: f32,
    take: impl Fn(f32, f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [start; LANES];
    let (blocks, rest) = a.as_chunks::<LANES>();
    let (others, others_rest) = b[..a.len()].as_chunks::<LANES>();
    for (a, b) in blocks.iter().zip(others) {
        for lane in 0..LANES {
            lanes[lane] = take(lanes[lane], a[lane].wide(), b[lane].wide());
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest.iter().zip(others_rest)) {
        *lane = take(*lane, a.wide(), b.wide());
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

vectorised! {
    /// The sums of pairs.
    pub(crate) fn sum<'a, A: Number, B: Number, C: Number>(out: &'a mut [A], a: &'a [B], b: &'a [C]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = A::nearest(a.wide() + b.wide());
        }
    }
}

vectorised! {
    /// Writes the transpose of `[rows, cols]`, whose rows start `stride` apart, square by square: each is read and written
    /// along memory, and turned in between where it is small enough for registers.
    pub(crate) fn transpose_strided<'a, T: Number>(
        values: &'a [T],
        stride: usize,
        rows: usize,
        cols: usize,
        transposed: &'a mut [T],
    ) {
        const SIDE: usize = 16;
        for row in (0..rows).step_by(SIDE) {
            for col in (0..cols).step_by(SIDE) {
                if row + SIDE > rows || col + SIDE > cols {
                    for r in row..rows.min(row + SIDE) {
                        for c in col..cols.min(col + SIDE) {
                            transposed[c * rows + r] = values[r * stride + c];
                        }
                    }
                    continue;
                }
                let mut square = [[T::default(); SIDE]; SIDE];
                for (r, line) in square.iter_mut().enumerate() {
                    line.copy_from_slice(&values[(row + r) * stride + col..][..SIDE]);
                }
                for c in 0..SIDE {
                    let line = &mut transposed[(col + c) * rows + row..][..SIDE];
                    for r in 0..SIDE {
                        line[r] = square[r][c];
                    }
                }
            }
        }
    }
}

/// Writes the transpose of `[rows, cols]`.
pub(crate) fn transpose<T: Number>(values: &[T], rows: usize, cols: usize, transposed: &mut [T]) {
    transpose_strided(values, cols, rows, cols, transposed);
}

/// A part of one pixel's `N·C` values.
pub(crate) struct PixelBlock<'a, T> {
    /// The pixel's index.
    pub(crate) pixel: usize,
    /// Where in the pixel the part starts.
    pub(crate) offset: usize,
    /// The values.
    pub(crate) values: &'a mut [T],
}

/// Splits `[pixels, size]` into parts of pixels.
pub(crate) fn pixel_blocks<T>(values: &mut [T], size: usize) -> Vec<PixelBlock<'_, T>> {
    let part = size.clamp(1, VALUES / 4);
    let pixels = values.chunks_exact_mut(size.max(1)).enumerate();
    let parts = pixels.flat_map(|(pixel, values)| {
        let parts = values.chunks_mut(part).enumerate();
        parts.map(move |(index, values)| PixelBlock { pixel, offset: index * part, values })
    });
    parts.collect()
}

/// `[pixels, size]`, of which `add` adds up parts of single pixels: it gets the pixel, where in it the part starts, and zeros in single
/// precision.
pub(crate) fn summed_pixels<T: Number>(
    pixels: usize,
    size: usize,
    add: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<T> {
    let mut sums: Vec<T> = zeros(pixels * size);
    pixel_blocks(&mut sums, size).into_par_iter().for_each_init(Vec::new, |room, block| {
        T::written(block.values, room, |values| add(block.pixel, block.offset, values));
    });
    sums
}
