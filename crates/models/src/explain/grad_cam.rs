//! Grad-CAM: a map's channels, each times the mean of what the class's logit would change by it, added up and cut at 0. The map is the last
//! before pixels are averaged or laid in a row. Where that has too few pixels to show anything, as at 32x32, it is the last stage's that has
//! enough.

use candle_core::{DType, Device, Tensor, Var};
use frostline_kernels::{Hwnc, Tape};
use frostline_zoo::description::Layer;

use super::{Explanation, Method, likeliest};
use crate::error::ModelError;
use crate::forward::{Activation, Pass};
use crate::model::Model;

/// The fewest pixels along a side of a map that shows places.
const FEWEST: usize = 4;

/// Where a model is cut in two: before this layer of this stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    stage: usize,
    layer: usize,
}

impl Model {
    pub(super) fn grad_cam(&self, images: &Hwnc) -> Result<Explanation, ModelError> {
        let (mut cut, mut map) = self.last_map(images)?;
        if is_small(map.dims()) {
            cut = self.larger_map(cut)?;
            map = self.run(0..cut.stage, images.clone().into(), &Pass::Evaluate, None)?.into_map()?;
        }
        let name =
            |cut: Cut| self.stages()[cut.stage.saturating_sub(usize::from(cut.layer == 0))].name.clone();
        let failed = |cause| ModelError::Stage { stage: name(cut), cause };
        let (classes, gradient) = self.gradient(cut, &map).map_err(failed)?;
        let (height, width, ..) = map.dims();
        let weights = weighed(map.tensor(), &gradient).map_err(failed)?;
        Ok(Explanation { method: Method::GradCam, stage: name(cut), height, width, classes, weights })
    }

    /// The last map before pixels are averaged or laid in a row.
    fn last_map(&self, images: &Hwnc) -> Result<(Cut, Hwnc), ModelError> {
        let ends = |layer: &Layer| {
            matches!(layer, Layer::GlobalAvgPool | Layer::AdaptiveAvgPool { .. } | Layer::Flatten)
        };
        let stages = &self.architecture().stages;
        let found = stages.iter().enumerate().find_map(|(stage, layers)| {
            let layer = layers.layers.iter().position(ends)?;
            Some(Cut { stage, layer })
        });
        let none = || ModelError::Input(format!("{} has no map before its head", self.card().title));
        let cut = found.ok_or_else(none)?;
        let before = self.run(0..cut.stage, images.clone().into(), &Pass::Evaluate, None)?;
        let layers = &stages[cut.stage].layers[..cut.layer];
        let failed = |cause| ModelError::Stage { stage: stages[cut.stage].name.to_owned(), cause };
        let map = self.run_layers(layers, before, &Pass::Evaluate, None).map_err(failed)?;
        Ok((cut, map.into_map()?))
    }

    /// The last stage before a cut whose map has pixels enough.
    fn larger_map(&self, cut: Cut) -> Result<Cut, ModelError> {
        let outputs = self.summary();
        let large = |stage: &usize| {
            let (height, width, _) = outputs[*stage].output;
            height >= FEWEST && width >= FEWEST
        };
        let stage = (0..cut.stage).rev().find(large).ok_or_else(|| {
            let spec = self.spec();
            ModelError::Input(format!(
                "no stage of {} has a map of {FEWEST}x{FEWEST} pixels at {}x{}, so there is no place to show",
                self.card().title,
                spec.height,
                spec.width
            ))
        })?;
        Ok(Cut { stage: stage + 1, layer: 0 })
    }

    /// The likeliest class of each image, and the gradient of its logit for a map at a cut, `[H, W, N, C]`.
    fn gradient(&self, cut: Cut, map: &Hwnc) -> candle_core::Result<(Vec<u32>, Tensor)> {
        let variable = Var::from_tensor(&map.tensor().to_dtype(DType::F32)?.contiguous()?)?;
        let (logits, tape) = Tape::record(|| {
            let mut x: Activation = Hwnc::new(variable.as_tensor().clone())?.into();
            for (index, stage) in self.architecture().stages.iter().enumerate().skip(cut.stage) {
                let first = if index == cut.stage { cut.layer } else { 0 };
                x = self.run_layers(&stage.layers[first..], x, &Pass::Evaluate, None)?;
            }
            Ok::<_, candle_core::Error>(x.tensor().clone())
        })?;
        let classes = likeliest(&logits)?;
        let (rows, columns) = logits.dims2()?;
        let mut chosen = vec![0.0f32; rows * columns];
        classes
            .iter()
            .zip(chosen.chunks_exact_mut(columns))
            .for_each(|(class, row)| row[*class as usize] = 1.0);
        let chosen = Tensor::from_vec(chosen, (rows, columns), logits.device())?;
        let gradients = tape.backward_from(&logits, &chosen)?;
        match gradients.get(variable.as_tensor()) {
            Some(gradient) => Ok((classes, gradient.tensor()?)),
            None => candle_core::bail!("the logits do not depend on the map"),
        }
    }
}

fn is_small((height, width, ..): (usize, usize, usize, usize)) -> bool {
    height < FEWEST || width < FEWEST
}

/// `max(Σ map · mean of gradient, 0)` over the channels, `[N, H, W]`, from `[H, W, N, C]`.
fn weighed(map: &Tensor, gradient: &Tensor) -> candle_core::Result<Vec<f32>> {
    let (height, width, images, channels) = map.dims4()?;
    let host = |tensor: &Tensor| {
        tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
    };
    let (map, gradient) = (host(map)?, host(gradient)?);
    let size = images * channels;
    let mut means = vec![0.0f64; size];
    for pixel in gradient.chunks_exact(size) {
        means.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    let pixels = height * width;
    let mut weights = vec![0.0; images * pixels];
    for (pixel, values) in map.chunks_exact(size).enumerate() {
        let rows = values.chunks_exact(channels).zip(means.chunks_exact(channels));
        for (image, (values, means)) in rows.enumerate() {
            let sum: f64 = values.iter().zip(means).map(|(value, mean)| f64::from(*value) * mean).sum();
            weights[image * pixels + pixel] = (sum / pixels as f64).max(0.0) as f32;
        }
    }
    Ok(weights)
}
