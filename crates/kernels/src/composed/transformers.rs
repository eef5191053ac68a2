//! Layer norm, GELU and the operations on tokens from candle's operations.

use candle_core::{D, Result, Tensor};

use super::{product, wide};
use crate::attention::AttentionSpec;
use crate::layout::Hwnc;

/// As [`crate::layer_norm`].
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let rows = wide(x)?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let y = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(weight)?.broadcast_add(bias)?;
    y.to_dtype(x.dtype())
}

/// As [`crate::gelu`].
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let values = wide(x)?;
    let below = (((&values / std::f64::consts::SQRT_2)?.erf()? + 1.0)? * 0.5)?;
    (values * below)?.to_dtype(x.dtype())
}

/// As [`crate::attention`].
pub fn attention(qkv: &Tensor, spec: AttentionSpec) -> Result<Tensor> {
    let AttentionSpec { tokens, heads, queries } = spec;
    let (rows, columns) = qkv.dims2()?;
    let (n, c) = (rows / tokens, columns / 3);
    // [3, N, heads, T, d]
    let parts = qkv.reshape((tokens, n, 3, heads, c / heads))?.permute((2, 1, 3, 0, 4))?;
    let part = |index: usize| parts.narrow(0, index, 1)?.squeeze(0)?.contiguous();
    let asked = part(0)?.narrow(2, 0, queries)?;
    let scores = (product(&asked, &part(1)?.transpose(2, 3)?)? / ((c / heads) as f64).sqrt())?;
    let raised = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let probabilities = raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?;
    let mixed = product(&probabilities.to_dtype(qkv.dtype())?, &part(2)?)?.permute((2, 0, 1, 3))?;
    mixed.contiguous()?.reshape((queries * n, c))?.to_dtype(qkv.dtype())
}

/// As [`crate::embed_tokens`].
pub fn embed_tokens(
    map: &Hwnc,
    class: &Tensor,
    registers: Option<&Tensor>,
    positions: &Tensor,
) -> Result<Tensor> {
    let (h, w, n, c) = map.dims();
    let each = |token: &Tensor| token.reshape(((), 1, c))?.broadcast_as((token.elem_count() / c, n, c));
    let mut first = vec![each(class)?];
    first.extend(registers.map(each).transpose()?);
    let dtype = map.tensor().dtype();
    let mut map = wide(map.tensor())?.reshape((h * w, n, c))?;
    let mut positions = positions.reshape(((), 1, c))?;
    if positions.dim(0)? > h * w {
        let of_class = positions.narrow(0, 0, 1)?;
        first[0] = first[0].broadcast_add(&of_class)?;
        positions = positions.narrow(0, 1, h * w)?;
    }
    map = map.broadcast_add(&positions)?;
    first.push(map);
    let first = first.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let tokens = Tensor::cat(&first, 0)?;
    let count = tokens.dim(0)?;
    tokens.reshape((count * n, c))?.to_dtype(dtype)
}

/// As [`crate::add_images`].
pub fn add_images(x: &Tensor, branch: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let ((rows, c), n) = (x.dims2()?, scales.len());
    let branch = wide(branch)?;
    let scales = Tensor::from_slice(scales, (1, n, 1), x.device())?.to_dtype(branch.dtype())?;
    let scaled = branch.reshape((rows / n, n, c))?.broadcast_mul(&scales)?.reshape((rows, c))?;
    (wide(x)? + scaled)?.to_dtype(x.dtype())
}
