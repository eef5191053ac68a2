//! Products of matrices in f64, whose sums have one order whatever the processor and the number of threads.

/// The images of a block.
pub(crate) const BLOCK: usize = 256;

/// Rows of a matrix: numbers, and how far a row is from the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f64],
    pub(crate) step: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(values: &'a [f64], step: usize) -> Self {
        Self { values, step }
    }
}

/// Adds `factor · a · b` to the rows of `c`, which are `c_step` apart and `n` long; `a` is `[m, k]`, `b` `[k, n]`.
pub(crate) fn add(
    (m, k, n): (usize, usize, usize),
    (c, c_step): (&mut [f64], usize),
    (a, b): (Rows<'_>, Rows<'_>),
    factor: f64,
) {
    // As many as lie in the first cache.
    const COLUMNS: usize = 256;
    pulp::Arch::new().dispatch(|| {
        for start in (0..n).step_by(COLUMNS) {
            let end = n.min(start + COLUMNS);
            for row in 0..m {
                let sums = &mut c[row * c_step + start..row * c_step + end];
                let factors = &a.values[row * a.step..][..k];
                let line = |inner: usize| &b.values[inner * b.step + start..inner * b.step + end];
                let fours = k / 4 * 4;
                for inner in (0..fours).step_by(4) {
                    let [f0, f1, f2, f3] = [0, 1, 2, 3].map(|i| factor * factors[inner + i]);
                    let lines = line(inner).iter().zip(line(inner + 1));
                    let lines = lines.zip(line(inner + 2).iter().zip(line(inner + 3)));
                    for (sum, ((b0, b1), (b2, b3))) in sums.iter_mut().zip(lines) {
                        *sum += (f0 * b0 + f1 * b1) + (f2 * b2 + f3 * b3);
                    }
                }
                for (inner, f) in factors.iter().enumerate().skip(fours) {
                    sums.iter_mut().zip(line(inner)).for_each(|(sum, b)| *sum += factor * f * b);
                }
            }
        }
    });
}

/// The columns of a matrix `[rows, columns]` as rows.
pub(crate) fn transposed(values: &[f64], columns: usize) -> Vec<f64> {
    let rows = values.len() / columns.max(1);
    let mut turned = vec![0.0; values.len()];
    for (row, line) in values.chunks_exact(columns.max(1)).enumerate() {
        line.iter().enumerate().for_each(|(column, value)| turned[column * rows + row] = *value);
    }
    turned
}
