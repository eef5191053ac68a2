//! Squeeze-and-excite (Hu et al., 2017, arXiv:1709.01507): the channels of each image times gates that its mean decides on.
//!
//! The entry is [`squeeze_excite`]. The means go through two small linear layers with a curve behind each. All of it is one
//! operation, so that the gradients of the map by way of the gates and past them are written once.

use candle_core::{Result, Tensor, bail};

use crate::curves::{Curve, activate};
use crate::layout::Hwnc;
use crate::linear::{self, linear};
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, Tape, note, wanted};
use crate::{Gradient, composed, factors, tasks};

/// The two linear layers that give the gates, with their curves. Weights are `[C, R]` and `[R, C]`, also as kernels of one tap.
#[derive(Clone, Copy, Debug)]
pub struct Excitation<'a> {
    /// Weight and bias to fewer channels.
    pub reduce: (&'a Tensor, &'a Tensor),
    /// The curve behind it.
    pub inner: Curve,
    /// Weight and bias back to all channels.
    pub expand: (&'a Tensor, &'a Tensor),
    /// The curve whose values are the gates.
    pub gate: Curve,
}

/// Each image's map times its gates, `gate(expand(inner(reduce(mean over pixels))))`.
///
/// Gradients reach the map, both weights and both biases, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree, or there is no pixel.
pub fn squeeze_excite(x: &Hwnc, excitation: &Excitation<'_>) -> Result<Hwnc> {
    let Excitation { reduce, inner, expand, gate } = *excitation;
    let (h, w, n, c) = x.dims();
    let reduced = reduce.1.elem_count();
    let fits = |tensor: &Tensor, shape: [usize; 2]| {
        let dims = tensor.dims();
        dims.len() >= 2
            && dims[dims.len() - 2..] == shape
            && dims[..dims.len() - 2].iter().all(|&dim| dim == 1)
    };
    if h * w * n * c == 0
        || !fits(reduce.0, [c, reduced])
        || !fits(expand.0, [reduced, c])
        || expand.1.dims() != [c]
    {
        bail!(
            "squeeze-and-excite: weights {:?} and {:?} do not fit a map {:?}",
            reduce.0.dims(),
            expand.0.dims(),
            x.dims()
        );
    }
    if !storage::runs_here(x.tensor()) {
        return composed::squeeze_excite(x, excitation);
    }
    let weights = [reduce.0, reduce.1, expand.0, expand.1];
    let weights = weights.map(Tensor::contiguous).into_iter().collect::<Result<Vec<_>>>()?;
    let (y, operation) = by_number!(storage::is_half(x.tensor()), T => {
        let values = Values::<T>::of(x.tensor())?;
        let share = 1.0 / (h * w) as f32;
        let means = factors::sums(&values, &values, n * c, |x, _| x).into_iter().map(|sum| sum * share);
        let means = storage::tensor(means.collect::<Vec<f32>>(), (n, c))?;
        let gates = Gates::open(means, &weights, (c, reduced), (inner, gate))?;
        let y = factors::scaled(&values, &Values::<f32>::of(&gates.gates)?, None, &vec![0.0; n * c]);
        (storage::tensor(y, x.dims())?, gates)
    });
    let inputs: Vec<&Tensor> = std::iter::once(x.tensor()).chain(&weights).collect();
    note(&inputs, &y, operation);
    Hwnc::new(y)
}

/// The operation on the tape: inputs are the map, and weight and bias of the two layers. All is `[N, channels]`.
struct Gates {
    means: Tensor,
    reduced: Tensor,
    bent: Tensor,
    expanded: Tensor,
    gates: Tensor,
    curves: (Curve, Curve),
}

/// A weight as a matrix, off the tape.
fn matrix(weight: &Tensor, shape: (usize, usize)) -> Result<Tensor> {
    weight.detach().reshape(shape)
}

impl Gates {
    fn open(
        means: Tensor,
        weights: &[Tensor],
        (c, r): (usize, usize),
        (inner, gate): (Curve, Curve),
    ) -> Result<Self> {
        let [reduce, reduce_bias, expand, expand_bias] = weights else {
            bail!("squeeze-and-excite: four weights")
        };
        Tape::apart(|| {
            let reduced = linear(&means, &matrix(reduce, (c, r))?, Some(reduce_bias))?;
            let bent = activate(&reduced, inner)?;
            let expanded = linear(&bent, &matrix(expand, (r, c))?, Some(expand_bias))?;
            let gates = activate(&expanded, gate)?;
            Ok(Self { means, reduced, bent, expanded, gates, curves: (inner, gate) })
        })
    }

    fn gradients<T: Number>(&self, inputs: &[Tensor], dy: &[T]) -> Result<Vec<Option<Gradient>>> {
        let [x, reduce, reduce_bias, expand, expand_bias] = inputs else {
            bail!("squeeze-and-excite: five inputs")
        };
        let ((n, c), r) = (self.gates.dims2()?, self.reduced.dim(1)?);
        let values = Values::<T>::of(x)?;
        let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
        let of_gates = factors::sums(dy, &values, n * c, |dy, x| dy * x);
        let of_expanded = back(&self.expanded, &of_gates, self.curves.1)?;
        if wanted(expand) {
            found[3] = Some(
                linear::weight_gradient::<f32>(&self.bent, &of_expanded)?
                    .tensor()?
                    .reshape(expand.shape())?
                    .into(),
            );
        }
        if wanted(expand_bias) {
            let sums = tasks::column_sums(&Values::<f32>::of(&of_expanded)?, c);
            found[4] = Some(storage::tensor(sums, c)?.into());
        }
        let of_bent = linear::data_gradient(
            &self.bent,
            &matrix(expand, (r, c))?,
            &Values::<f32>::of(&of_expanded)?,
            None,
        )?;
        let of_reduced = back(&self.reduced, &Values::<f32>::of(&of_bent)?, self.curves.0)?;
        if wanted(reduce) {
            found[1] = Some(
                linear::weight_gradient::<f32>(&self.means, &of_reduced)?
                    .tensor()?
                    .reshape(reduce.shape())?
                    .into(),
            );
        }
        if wanted(reduce_bias) {
            let sums = tasks::column_sums(&Values::<f32>::of(&of_reduced)?, r);
            found[2] = Some(storage::tensor(sums, r)?.into());
        }
        if wanted(x) {
            let of_means = linear::data_gradient(
                &self.means,
                &matrix(reduce, (c, r))?,
                &Values::<f32>::of(&of_reduced)?,
                None,
            )?;
            let share = (n * c) as f32 / values.len() as f32;
            let shift: Vec<f32> = Values::<f32>::of(&of_means)?.iter().map(|value| value * share).collect();
            let dx = factors::scaled(dy, &Values::<f32>::of(&self.gates)?, None, &shift);
            found[0] = Some(storage::tensor(dx, x.shape())?.into());
        }
        Ok(found)
    }
}

/// The gradient before a curve at `x`.
fn back(x: &Tensor, dy: &[f32], curve: Curve) -> Result<Tensor> {
    let values = Values::<f32>::of(x)?;
    let dx: Vec<f32> = values.iter().zip(dy).map(|(x, dy)| curve.back(*x, *dy)).collect();
    storage::tensor(dx, x.shape())
}

impl Backward for Gates {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => self.gradients::<T>(inputs, &Values::of(&dy)?))
    }
}
