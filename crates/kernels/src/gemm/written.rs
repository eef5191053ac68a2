//! Outputs that tasks write: [`written`] in blocks of values, [`written_blocks`] in blocks of matrices.
//!
//! Memory is fresh, and the task that owns a block clears it, just before it writes there: cleared by itself, an output would go
//! through memory twice, as a cache does not keep it until its tasks come. What writes is called through a pointer, so that what hands out
//! tasks is compiled once for all.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::matrix::MatrixMut;
use crate::precision::Number;
use crate::tasks;

/// Writes a block of values at these places.
type WriteValues<'a, T> = dyn Fn(Range<usize>, &mut [T]) + Sync + 'a;

/// Writes a block of a matrix, with room for use.
type WriteBlock<'a, T> = dyn Fn(&mut Vec<f32>, Block<MatrixMut<'_, T>>) + Sync + 'a;

/// Writes the same block of two matrices.
type WritePair<'a, T> = dyn Fn(&mut Vec<f32>, Block<(MatrixMut<'_, T>, MatrixMut<'_, T>)>) + Sync + 'a;

/// So many values, from `write`, which gets the places of each block of `size` and its values, zeros so far.
pub(crate) fn written<T: Number>(length: usize, size: usize, write: &WriteValues<'_, T>) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    let room: &mut [MaybeUninit<T>] = &mut values.spare_capacity_mut()[..length];
    let size = size.max(1);
    room.par_chunks_mut(size).enumerate().for_each(|(index, block)| {
        block.fill(MaybeUninit::new(T::default()));
        let places = index * size..index * size + block.len();
        // SAFETY: every value has just been written.
        write(places, unsafe { block.assume_init_mut() });
    });
    // SAFETY: there is room for them, and the blocks, each of which was cleared, are all of them.
    unsafe { values.set_len(length) };
    values
}

/// A block of a matrix: its rows, its columns, and where they are written.
type Block<T> = (Range<usize>, Range<usize>, T);

/// A matrix of `cols` columns, row by row, from `write`, which gets room for use and each block with zeros. Blocks are those of `rows`,
/// which follow one another from the first row on, in parts of `width` columns.
pub(crate) fn written_blocks<T: Number>(
    rows: &[Range<usize>],
    (cols, width): (usize, usize),
    write: &WriteBlock<'_, T>,
) -> Vec<T> {
    let mut values = Vec::new();
    let blocks = divided(&mut values, rows, (cols, width)).into_par_iter();
    blocks.for_each_init(Vec::new, |room, (rows, columns, out)| write(room, (rows, columns, out.cleared())));
    // SAFETY: `divided` has made room for as many, and the blocks, each of which was cleared, are all of them.
    unsafe { values.set_len(length(rows, cols)) };
    values
}

/// As [`written_blocks`], of two matrices at once.
pub(crate) fn written_pairs<T: Number>(
    rows: &[Range<usize>],
    (cols, width): (usize, usize),
    write: &WritePair<'_, T>,
) -> (Vec<T>, Vec<T>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let blocks = divided(&mut first, rows, (cols, width)).into_par_iter();
    let blocks = blocks.zip(divided(&mut second, rows, (cols, width)));
    blocks.for_each_init(Vec::new, |room, ((rows, columns, first), (_, _, second))| {
        write(room, (rows, columns, (first.cleared(), second.cleared())));
    });
    // SAFETY: as above.
    unsafe {
        first.set_len(length(rows, cols));
        second.set_len(length(rows, cols));
    }
    (first, second)
}

fn length(rows: &[Range<usize>], cols: usize) -> usize {
    rows.last().map_or(0, |last| last.end * cols)
}

/// The blocks of an empty vector, for which it gets room.
fn divided<'a, T: Number>(
    values: &'a mut Vec<T>,
    rows: &[Range<usize>],
    (cols, width): (usize, usize),
) -> Vec<Block<MatrixMut<'a, MaybeUninit<T>>>> {
    let length = length(rows, cols);
    values.reserve_exact(length);
    let mut rest = &mut values.spare_capacity_mut()[..length];
    let mut blocks = Vec::new();
    for rows in rows {
        let (block, others) = std::mem::take(&mut rest).split_at_mut(rows.len() * cols);
        rest = others;
        let parts = MatrixMut::dense(block, rows.len(), cols).column_blocks(width);
        let parts = tasks::blocks(cols, width).zip(parts);
        blocks.extend(parts.map(|(columns, out)| (rows.clone(), columns, out)));
    }
    assert!(rest.is_empty(), "blocks of rows leave {} values out", rest.len());
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_written_once() {
        let values: Vec<f32> = written(10, 4, &|places, values| {
            assert!(values.iter().all(|value| *value == 0.0));
            values.iter_mut().zip(places).for_each(|(value, place)| *value = place as f32);
        });
        assert_eq!(values, (0..10).map(|i| i as f32).collect::<Vec<_>>());
        assert!(written::<f32>(0, 0, &|_, _| ()).is_empty());

        let place = |row: usize, col: usize| (row * 7 + col) as f32;
        let fill = |(rows, columns, mut out): Block<MatrixMut<'_, f32>>, sign: f32| {
            for (index, row) in rows.enumerate() {
                let values = out.row(index).iter_mut().zip(columns.clone());
                values.for_each(|(value, col)| *value += sign * place(row, col));
            }
        };
        let all: Vec<f32> = (0..35).map(|i| i as f32).collect();
        let rows = [0..2, 2..5];
        assert_eq!(written_blocks::<f32>(&rows, (7, 3), &|_, block| fill(block, 1.0)), all);
        let (first, second) = written_pairs::<f32>(&rows, (7, 4), &|_, (rows, columns, (first, second))| {
            fill((rows.clone(), columns.clone(), first), 1.0);
            fill((rows, columns, second), -1.0);
        });
        assert!(first == all && second.iter().zip(&all).all(|(a, b)| *a == -b));
    }

    #[test]
    #[should_panic(expected = "leave")]
    fn blocks_with_a_gap_are_refused() {
        let _ = written_blocks::<f32>(&[0..2, 3..5], (7, 3), &|_, _| ());
    }
}
