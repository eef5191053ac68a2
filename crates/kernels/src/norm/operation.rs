//! Batch normalisation as a custom operation on the tape.
//!
//! A custom operation has at most three arguments, so with a residual gamma and beta travel as one `[2, C]`
//! tensor: [`Normalise`] takes `(x, gamma, beta)`, [`NormaliseAdd`] takes `(x, [gamma; beta], residual)`. The
//! statistics are computed before and belong to the operation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::passes::{self, Mask, Moments, Pass};
use super::{NormSpec, single};
use crate::layout::Hwnc;
use crate::storage::{self, Values};

/// Normalisation without a residual.
pub(super) struct Normalise {
    mean: Vec<f32>,
    inverse_std: Vec<f32>,
    relu: bool,
    /// Whether the statistics are the batch's own, so that gradients pass through them.
    of_batch: bool,
}

/// Normalisation and addition of a residual.
struct NormaliseAdd(Normalise);

/// The gradients that were wanted.
struct Gradients {
    x: Option<Tensor>,
    residual: Option<Tensor>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Normalise {
    pub(super) fn new(moments: &Moments, spec: NormSpec, of_batch: bool) -> Self {
        let inverse = |variance: &f64| (1.0 / (variance + spec.eps).sqrt()) as f32;
        let inverse_std = moments.variance.iter().map(inverse).collect();
        Self { mean: single(&moments.mean), inverse_std, relu: spec.relu, of_batch }
    }

    pub(super) fn apply(
        self,
        x: &Hwnc,
        gamma: &Tensor,
        beta: &Tensor,
        residual: Option<&Hwnc>,
    ) -> Result<Hwnc> {
        Hwnc::new(match residual {
            None => x.tensor().apply_op3(&gamma.contiguous()?, &beta.contiguous()?, self)?,
            Some(residual) => {
                let parameters = Tensor::stack(&[gamma, beta], 0)?;
                x.tensor().apply_op3(&parameters, residual.tensor(), NormaliseAdd(self))?
            }
        })
    }

    fn pass<'a>(&'a self, scale: &'a [f32], beta: &'a [f32]) -> Pass<'a> {
        Pass { mean: &self.mean, scale, beta }
    }

    fn scale(&self, gamma: &[f32]) -> Vec<f32> {
        gamma.iter().zip(&self.inverse_std).map(|(gamma, inverse)| gamma * inverse).collect()
    }

    fn forward(&self, x: &[f32], gamma: &[f32], beta: &[f32], residual: Option<&[f32]>) -> CpuStorage {
        let scale = self.scale(gamma);
        CpuStorage::F32(passes::normalise(&self.pass(&scale, beta), x, residual, self.relu))
    }

    /// The gradients for `dy`; `residual` tells whether there is one and its gradient is wanted, and
    /// `parameters` whether those of gamma or beta are.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of the operation and which gradients are wanted"
    )]
    fn backward(
        &self,
        x: &Tensor,
        gamma: &[f32],
        beta: &[f32],
        y: &Tensor,
        dy: &Tensor,
        residual: Option<bool>,
        parameters: bool,
    ) -> Result<Gradients> {
        let dy = dy.contiguous()?;
        let (x_values, y, dy) = (Values::of(x)?, Values::of(y)?, Values::of(&dy)?);
        let scale = self.scale(gamma);
        let pass = self.pass(&scale, beta);
        // Without a residual the sign of y follows from x, which is read anyway.
        let mask = match (self.relu, residual) {
            (false, _) => Mask::Nothing,
            (true, None) => Mask::Recomputed,
            (true, Some(_)) => Mask::Output(&y),
        };
        let through_statistics = self.of_batch && x.track_op();
        let sums = match parameters || through_statistics {
            true => passes::gradient_sums(&pass, &x_values, &dy, mask),
            false => passes::GradientSums::default(),
        };
        let gamma = sums
            .products
            .iter()
            .zip(&self.inverse_std)
            .map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32);
        let gamma = gamma.collect();
        let beta = single(&sums.gradients);
        let dx = x.track_op().then(|| match self.of_batch {
            true => passes::data_gradient(
                &pass,
                &x_values,
                &dy,
                mask,
                &sums.through(&self.inverse_std, x_values.len()),
            ),
            false => passes::data_gradient_frozen(&pass, &x_values, &dy, mask),
        });
        let dresidual = (residual == Some(true)).then(|| passes::masked(&pass, &x_values, &dy, mask));
        Ok(Gradients {
            x: dx.map(|values| storage::tensor(values, x.shape())).transpose()?,
            residual: dresidual.map(|values| storage::tensor(values, x.shape())).transpose()?,
            gamma,
            beta,
        })
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gamma, beta) = (storage::slice(gamma, gamma_layout)?, storage::slice(beta, beta_layout)?);
        let y = self.forward(storage::slice(x, x_layout)?, gamma, beta, None);
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wanted = gamma.track_op() || beta.track_op();
        let (gamma_values, beta_values) = (Values::of(gamma)?, Values::of(beta)?);
        let gradients = self.backward(x, &gamma_values, &beta_values, y, dy, None, wanted)?;
        let keep = |wanted: &Tensor, values: Vec<f32>| {
            wanted.track_op().then(|| storage::tensor(values, wanted.shape())).transpose()
        };
        Ok((gradients.x, keep(gamma, gradients.gamma)?, keep(beta, gradients.beta)?))
    }
}

impl CustomOp3 for NormaliseAdd {
    fn name(&self) -> &'static str {
        "batch-norm-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = storage::slice(parameters, parameters_layout)?;
        let (gamma, beta) = parameters.split_at(parameters.len() / 2);
        let residual = storage::slice(residual, residual_layout)?;
        let y = self.0.forward(storage::slice(x, x_layout)?, gamma, beta, Some(residual));
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        residual: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let values = Values::of(parameters)?;
        let (gamma, beta) = values.split_at(values.len() / 2);
        let wanted = (residual.track_op(), parameters.track_op());
        let gradients = self.0.backward(x, gamma, beta, y, dy, Some(wanted.0), wanted.1)?;
        let dparameters =
            wanted.1.then(|| storage::tensor([gradients.gamma, gradients.beta].concat(), parameters.shape()));
        Ok((gradients.x, dparameters.transpose()?, gradients.residual))
    }
}
