//! Pools as nodes. Where ONNX has no operator for one, or runtimes round otherwise than PyTorch, the size of the map that reaches it is
//! known, and so is what it comes to.

use frostline_zoo::description::Window;
use frostline_zoo::pool_output;

use crate::error::OnnxError;
use crate::graph::{Attribute, Graph, Shape, Value};
use crate::layers::{sliding, unfit};

impl Graph<'_> {
    /// A last window that leaves the map is one that reaches beyond its end: runtimes do not agree on what `ceil_mode` does with it.
    pub(crate) fn max_pool(
        &mut self,
        layer: &str,
        window: Window,
        ceil: bool,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let (x, (height, width, channels)) = self.pixels_of(layer, x)?;
        let side = |size: usize, kernel: usize, stride: usize, padding: usize| {
            let outputs = pool_output(size, kernel, stride, padding, ceil)?;
            let end = ((outputs - 1) * stride + kernel).saturating_sub(size + padding);
            Some((outputs, if ceil { end } else { padding }))
        };
        let Window { kernel, stride, padding } = window;
        let vertical = side(height, kernel.0, stride.0, padding.0).ok_or_else(|| unfit(layer, &x))?;
        let horizontal = side(width, kernel.1, stride.1, padding.1).ok_or_else(|| unfit(layer, &x))?;
        let attributes = sliding(window, (vertical.1, horizontal.1));
        let name = self.node("MaxPool", &[&x.name], &attributes);
        Ok(Value { name, shape: Shape::Map { height: vertical.0, width: horizontal.0, channels } })
    }

    /// Padding counts.
    pub(crate) fn avg_pool(&mut self, layer: &str, window: Window, x: Value) -> Result<Value, OnnxError> {
        let (x, (height, width, channels)) = self.pixels_of(layer, x)?;
        let Window { kernel, stride, padding } = window;
        let outside = || unfit(layer, &x);
        let height = pool_output(height, kernel.0, stride.0, padding.0, false).ok_or_else(outside)?;
        let width = pool_output(width, kernel.1, stride.1, padding.1, false).ok_or_else(outside)?;
        let mut attributes = sliding(window, padding);
        attributes.push(Attribute::Int("count_include_pad", 1));
        let name = self.node("AveragePool", &[&x.name], &attributes);
        Ok(Value { name, shape: Shape::Map { height, width, channels } })
    }

    /// The mean over pixels, as rows.
    pub(crate) fn global_pool(&mut self, x: Value) -> Result<Value, OnnxError> {
        let (x, (.., channels)) = self.pixels_of("the mean over pixels", x)?;
        let mean = self.node("GlobalAveragePool", &[&x.name], &[]);
        let name = self.node("Flatten", &[&mean], &[Attribute::Int("axis", 1)]);
        Ok(Value { name, shape: Shape::Rows { channels } })
    }

    /// Averages over windows that make a map of any size one of this size: a product with a matrix along each side, unless all windows
    /// are alike.
    pub(crate) fn adaptive_pool(&mut self, to: (usize, usize), x: Value) -> Result<Value, OnnxError> {
        let (x, (height, width, channels)) = self.pixels_of("an adaptive pool", x)?;
        let shape = Shape::Map { height: to.0, width: to.1, channels };
        if (height, width) == to {
            return Ok(x);
        }
        let name = if height.is_multiple_of(to.0) && width.is_multiple_of(to.1) {
            let side = (height / to.0, width / to.1);
            let window = Window { kernel: side, stride: side, padding: (0, 0) };
            self.node("AveragePool", &[&x.name], &sliding(window, (0, 0)))
        } else {
            let rows =
                self.constant(&format!("means/{height}_{}", to.0), vec![to.0, height], &means(height, to.0));
            let columns = turned(&means(width, to.1), width);
            let columns =
                self.constant(&format!("means/{width}_{}/transposed", to.1), vec![width, to.1], &columns);
            let halfway = self.node("MatMul", &[&rows, &x.name], &[]);
            self.node("MatMul", &[&halfway, &columns], &[])
        };
        Ok(Value { name, shape })
    }
}

/// What each of `outputs` takes of `inputs`, `[outputs, inputs]`.
fn means(inputs: usize, outputs: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; outputs * inputs];
    for (output, row) in matrix.chunks_exact_mut(inputs).enumerate() {
        let (start, end) = (output * inputs / outputs, ((output + 1) * inputs).div_ceil(outputs));
        row[start..end].fill(1.0 / (end - start) as f32);
    }
    matrix
}

fn turned(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows over three pixels share the middle one; three over two repeat it.
    #[test]
    fn means_are_those_of_adaptive_pooling() {
        assert_eq!(means(3, 2), [0.5, 0.5, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(means(2, 3), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        assert_eq!(turned(&means(2, 3), 2), [1.0, 0.5, 0.0, 0.0, 0.5, 1.0]);
    }
}
