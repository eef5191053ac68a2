//! Attention within windows, and the merging of pixels.

use candle_core::{Result, Tensor};
use frostline_kernels::{Hwnc, WindowSpec, composed, merge_pixels, window_attention};
use proptest::prelude::*;

use super::harness::{Array, Case, hold, properties};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named windows", named_windows),
    ("more windows than tasks", more_windows_than_tasks),
    ("what does not fit is refused", what_does_not_fit_is_refused),
    ("windows of random shapes", windows_of_random_shapes),
];

/// Pixel by pixel: each looks for those of its window.
fn oracle(t: &[Array], spec: WindowSpec) -> Array {
    let [h, w, n, columns] = t[0].dims[..] else { panic!("four dimensions") };
    let (c, d) = (columns / 3, columns / 3 / spec.heads);
    let whole = |size: usize, window: usize| size.div_ceil(window) * window;
    let (high, wide) = (whole(h, spec.window.0), whole(w, spec.window.1));
    let inside = |(y, x): (usize, usize)| y < h && x < w;
    let at = |(y, x): (usize, usize), image: usize, column: usize| match inside((y, x)) {
        true => t[0].at((y + spec.shift.0) % h, (x + spec.shift.1) % w, image, column),
        false => t[2].values[column],
    };
    let part = |at: usize, size: usize, window: usize, shift: usize| {
        let last = shift > 0 && at + shift >= size;
        let border = shift > 0 && at + window >= size;
        usize::from(border) + usize::from(last)
    };
    let parts = |(y, x): (usize, usize)| {
        (part(y, high, spec.window.0, spec.shift.0), part(x, wide, spec.window.1, spec.shift.1))
    };
    let mut mixed = Array::zeros(&[h, w, n, c]);
    for (y, x, image, head) in (0..h * w * n * spec.heads)
        .map(|i| (i / (w * n * spec.heads), i / (n * spec.heads) % w, i / spec.heads % n, i % spec.heads))
    {
        let (top, left) = (y / spec.window.0 * spec.window.0, x / spec.window.1 * spec.window.1);
        let others: Vec<(usize, usize)> = (0..spec.window.0 * spec.window.1)
            .map(|i| (top + i / spec.window.1, left + i % spec.window.1))
            .collect();
        let score = |other: (usize, usize)| {
            let column = |part: usize, i: usize| part * c + head * d + i;
            let product: f64 =
                (0..d).map(|i| at((y, x), image, column(0, i)) * at(other, image, column(1, i))).sum();
            let way =
                (y + spec.table.0 - 1 - other.0) * (2 * spec.table.1 - 1) + x + spec.table.1 - 1 - other.1;
            let apart = if parts((y, x)) == parts(other) { 0.0 } else { -100.0 };
            product / (d as f64).sqrt() + t[1].values[way * spec.heads + head] + apart
        };
        let scores: Vec<f64> = others.iter().map(|other| score(*other)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        for i in 0..d {
            let terms = others.iter().zip(&scores);
            let value = terms.map(|(other, score)| {
                (score - largest).exp() / sum * at(*other, image, 2 * c + head * d + i)
            });
            let place = mixed.index((y + spec.shift.0) % h, (x + spec.shift.1) % w, image, head * d + i);
            mixed.values[place] = value.sum();
        }
    }
    mixed
}

fn check((h, w, n, d): (usize, usize, usize, usize), spec: WindowSpec, seed: u64) {
    let columns = 3 * spec.heads * d;
    let ways = (2 * spec.table.0 - 1) * (2 * spec.table.1 - 1);
    type Attend = fn(&Hwnc, &Tensor, &Tensor, WindowSpec) -> Result<Hwnc>;
    let run =
        |f: Attend| move |t: &[Tensor]| Ok(f(&Hwnc::new(t[0].clone())?, &t[1], &t[2], spec)?.into_tensor());
    hold(&Case {
        name: format!("windows of [{h}, {w}, {n}, {columns}], {spec:?}"),
        inputs: vec![
            Array::noise(&[h, w, n, columns], seed).map(|x| 2.0 * x),
            Array::noise(&[ways, spec.heads], seed + 1),
            Array::noise(&[columns], seed + 2),
        ],
        here: &run(window_attention),
        composed: &run(composed::window_attention),
        oracle: &|t| oracle(t, spec),
    });
}

#[cfg_attr(test, test)]
fn named_windows() {
    for (index, (map, heads, window, shift, table)) in [
        ((4, 4, 4, 4), 1, (4, 4), (0, 0), (4, 4)),
        ((6, 4, 2, 3), 2, (3, 2), (1, 1), (3, 2)),
        // Beyond the edges, rolled or not, and a window smaller than those of the table.
        ((5, 7, 3, 4), 2, (3, 3), (0, 0), (3, 3)),
        ((5, 7, 2, 4), 1, (3, 3), (1, 1), (3, 3)),
        ((8, 2, 2, 5), 3, (3, 2), (1, 0), (3, 3)),
        ((1, 1, 2, 3), 2, (1, 1), (0, 0), (7, 7)),
        ((9, 5, 1, 16), 2, (7, 5), (3, 0), (7, 7)),
    ]
    .into_iter()
    .enumerate()
    {
        check(map, WindowSpec { heads, window, shift, table }, index as u64);
    }
}

#[cfg_attr(test, test)]
fn more_windows_than_tasks() {
    let spec = WindowSpec { heads: 3, window: (3, 3), shift: (1, 1), table: (3, 3) };
    check((10, 13, 3, 6), spec, 4);
}

fn check_merging((h, w, n, c): (usize, usize, usize, usize), seed: u64) {
    hold(&Case {
        name: format!("pixels of [{h}, {w}, {n}, {c}] merged"),
        inputs: vec![Array::noise(&[h, w, n, c], seed)],
        here: &|t| Ok(merge_pixels(&Hwnc::new(t[0].clone())?)?.into_tensor()),
        composed: &|t| Ok(composed::merge_pixels(&Hwnc::new(t[0].clone())?)?.into_tensor()),
        oracle: &|t| {
            let mut y = Array::zeros(&[h.div_ceil(2), w.div_ceil(2), n, 4 * c]);
            for index in 0..t[0].values.len() {
                let (y_, x, image, channel) =
                    (index / (w * n * c), index / (n * c) % w, index / c % n, index % c);
                let place = y.index(y_ / 2, x / 2, image, (2 * (x % 2) + y_ % 2) * c + channel);
                y.values[place] = t[0].values[index];
            }
            y
        },
    });
}

#[cfg_attr(test, test)]
fn what_does_not_fit_is_refused() {
    let zeros = |dims: &[usize]| Array::zeros(dims).tensor();
    let map = Hwnc::new(zeros(&[4, 4, 2, 12])).unwrap();
    let spec = WindowSpec { heads: 2, window: (2, 2), shift: (0, 0), table: (2, 2) };
    let refused = |biases: &[usize], outside: usize, spec: WindowSpec| {
        window_attention(&map, &zeros(biases), &zeros(&[outside]), spec).is_err()
    };
    assert!(!refused(&[9, 2], 12, spec));
    assert!(refused(&[9, 3], 12, spec) && refused(&[8, 2], 12, spec) && refused(&[9, 2], 11, spec));
    assert!(refused(&[9, 2], 12, WindowSpec { window: (3, 2), ..spec }));
    assert!(refused(&[9, 2], 12, WindowSpec { shift: (2, 0), ..spec }));
    assert!(refused(&[9, 5], 12, WindowSpec { heads: 5, ..spec }));
}

proptest! {
    #![proptest_config(properties(24))]
    #[cfg_attr(test, test)]
    fn windows_of_random_shapes(
        map in (1usize..7, 1usize..7, 1usize..3, 1usize..5),
        heads in 1usize..3,
        window in (1usize..4, 1usize..4),
        shift in (0usize..3, 0usize..3),
        more in (0usize..2, 0usize..2),
        seed in 0u64..1_000_000,
    ) {
        let shift = (shift.0 % window.0, shift.1 % window.1);
        let table = (window.0 + more.0, window.1 + more.1);
        check(map, WindowSpec { heads, window, shift, table }, seed);
        check_merging(map, seed);
    }
}
