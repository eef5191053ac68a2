//! Attention within windows as nodes: a map `[N, H, W, C]` is rolled, padded to whole windows, cut into them, and put together again.

use frostline_zoo::description::{ParameterId, WindowAttention};

use crate::error::OnnxError;
use crate::graph::{Graph, Shape, Value};
use crate::layers::unfit;

/// What a pixel adds to a score of another part of the rolled map, as in timm.
const APART: f32 = -100.0;

/// How a map is cut, vertically and horizontally.
#[derive(Clone, Copy)]
struct Cut {
    /// Pixels of the padded map.
    size: [usize; 2],
    window: [usize; 2],
    shift: [usize; 2],
}

impl Cut {
    fn windows(self) -> [usize; 2] {
        [self.size[0] / self.window[0], self.size[1] / self.window[1]]
    }

    /// Pixels of a window.
    fn area(self) -> usize {
        self.window[0] * self.window[1]
    }

    /// Which part of the rolled map a pixel of it is of, along one side: what lay together before, what did up to the roll, the rest.
    fn part(self, side: usize, at: usize) -> usize {
        let (size, window, shift) = (self.size[side], self.window[side], self.shift[side]);
        if shift == 0 { 0 } else { usize::from(at >= size - window) + usize::from(at >= size - shift) }
    }

    /// What keeps pixels of different parts apart, `[windows, 1, T, T]`.
    fn mask(self) -> Vec<f32> {
        let [down, across] = self.windows();
        let mut mask = Vec::with_capacity(down * across * self.area() * self.area());
        for window in 0..down * across {
            let parts: Vec<(usize, usize)> = (0..self.area())
                .map(|at| {
                    let y = window / across * self.window[0] + at / self.window[1];
                    let x = window % across * self.window[1] + at % self.window[1];
                    (self.part(0, y), self.part(1, x))
                })
                .collect();
            for one in &parts {
                mask.extend(parts.iter().map(|other| if one == other { 0.0 } else { APART }));
            }
        }
        mask
    }
}

impl Graph<'_> {
    pub(crate) fn window_attention(
        &mut self,
        attention: &WindowAttention,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let layer = self.name_of(attention.biases);
        let x = self.channels_last(x);
        let Shape::Pixels { height, width, channels } = x.shape else { return Err(unfit(layer, &x)) };
        let ((high, down), (wide, right)) = (attention.along(height), attention.along(width));
        let size = [height.next_multiple_of(high), width.next_multiple_of(wide)];
        let cut = Cut { size, window: [high, wide], shift: [down, right] };
        // Rolled as it is, and padded then: what is beyond the edge stays last.
        let rolled = self.rolled(&x.name, [height, width], cut.shift);
        let rolled = self.pad(&rolled, [size[0] - height, size[1] - width]);
        let [rows, columns] = cut.windows().map(|count| count as i64);
        let [high, wide] = cut.window.map(|side| side as i64);
        let (area, last) = (cut.area(), channels as i64);
        let windows = self.reshape(&rolled, &[0, rows, high, columns, wide, last]);
        let windows = self.transpose(&windows, &[0, 1, 3, 2, 4, 5]);
        let windows = self.reshape(&windows, &[-1, area as i64, last]);

        let tokens = Value { name: windows, shape: Shape::Tokens { count: area, channels } };
        let qkv = self.linear(&attention.qkv, tokens)?;
        let [q, k, v] = self.heads(&qkv.name, (-1, area), (attention.heads, channels));
        let scores = self.scores(&q, &k, channels / attention.heads);
        let biases = self.biases(attention.biases, attention, cut)?;
        let scores = self.node("Add", &[&scores, &biases], &[]);
        let scores = self.kept_apart(&scores, attention.heads, cut);
        let mixed = self.mixed(&scores, &v, (-1, area, channels));

        let whole = self.reshape(&mixed, &[-1, rows, columns, high, wide, last]);
        let whole = self.transpose(&whole, &[0, 1, 3, 2, 4, 5]);
        let whole = self.reshape(&whole, &[-1, size[0] as i64, size[1] as i64, last]);
        let mut name = whole;
        for (axis, (padded, size)) in [(size[0], height), (size[1], width)].into_iter().enumerate() {
            if padded > size {
                name = self.slice(&name, 1 + axis as i64, 0, size);
            }
        }
        let back = [(height - cut.shift[0]) % height, (width - cut.shift[1]) % width];
        let name = self.rolled(&name, [height, width], back);
        Ok(Value { name, shape: x.shape })
    }

    /// Zeros behind the last rows and columns of `[N, H, W, C]`.
    fn pad(&mut self, name: &str, ends: [usize; 2]) -> String {
        if ends == [0, 0] {
            return name.to_owned();
        }
        let pads = self.longs(&[0, 0, 0, 0, 0, ends[0] as i64, ends[1] as i64, 0]);
        self.node("Pad", &[name, &pads], &[])
    }

    /// `[N, H, W, C]` with its rows and columns moved up and to the left, around the edge.
    fn rolled(&mut self, name: &str, size: [usize; 2], shift: [usize; 2]) -> String {
        let mut name = name.to_owned();
        for (side, shift) in shift.into_iter().enumerate().filter(|(_, shift)| *shift > 0) {
            let axis = 1 + side as i64;
            let (from, first) =
                (self.slice(&name, axis, shift, size[side]), self.slice(&name, axis, 0, shift));
            name = self.concat(&[&from, &first], axis);
        }
        name
    }

    /// What each head adds to the score of each pair of pixels, `[heads, T, T]`.
    fn biases(
        &mut self,
        table: ParameterId,
        attention: &WindowAttention,
        cut: Cut,
    ) -> Result<String, OnnxError> {
        let (area, heads, [_, wide]) = (cut.area(), attention.heads, cut.window);
        let values = self.values(table)?;
        let reach = 2 * attention.window - 1;
        let offset = |one: usize, other: usize| one + attention.window - 1 - other;
        let way = |one: usize, other: usize| {
            offset(one / wide, other / wide) * reach + offset(one % wide, other % wide)
        };
        let pairs = |head: usize| {
            let values = &values;
            (0..area * area).map(move |pair| values[way(pair / area, pair % area) * heads + head])
        };
        let gathered: Vec<f32> = (0..heads).flat_map(pairs).collect();
        let name = format!("{}/gathered", self.name_of(table));
        Ok(self.constant(&name, vec![heads, area, area], &gathered))
    }

    /// Scores `[N·windows, heads, T, T]`, with those of pixels that did not lie side by side before the roll made small.
    fn kept_apart(&mut self, scores: &str, heads: usize, cut: Cut) -> String {
        if cut.shift == [0, 0] {
            return scores.to_owned();
        }
        let ([rows, columns], [high, wide], area) = (cut.windows(), cut.window, cut.area());
        let (count, heads, side) = (rows * columns, heads as i64, area as i64);
        let name = format!("masks/{rows}x{columns}_of_{high}x{wide}_by_{}x{}", cut.shift[0], cut.shift[1]);
        let mask = self.constant(&name, vec![count, 1, area, area], &cut.mask());
        let apart = self.reshape(scores, &[-1, count as i64, heads, side, side]);
        let apart = self.node("Add", &[&apart, &mask], &[]);
        self.reshape(&apart, &[-1, heads, side, side])
    }

    /// Squares of four pixels side by side along the channels, column by column; zeros beyond an odd edge.
    pub(crate) fn merge_pixels(&mut self, x: Value) -> Result<Value, OnnxError> {
        let x = self.channels_last(x);
        let Shape::Pixels { height, width, channels } = x.shape else {
            return Err(unfit("merging pixels", &x));
        };
        let padded = self.pad(&x.name, [height % 2, width % 2]);
        let (height, width) = (height.div_ceil(2), width.div_ceil(2));
        let squares = self.reshape(&padded, &[0, height as i64, 2, width as i64, 2, channels as i64]);
        let squares = self.transpose(&squares, &[0, 1, 3, 4, 2, 5]);
        let name = self.reshape(&squares, &[0, height as i64, width as i64, 4 * channels as i64]);
        Ok(Value { name, shape: Shape::Pixels { height, width, channels: 4 * channels } })
    }
}
