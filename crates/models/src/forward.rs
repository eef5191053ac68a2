//! The forward pass: [`Model::forward`](crate::Model::forward) folds the stages over a batch. [`Pass`] says whether it
//! trains; an [`Activation`] is what flows between stages, and an [`AuxiliaryLogits`] what leaves them on the way. Nothing
//! here knows a family.

mod modern;
mod transformer;

use candle_core::{DType, Tensor};
use frostline_kernels as kernels;
use frostline_kernels::{ConvSpec, Hwnc, PoolSpec};
use frostline_streams::{Purpose, Streams};
use frostline_zoo::description::{Conv, ConvNorm, Layer, Linear, ParameterId, Residual, Window, distinct};

use crate::error::ModelError;
use crate::model::Model;

/// What a pass is for.
#[derive(Clone, Copy, Debug)]
pub enum Pass<'a> {
    /// Trainable parameters are tracked, dropout acts, norms do as their mode says.
    Train {
        /// The trial's streams, from which dropout draws.
        streams: Streams,
        /// The epoch, part of the key of each dropout mask.
        epoch: u64,
        /// The number of each image of the batch in its data set, the other part of the key.
        examples: &'a [u32],
    },
    /// No tape, no dropout, running statistics.
    Evaluate,
}

impl Pass<'_> {
    fn trains(&self) -> bool {
        matches!(self, Pass::Train { .. })
    }
}

/// What flows from stage to stage.
#[derive(Clone, Debug)]
pub enum Activation {
    /// A map per image, `[H, W, N, C]`; tokens are a map of height 1, `[1, T, N, C]`.
    Map(Hwnc),
    /// A row per image, `[N, C]`.
    Rows(Tensor),
}

impl From<Hwnc> for Activation {
    fn from(map: Hwnc) -> Self {
        Activation::Map(map)
    }
}

impl Activation {
    /// The tensor, `[H, W, N, C]` or `[N, C]`.
    pub fn tensor(&self) -> &Tensor {
        match self {
            Activation::Map(map) => map.tensor(),
            Activation::Rows(rows) => rows,
        }
    }

    /// The rows `[N, C]`: logits, after the last stage.
    ///
    /// # Errors
    /// Where it is a map.
    pub fn into_tensor(self) -> Result<Tensor, ModelError> {
        match self {
            Activation::Rows(rows) => Ok(rows),
            Activation::Map(map) => Err(unfit("rows", &format!("a map {:?}", map.dims()))),
        }
    }

    /// The map `[H, W, N, C]`: images, after the last stage of an autoencoder.
    ///
    /// # Errors
    /// Where it is rows.
    pub fn into_map(self) -> Result<Hwnc, ModelError> {
        match self {
            Activation::Map(map) => Ok(map),
            Activation::Rows(rows) => Err(unfit("a map", &format!("rows {:?}", rows.dims()))),
        }
    }

    /// The same numbers as f32 or bf16.
    pub(crate) fn kept_as(self, precision: DType) -> candle_core::Result<Self> {
        Ok(match self {
            Activation::Map(map) => Hwnc::new(kernels::keep_as(map.tensor(), precision)?)?.into(),
            Activation::Rows(rows) => Activation::Rows(kernels::keep_as(&rows, precision)?),
        })
    }

    fn map(&self) -> candle_core::Result<&Hwnc> {
        match self {
            Activation::Map(map) => Ok(map),
            Activation::Rows(rows) => {
                candle_core::bail!("a map was expected, and rows {:?} came", rows.dims())
            }
        }
    }

    fn rows(&self) -> candle_core::Result<&Tensor> {
        match self {
            Activation::Rows(rows) => Ok(rows),
            Activation::Map(map) => candle_core::bail!("rows were expected, and a map {:?} came", map.dims()),
        }
    }
}

/// What an auxiliary head makes of a batch in a training pass.
#[derive(Clone, Debug)]
pub struct AuxiliaryLogits {
    /// The factor of its loss in the sum that is trained on.
    pub weight: f64,
    /// The logits, `[N, classes]`.
    pub logits: Tensor,
}

fn unfit(expected: &str, found: &str) -> ModelError {
    ModelError::Input(format!("{expected} were expected, and {found} came"))
}

impl Model {
    /// Layers one after another. A training pass puts what auxiliary heads give into `auxiliary`, where there is one.
    pub(crate) fn run_layers(
        &self,
        mut layers: &[Layer],
        mut x: Activation,
        pass: &Pass<'_>,
        mut auxiliary: Option<&mut Vec<AuxiliaryLogits>>,
    ) -> candle_core::Result<Activation> {
        while let Some((layer, rest)) = layers.split_first() {
            if let (Layer::Auxiliary(head), Some(found), true) = (layer, &mut auxiliary, pass.trains()) {
                let logits = self.run_layers(&head.layers, x.clone(), pass, None)?.kept_as(DType::F32)?;
                let logits = logits.rows()?.clone();
                found.push(AuxiliaryLogits { weight: head.weight, logits });
                layers = rest;
                continue;
            }
            (x, layers) = match self.over_copies(layers, &x, pass)?.or(self.fused(layers, &x, pass)?) {
                Some(done) => done,
                None => (self.apply(layer, x, pass)?, rest),
            };
        }
        Ok(x)
    }

    /// In an evaluation, a pool that copies pixels and the linear layer behind it, by the sums of its weights, and the layers
    /// that remain. The weights are added up for each batch and not kept: that reads them once, as a product does, and the
    /// product is as many times smaller as there are copies.
    fn over_copies<'a>(
        &self,
        layers: &'a [Layer],
        x: &Activation,
        pass: &Pass<'_>,
    ) -> candle_core::Result<Option<(Activation, &'a [Layer])>> {
        let (
            Activation::Map(map),
            [Layer::AdaptiveAvgPool { height, width }, Layer::Flatten, Layer::Linear(linear), rest @ ..]
            | [
                Layer::AdaptiveAvgPool { height, width },
                Layer::Flatten,
                Layer::Dropout { .. },
                Layer::Linear(linear),
                rest @ ..,
            ],
        ) = (x, layers)
        else {
            return Ok(None);
        };
        let (h, w, ..) = map.dims();
        let Some(cells) = distinct((h, w), (*height, *width)).filter(|_| !pass.trains()) else {
            return Ok(None);
        };
        let rows = kernels::flatten_hwc(&kernels::adaptive_avg_pool2d(map, cells)?)?;
        let weight = kernels::sum_copies(&self.tensor(linear.weight, pass), (*height, *width), cells)?;
        let bias = linear.bias.map(|bias| self.tensor(bias, pass));
        let y = kernels::linear(&rows, &weight, bias.as_ref())?;
        Ok(Some((Activation::Rows(y), rest)))
    }

    /// One layer of a stage.
    fn apply(&self, layer: &Layer, x: Activation, pass: &Pass<'_>) -> candle_core::Result<Activation> {
        Ok(match layer {
            Layer::Conv(conv) => self.conv(conv, x.map()?, pass)?.into(),
            Layer::ConvNorm(unit) => self.conv_norm(unit, x.map()?, None, pass)?.into(),
            Layer::Residual(block) => self.residual(block, x.map()?, pass)?.into(),
            Layer::Branches(branches) => {
                let mut maps = Vec::with_capacity(branches.len());
                for branch in branches {
                    maps.push(self.run_layers(branch, x.clone(), pass, None)?.map()?.clone());
                }
                kernels::concat_channels(&maps)?.into()
            }
            Layer::Auxiliary(_) => x,
            Layer::Relu => match x {
                Activation::Map(map) => kernels::relu(&map)?.into(),
                Activation::Rows(rows) => Activation::Rows(kernels::relu_2d(&rows)?),
            },
            Layer::MaxPool { window, ceil, .. } => {
                kernels::max_pool2d(x.map()?, PoolSpec { ceil: *ceil, ..pool(*window) })?.into()
            }
            Layer::AvgPool { window, .. } => kernels::avg_pool2d(x.map()?, pool(*window))?.into(),
            Layer::AdaptiveAvgPool { height, width } => {
                kernels::adaptive_avg_pool2d(x.map()?, (*height, *width))?.into()
            }
            Layer::GlobalAvgPool => Activation::Rows(kernels::global_avg_pool(x.map()?)?),
            Layer::AsMap => match x {
                Activation::Map(map) => map.into(),
                Activation::Rows(rows) => Hwnc::from_rows(&rows)?.into(),
            },
            Layer::Flatten => Activation::Rows(kernels::flatten_hwc(x.map()?)?),
            Layer::Dropout { name, probability } => {
                Activation::Rows(self.dropout(name, *probability, x.rows()?, pass)?)
            }
            Layer::Linear(linear) => self.linear_layer(linear, &x, pass)?,
            Layer::Curve(curve) => self.curve_layer(*curve, &x)?,
            Layer::BatchNorm(norm, curve) => self.batch_norm(*norm, *curve, x.map()?, pass)?.into(),
            Layer::Skip(skip) => self.skip(skip, x.map()?, pass)?.into(),
            Layer::Dense(body) => self.dense(body, x.map()?, pass)?.into(),
            Layer::WindowAttention(attention) => self.window_attention(attention, x.map()?, pass)?.into(),
            Layer::MergePixels => kernels::merge_pixels(x.map()?)?.into(),
            Layer::SqueezeExcite(gates) => self.squeeze_excite(gates, x.map()?, pass)?.into(),
            Layer::ResponseNorm(norm) => self.response_norm(norm, x.map()?, pass)?.into(),
            Layer::PatchEmbed(embed) => self.patch_embed(embed, x.map()?, pass)?.into(),
            Layer::TransformerBlock(block) => self.transformer_block(block, x.map()?, pass)?,
            Layer::LayerNorm(norm) => self.norm_layer(norm, &x, pass)?,
        })
    }

    fn conv(&self, conv: &Conv, x: &Hwnc, pass: &Pass<'_>) -> candle_core::Result<Hwnc> {
        let bias = conv.bias.map(|bias| self.tensor(bias, pass));
        let weight = self.tensor(conv.weight, pass);
        kernels::grouped_conv2d(x, &weight, bias.as_ref(), self.conv_spec(conv), conv.groups)
    }

    /// Where the live taps of a kernel are laid: those before them stood on padding.
    fn conv_spec(&self, conv: &Conv) -> ConvSpec {
        let Window { stride, padding, .. } = conv.window;
        let live = self.architecture().live_taps(conv);
        ConvSpec { stride, padding: (padding.0 - live.top, padding.1 - live.left) }
    }

    fn conv_norm(
        &self,
        unit: &ConvNorm,
        x: &Hwnc,
        residual: Option<&Hwnc>,
        pass: &Pass<'_>,
    ) -> candle_core::Result<Hwnc> {
        let norm = &self.norms()[unit.norm.0];
        let weight = self.tensor(unit.conv.weight, pass);
        let bias = unit.conv.bias.map(|bias| self.tensor(bias, pass));
        let conv = (&weight, bias.as_ref());
        norm.after_conv(x, conv, self.conv_spec(&unit.conv), residual, unit.relu, pass.trains())
            .map_err(|error| candle_core::Error::Msg(format!("{}: {error}", norm.name())))
    }

    fn residual(&self, block: &Residual, x: &Hwnc, pass: &Pass<'_>) -> candle_core::Result<Hwnc> {
        let mut middle = x.clone();
        for unit in &block.first {
            middle = self.conv_norm(unit, &middle, None, pass)?;
        }
        match &block.shortcut {
            None => self.conv_norm(&block.last, &middle, Some(x), pass),
            Some(shortcut) => {
                let shortcut = self.conv_norm(shortcut, x, None, pass)?;
                self.conv_norm(&block.last, &middle, Some(&shortcut), pass)
            }
        }
    }

    pub(crate) fn linear(&self, linear: &Linear, x: &Tensor, pass: &Pass<'_>) -> candle_core::Result<Tensor> {
        let bias = linear.bias.map(|bias| self.tensor(bias, pass));
        self.adapted(linear, x, kernels::linear(x, &self.tensor(linear.weight, pass), bias.as_ref())?, pass)
    }

    /// Inverted dropout (Srivastava et al. 2014) of rows `[N, C]` or `[T·N, C]` with a mask per image, keyed by (layer,
    /// epoch, example).
    fn dropout(
        &self,
        name: &str,
        probability: f32,
        x: &Tensor,
        pass: &Pass<'_>,
    ) -> candle_core::Result<Tensor> {
        let probability = match self.dropout_override() {
            Some(all) if all == 0.0 || !self.architecture().is_auxiliary(name) => all,
            _ => probability,
        };
        let Pass::Train { streams, epoch, examples } = *pass else { return Ok(x.clone()) };
        if probability == 0.0 {
            return Ok(x.clone());
        }
        let ((rows, channels), batch) = (x.dims2()?, examples.len());
        if batch == 0 || rows % batch != 0 {
            candle_core::bail!("the pass names {batch} examples for {rows} rows");
        }
        let streams = streams.part(name);
        let kept = 1.0 / (1.0 - probability);
        let mut mask = vec![0.0; rows * channels];
        for (image, &example) in examples.iter().enumerate() {
            let mut draws = streams.draws(Purpose::Dropout, epoch, u64::from(example));
            for row in mask.chunks_exact_mut(channels).skip(image).step_by(batch) {
                row.fill_with(|| if draws.unit() < probability { 0.0 } else { kept });
            }
        }
        kernels::dropout(x, &Tensor::from_vec(mask, (rows, channels), x.device())?)
    }

    /// A parameter as the pass uses it: tracked only if it is trainable and the pass trains.
    fn tensor(&self, id: ParameterId, pass: &Pass<'_>) -> Tensor {
        let parameter = &self.parameters()[id.0];
        if pass.trains() { parameter.tensor() } else { parameter.detached() }
    }
}

fn pool(window: Window) -> PoolSpec {
    let Window { kernel, stride, padding } = window;
    PoolSpec { kernel, stride, padding, ceil: false, count_include_pad: true }
}
