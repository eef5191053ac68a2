//! Position embeddings of another grid of patches: [`resample`], which is what timm's `resample_abs_pos_embed` does when
//! weights meet a model of another resolution. Only numbers in rows are known here.

/// The cubic's parameter (Keys 1981), as PyTorch takes it where it antialiases.
const A: f64 = -0.5;

/// Resamples positions `[rows, columns, channels]` to another number of rows and columns, bicubic with antialiasing:
/// where a grid shrinks, the kernel widens by as much. As `torch.nn.functional.interpolate(mode="bicubic",
/// antialias=True, align_corners=False)`.
pub(crate) fn resample(values: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let channels = values.len() / (from.0 * from.1).max(1);
    let wide: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    // Along each row first, then along the columns.
    let rows = along(&wide, from.1, to.1, channels);
    let both = along(&rows, from.0, to.0, to.1 * channels);
    both.into_iter().map(|value| value as f32).collect()
}

/// The middle of three dimensions `[.., from, inner]` becomes `to` long.
fn along(values: &[f64], from: usize, to: usize, inner: usize) -> Vec<f64> {
    let taps: Vec<(usize, Vec<f64>)> = (0..to).map(|place| weights(place, from, to)).collect();
    let mut out = Vec::with_capacity(values.len() / from.max(1) * to);
    for block in values.chunks_exact((from * inner).max(1)) {
        for (first, weights) in &taps {
            out.extend((0..inner).map(|i| {
                let terms = weights.iter().enumerate();
                terms.map(|(tap, weight)| weight * block[(first + tap) * inner + i]).sum::<f64>()
            }));
        }
    }
    out
}

/// The first input that output `place` sees, and the weights from there on, which sum to one.
fn weights(place: usize, from: usize, to: usize) -> (usize, Vec<f64>) {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let centre = scale * (place as f64 + 0.5);
    let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
    let end = ((centre + 2.0 * stretch + 0.5) as usize).min(from);
    let weights: Vec<f64> =
        (first..end).map(|input| cubic((input as f64 + 0.5 - centre) / stretch)).collect();
    let sum: f64 = weights.iter().sum();
    (first, weights.into_iter().map(|weight| weight / sum).collect())
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The side of a square grid of `count` patches.
pub(crate) fn square(count: usize) -> Option<usize> {
    let side = count.isqrt();
    (side > 0 && side * side == count).then_some(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_keeps_its_positions() {
        let values: Vec<f32> = (0..3 * 4 * 2).map(|i| (i * 7 % 11) as f32).collect();
        assert_eq!(resample(&values, (3, 4), (3, 4)), values);
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        positions: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        from: (usize, usize),
        to: (usize, usize),
        channels: usize,
        values: Vec<f64>,
    }

    /// Up and down, square and not, as `tests/fixtures/make_fixtures.py` has them from timm.
    #[test]
    fn grids_are_resampled_as_by_timm() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/fixtures/transformers.json")).unwrap();
        assert!(golden.positions.len() >= 6);
        for Case { from, to, channels, values } in golden.positions {
            let count = from.0 * from.1 * channels;
            let source: Vec<f32> = (0..count).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
            let found = resample(&source, from, to);
            assert_eq!(found.len(), values.len());
            let worst = found.iter().zip(&values).map(|(f, v)| (f64::from(*f) - v).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-5, "{from:?} to {to:?}: {worst}");
        }
    }

    #[test]
    fn a_constant_stays_constant_and_a_square_is_one() {
        let same = resample(&[2.5; 14 * 14], (14, 14), (3, 20));
        assert!(same.len() == 60 && same.iter().all(|value| (value - 2.5).abs() < 1e-6));
        assert_eq!([0, 1, 195, 196].map(square), [None, Some(1), None, Some(14)]);
    }
}
