//! [`Parameter`]: one named tensor that can be trained, and whether it is. Freezing is a flag here and nothing else: the
//! forward pass asks it, and a frozen parameter enters the computation without a tape.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor, Var};
use frostline_streams::Streams;

use crate::architecture::ParameterSpec;

/// What a parameter does, for strategies that train one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weight of a convolution or a linear layer.
    Weight,
    /// The bias of a convolution or a linear layer.
    Bias,
    /// The scale (gamma) of a norm.
    NormWeight,
    /// The shift (beta) of a norm.
    NormBias,
}

/// A parameter of a [`Model`](crate::Model): its torchvision name, its stage, its values in the kernels' layout.
#[derive(Debug)]
pub struct Parameter {
    spec: ParameterSpec,
    var: Var,
    trainable: AtomicBool,
}

impl Parameter {
    pub(crate) fn new(spec: ParameterSpec, streams: Streams, device: &Device) -> candle_core::Result<Self> {
        let values = initial_values(&spec, streams);
        let var = Var::from_vec(values, spec.layout.native_shape(&spec.shape), device)?;
        Ok(Self { spec, var, trainable: AtomicBool::new(true) })
    }

    /// torchvision's name, for instance `layer1.0.conv1.weight`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The index of its stage.
    pub fn stage(&self) -> usize {
        self.spec.stage
    }

    /// What it does.
    pub fn role(&self) -> Role {
        self.spec.role
    }

    /// torchvision's shape: `[out, in, height, width]`, `[out, in]` or `[channels]`. The values lie in another order:
    /// `[height, width, in, out]`, `[in, out]` or `[channels]`.
    pub fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    /// How many numbers it has.
    pub fn elements(&self) -> usize {
        self.spec.shape.iter().product()
    }

    /// The variable, for gradients and updates.
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// Whether a training pass tracks it; true when built.
    pub fn trainable(&self) -> bool {
        self.trainable.load(Ordering::Relaxed)
    }

    /// Freezes it or thaws it, from the next pass on.
    pub fn set_trainable(&self, trainable: bool) {
        self.trainable.store(trainable, Ordering::Relaxed);
    }

    /// The values outside any tape; they share memory with the variable.
    pub fn detached(&self) -> Tensor {
        self.var.as_detached_tensor()
    }

    /// What a training pass computes with: tracked if it is trainable, else detached.
    pub fn tensor(&self) -> Tensor {
        if self.trainable() { self.var.as_tensor().clone() } else { self.detached() }
    }

    /// Copies `values` (in the kernels' layout) into the variable.
    ///
    /// # Errors
    /// Where shape, type or device differ.
    pub fn set(&self, values: &Tensor) -> candle_core::Result<()> {
        self.var.set(values)
    }

    /// A tensor that lies as this parameter does (its values, its gradient, an optimizer's state), in torchvision's
    /// shape and order, on the CPU.
    ///
    /// # Errors
    /// Where the tensor has another size or type, or cannot be read from its device.
    pub fn to_torch(&self, native: &Tensor) -> candle_core::Result<Tensor> {
        let native = native.flatten_all()?.to_vec1::<f32>()?;
        Tensor::from_vec(self.spec.layout.to_torch(&native), self.shape(), &Device::Cpu)
    }

    /// Copies values in torchvision's order into the variable.
    pub(crate) fn set_torch(&self, torch: &[f32]) -> candle_core::Result<()> {
        let native = self.spec.layout.to_native(torch);
        self.set(&Tensor::from_vec(native, self.var.shape(), self.var.device())?)
    }

    /// Draws the initial values anew.
    pub(crate) fn redraw(&self, streams: Streams) -> candle_core::Result<()> {
        let values = initial_values(&self.spec, streams);
        self.set(&Tensor::from_vec(values, self.var.shape(), self.var.device())?)
    }
}

fn initial_values(spec: &ParameterSpec, streams: Streams) -> Vec<f32> {
    let values = spec.initial.draw(streams, &spec.name, spec.shape.iter().product());
    spec.layout.to_native(&values)
}
