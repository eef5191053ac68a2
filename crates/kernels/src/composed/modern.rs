//! Curves, grouped convolution, squeeze-and-excite, response norm and layer scale from candle's operations.

use candle_core::{D, Result, Tensor};

use super::{layers, wide};
use crate::conv::{ConvSpec, Geometry};
use crate::conv_norm::Normalisation;
use crate::curves::Curve;
use crate::layout::Hwnc;
use crate::norm::{BatchStatistics, NormSpec};
use crate::squeeze::Excitation;

/// As [`crate::activate`].
pub fn activate(x: &Tensor, curve: Curve) -> Result<Tensor> {
    bent(&wide(x)?, curve)?.to_dtype(x.dtype())
}

/// The curve of numbers in single precision.
fn bent(x: &Tensor, curve: Curve) -> Result<Tensor> {
    let sigmoid = |x: &Tensor| (x.neg()?.exp()? + 1.0)?.recip();
    let hard = |x: &Tensor| {
        let above = layers::relu(&(x + 3.0)?)?;
        // min(v, 6) is 6 - relu(6 - v).
        (6.0 - layers::relu(&(6.0 - above)?)?)? / 6.0
    };
    match curve {
        Curve::Identity => Ok(x.clone()),
        Curve::Relu => layers::relu(x),
        Curve::Gelu => super::gelu(x),
        Curve::QuickGelu => x * sigmoid(&(x * 1.702)?)?,
        Curve::Silu => x * sigmoid(x)?,
        Curve::Sigmoid => sigmoid(x),
        Curve::HardSwish => x * hard(x)?,
        Curve::HardSigmoid => hard(x),
    }
}

/// As [`crate::grouped_conv2d`]: group by group.
pub fn grouped_conv2d(
    x: &Hwnc,
    weights: &Tensor,
    bias: Option<&Tensor>,
    spec: ConvSpec,
    groups: usize,
) -> Result<Hwnc> {
    let g = Geometry::in_groups(x, weights, spec, groups)?;
    let (inputs, outputs) = (g.c_in / groups, g.c_out / groups);
    let mut maps = Vec::with_capacity(groups);
    for group in 0..groups {
        let x = Hwnc::new(x.tensor().narrow(3, group * inputs, inputs)?)?;
        let weights = weights.narrow(3, group * outputs, outputs)?.contiguous()?;
        let bias = bias.map(|bias| bias.narrow(0, group * outputs, outputs)).transpose()?;
        maps.push(layers::conv2d(&x, &weights, bias.as_ref(), spec)?);
    }
    layers::concat_channels(&maps)
}

/// As [`crate::batch_norm`].
pub fn batch_norm(
    x: &Hwnc,
    norm: Normalisation<'_>,
    curve: Curve,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let Normalisation { gamma, beta, running, spec } = norm;
    let spec = NormSpec { relu: false, ..spec };
    let (y, statistics) = match running {
        None => {
            let (y, statistics) = layers::batch_norm(x, gamma, beta, None, spec)?;
            (y, Some(statistics))
        }
        Some((mean, variance)) => {
            (layers::batch_norm_frozen(x, gamma, beta, mean, variance, None, spec)?, None)
        }
    };
    Ok((Hwnc::new(activate(y.tensor(), curve)?)?, statistics))
}

/// As [`crate::squeeze_excite`].
pub fn squeeze_excite(x: &Hwnc, excitation: &Excitation<'_>) -> Result<Hwnc> {
    let Excitation { reduce, inner, expand, gate } = *excitation;
    let (h, w, n, c) = x.dims();
    let reduced = reduce.1.elem_count();
    let values = wide(x.tensor())?;
    let means = values.reshape((h * w, n, c))?.mean(0)?;
    let bent = layers::linear(&means, &reduce.0.reshape((c, reduced))?, Some(reduce.1))?;
    let expanded =
        layers::linear(&activate(&bent, inner)?, &expand.0.reshape((reduced, c))?, Some(expand.1))?;
    let gates = activate(&expanded, gate)?.reshape((1, 1, n, c))?;
    Hwnc::new(values.broadcast_mul(&gates)?.to_dtype(x.tensor().dtype())?)
}

/// As [`crate::response_norm`].
pub fn response_norm(x: &Hwnc, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Hwnc> {
    let values = wide(x.tensor())?;
    // A root has no slope at 0; in place of nothing at all it is taken of the least number there is, which comes to nothing.
    let norms = values.sqr()?.sum_keepdim((0, 1))?.maximum(f64::from(f32::MIN_POSITIVE))?.sqrt()?;
    let relative = norms.broadcast_div(&(norms.mean_keepdim(D::Minus1)? + eps)?)?;
    let factors = (relative.broadcast_mul(weight)? + 1.0)?;
    Hwnc::new(values.broadcast_mul(&factors)?.broadcast_add(bias)?.to_dtype(x.tensor().dtype())?)
}

/// As [`crate::add_scaled`].
pub fn add_scaled(x: &Tensor, branch: &Tensor, gamma: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let (dtype, x) = (x.dtype(), wide(x)?);
    let branch = wide(branch)?.broadcast_mul(gamma)?;
    let sum = match scales {
        [] => x + branch,
        scales => super::add_images(&x, &branch, scales),
    };
    sum?.to_dtype(dtype)
}
