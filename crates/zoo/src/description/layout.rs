//! How a parameter's numbers lie in memory: torchvision's order outside, the kernels' order inside. The main type is
//! [`Layout`]; it moves numbers, adds up copies, and computes nothing else.

/// The order in which a parameter is stored here, compared with torchvision's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One number per channel, the same in both.
    Vector,
    /// `[1, 1 + height·width, channels]`, the same in both: a position for the class token, where it has one, then for each patch.
    /// Weights of another grid can be resampled to it.
    Positions {
        /// Whether the class token has one.
        class: bool,
        /// Rows of patches.
        height: usize,
        /// Columns of patches.
        width: usize,
    },
    /// torchvision's `[outputs, channels, height, width]` is stored tap-major, `[height, width, channels, outputs]`,
    /// of the live taps alone. A linear layer is the case of one position, or of a flattened map; its native shape is
    /// then `[height·width·channels, outputs]`.
    Matrix {
        /// Output channels.
        outputs: usize,
        /// Input channels.
        channels: usize,
        /// Of the kernel, or of the map.
        height: usize,
        /// Of the kernel, or of the map.
        width: usize,
        /// The taps that are stored.
        live: LiveTaps,
    },
    /// A linear layer's weight over a map whose pixels are copies of fewer, `[rows·cols·channels, outputs]`: each number is
    /// the sum of torchvision's over the copies of a pixel. `rows` divides `height` and `cols` divides `width`.
    Sums {
        /// Output channels.
        outputs: usize,
        /// Input channels.
        channels: usize,
        /// Of the map of copies.
        height: usize,
        /// Of the map of copies.
        width: usize,
        /// Of the map of what is copied.
        rows: usize,
        /// Of the map of what is copied.
        cols: usize,
    },
}

/// The taps of a kernel that reach a pixel from some output, which form a rectangle. The weights of the others have no
/// effect on the output and no gradient: they are neither multiplied, differentiated nor updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveTaps {
    /// The first live row.
    pub top: usize,
    /// The first live column.
    pub left: usize,
    /// Live rows.
    pub height: usize,
    /// Live columns.
    pub width: usize,
}

impl LiveTaps {
    /// All taps of a kernel.
    pub fn all(height: usize, width: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

/// Outputs that are copied together: 32 streams are read, 128 bytes are written at a time.
const BLOCK: usize = 32;

impl Layout {
    /// The native shape of a parameter whose torchvision shape is `shape`.
    pub fn native_shape(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape.len()) {
            (Layout::Matrix { outputs, channels, live, .. }, 4) => {
                vec![live.height, live.width, channels, outputs]
            }
            (Layout::Matrix { outputs, channels, height, width, .. }, _) => {
                vec![height * width * channels, outputs]
            }
            (Layout::Sums { outputs, channels, rows, cols, .. }, _) => vec![rows * cols * channels, outputs],
            (Layout::Vector | Layout::Positions { .. }, _) => shape.to_vec(),
        }
    }

    /// Whether fewer numbers are stored here than torchvision has.
    pub fn is_shrunk(self) -> bool {
        match self {
            Layout::Matrix { height, width, live, .. } => live.height * live.width < height * width,
            Layout::Sums { .. } => true,
            Layout::Vector | Layout::Positions { .. } => false,
        }
    }

    /// How many of torchvision's numbers one of ours is the sum of.
    pub fn copies(self) -> usize {
        match self {
            Layout::Sums { height, width, rows, cols, .. } => height * width / (rows * cols),
            Layout::Matrix { .. } | Layout::Vector | Layout::Positions { .. } => 1,
        }
    }

    /// Numbers in torchvision's order, put into ours, or added up there.
    pub fn to_native(self, torch: &[f32]) -> Vec<f32> {
        let stored = match self {
            Layout::Matrix { outputs, channels, live, .. } => live.height * live.width * channels * outputs,
            Layout::Sums { outputs, channels, rows, cols, .. } => rows * cols * channels * outputs,
            Layout::Vector | Layout::Positions { .. } => torch.len(),
        };
        let mut native = vec![0.0; stored];
        self.each(torch.len(), |outside, inside| native[inside] += torch[outside]);
        native
    }

    /// Gives torchvision's numbers the change of their sums: each keeps `factor` of its difference from the mean of its
    /// copies, whose sum becomes that of `native`. Without a change, all stay as they are.
    pub fn spread_over(self, native: &[f32], factor: f32, torch: &mut [f32]) {
        let before = self.to_native(torch);
        let share = 1.0 / self.copies() as f32;
        self.each(native.len(), |outside, inside| {
            torch[outside] = factor * torch[outside] + share * (native[inside] - factor * before[inside]);
        });
    }

    /// Numbers in our order, put over `torch` in torchvision's; what is not stored here stays. Copies get the same.
    pub fn put_over(self, native: &[f32], torch: &mut [f32]) {
        self.each(native.len(), |outside, inside| torch[outside] = native[inside]);
    }

    /// Calls `pair(index in torchvision's order, index in ours)` for every number that is stored here.
    fn each(self, len: usize, mut pair: impl FnMut(usize, usize)) {
        match self {
            Layout::Vector | Layout::Positions { .. } => (0..len).for_each(|i| pair(i, i)),
            Layout::Matrix { outputs, channels, height, width, live } => {
                let place = |tap| ((live.top + tap / live.width) * width + live.left + tap % live.width, tap);
                let places = (0..live.height * live.width).map(place).collect::<Vec<_>>();
                walk((outputs, channels, height * width), &places, pair);
            }
            Layout::Sums { outputs, channels, height, width, rows, cols } => {
                let pixel = |row, col| row * rows / height * cols + col * cols / width;
                let place = |position| (position, pixel(position / width, position % width));
                let places = (0..height * width).map(place).collect::<Vec<_>>();
                walk((outputs, channels, height * width), &places, pair);
            }
        }
    }
}

/// Goes through torchvision's `[outputs, channels, positions]` and our `[places, channels, outputs]`, for pairs of a position
/// and a place.
fn walk(
    (outputs, channels, positions): (usize, usize, usize),
    places: &[(usize, usize)],
    mut pair: impl FnMut(usize, usize),
) {
    for start in (0..outputs).step_by(BLOCK) {
        let end = (start + BLOCK).min(outputs);
        for channel in 0..channels {
            for (position, place) in places {
                let row = (place * channels + channel) * outputs;
                for output in start..end {
                    pair((output * channels + channel) * positions + position, row + output);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_becomes_tap_major_and_comes_back() {
        let live = LiveTaps::all(2, 5);
        let layout = Layout::Matrix { outputs: 35, channels: 3, height: 2, width: 5, live };
        let torch: Vec<f32> = (0..35 * 3 * 2 * 5).map(|i| i as f32).collect();
        let native = layout.to_native(&torch);
        let (o, c, h, w) = (33, 2, 1, 4);
        assert_eq!(native[((h * 5 + w) * 3 + c) * 35 + o], torch[((o * 3 + c) * 2 + h) * 5 + w]);
        let mut back = vec![0.0; torch.len()];
        layout.put_over(&native, &mut back);
        assert_eq!(back, torch);
        assert_eq!(layout.native_shape(&[35, 3, 2, 5]), [2, 5, 3, 35]);
    }

    #[test]
    fn a_linear_weight_over_a_map_takes_rows_by_position_then_channel() {
        let live = LiveTaps::all(1, 3);
        let layout = Layout::Matrix { outputs: 1, channels: 2, height: 1, width: 3, live };
        assert_eq!(layout.to_native(&[0., 1., 2., 10., 11., 12.]), [0., 10., 1., 11., 2., 12.]);
        assert_eq!(layout.native_shape(&[1, 6]), [6, 1]);
    }

    #[test]
    fn only_live_taps_are_stored_and_the_others_stay_as_they_are() {
        let live = LiveTaps { top: 1, left: 0, height: 1, width: 2 };
        let layout = Layout::Matrix { outputs: 2, channels: 1, height: 3, width: 3, live };
        let torch: Vec<f32> = (0..18).map(|i| i as f32).collect();
        assert!(layout.is_shrunk());
        assert_eq!(layout.native_shape(&[2, 1, 3, 3]), [1, 2, 1, 2]);
        assert_eq!(layout.to_native(&torch), [3.0, 12.0, 4.0, 13.0]);
        let mut over = vec![-1.0; 18];
        layout.put_over(&[3.0, 12.0, 4.0, 13.0], &mut over);
        let kept = |i: &usize| [3, 4, 12, 13].contains(i);
        assert!((0..18).all(|i| over[i] == if kept(&i) { i as f32 } else { -1.0 }));
    }

    #[test]
    fn copies_are_summed_and_a_change_of_the_sum_is_spread() {
        // Two outputs over a map of 2x4 pixels, of which the columns are two, each there twice.
        let layout = Layout::Sums { outputs: 2, channels: 1, height: 2, width: 4, rows: 2, cols: 2 };
        let torch: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert!(layout.is_shrunk());
        assert_eq!((layout.copies(), layout.native_shape(&[2, 8])), (2, vec![4, 2]));
        let sums = layout.to_native(&torch);
        assert_eq!(sums, [1.0, 17.0, 5.0, 21.0, 9.0, 25.0, 13.0, 29.0]);

        let mut spread = torch.clone();
        layout.spread_over(&sums, 1.0, &mut spread);
        assert_eq!(spread, torch);
        let moved: Vec<f32> = sums.iter().map(|sum| sum + 4.0).collect();
        layout.spread_over(&moved, 1.0, &mut spread);
        assert_eq!(spread, torch.iter().map(|v| v + 2.0).collect::<Vec<_>>());
        // Half of the differences, around the same means.
        let mut spread = torch.clone();
        layout.spread_over(&sums, 0.5, &mut spread);
        assert_eq!(spread[..4], [0.25, 0.75, 2.25, 2.75]);

        let mut each = vec![0.0; 16];
        layout.put_over(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &mut each);
        assert_eq!(each[..8], [1.0, 1.0, 3.0, 3.0, 5.0, 5.0, 7.0, 7.0]);
    }
}
