//! A part of a picture, enlarged to the whole: [`enlarge`].

use super::region::Region;

/// Which two pixels a place between them is made of, and how much of the second.
#[derive(Clone, Copy, Debug)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// Writes the `region` of `from`, `[height, width, 3]`, enlarged to the size of the whole, to `to`. It is bilinear, and the pixels at the
/// region's edge are its last. A filter widened against aliasing, as torchvision's is, is the same here, as nothing ever shrinks.
pub(crate) fn enlarge(
    from: &[u8],
    region: Region,
    to: &mut Vec<u8>,
    lines: &mut Lines,
    (height, width): (usize, usize),
) {
    between(region.width, width, &mut lines.columns);
    let line = width * 3;
    lines.wide.clear();
    let rows = from.chunks_exact(line).skip(region.top).take(region.height);
    for row in rows {
        let row = row[region.left * 3..].as_chunks::<3>().0;
        for Between { first, second, share } in &lines.columns {
            let (a, b) = (row[*first], row[*second]);
            lines.wide.extend([0, 1, 2].map(|c| mix(f32::from(a[c]), f32::from(b[c]), *share)));
        }
    }
    between(region.height, height, &mut lines.rows);
    to.clear();
    for Between { first, second, share } in &lines.rows {
        let (a, b) = (&lines.wide[first * line..][..line], &lines.wide[second * line..][..line]);
        // A mix of bytes is at least 0, so half more and cut is the nearest.
        to.extend(a.iter().zip(b).map(|(a, b)| (mix(*a, *b, *share) + 0.5) as u8));
    }
}

/// What [`enlarge`] needs room for, to be used again.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    columns: Vec<Between>,
    rows: Vec<Between>,
    /// The region's rows at the width of the result, `[height, width, 3]`.
    wide: Vec<f32>,
}

#[inline(always)]
fn mix(a: f32, b: f32, share: f32) -> f32 {
    a * (1.0 - share) + b * share
}

fn between(from: usize, to: usize, places: &mut Vec<Between>) {
    let scale = from as f32 / to as f32;
    places.clear();
    places.extend((0..to).map(|place| {
        let at = (scale * (place as f32 + 0.5) - 0.5).clamp(0.0, from as f32 - 1.0);
        let first = at as usize;
        Between { first, second: (first + 1).min(from - 1), share: at - first as f32 }
    }));
}
