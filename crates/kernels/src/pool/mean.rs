//! Averages over windows: average, adaptive and global pooling.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Windows;
use crate::layout::Hwnc;
use crate::storage::{self, Values};
use crate::{tape, tasks};

pub(super) fn mean_pool(x: &Hwnc, windows: Windows) -> Result<Hwnc> {
    Hwnc::new(tape::apply1(x.tensor(), MeanPool { windows })?)
}

struct MeanPool {
    windows: Windows,
}

impl CustomOp1 for MeanPool {
    fn name(&self) -> &'static str {
        "mean-pool-hwnc"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (like, x) = (x, storage::slice(x, layout)?);
        let (_, _, n, c) = layout.shape().dims4()?;
        let (oh, ow) = (self.windows.rows.outputs(), self.windows.cols.outputs());
        let pixel = n * c;
        let mut y = tasks::zeros(oh * ow * pixel);
        tasks::pixel_blocks(&mut y, pixel).into_par_iter().for_each(|y| {
            for input in self.windows.covered(y.pixel) {
                let x = &x[input * pixel + y.offset..][..y.values.len()];
                for (sum, value) in y.values.iter_mut().zip(x) {
                    *sum += value;
                }
            }
            let weight = self.windows.weight(y.pixel);
            y.values.iter_mut().for_each(|value| *value *= weight);
        });
        Ok((storage::stored(y, like), Shape::from((oh, ow, n, c))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (h, w, n, c) = x.dims4()?;
        let pixel = n * c;
        let dy = dy.contiguous()?;
        let dy = Values::of(&dy)?;
        let dy = &*dy;
        let mut dx = tasks::zeros(h * w * pixel);
        tasks::pixel_blocks(&mut dx, pixel).into_par_iter().for_each(|dx| {
            for output in self.windows.covering(dx.pixel) {
                let weight = self.windows.weight(output);
                let dy = &dy[output * pixel + dx.offset..][..dx.values.len()];
                for (sum, value) in dx.values.iter_mut().zip(dy) {
                    *sum += weight * value;
                }
            }
        });
        Ok(Some(storage::tensor_like(dx, x.shape(), x)?))
    }
}
