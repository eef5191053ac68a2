//! A convolution and the batch norm behind it as one operation: the unit of most networks.
//!
//! The entry is [`conv_norm`]. Together they are one node of the tape, with one gradient between nodes instead of two, and
//! where nothing is trained the output is normalised in place. The convolution is [`crate::conv2d`]'s; the passes of the
//! norm are in `norm`.

use std::sync::Mutex;

use candle_core::{Result, Tensor, bail};

use crate::conv::{self, ConvSpec, Finish, Geometry};
use crate::gemm::Factor;
use crate::layout::Hwnc;
use crate::norm::gradients;
use crate::norm::passes::{self, Moments, Pass};
use crate::norm::{self, BatchStatistics, NormSpec};
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed};

/// A batch norm as a layer applies it.
#[derive(Clone, Copy, Debug)]
pub struct Normalisation<'a> {
    /// The scale, `[C]`.
    pub gamma: &'a Tensor,
    /// The shift, `[C]`.
    pub beta: &'a Tensor,
    /// Mean and variance to normalise by, `[C]` each; the batch's own where there are none.
    pub running: Option<(&'a Tensor, &'a Tensor)>,
    /// What else it does.
    pub spec: NormSpec,
}

/// `[relu](norm(conv(x)) [+ residual])`: [`crate::conv2d`], then
/// `(z - mean) / sqrt(variance + eps) · gamma + beta` by the batch's statistics, which are given back, or by given ones.
///
/// The convolution's bias `[C]` is never added: it moves the mean. By the batch's statistics it cancels, and its gradient
/// is zero; the mean that is given back has it. A residual has the shape of the output. Gradients reach the input (through
/// the batch's statistics), weights, bias, gamma, beta and the residual, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree, or there is one value per channel, which has no variance to normalise by.
pub fn conv_norm(
    x: &Hwnc,
    weights: &Tensor,
    bias: Option<&Tensor>,
    spec: ConvSpec,
    norm: Normalisation<'_>,
    residual: Option<&Hwnc>,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let geometry = Geometry::new(x, weights, spec)?;
    let dims = (geometry.oh, geometry.ow, geometry.n, geometry.c_out);
    norm::check(dims, &norm.named(bias), residual)?;
    if norm.running.is_none() {
        norm::check_count(dims)?;
    }
    if !storage::runs_here(x.tensor()) {
        return composed::conv_norm(x, weights, bias, spec, norm, residual);
    }
    by_number!(storage::is_half(x.tensor()), T => run::<T>(x, weights, bias, geometry, norm, residual))
}

/// `[relu](norm(conv(x)) [+ residual])` of arguments whose shapes agree.
fn run<T: Factor>(
    x: &Hwnc,
    weights: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
    norm: Normalisation<'_>,
    residual: Option<&Hwnc>,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let dims = (geometry.oh, geometry.ow, geometry.n, geometry.c_out);
    let residual =
        residual.map(|residual| storage::keep_as(residual.tensor(), x.tensor().dtype())).transpose()?;
    let weights = weights.contiguous()?;
    let (gamma, beta) = (norm.gamma.contiguous()?, norm.beta.contiguous()?);
    let mut inputs = vec![x.tensor(), &weights, &gamma, &beta];
    inputs.extend(bias);
    inputs.extend(&residual);
    let gradients = inputs.iter().any(|input| wanted(input));
    let weights_values = Values::of(&weights)?;
    let factor = T::of_singles(&weights_values);
    let x_values = Values::of(x.tensor())?;
    let convolve = |finish| conv::forward::<T>(&geometry, &x_values, &factor, finish, gradients);
    // Of the convolution without its bias.
    let (moments, statistics, z) = match norm.running {
        Some((mean, variance)) => {
            let mean = moved(&norm::double(mean)?, bias, -1.0)?;
            (Moments { mean, variance: norm::double(variance)? }, None, None)
        }
        None => {
            let z = convolve(Finish::bias(None));
            let moments = passes::moments(&z, geometry.c_out);
            let mean = moved(&moments.mean, bias, 1.0)?;
            let rows = geometry.oh * geometry.ow * geometry.n;
            let statistics = BatchStatistics::of(&mean, &moments.variance, rows)?;
            (moments, Some(statistics), Some(z))
        }
    };
    let inverse_std = moments.inverse_std(norm.spec.eps);
    let mean = norm::single(&moments.mean);
    let scale: Vec<f32> = storage::singles(&gamma)?.iter().zip(&inverse_std).map(|(g, s)| g * s).collect();
    let beta_values = storage::singles(&beta)?;
    let pass = Pass { mean: &mean, scale: &scale, beta: &beta_values };

    // The values before the norm are needed again for gamma's gradient, and for that of the batch's statistics.
    let keep = gradients && (statistics.is_some() || wanted(&gamma));
    let residual_values = residual.as_ref().map(Values::<T>::of).transpose()?;
    let (residual_values, relu) = (residual_values.as_deref(), norm.spec.relu);
    let (y, z) = match z {
        // Where the statistics are known beforehand, each output is normalised where it is summed.
        None if !keep => (convolve(Finish::norm(pass, residual_values, relu)), None),
        Some(mut z) if !keep => {
            passes::normalise_in_place(&pass, &mut z, residual_values, relu);
            (z, None)
        }
        z => {
            let z = z.unwrap_or_else(|| convolve(Finish::bias(None)));
            (passes::normalise(&pass, &z, residual_values, relu), Some(z))
        }
    };
    let y = storage::tensor(y, dims)?;
    let operation = ConvNorm {
        geometry,
        z: z.map(|z| Mutex::new(Some(z))),
        mean,
        scale,
        beta: beta_values,
        inverse_std,
        relu,
        of_batch: statistics.is_some(),
        biased: bias.is_some(),
    };
    note(&inputs, &y, operation);
    Ok((Hwnc::new(y)?, statistics))
}

/// A mean that a bias moves, up (1) or down (-1).
fn moved(mean: &[f64], bias: Option<&Tensor>, sign: f64) -> Result<Vec<f64>> {
    Ok(match bias {
        Some(bias) => mean.iter().zip(norm::double(bias)?).map(|(mean, bias)| mean + sign * bias).collect(),
        None => mean.to_vec(),
    })
}

impl<'a> Normalisation<'a> {
    pub(crate) fn named(&self, bias: Option<&'a Tensor>) -> Vec<(&'static str, &'a Tensor)> {
        let mut vectors = vec![("gamma", self.gamma), ("beta", self.beta)];
        vectors.extend(bias.map(|bias| ("the convolution's bias", bias)));
        if let Some((mean, variance)) = self.running {
            vectors.extend([("mean", mean), ("variance", variance)]);
        }
        vectors
    }
}

/// The operation on the tape: inputs are x, weights, gamma, beta, and the bias and the residual where there are any.
struct ConvNorm<T> {
    geometry: Geometry,
    /// What the convolution gave, where the gradients need it; they are then put in its place.
    z: Option<Mutex<Option<Vec<T>>>>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    beta: Vec<f32>,
    inverse_std: Vec<f32>,
    relu: bool,
    of_batch: bool,
    biased: bool,
}

impl<T: Factor> Backward for ConvNorm<T> {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, weights, gamma, beta, others @ ..] = inputs else { bail!("conv_norm: four inputs at least") };
        let (bias, residual) = others.split_at(usize::from(self.biased));
        let bias_wanted = bias.first().is_some_and(wanted);
        let dy = storage::like(dy, y)?;
        let (y, dy) = (Values::<T>::of(y)?, Values::<T>::of(&dy)?);
        let mask = if self.relu { Some(&*y) } else { None };
        let before_norm = wanted(x) || wanted(weights);
        let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
        let vector = |wanted: bool, values: Vec<f32>| {
            let length = values.len();
            let tensor: Result<Option<Tensor>> = wanted.then(|| storage::tensor(values, length)).transpose();
            tensor.map(|tensor| tensor.map(Gradient::from))
        };
        let mut shift = Vec::new();
        let dz = match &self.z {
            Some(z) => {
                let Some(mut z) = z.lock().ok().and_then(|mut z| z.take()) else {
                    bail!("conv_norm: the gradients were taken before")
                };
                let pass = Pass { mean: &self.mean, scale: &self.scale, beta: &self.beta };
                let sums = gradients::gradient_sums(&pass, &z, &dy, mask);
                found[2] = vector(wanted(gamma), sums.of_gamma(&self.inverse_std))?;
                shift = norm::single(&sums.gradients);
                found[3] = vector(wanted(beta), shift.clone())?;
                let through = self.of_batch.then(|| sums.through(&self.inverse_std, z.len()));
                if before_norm {
                    gradients::data_gradient_in_place(&pass, &mut z, &dy, mask, through.as_ref());
                }
                z
            }
            None => {
                if wanted(beta) || bias_wanted {
                    shift = gradients::masked_sums(&dy, mask, self.geometry.c_out);
                    found[3] = vector(wanted(beta), shift.clone())?;
                }
                if before_norm { gradients::scaled(&self.scale, &dy, mask) } else { Vec::new() }
            }
        };
        if bias_wanted {
            // What is added to all values of a channel, the batch's mean takes away.
            let scale = |(scale, shift): (&f32, &f32)| if self.of_batch { 0.0 } else { scale * shift };
            found[4] = vector(true, self.scale.iter().zip(&shift).map(scale).collect())?;
        }
        if let Some(residual) = residual.first().filter(|residual| wanted(residual)) {
            found[4 + bias.len()] =
                Some(storage::tensor(gradients::masked(&dy, mask), residual.shape())?.into());
        }
        if wanted(weights) {
            let dw = conv::weight_gradient::<T>(&self.geometry, &Values::of(x)?, &dz);
            found[1] = Some(storage::tensor(dw, weights.shape())?.into());
        }
        if wanted(x) {
            let dx = conv::data_gradient::<T>(&self.geometry, &dz, &T::of_singles(&Values::of(weights)?));
            found[0] = Some(storage::tensor(dx, x.shape())?.into());
        }
        Ok(found)
    }
}
