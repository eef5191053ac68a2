//! Linear layers behind a pool that copies pixels. Adaptive pooling of a map to a multiple of its size repeats each pixel,
//! and a linear layer right behind it acts on the sum of the weights that meet the same pixel. [`Fold`] finds such layers,
//! and [`Architecture::fold`] has a description work on the sums. Layers with dropout between pool and weights are not
//! folded, as it treats each copy by itself.

use super::architecture::Architecture;
use super::layers::{Extent, Layer, ParameterId};
use super::layout::Layout;

/// The rows and columns that differ in a map of `outputs` which adaptive pooling makes of `input`; none where all may.
pub fn distinct(input: (usize, usize), outputs: (usize, usize)) -> Option<(usize, usize)> {
    let side = |input: usize, outputs: usize| if outputs.is_multiple_of(input) { input } else { outputs };
    let sides = (side(input.0, outputs.0), side(input.1, outputs.1));
    (sides != outputs).then_some(sides)
}

/// A linear layer whose weights can be summed, and the rows and columns of sums that remain of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The layer's weight.
    pub weight: ParameterId,
    /// Rows of sums.
    pub rows: usize,
    /// Columns of sums.
    pub cols: usize,
}

impl Fold {
    /// The fold of the first of `layers`, which takes a map of `input` pixels.
    pub fn at(layers: &[Layer], input: Extent) -> Option<Self> {
        let [Layer::AdaptiveAvgPool { height, width }, Layer::Flatten, Layer::Linear(linear), ..] = layers
        else {
            return None;
        };
        let (rows, cols) = distinct((input.height, input.width), (*height, *width))?;
        Some(Self { weight: linear.weight, rows, cols })
    }

    /// How the sums of a linear layer's weight lie.
    pub fn layout(self, whole: Layout) -> Layout {
        let Self { rows, cols, .. } = self;
        match whole {
            Layout::Matrix { outputs, channels, height, width, .. } => {
                Layout::Sums { outputs, channels, height, width, rows, cols }
            }
            Layout::Sums { .. } | Layout::Vector | Layout::Positions { .. } => whole,
        }
    }
}

impl Architecture {
    /// Has a linear layer and the pool before it work on sums.
    pub fn fold(&mut self, fold: Fold) {
        let Fold { weight, rows, cols } = fold;
        let layout = &mut self.parameters[weight.0].layout;
        *layout = fold.layout(*layout);
        for stage in &mut self.stages {
            for index in 2..stage.layers.len() {
                let is_it = matches!(&stage.layers[index], Layer::Linear(linear) if linear.weight == weight);
                if let (true, Layer::AdaptiveAvgPool { height, width }) =
                    (is_it, &mut stage.layers[index - 2])
                {
                    (*height, *width) = (rows, cols);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card;

    fn folds(name: &str, height: usize, width: usize) -> Vec<(usize, usize)> {
        let architecture = (card(name).unwrap().architecture)(10);
        let traced = crate::trace::trace(&architecture, height, width).unwrap();
        traced.iter().flat_map(|stage| &stage.folds).map(|fold| (fold.rows, fold.cols)).collect()
    }

    #[test]
    fn axes_fold_where_the_pool_repeats_whole_pixels() {
        assert_eq!(folds("vgg11", 32, 32), [(1, 1)]);
        assert_eq!(folds("vgg11", 64, 32), [(7, 1)], "two rows do not divide seven");
        assert_eq!(folds("vgg16", 63, 250), [(1, 7)], "seven columns are there as they are");
        assert_eq!(folds("vgg11", 224, 224), []);
        assert_eq!(folds("vgg11", 448, 448), []);
        assert_eq!(folds("alexnet", 64, 64), [], "its dropout comes between");
        assert_eq!(folds("resnet18", 32, 32), []);
    }
}
