//! Pictures sheared, moved and turned: [`Affine`] takes each pixel from the nearest place, and black from outside.
//!
//! Places are reckoned in single precision as torchvision's tensors have them (relative to the middle, in halves of the image), since
//! many fall just between two pixels: 0.04 times row 12 1/2 is one of them. Products are added without rounding in between, as the
//! product of matrices there does. That is done in double precision, which gives the same bits on every processor.

/// Added and taken off again, it leaves the nearest whole number, ties to even, of numbers up to 2²².
const WHOLE: f32 = 12_582_912.0;

/// Which place of the picture a place of the result shows, both from the middle: `[x, y]` of rows `[by x, by y, shift]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine([[f64; 3]; 2]);

impl Affine {
    /// Rows move to the left by `by` times their distance from the upper edge.
    pub(crate) fn shear_x(by: f64, (height, _): (usize, usize)) -> Self {
        Self([[1.0, by, by * (0.5 * height as f64)], [0.0, 1.0, 0.0]])
    }

    /// Columns move up by `by` times their distance from the left edge.
    pub(crate) fn shear_y(by: f64, (_, width): (usize, usize)) -> Self {
        Self([[1.0, 0.0, 0.0], [by, 1.0, by * (0.5 * width as f64)]])
    }

    /// To the right and down by so many pixels.
    pub(crate) fn translate(right: f64, down: f64) -> Self {
        Self([[1.0, 0.0, -right], [0.0, 1.0, -down]])
    }

    /// Against the clock, about the middle.
    pub(crate) fn rotate(degrees: f64) -> Self {
        let (sin, cos) = (-degrees).to_radians().sin_cos();
        Self([[cos, sin, 0.0], [-sin, cos, 0.0]])
    }

    /// Writes what becomes of `from`, `[height, width, 3]`, to `to`.
    pub(crate) fn apply(&self, from: &[u8], to: &mut Vec<u8>, (height, width): (usize, usize)) {
        let halves = [0.5 * width as f32, 0.5 * height as f32];
        let [x, y] = [0, 1].map(|axis| Axis::new(self.0[axis], halves[axis]));
        let pixels = from.as_chunks::<3>().0;
        to.clear();
        for row in 0..height {
            let down = row as f32 - halves[1] + 0.5;
            for column in 0..width {
                let right = column as f32 - halves[0] + 0.5;
                let (x, y) = (x.at(right, down), y.at(right, down));
                let inside = x >= 0.0 && x < width as f32 && y >= 0.0 && y < height as f32;
                to.extend(if inside { pixels[y as usize * width + x as usize] } else { [0; 3] });
            }
        }
    }
}

/// One coordinate of a place, as a function of both of another.
struct Axis {
    by_x: f32,
    by_y: f64,
    shift: f32,
    half: f32,
}

impl Axis {
    fn new(row: [f64; 3], half: f32) -> Self {
        let [by_x, by_y, shift] = row.map(|factor| factor as f32 / half);
        Self { by_x, by_y: f64::from(by_y), shift, half }
    }

    /// Which pixel it is; a whole number.
    #[inline(always)]
    fn at(&self, right: f32, down: f32) -> f32 {
        // Exact but for the sum, which is rounded once more by less than a tie of single precision can show.
        let place = (f64::from(right * self.by_x) + f64::from(down) * self.by_y) as f32 + self.shift;
        ((place + 1.0) * self.half - 0.5) + WHOLE - WHOLE
    }
}
