//! Convolution in groups of channels: each group of outputs sees its own inputs alone (Krizhevsky et al., 2012; Xie et al.,
//! 2016, arXiv:1611.05431).
//!
//! The entry is [`grouped_conv2d`]. Groups of one channel are `depthwise`. Others are convolved as usual, bundle by bundle: groups
//! too narrow for a product of a good size go together, with zeros where an output does not see an input.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::{ConvSpec, Finish, Geometry, conv2d, data_gradient, depthwise, forward, weight_gradient};
use crate::gemm::Factor;
use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// Input channels that a bundle of groups has at least, where there are so many.
const BUNDLE: usize = 32;

/// As [`crate::conv2d`] in `groups` groups of channels: from `[H, W, N, C_in]` and weights `[kh, kw, C_in / groups, C_out]`, whose
/// first `C_out / groups` outputs see the first `C_in / groups` inputs, and so on.
///
/// Gradients reach the input, the weights and the bias, each only where it is wanted.
///
/// # Errors
/// When the channels are not whole groups, or the kernel is larger than the padded input.
pub fn grouped_conv2d(
    x: &Hwnc,
    weights: &Tensor,
    bias: Option<&Tensor>,
    spec: ConvSpec,
    groups: usize,
) -> Result<Hwnc> {
    if groups == 1 {
        return conv2d(x, weights, bias, spec);
    }
    if groups == 0 {
        bail!("convolution: no groups of channels");
    }
    let geometry = Geometry::in_groups(x, weights, spec, groups)?;
    if let Some(bias) = bias
        && bias.dims() != [geometry.c_out]
    {
        bail!("convolution: the bias is {:?}, but there are {} output channels", bias.dims(), geometry.c_out);
    }
    if !storage::runs_here(x.tensor()) {
        return composed::grouped_conv2d(x, weights, bias, spec, groups);
    }
    let (weights, bias) = (weights.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let inputs: Vec<&Tensor> = [x.tensor(), &weights].into_iter().chain(&bias).collect();
    let gradients = inputs.iter().any(|input| wanted(input));
    let operation = Grouped { geometry, groups };
    let y = {
        let (weights, bias) = (Values::of(&weights)?, bias.as_ref().map(Values::of).transpose()?);
        by_number!(storage::is_half(x.tensor()), T => {
            let y = operation.forward::<T>(&Values::of(x.tensor())?, &weights, bias.as_deref(), gradients);
            storage::tensor(y, (geometry.oh, geometry.ow, geometry.n, geometry.c_out))?
        })
    };
    note(&inputs, &y, operation);
    Hwnc::new(y)
}

/// The operation on the tape: inputs are x, weights, and the bias where there is one.
struct Grouped {
    geometry: Geometry,
    groups: usize,
}

/// Groups that are convolved together.
struct Bundle {
    geometry: Geometry,
    inputs: Range<usize>,
    outputs: Range<usize>,
    /// Channels of a group.
    group: (usize, usize),
}

impl Grouped {
    fn forward<T: Factor>(&self, x: &[T], weights: &[f32], bias: Option<&[f32]>, gradients: bool) -> Vec<T> {
        let g = &self.geometry;
        if depthwise::serves(g, self.groups) {
            return depthwise::forward(g, x, weights, bias);
        }
        let mut y: Vec<T> = tasks::zeros(g.oh * g.ow * g.n * g.c_out);
        for bundle in self.bundles() {
            let weights = bundle.filled(g, weights);
            let bias = bias.map(|bias| &bias[bundle.outputs.clone()]);
            let seen = taken(x, g.c_in, &bundle.inputs);
            let finish = Finish::bias(bias);
            let part = forward::<T>(&bundle.geometry, &seen, &T::of_singles(&weights), finish, gradients);
            put(&mut y, g.c_out, &bundle.outputs, &part);
        }
        y
    }

    fn bundles(&self) -> Vec<Bundle> {
        let (g, groups) = (&self.geometry, self.groups);
        let group = (g.c_in / groups, g.c_out / groups);
        let together = (BUNDLE / group.0).max(1);
        tasks::blocks(groups, together)
            .map(|part| {
                let inputs = part.start * group.0..part.end * group.0;
                let outputs = part.start * group.1..part.end * group.1;
                Bundle {
                    geometry: Geometry { c_in: inputs.len(), c_out: outputs.len(), ..*g },
                    inputs,
                    outputs,
                    group,
                }
            })
            .collect()
    }
}

impl Bundle {
    /// Where the weights of a group's inputs stand: each run in the bundle's dense kernel, and in the whole grouped one.
    fn runs(&self, whole: &Geometry) -> Vec<(Range<usize>, usize)> {
        let (wide, (inputs, outputs)) = (self.outputs.len(), self.group);
        let mut runs = Vec::new();
        for tap in 0..whole.kh * whole.kw {
            for input in 0..self.inputs.len() {
                let first = input / inputs * outputs;
                let dense = (tap * self.inputs.len() + input) * wide + first;
                let from = (tap * inputs + input % inputs) * whole.c_out + self.outputs.start + first;
                runs.push((dense..dense + outputs, from));
            }
        }
        runs
    }

    /// The dense kernel `[kh, kw, inputs, outputs]`.
    fn filled(&self, whole: &Geometry, weights: &[f32]) -> Vec<f32> {
        let mut dense = vec![0.0; whole.kh * whole.kw * self.inputs.len() * self.outputs.len()];
        for (run, from) in self.runs(whole) {
            let length = run.len();
            dense[run].copy_from_slice(&weights[from..from + length]);
        }
        dense
    }
}

/// Some channels of rows of `width` values.
fn taken<T: Number>(values: &[T], width: usize, channels: &Range<usize>) -> Vec<T> {
    let rows = rows_per_task(width);
    let mut part: Vec<T> = tasks::zeros(values.len() / width * channels.len());
    let blocks = part.par_chunks_mut(rows * channels.len()).zip(values.par_chunks(rows * width));
    blocks.for_each(|(part, values)| {
        let rows = part.chunks_exact_mut(channels.len()).zip(values.chunks_exact(width));
        rows.for_each(|(part, row)| part.copy_from_slice(&row[channels.clone()]));
    });
    part
}

/// Puts `part` in the place of some channels of rows of `width` values.
fn put<T: Number>(values: &mut [T], width: usize, channels: &Range<usize>, part: &[T]) {
    let rows = rows_per_task(width);
    let blocks = values.par_chunks_mut(rows * width).zip(part.par_chunks(rows * channels.len()));
    blocks.for_each(|(values, part)| {
        let rows = values.chunks_exact_mut(width).zip(part.chunks_exact(channels.len()));
        rows.for_each(|(row, part)| row[channels.clone()].copy_from_slice(part));
    });
}

fn rows_per_task(width: usize) -> usize {
    (tasks::VALUES / width).max(1)
}

impl Backward for Grouped {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let ([x, weights, bias @ ..], g) = (inputs, &self.geometry) else {
            bail!("convolution: two inputs at least")
        };
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => {
            let (dy, x_values, w) = (Values::<T>::of(&dy)?, Values::<T>::of(x)?, Values::<f32>::of(weights)?);
            let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
            if wanted(x) {
                found[0] = Some(storage::tensor(self.of_input::<T>(&dy, &w), x.shape())?.into());
            }
            if wanted(weights) {
                let dw = self.of_weights::<T>(&x_values, &dy, w.len());
                found[1] = Some(storage::tensor(dw, weights.shape())?.into());
            }
            if let [bias] = bias && wanted(bias) {
                found[2] = Some(storage::tensor(tasks::column_sums(&dy, g.c_out), bias.shape())?.into());
            }
            Ok(found)
        })
    }
}

impl Grouped {
    fn of_input<T: Factor>(&self, dy: &[T], weights: &[f32]) -> Vec<T> {
        let g = &self.geometry;
        if depthwise::serves(g, self.groups) {
            return depthwise::data_gradient(g, dy, weights);
        }
        let mut dx: Vec<T> = tasks::zeros(g.h * g.w * g.n * g.c_in);
        for bundle in self.bundles() {
            let weights = bundle.filled(g, weights);
            let dy = taken(dy, g.c_out, &bundle.outputs);
            let part = data_gradient::<T>(&bundle.geometry, &dy, &T::of_singles(&weights));
            put(&mut dx, g.c_in, &bundle.inputs, &part);
        }
        dx
    }

    fn of_weights<T: Factor>(&self, x: &[T], dy: &[T], count: usize) -> Vec<f32> {
        let g = &self.geometry;
        if depthwise::serves(g, self.groups) {
            return depthwise::weight_gradient(g, x, dy);
        }
        let mut dw = vec![0.0; count];
        for bundle in self.bundles() {
            let (x, dy) = (taken(x, g.c_in, &bundle.inputs), taken(dy, g.c_out, &bundle.outputs));
            let dense = weight_gradient::<T>(&bundle.geometry, &x, &dy);
            for (run, from) in bundle.runs(g) {
                let length = run.len();
                dw[from..from + length].copy_from_slice(&dense[run]);
            }
        }
        dw
    }
}
