//! Layer scale (Touvron et al., 2021, arXiv:2103.17239): a branch joins the trunk through a factor for each channel.
//!
//! The entry is [`add_scaled`], which does stochastic depth on the way.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::written;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// `x + scale · gamma · branch` for rows `[T·N, C]` and gamma `[C]`, with a scale for each of the `N` images as in
/// [`crate::add_images`]; with no scales, all are 1.
///
/// Gradients reach x, the branch and gamma, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree, or the rows are not those of `scales.len()` images.
pub fn add_scaled(x: &Tensor, branch: &Tensor, gamma: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let (rows, c) = x.dims2()?;
    let images = scales.len().max(1);
    if x.dims() != branch.dims() || gamma.dims() != [c] || c == 0 || !rows.is_multiple_of(images) {
        bail!(
            "layer scale: a branch {:?} with factors {:?} for {} images cannot be added to {:?}",
            branch.dims(),
            gamma.dims(),
            scales.len(),
            x.dims()
        );
    }
    if !storage::runs_here(x) {
        return composed::add_scaled(x, branch, gamma, scales);
    }
    let (x, gamma) = (x.contiguous()?, gamma.contiguous()?);
    let branch = storage::keep_as(&branch.contiguous()?, x.dtype())?;
    let scales = if scales.is_empty() { vec![1.0] } else { scales.to_vec() };
    let each = storage::singles(&gamma)?;
    let factors = scales.iter().flat_map(|scale| each.iter().map(move |gamma| scale * gamma)).collect();
    let operation = AddScaled { scales, factors, c };
    let y = by_number!(storage::is_half(&x), T => {
        let y = operation.rows::<T>(&Values::of(&branch)?, Some(&Values::of(&x)?));
        storage::tensor(y, x.shape())?
    });
    note(&[&x, &branch, &gamma], &y, operation);
    Ok(y)
}

/// The operation on the tape: inputs are x, the branch and gamma.
struct AddScaled {
    scales: Vec<f32>,
    /// `[N, C]`, or of all images alike.
    factors: Vec<f32>,
    c: usize,
}

impl AddScaled {
    fn block(&self) -> usize {
        (tasks::VALUES / self.factors.len()).max(1) * self.factors.len()
    }

    /// `[x +] factor · branch`.
    fn rows<T: Number>(&self, branch: &[T], x: Option<&[T]>) -> Vec<T> {
        let size = self.block();
        written(branch.len(), size, &|own, y| {
            scale(y, &branch[own.clone()], &self.factors, x.map(|x| &x[own]));
        })
    }

    fn of_gamma<T: Number>(&self, branch: &[T], dy: &[T]) -> Vec<f32> {
        let size = self.block();
        let partial: Vec<Vec<f32>> = branch
            .par_chunks(size)
            .zip(dy.par_chunks(size))
            .map(|(branch, dy)| {
                let mut sums = vec![0.0f32; self.factors.len()];
                add_products(&mut sums, branch, dy);
                sums
            })
            .collect();
        let mut gradient = vec![0.0f64; self.c];
        for sums in &partial {
            for (sums, scale) in sums.chunks_exact(self.c).zip(&self.scales) {
                gradient.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(scale * sum));
            }
        }
        gradient.into_iter().map(|sum| sum as f32).collect()
    }
}

impl Backward for AddScaled {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, branch, gamma] = inputs else { bail!("layer scale: three inputs") };
        let dy = storage::like(dy, y)?;
        let mut found: Vec<Option<Gradient>> = vec![None; 3];
        by_number!(storage::is_half(y), T => {
            let values = Values::<T>::of(&dy)?;
            if wanted(branch) {
                found[1] = Some(storage::tensor(self.rows::<T>(&values, None), branch.shape())?.into());
            }
            if wanted(gamma) {
                let gradient = self.of_gamma::<T>(&Values::of(branch)?, &values);
                found[2] = Some(storage::tensor(gradient, self.c)?.into());
            }
        });
        found[0] = wanted(x).then(|| dy.into());
        Ok(found)
    }
}

tasks::vectorised! {
    fn scale<'a, T: Number>(y: &'a mut [T], branch: &'a [T], factors: &'a [f32], x: Option<&'a [T]>) {
        let rows = y.chunks_exact_mut(factors.len()).zip(branch.chunks_exact(factors.len()));
        match x {
            None => {
                for (y, branch) in rows {
                    for ((y, branch), factor) in y.iter_mut().zip(branch).zip(factors) {
                        *y = T::nearest(factor * branch.wide());
                    }
                }
            }
            Some(x) => {
                for ((y, branch), x) in rows.zip(x.chunks_exact(factors.len())) {
                    for (((y, branch), factor), x) in y.iter_mut().zip(branch).zip(factors).zip(x) {
                        *y = T::nearest(x.wide() + factor * branch.wide());
                    }
                }
            }
        }
    }
}

tasks::vectorised! {
    fn add_products<'a, T: Number>(sums: &'a mut [f32], a: &'a [T], b: &'a [T]) {
        for (a, b) in a.chunks_exact(sums.len()).zip(b.chunks_exact(sums.len())) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a.wide() * b.wide();
            }
        }
    }
}
