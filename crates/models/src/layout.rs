//! How a parameter's numbers lie in memory: torchvision's order outside, the kernels' order inside. The main type is
//! [`Layout`]; it moves numbers and never computes with them.

/// The order in which a parameter is stored here, compared with torchvision's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One number per channel, the same in both.
    Vector,
    /// torchvision's `[outputs, channels, height, width]` is stored tap-major, `[height, width, channels, outputs]`.
    /// A linear layer is the case of one position, or of a flattened map; its native shape is then
    /// `[height·width·channels, outputs]`.
    Matrix { outputs: usize, channels: usize, height: usize, width: usize },
}

/// Outputs that are copied together: 32 streams are read, 128 bytes are written at a time.
const BLOCK: usize = 32;

impl Layout {
    /// The native shape of a parameter whose torchvision shape is `shape`.
    pub(crate) fn native_shape(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape.len()) {
            (Layout::Matrix { outputs, channels, height, width }, 4) => {
                vec![height, width, channels, outputs]
            }
            (Layout::Matrix { outputs, channels, height, width }, _) => {
                vec![height * width * channels, outputs]
            }
            (Layout::Vector, _) => shape.to_vec(),
        }
    }

    /// Numbers in torchvision's order, put into ours.
    pub(crate) fn to_native(self, torch: &[f32]) -> Vec<f32> {
        let mut native = vec![0.0; torch.len()];
        self.each(torch.len(), |outside, inside| native[inside] = torch[outside]);
        native
    }

    /// Numbers in our order, put into torchvision's.
    pub(crate) fn to_torch(self, native: &[f32]) -> Vec<f32> {
        let mut torch = vec![0.0; native.len()];
        self.each(native.len(), |outside, inside| torch[outside] = native[inside]);
        torch
    }

    /// Calls `pair(index in torchvision's order, index in ours)` for every number.
    fn each(self, len: usize, mut pair: impl FnMut(usize, usize)) {
        let Layout::Matrix { outputs, channels, height, width } = self else {
            (0..len).for_each(|i| pair(i, i));
            return;
        };
        let positions = height * width;
        for start in (0..outputs).step_by(BLOCK) {
            let end = (start + BLOCK).min(outputs);
            for channel in 0..channels {
                for position in 0..positions {
                    let row = (position * channels + channel) * outputs;
                    for output in start..end {
                        pair((output * channels + channel) * positions + position, row + output);
                    }
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
        let layout = Layout::Matrix { outputs: 35, channels: 3, height: 2, width: 5 };
        let torch: Vec<f32> = (0..35 * 3 * 2 * 5).map(|i| i as f32).collect();
        let native = layout.to_native(&torch);
        let (o, c, h, w) = (33, 2, 1, 4);
        assert_eq!(native[((h * 5 + w) * 3 + c) * 35 + o], torch[((o * 3 + c) * 2 + h) * 5 + w]);
        assert_eq!(layout.to_torch(&native), torch);
        assert_eq!(layout.native_shape(&[35, 3, 2, 5]), [2, 5, 3, 35]);
    }

    #[test]
    fn a_linear_weight_over_a_map_takes_rows_by_position_then_channel() {
        let layout = Layout::Matrix { outputs: 1, channels: 2, height: 1, width: 3 };
        assert_eq!(layout.to_native(&[0., 1., 2., 10., 11., 12.]), [0., 10., 1., 11., 2., 12.]);
        assert_eq!(layout.native_shape(&[1, 6]), [6, 1]);
    }
}
