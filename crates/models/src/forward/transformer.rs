//! The forward pass of vision transformers: tokens are `[1, T, N, C]` between stages and rows `[T·N, C]` within a block.

use candle_core::{DType, Result, Tensor};
use frostline_kernels as kernels;
use frostline_kernels::{AttentionSpec, Hwnc};
use frostline_streams::Purpose;
use frostline_zoo::description::{
    Adapter, Curve, LayerNorm, Linear, ParameterId, PatchEmbed, TransformerBlock,
};

use super::modern::of_kernels;
use super::{Activation, Pass};
use crate::model::Model;

impl Model {
    pub(super) fn patch_embed(&self, embed: &PatchEmbed, x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let patches = self.conv(&embed.conv, x, pass)?;
        let (h, w, n, c) = patches.dims();
        let (class, positions) = (self.tensor(embed.class, pass), self.tensor(embed.positions, pass));
        let registers = embed.registers.map(|registers| self.tensor(registers, pass));
        let rows = kernels::embed_tokens(&patches, &class, registers.as_ref(), &positions)?;
        let rows = self.dropout("pos_drop", 0.0, &rows, pass)?;
        kernels::rows_as(&rows, (1, 1 + embed.register_count + h * w, n, c))
    }

    pub(super) fn transformer_block(
        &self,
        block: &TransformerBlock,
        x: &Hwnc,
        pass: &Pass<'_>,
    ) -> Result<Activation> {
        let (_, tokens, n, _) = x.dims();
        let queries = if block.class_only { 1 } else { tokens };
        let rows = kernels::rows_of(x)?;
        let qkv = self.linear(&block.qkv, &self.layer_norm(&block.norm1, &rows, pass)?, pass)?;
        let mixed = kernels::attention(&qkv, AttentionSpec { tokens, heads: block.heads, queries })?;
        let rows = kernels::first_rows(&rows, queries * n)?;
        let [first, second] = block.scales.map_or([None; 2], |scales| scales.map(Some));
        let names = ("attn.proj_drop", "drop_path1");
        let rows = self.branch(block, names, (&block.proj, first), &mixed, &rows, pass)?;

        let normed = self.layer_norm(&block.norm2, &rows, pass)?;
        let rows = self.feed_forward(block, second, &normed, &rows, pass)?;
        Ok(match block.class_only {
            true => Activation::Rows(rows),
            false => kernels::rows_as(&rows, x.dims())?.into(),
        })
    }

    /// `residual +` what the block's two last layers make of `x`.
    fn feed_forward(
        &self,
        block: &TransformerBlock,
        scale: Option<ParameterId>,
        x: &Tensor,
        residual: &Tensor,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let (weight, bias) = (self.tensor(block.fc1.weight, pass), self.bias(&block.fc1, pass)?);
        let bends = matches!(block.curve, Curve::Gelu) && block.fc1.adapter.is_none();
        if bends && block.fc2.adapter.is_none() && scale.is_none() && self.is_plain(block, pass) {
            let second = (&self.tensor(block.fc2.weight, pass), &self.bias(&block.fc2, pass)?);
            return kernels::mlp(x, (&weight, &bias), second, Some(residual));
        }
        let hidden = match block.curve {
            Curve::Gelu if bends => kernels::linear_gelu(x, &weight, &bias)?,
            curve => kernels::activate(&self.linear(&block.fc1, x, pass)?, of_kernels(curve))?,
        };
        let hidden = self.dropout(&format!("{}.mlp.drop1", block.name), 0.0, &hidden, pass)?;
        self.branch(block, ("mlp.drop2", "drop_path2"), (&block.fc2, scale), &hidden, residual, pass)
    }

    /// Whether a pass leaves out nothing of a block, neither values nor images.
    fn is_plain(&self, block: &TransformerBlock, pass: &Pass<'_>) -> bool {
        let drops = self.dropout_override().is_some_and(|probability| probability > 0.0);
        !pass.trains() || (self.stochastic_depth() * block.depth == 0.0 && !drops)
    }

    /// What a linear layer gave for `x`, perhaps with something added, and what its adapter changes it by.
    pub(super) fn adapted(&self, linear: &Linear, x: &Tensor, y: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let Some(Adapter { down, up }) = linear.adapter else { return Ok(y) };
        let low = kernels::linear(x, &self.tensor(down, pass), None)?;
        let none = Tensor::zeros(linear.to, DType::F32, x.device())?;
        kernels::linear_add(&low, &self.tensor(up, pass), &none, &y)
    }

    pub(crate) fn layer_norm(&self, norm: &LayerNorm, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.tensor(norm.weight, pass), self.tensor(norm.bias, pass));
        kernels::layer_norm(x, &weight, &bias, norm.epsilon)
    }

    /// `residual + [scale ·] linear(x)`, with the dropout and the stochastic depth of these names between the two.
    fn branch(
        &self,
        block: &TransformerBlock,
        (dropout, path): (&str, &str),
        (linear, scale): (&Linear, Option<ParameterId>),
        x: &Tensor,
        residual: &Tensor,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let plain = self.is_plain(block, pass);
        if plain && scale.is_none() {
            let (weight, bias) = (self.tensor(linear.weight, pass), self.bias(linear, pass)?);
            let sum = kernels::linear_add(x, &weight, &bias, residual)?;
            return self.adapted(linear, x, sum, pass);
        }
        let y = self.linear(linear, x, pass)?;
        let y = self.dropout(&format!("{}.{dropout}", block.name), 0.0, &y, pass)?;
        let images = match plain {
            true => Vec::new(),
            false => kept(pass, &format!("{}.{path}", block.name), self.stochastic_depth() * block.depth),
        };
        self.add_branch(residual, &y, scale, &images, pass)
    }

    /// `residual + scale of each image · [scale of each channel ·] branch`; with layer scale, no images mean that all are 1.
    pub(super) fn add_branch(
        &self,
        residual: &Tensor,
        branch: &Tensor,
        scale: Option<ParameterId>,
        images: &[f32],
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        match scale {
            Some(scale) => kernels::add_scaled(residual, branch, &self.tensor(scale, pass), images),
            None => kernels::add_images(residual, branch, images),
        }
    }
}

/// What a branch is multiplied by for each image: 0 with probability `left_out`, else 1/(1 - `left_out`) (Huang et al.
/// 2016), drawn by (layer, epoch, example).
pub(super) fn kept(pass: &Pass<'_>, name: &str, left_out: f32) -> Vec<f32> {
    let Pass::Train { streams, epoch, examples } = *pass else { return Vec::new() };
    let streams = streams.part(name);
    let scale = |example: &u32| {
        let draw = streams.draws(Purpose::Dropout, epoch, u64::from(*example)).unit();
        if draw < left_out { 0.0 } else { 1.0 / (1.0 - left_out) }
    };
    examples.iter().map(scale).collect()
}
