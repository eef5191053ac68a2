//! Positive definite systems: [`factor`] a matrix, [`solve`] with the factor.

use rayon::prelude::*;

use crate::product::{Rows, add};

/// Rows of a panel.
const PANEL: usize = 64;

/// Overwrites the upper triangle of a symmetric matrix `[n, n]` with U, where the matrix is UᵀU. False where it is not positive definite.
pub(crate) fn factor(matrix: &mut [f64], n: usize) -> bool {
    for start in (0..n).step_by(PANEL) {
        let end = n.min(start + PANEL);
        let (above, below) = matrix.split_at_mut(end * n);
        let panel = &mut above[start * n..];
        for k in start..end {
            let (done, rest) = panel.split_at_mut((k - start + 1) * n);
            let row = &mut done[(k - start) * n..];
            if row[k].is_nan() || row[k] <= 0.0 {
                return false;
            }
            let pivot = row[k].sqrt();
            row[k..].iter_mut().for_each(|value| *value /= pivot);
            for (i, other) in (k + 1..end).zip(rest.chunks_exact_mut(n)) {
                let factor = row[i];
                other[i..].iter_mut().zip(&row[i..]).for_each(|(value, u)| *value -= factor * u);
            }
        }
        // What the panel explains of the rows below it.
        let height = end - start;
        let panel = &*panel;
        below.par_chunks_mut(PANEL * n).enumerate().for_each(|(part, rows)| {
            let first = end + part * PANEL;
            let count = rows.len() / n;
            let columns: Vec<f64> = (first..first + count)
                .flat_map(|column| (0..height).map(move |k| panel[k * n + column]))
                .collect();
            let (a, b) = (Rows::new(&columns, height), Rows::new(&panel[first..], n));
            add((count, height, n - first), (&mut rows[first..], n), (a, b), -1.0);
        });
    }
    true
}

/// Solves UᵀU x = b in place for right sides that are the columns of `b`, `[n, columns]`.
pub(crate) fn solve(factor: &[f64], n: usize, b: &mut [f64], columns: usize) {
    for k in 0..n {
        let (done, rest) = b.split_at_mut((k + 1) * columns);
        let row = &mut done[k * columns..];
        row.iter_mut().for_each(|value| *value /= factor[k * n + k]);
        for (i, other) in (k + 1..n).zip(rest.chunks_exact_mut(columns)) {
            subtract(other, row, factor[k * n + i]);
        }
    }
    solve_upper(factor, n, b, columns);
}

/// Solves U x = b in place, likewise.
pub(crate) fn solve_upper(factor: &[f64], n: usize, b: &mut [f64], columns: usize) {
    for k in (0..n).rev() {
        let (rest, done) = b.split_at_mut((k + 1) * columns);
        let row = &mut rest[k * columns..];
        for (i, other) in (k + 1..n).zip(done.chunks_exact(columns)) {
            subtract(row, other, factor[k * n + i]);
        }
        row.iter_mut().for_each(|value| *value /= factor[k * n + k]);
    }
}

fn subtract(target: &mut [f64], source: &[f64], factor: f64) {
    target.iter_mut().zip(source).for_each(|(target, source)| *target -= factor * source);
}
