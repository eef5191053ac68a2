//! A running average of tensors: [`approach`].

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::storage::{self, Values};
use crate::tasks;

/// Brings `kept` nearer to `now` by a share of the way: `kept + share * (now - kept)`, which where both are the same leaves it so to the bit.
///
/// # Errors
/// When their shapes differ, or `kept` is a part of another tensor.
pub fn approach(kept: &mut Tensor, now: &Tensor, share: f64) -> Result<()> {
    if kept.dims() != now.dims() {
        bail!("optimizer: an average of {:?} meets numbers of {:?}", kept.dims(), now.dims());
    }
    if !storage::runs_here(kept) {
        *kept = (&*kept + ((now - &*kept)? * share)?)?.detach();
        return Ok(());
    }
    kept.inplace_op1(&Approach { to: &now.contiguous()?, share: share as f32 })
}

/// Brings numbers nearer to others of the same shape, in place.
pub(crate) struct Approach<'a> {
    pub(crate) to: &'a Tensor,
    /// Of the way.
    pub(crate) share: f32,
}

impl InplaceOp1 for Approach<'_> {
    fn name(&self) -> &'static str {
        "approach"
    }

    fn cpu_fwd(&self, kept: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let kept = storage::slice_mut(kept, layout)?;
        let to = Values::<f32>::of(self.to)?;
        let blocks = kept.par_chunks_mut(tasks::VALUES).zip(to.par_chunks(tasks::VALUES));
        blocks.for_each(|(kept, to)| nearer(kept, to, self.share));
        Ok(())
    }
}

tasks::vectorised! {
    fn nearer<'a>(kept: &'a mut [f32], to: &'a [f32], share: f32) {
        for (kept, to) in kept.iter_mut().zip(to) {
            *kept -= share * (*kept - to);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn an_average_goes_its_share_of_the_way_and_stays_where_it_is_the_same() {
        let of = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let mut kept = of(&[0.0, 1.0, 0.1]).copy().unwrap();
        approach(&mut kept, &of(&[4.0, 1.0, 0.1]), 0.25).unwrap();
        assert_eq!(kept.to_vec1::<f32>().unwrap(), [1.0, 1.0, 0.1]);
        let error = approach(&mut kept, &of(&[1.0]), 0.5).unwrap_err().to_string();
        assert!(error.contains("[3]") && error.contains("[1]"), "{error}");
    }
}
