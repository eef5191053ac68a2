//! A batch norm and the curve behind it, on a map that is there: behind a grouped or depthwise convolution, or before a layer.
//!
//! The entry is [`batch_norm`]. Where the curve is ReLU behind an ordinary convolution, [`crate::conv_norm`] does both at once.
//! The way back computes the normalised values again from the map, which the tape has anyway, so that nothing more is kept.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::activation::{Relu, Slope};
use crate::conv_norm::Normalisation;
use crate::curves::{Curve, HardSwish, Identity, Swish};
use crate::gemm::written;
use crate::layout::Hwnc;
use crate::norm::passes::{self, Moments, Pass};
use crate::norm::{self, BatchStatistics};
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// Runs code for the curves that stand behind a norm in some network; for each, loops are compiled.
macro_rules! by_curve {
    ($curve:expr, $function:ident => $body:expr) => {
        match $curve {
            Curve::Identity => by_curve!(@ Identity, $function, $body),
            Curve::Relu => by_curve!(@ Relu, $function, $body),
            Curve::Silu => by_curve!(@ Swish(1.0), $function, $body),
            Curve::HardSwish => by_curve!(@ HardSwish, $function, $body),
            other => no_such_curve(other)?,
        }
    };
    (@ $value:expr, $function:ident, $body:expr) => {{
        let $function = $value;
        $body
    }};
}

fn no_such_curve<T>(curve: Curve) -> Result<T> {
    bail!("batch norm: {curve:?} does not follow a norm; apply it by itself")
}

/// `curve((x - mean) / sqrt(variance + eps) · gamma + beta)` by the batch's statistics, which are given back, or by given ones.
/// What the norm's `relu` says is left aside. The curves are the identity, ReLU, SiLU and hard-swish.
///
/// Gradients reach the input (through the batch's statistics), gamma and beta, each only where it is wanted.
///
/// # Errors
/// For another curve; when the shapes do not agree, or there is one value per channel, which has no variance to normalise by.
pub fn batch_norm(
    x: &Hwnc,
    norm: Normalisation<'_>,
    curve: Curve,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    norm::check(x.dims(), &norm.named(None), None)?;
    if norm.running.is_none() {
        norm::check_count(x.dims())?;
    }
    if !matches!(curve, Curve::Identity | Curve::Relu | Curve::Silu | Curve::HardSwish) {
        return no_such_curve(curve);
    }
    if !storage::runs_here(x.tensor()) {
        return composed::batch_norm(x, norm, curve);
    }
    let (gamma, beta) = (norm.gamma.contiguous()?, norm.beta.contiguous()?);
    let (h, w, n, c) = x.dims();
    by_number!(storage::is_half(x.tensor()), T => {
        let values = Values::<T>::of(x.tensor())?;
        let (moments, statistics) = match norm.running {
            Some((mean, variance)) => {
                (Moments { mean: norm::double(mean)?, variance: norm::double(variance)? }, None)
            }
            None => {
                let moments = passes::moments::<T>(&values, c);
                let statistics = BatchStatistics::of(&moments.mean, &moments.variance, h * w * n)?;
                (moments, Some(statistics))
            }
        };
        let inverse_std = moments.inverse_std(norm.spec.eps);
        let scale = storage::singles(&gamma)?.iter().zip(&inverse_std).map(|(g, s)| g * s).collect();
        let operation = BatchNorm {
            mean: norm::single(&moments.mean),
            scale,
            beta: storage::singles(&beta)?,
            inverse_std,
            curve,
            of_batch: statistics.is_some(),
        };
        let y = by_curve!(curve, function => operation.forward::<T, _>(&values, &function));
        let y = storage::tensor(y, x.dims())?;
        note(&[x.tensor(), &gamma, &beta], &y, operation);
        Ok((Hwnc::new(y)?, statistics))
    })
}

/// The operation on the tape: inputs are x, gamma and beta.
struct BatchNorm {
    mean: Vec<f32>,
    /// Gamma times one over the standard deviation.
    scale: Vec<f32>,
    beta: Vec<f32>,
    inverse_std: Vec<f32>,
    curve: Curve,
    /// Whether the statistics are the batch's own.
    of_batch: bool,
}

impl BatchNorm {
    fn pass(&self) -> Pass<'_> {
        Pass { mean: &self.mean, scale: &self.scale, beta: &self.beta }
    }

    fn forward<T: Number, F: Slope>(&self, x: &[T], curve: &F) -> Vec<T> {
        let size = passes::rows_of_block(self.mean.len()) * self.mean.len();
        written(x.len(), size, &|own, y| normalise(self.pass(), &x[own], y, curve))
    }

    /// By channel, the sums of the gradients before the curve, and of these times `x - mean`.
    fn sums<T: Number, F: Slope>(&self, x: &[T], dy: &[T], curve: &F) -> [Vec<f64>; 2] {
        let c = self.mean.len();
        let size = passes::rows_of_block(c) * c;
        let blocks: Vec<[Vec<f32>; 2]> = x
            .par_chunks(size)
            .zip(dy.par_chunks(size))
            .map(|(x, dy)| {
                let mut sums = [vec![0.0f32; c], vec![0.0f32; c]];
                add_rows(self.pass(), x, dy, &mut sums, curve);
                sums
            })
            .collect();
        [0, 1].map(|part| {
            (0..c).map(|at| blocks.iter().map(|block| f64::from(block[part][at])).sum::<f64>()).collect()
        })
    }

    fn of_input<T: Number, F: Slope>(&self, x: &[T], dy: &[T], through: [&[f32]; 2], curve: &F) -> Vec<T> {
        let size = passes::rows_of_block(self.mean.len()) * self.mean.len();
        written(x.len(), size, &|own, dx| {
            go_back(self.pass(), through, &x[own.clone()], &dy[own], dx, curve);
        })
    }

    fn gradients<T: Number, F: Slope>(
        &self,
        inputs: &[Tensor],
        dy: &[T],
        curve: &F,
    ) -> Result<Vec<Option<Gradient>>> {
        let [x, gamma, beta] = inputs else { bail!("batch norm: three inputs") };
        let values = Values::<T>::of(x)?;
        let c = self.mean.len();
        let rows = (values.len() / c) as f64;
        let mut found: Vec<Option<Gradient>> = vec![None; 3];
        let (mut offset, mut slope) = (vec![0.0f32; c], vec![0.0f32; c]);
        if self.of_batch || wanted(gamma) || wanted(beta) {
            let [sums, products] = self.sums(&values, dy, curve);
            let scaled = |power: i32, per: f64| -> Vec<f32> {
                let pairs = products.iter().zip(&self.inverse_std);
                pairs.map(|(sum, inverse)| (sum * f64::from(*inverse).powi(power) / per) as f32).collect()
            };
            if self.of_batch {
                offset = sums.iter().map(|sum| (sum / rows) as f32).collect();
                slope = scaled(2, rows);
            }
            found[1] =
                wanted(gamma).then(|| storage::tensor(scaled(1, 1.0), c)).transpose()?.map(Gradient::from);
            found[2] = wanted(beta)
                .then(|| storage::tensor(norm::single(&sums), c))
                .transpose()?
                .map(Gradient::from);
        }
        if wanted(x) {
            let dx = self.of_input(&values, dy, [&offset, &slope], curve);
            found[0] = Some(storage::tensor(dx, x.shape())?.into());
        }
        Ok(found)
    }
}

impl Backward for BatchNorm {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => {
            let dy = Values::<T>::of(&dy)?;
            by_curve!(self.curve, function => self.gradients::<T, _>(inputs, &dy, &function))
        })
    }
}

tasks::vectorised! {
    fn normalise<'a, T: Number, F: Slope>(pass: Pass<'a>, x: &'a [T], y: &'a mut [T], curve: &'a F) {
        let c = pass.mean.len();
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            for i in 0..c {
                y[i] = T::nearest(curve.value((x[i].wide() - mean[i]) * scale[i] + beta[i]));
            }
        }
    }
}

tasks::vectorised! {
    fn add_rows<'a, T: Number, F: Slope>(
        pass: Pass<'a>,
        x: &'a [T],
        dy: &'a [T],
        sums: &'a mut [Vec<f32>; 2],
        curve: &'a F,
    ) {
        let c = pass.mean.len();
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        let [gradients, products] = sums;
        let (gradients, products) = (&mut gradients[..c], &mut products[..c]);
        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
            for i in 0..c {
                let before = x[i].wide() - mean[i];
                let normal = before * scale[i] + beta[i];
                let gradient = curve.back(normal, curve.value(normal), dy[i].wide());
                gradients[i] += gradient;
                products[i] += gradient * before;
            }
        }
    }
}

tasks::vectorised! {
    fn go_back<'a, T: Number, F: Slope>(
        pass: Pass<'a>,
        through: [&'a [f32]; 2],
        x: &'a [T],
        dy: &'a [T],
        dx: &'a mut [T],
        curve: &'a F,
    ) {
        let c = pass.mean.len();
        let (mean, scale, beta) = (&pass.mean[..c], &pass.scale[..c], &pass.beta[..c]);
        let (offset, slope) = (&through[0][..c], &through[1][..c]);
        for ((x, dy), dx) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            for i in 0..c {
                let before = x[i].wide() - mean[i];
                let normal = before * scale[i] + beta[i];
                let gradient = curve.back(normal, curve.value(normal), dy[i].wide());
                dx[i] = T::nearest(scale[i] * (gradient - offset[i] - before * slope[i]));
            }
        }
    }
}
