//! Pictures of weights over an image: [`beside`] draws the image and, to its right, the same under a veil that is bright where weights are
//! large. It computes no weight.

use frostline_pictures::Picture;

/// Pixels between the two.
const GAP: usize = 8;
/// How much of a place without weight is the veil's, and how much of the heaviest.
const VEIL: (f32, f32) = (0.55, 0.65);
/// Colours from no weight to the largest, evenly spaced.
const RAMP: [[f32; 3]; 5] = [
    [8.0, 12.0, 48.0],
    [84.0, 18.0, 110.0],
    [188.0, 48.0, 84.0],
    [248.0, 140.0, 40.0],
    [252.0, 248.0, 164.0],
];

/// Weights of places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heat<'a> {
    /// Rows.
    pub(super) height: usize,
    /// Columns.
    pub(super) width: usize,
    /// In [0, 1], `[height, width]`.
    pub(super) weights: &'a [f32],
}

/// An image of RGB bytes `[height, width, 3]` and its veiled copy.
pub(super) fn beside(pixels: &[u8], (height, width): (usize, usize), heat: Heat<'_>) -> Picture {
    let at = |y: usize, x: usize| {
        let pixel = |x: usize| [0, 1, 2].map(|channel| pixels[(y * width + x) * 3 + channel]);
        match x.checked_sub(width + GAP) {
            None if x < width => pixel(x),
            None => [255; 3],
            Some(x) => veiled(pixel(x), heat.at((y, height), (x, width))),
        }
    };
    let whole = 2 * width + GAP;
    let pixels = (0..height).flat_map(|y| (0..whole).flat_map(move |x| at(y, x))).collect();
    Picture { height, width: whole, pixels }
}

impl Heat<'_> {
    /// The weight at a pixel of a picture, linear between the middles of places.
    fn at(self, (y, height): (usize, usize), (x, width): (usize, usize)) -> f32 {
        let along = |at: usize, size: usize, places: usize| {
            let place =
                ((at as f32 + 0.5) * places as f32 / size as f32 - 0.5).clamp(0.0, (places - 1) as f32);
            let first = place as usize;
            (first, (first + 1).min(places - 1), place - first as f32)
        };
        let ((top, bottom, down), (left, right, across)) =
            (along(y, height, self.height), along(x, width, self.width));
        let row = |row: usize| {
            let at = |column: usize| self.weights[row * self.width + column];
            at(left) + across * (at(right) - at(left))
        };
        row(top) + down * (row(bottom) - row(top))
    }
}

/// A pixel's grey, so that the colour says the weight alone, under the veil's colour.
fn veiled(pixel: [u8; 3], weight: f32) -> [u8; 3] {
    let [red, green, blue] = pixel.map(f32::from);
    let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    let place = weight.clamp(0.0, 1.0) * (RAMP.len() - 1) as f32;
    let first = (place as usize).min(RAMP.len() - 2);
    let share = VEIL.0 + (VEIL.1 - VEIL.0) * weight.clamp(0.0, 1.0);
    [0, 1, 2].map(|channel| {
        let colour =
            RAMP[first][channel] + (place - first as f32) * (RAMP[first + 1][channel] - RAMP[first][channel]);
        ((1.0 - share) * grey + share * colour).round().clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_linear_between_the_middles_of_places() {
        let heat = Heat { height: 1, width: 2, weights: &[0.0, 1.0] };
        let row: Vec<f32> = (0..4).map(|x| heat.at((0, 1), (x, 4))).collect();
        assert_eq!(row, [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn the_image_stands_beside_its_copy_which_is_bright_where_weights_are_large() {
        let pixels: Vec<u8> = (0..2 * 3 * 3).map(|value| value * 9).collect();
        let heat = Heat { height: 1, width: 3, weights: &[0.0, 0.5, 1.0] };
        let picture = beside(&pixels, (2, 3), heat);
        assert_eq!((picture.height, picture.width), (2, 14));
        let pixel = |x: usize, y: usize| &picture.pixels[(y * 14 + x) * 3..][..3];
        assert_eq!(pixel(2, 1), [135, 144, 153]);
        assert_eq!(pixel(5, 0), [255; 3]);
        let bright = |x: usize| pixel(x, 0).iter().map(|value| u32::from(*value)).sum::<u32>();
        assert!(bright(11) < bright(12) && bright(12) < bright(13));
    }
}
