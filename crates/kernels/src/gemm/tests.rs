//! Products of views and sums of them, by every kernel that this processor runs, against their definition.

use super::*;

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 13) as f32 - 6.0).collect()
}

#[test]
fn products_of_views_equal_the_definition() {
    for (m, k, n, width) in [(1, 1, 1, 1), (3, 5, 7, 2), (20, 17, 70, 32), (65, 3, 9, 9), (4, 40, 1, 1)] {
        let (a, b) = (ramp(m * k), ramp(n * k));
        let mut out = vec![1.0f32; m * n];
        // `a` is stored by columns, `b` by columns as well: both strides differ from 1.
        let a_view = Matrix::dense(&a, k, m).transposed();
        let b_view = Matrix::dense(&b, n, k).transposed();
        for (block, mut out) in MatrixMut::dense(&mut out, m, n).column_blocks(width).into_iter().enumerate()
        {
            let cols = block * width..(block * width + width).min(n);
            multiply(&mut out, true, a_view, b_view.cols(cols.clone()));
            multiply(&mut out.rows(0..m), true, a_view.rows(0..m), b_view.cols(cols));
        }
        for row in 0..m {
            for col in 0..n {
                let sum: f32 = (0..k).map(|depth| a[depth * m + row] * b[col * k + depth]).sum();
                assert_eq!(out[row * n + col], 1.0 + 2.0 * sum, "({row}, {col}) of {m}x{k}x{n}");
            }
        }
    }
}

#[test]
fn sums_of_products_equal_the_definition_by_either_kernel() {
    // Tiles that are whole and cut in each direction, panels that exceed the depth, left factors by rows and columns.
    for (m, n, depths) in
        [(8, 32, &[3usize][..]), (19, 71, &[1, 40, 7]), (3, 5, &[2500, 9, 1600]), (64, 33, &[])]
    {
        let terms: Vec<(Vec<f32>, Vec<f32>)> =
            depths.iter().map(|k| (ramp(m * k), ramp(k * n).into_iter().rev().collect())).collect();
        let view = |by_columns: bool| -> Vec<(Matrix<'_>, Matrix<'_>)> {
            let pairs = terms.iter().zip(depths);
            pairs
                .map(|((a, b), &k)| {
                    let a =
                        if by_columns { Matrix::dense(a, k, m).transposed() } else { Matrix::dense(a, m, k) };
                    (a, Matrix::dense(b, k, n))
                })
                .collect()
        };
        for (by_columns, accumulate) in [(false, false), (true, false), (false, true), (true, true)] {
            let views = view(by_columns);
            let start = if accumulate { 2.0 } else { 0.0 };
            let element = |row: usize, col: usize| -> f32 {
                let of_term = |((a, b), &k): ((&Vec<f32>, &Vec<f32>), &usize)| -> f32 {
                    let a = |depth: usize| if by_columns { a[depth * m + row] } else { a[row * k + depth] };
                    (0..k).map(|depth| a(depth) * b[depth * n + col]).sum()
                };
                start + terms.iter().map(|(a, b)| (a, b)).zip(depths).map(of_term).sum::<f32>()
            };
            type Kernel = for<'a> fn(&mut MatrixMut<'_>, bool, &[Term<'a, f32>]);
            for kernel in [multiply_sum as Kernel, one_by_one] {
                let mut out = vec![2.0f32; m * n];
                kernel(&mut MatrixMut::dense(&mut out, m, n), accumulate, &views);
                for row in 0..m {
                    for col in 0..n {
                        assert_eq!(
                            out[row * n + col],
                            element(row, col),
                            "({row}, {col}) of {m}x{n}, {depths:?}"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn every_vector_unit_gives_the_bits_of_the_definition() {
    // Uneven numbers, so that another order of the sums, or another rounding, shows.
    let numbers = |count: usize, seed: usize| -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed) % 1013) as f32 * 0.37 - 101.3).collect()
    };
    let sizes = (1..=9).map(|m| (m, 131, 17)).chain([(8, 32, 32), (19, 300, 71), (33, 129, 47)]);
    // Factors that are copied first: the right one, cut in both directions, and both.
    let sizes = sizes.chain([(25, 140, 128), (30, 131, 129), (100, 131, 400), (121, 260, 389)]);
    for (m, k, n) in sizes {
        let (a, b) = (numbers(m * k, 3), numbers(k * n, 11));
        let by_rows = (Matrix::dense(&a, m, k), Matrix::dense(&b, k, n));
        let by_columns = (Matrix::dense(&a, k, m).transposed(), Matrix::dense(&b, k, n));
        for (factors, left) in [(by_rows, [k, 1]), (by_columns, [1, m])] {
            let element = |row: usize, col: usize| -> f32 {
                let parts: Vec<usize> = (0..k).collect();
                parts.chunks(128).fold(1.5, |sum, part| {
                    let product = |sum, &depth| {
                        f32::mul_add(a[row * left[0] + depth * left[1]], b[depth * n + col], sum)
                    };
                    part.iter().fold(0.0, product) + sum
                })
            };
            for kernel in units::all().into_iter().flatten() {
                let mut out = vec![1.5f32; m * n];
                // SAFETY: `all` gives the kernels of this processor, and the shapes agree.
                unsafe { tile::sum(kernel, &mut MatrixMut::dense(&mut out, m, n), true, &[factors]) };
                for (place, value) in out.iter().enumerate() {
                    assert_eq!(*value, element(place / n, place % n), "{place} of {m}x{k}x{n}");
                }
            }
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn products_of_bf16_equal_the_definition_however_they_are_laid_out() {
    let numbers = |count: usize, seed: usize| -> Vec<bf16> {
        (0..count).map(|index| bf16::nearest(((index * 7919 + seed) % 31) as f32 - 15.0)).collect()
    };
    // Odd depths, whose last number has no partner, alone and among others; rows of the left factor that start at odd places.
    let cases: [(usize, usize, &[usize]); 5] =
        [(8, 32, &[4]), (19, 71, &[1, 40, 7]), (70, 5, &[300, 9, 131]), (3, 33, &[]), (129, 64, &[255, 3])];
    for (m, n, depths) in cases {
        for (by_columns, accumulate) in [(false, false), (true, false), (false, true), (true, true)] {
            let factors: Vec<(Vec<bf16>, Vec<bf16>)> =
                depths.iter().map(|k| (numbers(m * k, 3), numbers(k * n, 5))).collect();
            let terms: Vec<Term<'_, bf16>> = factors
                .iter()
                .zip(depths)
                .map(|((a, b), &k)| match by_columns {
                    true => (Matrix::dense(a, k, m).transposed(), Matrix::dense(b, k, n)),
                    false => (Matrix::dense(a, m, k), Matrix::dense(b, k, n)),
                })
                .collect();
            let element = |row: usize, col: usize| -> f32 {
                let of_term = |((a, b), &k): (&(Vec<bf16>, Vec<bf16>), &usize)| -> f32 {
                    let a =
                        |depth: usize| a[if by_columns { depth * m + row } else { row * k + depth }].wide();
                    (0..k).map(|depth| a(depth) * b[depth * n + col].wide()).sum()
                };
                (if accumulate { 2.0 } else { 0.0 }) + factors.iter().zip(depths).map(of_term).sum::<f32>()
            };
            for kernel in units::all_half().into_iter().flatten() {
                let mut out = vec![2.0f32; m * n];
                // SAFETY: `all_half` gives the kernels of this processor, and the shapes agree.
                unsafe { half::sum(kernel, &mut MatrixMut::dense(&mut out, m, n), accumulate, &terms) };
                for (place, value) in out.iter().enumerate() {
                    assert_eq!(*value, element(place / n, place % n), "{place} of {m}x{n}, {depths:?}");
                }
            }
        }
    }
}

#[test]
fn a_part_of_the_rows_leaves_the_others_alone() {
    let mut out = vec![7.0f32; 12];
    let mut view = MatrixMut::dense(&mut out, 4, 3);
    multiply(&mut view.rows(1..3), false, Matrix::dense(&[1.0, 2.0], 2, 1), Matrix::dense(&[1.0; 3], 1, 3));
    view.row(3)[1] = 0.0;
    assert_eq!(out, [7.0, 7.0, 7.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 7.0, 0.0, 7.0]);
}

#[test]
#[should_panic(expected = "leaves its 11 values")]
fn a_matrix_does_not_leave_its_values() {
    Matrix::strided(&[0.0; 11], 3, 4, 4);
}

#[test]
#[should_panic(expected = "rows 2..5 of 4")]
fn rows_do_not_leave_their_matrix() {
    MatrixMut::dense(&mut [0.0; 12], 4, 3).rows(2..5);
}

#[test]
#[should_panic(expected = "row 4 of 4")]
fn a_row_does_not_leave_its_matrix() {
    MatrixMut::dense(&mut [0.0; 12], 4, 3).row(4);
}

#[test]
#[should_panic(expected = "a product of 2x3 and 2x2 does not give 2x2")]
fn shapes_of_a_product_agree() {
    let a = [0.0; 6];
    multiply(
        &mut MatrixMut::dense(&mut [0.0; 4], 2, 2),
        false,
        Matrix::dense(&a, 2, 3),
        Matrix::dense(&a[..4], 2, 2),
    );
}
