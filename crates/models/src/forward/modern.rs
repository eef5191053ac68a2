//! The forward pass of what convolutional networks are made of since MobileNet: sums around a body of layers, layers beside their
//! input, gates, and linear layers over the channels of each pixel.

use candle_core::{DType, Result, Tensor};
use frostline_kernels as kernels;
use frostline_kernels::{Excitation, Hwnc, WindowSpec};
use frostline_zoo::description::{
    Curve, Layer, LayerNorm, Linear, NormId, Skip, SqueezeExcite, WindowAttention,
};

use super::transformer::kept;
use super::{Activation, Pass};
use crate::model::Model;

impl Model {
    /// Layers that are one operation, and the layers that remain: a linear layer, the curve behind it, and perhaps another linear layer.
    pub(super) fn fused<'a>(
        &self,
        layers: &'a [Layer],
        x: &Activation,
        pass: &Pass<'_>,
    ) -> Result<Option<(Activation, &'a [Layer])>> {
        let [Layer::Linear(linear), Layer::Curve(Curve::Gelu), rest @ ..] = layers else { return Ok(None) };
        let Some(bias) = linear.bias else { return Ok(None) };
        let (weight, bias) = (self.tensor(linear.weight, pass), self.tensor(bias, pass));
        if let [Layer::Linear(Linear { weight: second, bias: Some(after), adapter: None, .. }), rest @ ..] =
            rest
        {
            let second = (&self.tensor(*second, pass), &self.tensor(*after, pass));
            let y = each_row(x, |rows| kernels::mlp(rows, (&weight, &bias), second, None))?;
            return Ok(Some((y, rest)));
        }
        let y = each_row(x, |rows| kernels::linear_gelu(rows, &weight, &bias))?;
        Ok(Some((y, rest)))
    }

    pub(super) fn linear_layer(
        &self,
        linear: &Linear,
        x: &Activation,
        pass: &Pass<'_>,
    ) -> Result<Activation> {
        each_row(x, |rows| self.linear(linear, rows, pass))
    }

    pub(super) fn norm_layer(&self, norm: &LayerNorm, x: &Activation, pass: &Pass<'_>) -> Result<Activation> {
        each_row(x, |rows| self.layer_norm(norm, rows, pass))
    }

    pub(super) fn curve_layer(&self, curve: Curve, x: &Activation) -> Result<Activation> {
        each_row(x, |rows| kernels::activate(rows, of_kernels(curve)))
    }

    pub(super) fn batch_norm(&self, norm: NormId, curve: Curve, x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let norm = &self.norms()[norm.0];
        norm.of_map(x, of_kernels(curve), pass.trains())
            .map_err(|error| candle_core::Error::Msg(format!("{}: {error}", norm.name())))
    }

    pub(super) fn response_norm(&self, norm: &LayerNorm, x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let (weight, bias) = (self.tensor(norm.weight, pass), self.tensor(norm.bias, pass));
        kernels::response_norm(x, &weight, &bias, norm.epsilon)
    }

    pub(super) fn squeeze_excite(&self, gates: &SqueezeExcite, x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let of = |linear: &Linear| -> Result<(Tensor, Tensor)> {
            Ok((self.tensor(linear.weight, pass), self.bias(linear, pass)?))
        };
        let (reduce, expand) = (of(&gates.reduce)?, of(&gates.expand)?);
        let excitation = Excitation {
            reduce: (&reduce.0, &reduce.1),
            inner: of_kernels(gates.inner),
            expand: (&expand.0, &expand.1),
            gate: of_kernels(gates.gate),
        };
        kernels::squeeze_excite(x, &excitation)
    }

    pub(super) fn window_attention(
        &self,
        attention: &WindowAttention,
        x: &Hwnc,
        pass: &Pass<'_>,
    ) -> Result<Hwnc> {
        let (h, w, n, c) = x.dims();
        let qkv = self.linear(&attention.qkv, &kernels::rows_of(x)?, pass)?;
        let qkv = kernels::rows_as(&qkv, (h, w, n, 3 * c))?;
        let ((high, down), (wide, across)) = (attention.along(h), attention.along(w));
        let spec = WindowSpec {
            heads: attention.heads,
            window: (high, wide),
            shift: (down, across),
            table: (attention.window, attention.window),
        };
        // Beyond the map, pixels are zeros before the linear layer.
        let outside = self.bias(&attention.qkv, pass)?;
        kernels::window_attention(&qkv, &self.tensor(attention.biases, pass), &outside, spec)
    }

    /// The bias of a linear layer; zeros where it has none.
    pub(super) fn bias(&self, linear: &Linear, pass: &Pass<'_>) -> Result<Tensor> {
        match linear.bias {
            Some(bias) => Ok(self.tensor(bias, pass)),
            None => Tensor::zeros(linear.to, DType::F32, self.device()),
        }
    }

    /// `x` and what a body of layers gives, side by side.
    pub(super) fn dense(&self, body: &[Layer], x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let added = self.run_layers(body, x.clone().into(), pass, None)?;
        kernels::concat_channels(&[x.clone(), added.map()?.clone()])
    }

    /// The last layer of the body adds its shortcut where it can.
    pub(super) fn skip(&self, skip: &Skip, x: &Hwnc, pass: &Pass<'_>) -> Result<Hwnc> {
        let shortcut = match &skip.shortcut[..] {
            [] => x.clone(),
            layers => self.run_layers(layers, x.clone().into(), pass, None)?.map()?.clone(),
        };
        let left_out = if pass.trains() { self.stochastic_depth() * skip.depth } else { 0.0 };
        let images = if left_out > 0.0 { kept(pass, &skip.name, left_out) } else { Vec::new() };
        let plain = skip.scale.is_none() && images.is_empty();
        match skip.body.split_last() {
            Some((Layer::ConvNorm(last), first)) if plain && !last.relu => {
                let middle = self.run_layers(first, x.clone().into(), pass, None)?;
                let last = frostline_zoo::description::ConvNorm { relu: skip.relu, ..last.clone() };
                return self.conv_norm(&last, middle.map()?, Some(&shortcut), pass);
            }
            Some((Layer::Linear(last), first)) if plain && !skip.relu => {
                let middle = self.run_layers(first, x.clone().into(), pass, None)?;
                let (rows, shape) = (kernels::rows_of(middle.map()?)?, shortcut.dims());
                let (weight, bias) = (self.tensor(last.weight, pass), self.bias(last, pass)?);
                let sum = kernels::linear_add(&rows, &weight, &bias, &kernels::rows_of(&shortcut)?)?;
                return kernels::rows_as(&sum, shape);
            }
            _ => {}
        }
        let branch = self.run_layers(&skip.body, x.clone().into(), pass, None)?;
        let (rows, branch) = (kernels::rows_of(&shortcut)?, kernels::rows_of(branch.map()?)?);
        let images = if images.is_empty() && skip.scale.is_none() { vec![1.0; x.batch()] } else { images };
        let sum = self.add_branch(&rows, &branch, skip.scale, &images, pass)?;
        let sum = kernels::rows_as(&sum, shortcut.dims())?;
        if skip.relu { kernels::relu(&sum) } else { Ok(sum) }
    }
}

/// An operation on rows of channels, of a map or of images.
fn each_row(x: &Activation, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Activation> {
    match x {
        Activation::Rows(rows) => Ok(Activation::Rows(f(rows)?)),
        Activation::Map(map) => {
            let (h, w, n, _) = map.dims();
            let rows = f(&kernels::rows_of(map)?)?;
            Ok(kernels::rows_as(&rows, (h, w, n, rows.dim(1)?))?.into())
        }
    }
}

/// The curve as the kernels call it.
pub(super) fn of_kernels(curve: Curve) -> kernels::Curve {
    match curve {
        Curve::Identity => kernels::Curve::Identity,
        Curve::Relu => kernels::Curve::Relu,
        Curve::Gelu => kernels::Curve::Gelu,
        Curve::QuickGelu => kernels::Curve::QuickGelu,
        Curve::Silu => kernels::Curve::Silu,
        Curve::Sigmoid => kernels::Curve::Sigmoid,
        Curve::HardSwish => kernels::Curve::HardSwish,
        Curve::HardSigmoid => kernels::Curve::HardSigmoid,
    }
}
