//! Attention rollout: what each block's tokens take of each other, as a mean over heads and half of it their own, multiplied from the first
//! block to the last. The row of the class token says how much of it comes from each patch.

use candle_core::{DType, Device, Tensor};
use frostline_kernels as kernels;
use frostline_zoo::description::{Layer, Layout, PatchEmbed, TransformerBlock};
use rayon::prelude::*;

use super::{Explanation, Method, likeliest};
use crate::error::ModelError;
use crate::forward::{Activation, Pass};
use crate::model::Model;

/// What is kept of a token in a block beside what it takes of the others.
const OWN: f32 = 0.5;

impl Model {
    pub(super) fn rollout(&self, images: &kernels::Hwnc) -> Result<Explanation, ModelError> {
        let batch = images.batch();
        let mut x = Activation::Map(images.clone());
        self.check_images(&x)?;
        let (mut blocks, mut embed): (Vec<Vec<f32>>, Option<&PatchEmbed>) = (Vec::new(), None);
        let mut last = String::new();
        for stage in &self.architecture().stages {
            let failed = |cause| ModelError::Stage { stage: stage.name.to_owned(), cause };
            for layer in &stage.layers {
                match layer {
                    Layer::PatchEmbed(found) => embed = Some(found),
                    Layer::TransformerBlock(block) => {
                        blocks.push(self.shares(block, &x).map_err(failed)?);
                        stage.name.clone_into(&mut last);
                    }
                    _ => {}
                }
                let layers = std::slice::from_ref(layer);
                x = self.run_layers(layers, x, &Pass::Evaluate, None).map_err(failed)?;
            }
        }
        let failed = |cause| ModelError::Stage { stage: last.clone(), cause };
        let classes = likeliest(x.tensor()).map_err(failed)?;
        let (height, width, others) = self.patches(embed)?;
        let tokens = others + height * width;
        let weights = (0..batch).flat_map(|image| {
            let size = tokens * tokens;
            let shares = blocks.iter().map(|block| &block[image * size..][..size]);
            rolled(shares, tokens).split_off(others)
        });
        let weights = weights.collect();
        Ok(Explanation { method: Method::Rollout, stage: last, height, width, classes, weights })
    }

    /// Rows and columns of patches, and how many tokens stand before them.
    fn patches(&self, embed: Option<&PatchEmbed>) -> Result<(usize, usize, usize), ModelError> {
        let of = |embed: &PatchEmbed| match self.parameters()[embed.positions.0].layout() {
            Layout::Positions { height, width, .. } => Some((height, width, 1 + embed.register_count)),
            _ => None,
        };
        embed.and_then(of).ok_or_else(|| ModelError::Input(format!("{} has no patches", self.card().title)))
    }

    /// What each token takes of each in a block, its own half added: `[N, T, T]`.
    fn shares(&self, block: &TransformerBlock, x: &Activation) -> candle_core::Result<Vec<f32>> {
        let Activation::Map(map) = x else { candle_core::bail!("{}: rows, not tokens", block.name) };
        let (_, tokens, batch, channels) = map.dims();
        let rows = self.layer_norm(&block.norm1, &kernels::rows_of(map)?, &Pass::Evaluate)?;
        let qkv = self.linear(&block.qkv, &rows, &Pass::Evaluate)?;
        let qkv: Tensor = qkv.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let qkv = qkv.flatten_all()?.to_vec1::<f32>()?;
        let width = channels / block.heads;
        // Rows are token-major: that of a token of an image stands at (token, image).
        let part = |token: usize, image: usize, of: usize, head: usize| {
            &qkv[(token * batch + image) * 3 * channels + of * channels + head * width..][..width]
        };
        let mut shares = vec![0.0f32; batch * tokens * tokens];
        shares.par_chunks_exact_mut(tokens).enumerate().for_each(|(row, shares)| {
            let (image, token) = (row / tokens, row % tokens);
            let mut scores = vec![0.0f32; tokens];
            for head in 0..block.heads {
                let query = part(token, image, 0, head);
                for (other, score) in scores.iter_mut().enumerate() {
                    let key = part(other, image, 1, head);
                    let product: f32 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                    *score = product / (width as f32).sqrt();
                }
                softmax(&mut scores);
                let kept = (1.0 - OWN) / block.heads as f32;
                shares.iter_mut().zip(&scores).for_each(|(share, score)| *share += kept * score);
            }
            shares[token] += OWN;
        });
        Ok(shares)
    }
}

fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// What the first token has of each after all blocks, from the shares `[T, T]` of the first block on.
fn rolled<'a>(blocks: impl DoubleEndedIterator<Item = &'a [f32]>, tokens: usize) -> Vec<f32> {
    let mut row = vec![0.0f32; tokens];
    row[0] = 1.0;
    // The row of a product of matrices is the row of the last times the others, from the last to the first.
    for shares in blocks.rev() {
        let mut before = vec![0.0f32; tokens];
        for (share, of) in row.iter().zip(shares.chunks_exact(tokens)) {
            before.iter_mut().zip(of).for_each(|(sum, part)| *sum += share * part);
        }
        row = before;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks of two tokens, multiplied by hand: the second's first row is (0.75, 0.25).
    #[test]
    fn the_row_of_the_product_is_the_rows_product() {
        let (first, second) = ([0.5, 0.5, 0.1, 0.9], [0.75, 0.25, 0.5, 0.5]);
        let row = rolled([&first[..], &second[..]].into_iter(), 2);
        assert!((row[0] - 0.4).abs() < 1e-6 && (row[1] - 0.6).abs() < 1e-6, "{row:?}");
    }
}
