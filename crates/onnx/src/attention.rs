//! Vision transformers as nodes: tokens are `[N, T, C]`.

use frostline_zoo::description::{PatchEmbed, TransformerBlock};

use crate::error::OnnxError;
use crate::graph::{Attribute, Graph, Shape, Value};
use crate::layers::unfit;

impl Graph<'_> {
    /// Patches with a class token and registers before them, and positions added.
    pub(crate) fn patch_embed(&mut self, embed: &PatchEmbed, x: Value) -> Result<Value, OnnxError> {
        let map = self.conv(&embed.conv, x)?;
        let Shape::Map { height, width, channels } = map.shape else {
            return Err(unfit(&embed.conv.name, &map));
        };
        let patches = height * width;
        let rows = self.reshape(&map.name, &[0, channels as i64, patches as i64]);
        let rows = self.transpose(&rows, &[0, 2, 1]);
        let positions = self.parameter(embed.positions, None)?;
        let first = self.first_tokens(embed, &rows, channels)?;
        let placed = self.shape_of(embed.positions)[1] == 1 + patches;
        let name = if placed {
            let tokens = self.concat(&[&first, &rows], 1);
            self.node("Add", &[&tokens, &positions], &[])
        } else {
            let rows = self.node("Add", &[&rows, &positions], &[]);
            self.concat(&[&first, &rows], 1)
        };
        Ok(Value { name, shape: Shape::Tokens { count: 1 + embed.register_count + patches, channels } })
    }

    /// The class token and registers of each image, `[N, 1 + R, C]`.
    fn first_tokens(&mut self, embed: &PatchEmbed, rows: &str, channels: usize) -> Result<String, OnnxError> {
        let mut first = self.parameter(embed.class, None)?;
        if let Some(registers) = embed.registers {
            let registers = self.parameter(registers, None)?;
            first = self.concat(&[&first, &registers], 1);
        }
        let batch = self.node("Shape", &[rows], &[Attribute::Int("start", 0), Attribute::Int("end", 1)]);
        let rest = self.longs(&[1 + embed.register_count as i64, channels as i64]);
        let shape = self.concat(&[&batch, &rest], 0);
        Ok(self.node("Expand", &[&first, &shape], &[]))
    }

    pub(crate) fn transformer_block(
        &mut self,
        block: &TransformerBlock,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let Shape::Tokens { count, channels } = x.shape else { return Err(unfit(&block.name, &x)) };
        let queries = if block.class_only { 1 } else { count };
        let normed = self.layer_norm(&block.norm1, x.clone())?;
        let qkv = self.linear(&block.qkv, normed)?;
        let [q, k, v] = self.heads(&qkv.name, (0, count), (block.heads, channels));
        let q = if block.class_only { self.slice(&q, 2, 0, 1) } else { q };
        let scores = self.scores(&q, &k, channels / block.heads);
        let name = self.mixed(&scores, &v, (0, queries, channels));
        let mut rest = x;
        if block.class_only {
            rest.name = self.slice(&rest.name, 1, 0, 1);
        }
        rest.shape = Shape::Tokens { count: queries, channels };
        let scales = block.scales.map_or([None; 2], |scales| scales.map(Some));
        let mixed = self.linear(&block.proj, Value { name, shape: rest.shape })?;
        let x = self.branch(rest, mixed, scales[0])?;

        let normed = self.layer_norm(&block.norm2, x.clone())?;
        let hidden = self.linear(&block.fc1, normed)?;
        let hidden = self.curve(block.curve, hidden);
        let hidden = self.linear(&block.fc2, hidden)?;
        let x = self.branch(x, hidden, scales[1])?;
        Ok(match block.class_only {
            true => {
                Value { name: self.reshape(&x.name, &[0, channels as i64]), shape: Shape::Rows { channels } }
            }
            false => x,
        })
    }

    /// `x + [scale ·] added`.
    fn branch(
        &mut self,
        x: Value,
        mut added: Value,
        scale: Option<frostline_zoo::description::ParameterId>,
    ) -> Result<Value, OnnxError> {
        if let Some(scale) = scale {
            let scale = self.parameter(scale, None)?;
            added.name = self.node("Mul", &[&added.name, &scale], &[]);
        }
        Ok(self.both("Add", &x, &added))
    }

    /// Queries, keys and values `[B, heads, T, d]` of `[B, T, 3·C]`; `batch` is 0 where that is the batch of images, -1 elsewhere.
    pub(crate) fn heads(
        &mut self,
        qkv: &str,
        (batch, tokens): (i64, usize),
        (heads, channels): (usize, usize),
    ) -> [String; 3] {
        let sizes = [batch, tokens as i64, 3, heads as i64, (channels / heads) as i64];
        let split = self.reshape(qkv, &sizes);
        let split = self.transpose(&split, &[2, 0, 3, 1, 4]);
        [0, 1, 2].map(|part| {
            let part = self.index(part);
            self.node("Gather", &[&split, &part], &[Attribute::Int("axis", 0)])
        })
    }

    /// `Q·Kᵀ / √d`, `[B, heads, T, T]`.
    pub(crate) fn scores(&mut self, q: &str, k: &str, width: usize) -> String {
        let scale = self.number((1.0 / (width as f64).sqrt()) as f32);
        let q = self.node("Mul", &[q, &scale], &[]);
        let k = self.transpose(k, &[0, 1, 3, 2]);
        self.node("MatMul", &[&q, &k], &[])
    }

    /// The values by the softmax of scores, all heads side by side: `[B, T, C]`.
    pub(crate) fn mixed(&mut self, scores: &str, v: &str, sizes: (i64, usize, usize)) -> String {
        let probabilities = self.node("Softmax", &[scores], &[Attribute::Int("axis", -1)]);
        let mixed = self.node("MatMul", &[&probabilities, v], &[]);
        let mixed = self.transpose(&mixed, &[0, 2, 1, 3]);
        let (batch, tokens, channels) = sizes;
        self.reshape(&mixed, &[batch, tokens as i64, channels as i64])
    }
}
