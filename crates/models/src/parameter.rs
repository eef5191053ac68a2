//! [`Parameter`]: one named tensor that can be trained, and whether it is. Freezing is a flag here and nothing else: the
//! forward pass asks it, and a frozen parameter enters the computation without a tape.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor, Var};
use frostline_streams::Streams;
use frostline_zoo::description::{Layout, ParameterSpec, Role};

use crate::copies::Copies;
use crate::positions::{resample, square};

/// A parameter of a [`Model`](crate::Model): its torchvision name, its stage, its values in the kernels' layout.
#[derive(Debug)]
pub struct Parameter {
    spec: ParameterSpec,
    var: Var,
    /// torchvision's tensor as it was loaded or drawn, where some of its numbers are not stored in `var`.
    whole: Mutex<Option<Vec<f32>>>,
    copies: Option<Copies>,
    trainable: AtomicBool,
}

impl Parameter {
    pub(crate) fn new(spec: ParameterSpec, streams: Streams, device: &Device) -> candle_core::Result<Self> {
        let torch = initial_values(&spec, streams);
        Self::of_torch(spec, torch, device)
    }

    /// Zeros.
    pub(crate) fn blank(spec: ParameterSpec, device: &Device) -> candle_core::Result<Self> {
        let torch = vec![0.0; spec.shape.iter().product()];
        Self::of_torch(spec, torch, device)
    }

    fn of_torch(spec: ParameterSpec, torch: Vec<f32>, device: &Device) -> candle_core::Result<Self> {
        let native = spec.layout.to_native(&torch);
        let var = Var::from_vec(native, spec.layout.native_shape(&spec.shape), device)?;
        let whole = Mutex::new(spec.layout.is_shrunk().then_some(torch));
        let copies = spec.layout.copies();
        let copies = (copies > 1).then(|| Copies::new(copies, device)).transpose()?;
        Ok(Self { spec, var, whole, copies, trainable: AtomicBool::new(true) })
    }

    pub(crate) fn layout(&self) -> Layout {
        self.spec.layout
    }

    /// The same parameter in another layout.
    pub(crate) fn in_layout(&self, layout: Layout) -> candle_core::Result<Self> {
        let torch = self.torch_values()?.flatten_all()?.to_vec1()?;
        let parameter =
            Self::of_torch(ParameterSpec { layout, ..self.spec.clone() }, torch, self.var.device())?;
        parameter.set_trainable(self.trainable());
        Ok(parameter)
    }

    /// A copy that moves by itself.
    pub(crate) fn copied(&self) -> candle_core::Result<Self> {
        let copies = self.copies.as_ref().map(Copies::copied).transpose()?;
        let var = Var::from_tensor(&self.detached().copy()?)?;
        let (whole, trainable) = (Mutex::new(self.whole().clone()), AtomicBool::new(true));
        Ok(Self { spec: self.spec.clone(), var, whole, copies, trainable })
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

    /// What to know to train it where its numbers are sums; none where they are torchvision's own.
    pub fn copies(&self) -> Option<&Copies> {
        self.copies.as_ref()
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

    /// Copies `values` (in the kernels' layout) into the variable. Where numbers are sums, how their parts differ stays.
    ///
    /// # Errors
    /// Where shape, type or device differ.
    pub fn set(&self, values: &Tensor) -> candle_core::Result<()> {
        self.var.set(values)
    }

    /// A tensor that lies as this parameter does (its gradient, an optimizer's state), in torchvision's shape and order,
    /// on the CPU; zero where no number is stored. Where numbers are sums, each copy gets that of its sum, whose gradient is
    /// its own.
    ///
    /// # Errors
    /// Where the tensor has another size or type, or cannot be read from its device.
    pub fn to_torch(&self, native: &Tensor) -> candle_core::Result<Tensor> {
        let native = self.lying_alike(native)?;
        let mut torch = vec![0.0; self.elements()];
        self.spec.layout.put_over(&native, &mut torch);
        Tensor::from_vec(torch, self.shape(), &Device::Cpu)
    }

    /// The values in torchvision's shape and order, on the CPU; those that are not stored are as they were loaded or drawn.
    /// Where sums are stored, their change is spread over what they are sums of.
    ///
    /// # Errors
    /// Where they cannot be read from their device.
    pub fn torch_values(&self) -> candle_core::Result<Tensor> {
        let mut torch = self.whole().clone().unwrap_or_else(|| vec![0.0; self.elements()]);
        let native = self.lying_alike(&self.detached())?;
        match &self.copies {
            Some(copies) => {
                let factor = copies.factor().as_tensor().to_vec1::<f32>()?[0];
                self.spec.layout.spread_over(&native, factor, &mut torch);
            }
            None => self.spec.layout.put_over(&native, &mut torch),
        }
        Tensor::from_vec(torch, self.shape(), &Device::Cpu)
    }

    /// The numbers of a tensor that lies as this parameter does.
    fn lying_alike(&self, native: &Tensor) -> candle_core::Result<Vec<f32>> {
        if native.elem_count() != self.var.elem_count() {
            candle_core::bail!(
                "{}: {:?} does not lie as {:?}",
                self.name(),
                native.shape(),
                self.var.shape()
            );
        }
        native.flatten_all()?.to_vec1()
    }

    /// Copies values in torchvision's order into the variable.
    pub(crate) fn set_torch(&self, torch: &[f32]) -> candle_core::Result<()> {
        if let Some(whole) = &mut *self.whole() {
            whole.copy_from_slice(torch);
        }
        if let Some(copies) = &self.copies {
            copies.factor().set(&copies.factor().ones_like()?)?;
        }
        let native = self.spec.layout.to_native(torch);
        self.set(&Tensor::from_vec(native, self.var.shape(), self.var.device())?)
    }

    /// Copies values of this shape into the variable, after resampling positions of another grid.
    pub(crate) fn set_resampled(&self, torch: Vec<f32>, shape: &[usize]) -> candle_core::Result<()> {
        match self.spec.layout {
            Layout::Positions { class, height, width } if shape != self.shape() => {
                let channels = self.spec.shape[2];
                let (class, patches) = torch.split_at(usize::from(class) * channels);
                let Some(side) = square(patches.len() / channels) else {
                    candle_core::bail!("{}: {shape:?} is no square grid of patches", self.name());
                };
                let patches = resample(patches, (side, side), (height, width));
                self.set_torch(&[class, &patches].concat())
            }
            _ => self.set_torch(&torch),
        }
    }

    /// Draws the initial values anew.
    pub(crate) fn redraw(&self, streams: Streams) -> candle_core::Result<()> {
        self.set_torch(&initial_values(&self.spec, streams))
    }

    fn whole(&self) -> MutexGuard<'_, Option<Vec<f32>>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In torchvision's order.
fn initial_values(spec: &ParameterSpec, streams: Streams) -> Vec<f32> {
    spec.initial.draw(streams, &spec.name, spec.shape.iter().product())
}
