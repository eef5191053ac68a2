//! What an optimizer has to know of a parameter whose numbers are sums: [`Copies`]. A folded model stores, trains and
//! multiplies the sums of weights that meet copies of a pixel. Layers with dropout before them are not folded; in an
//! evaluation there is none, and `forward.rs` adds their weights up for the pass.

use candle_core::{DType, Device, Result, Var};

/// How a parameter each of whose numbers is the sum of several of torchvision's is trained as those would be.
///
/// All copies have the same gradient, which is that of the sum. So SGD, Adam and AdamW move their mean as they would move one
/// of them, and the sum by [`Copies::count`] times that: `frostline_kernels::optim`'s steps `of_sum`. How the copies differ
/// from their mean is changed by weight decay alone, and for all of them by the same factor, [`Copies::factor`]: it
/// takes the steps of a parameter without gradient. Where decay joins the gradient of Adam neither holds, as each copy then
/// has moments of its own: such a recipe trains a model that is not folded.
#[derive(Debug)]
pub struct Copies {
    count: usize,
    factor: Var,
}

impl Copies {
    pub(crate) fn new(count: usize, device: &Device) -> Result<Self> {
        Ok(Self { count, factor: Var::ones(1, DType::F32, device)? })
    }

    /// A copy that moves by itself.
    pub(crate) fn copied(&self) -> Result<Self> {
        Ok(Self { count: self.count, factor: Var::from_tensor(&self.factor.as_detached_tensor().copy()?)? })
    }

    /// How many numbers a sum has, at least 2.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is left of the differences between a sum's numbers, as a share of those that were loaded or drawn: `[1]`, 1 at
    /// first.
    pub fn factor(&self) -> &Var {
        &self.factor
    }
}
