//! candle's side of the comparison with peers: inference by its own ResNet-18 (candle-transformers) on its own operations.
//! It cannot train: candle has no gradient for max pooling whose kernel and stride differ.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::resnet::resnet18;
use frostline_benches::{BATCH, Failure, serve};

fn main() -> Result<(), Failure> {
    let side: usize = std::env::args().nth(1).ok_or("usage: candle_worker RESOLUTION")?.parse()?;
    let weights = VarMap::new();
    let model = resnet18(10, VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu))?;
    let images = Tensor::randn(0f32, 1.0, (BATCH, 3, side, side), &Device::Cpu)?;
    serve(|| {
        std::hint::black_box(model.forward(&images)?);
        Ok(())
    })
}
