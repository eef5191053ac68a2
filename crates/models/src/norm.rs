//! [`BatchNorm`] (Ioffe and Szegedy 2015) with PyTorch's semantics and a mode per norm, so that a frozen one can keep
//! its statistics while others learn theirs. The arithmetic is in the kernels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use candle_core::{DType, Device, Result, Tensor, TensorId, Var};
use frostline_kernels::{
    BatchStatistics, ConvSpec, Curve, Hwnc, NormSpec, Normalisation, batch_norm, conv_norm, update_running,
};
use frostline_zoo::description;

use crate::parameter::Parameter;

/// The share of the new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Which statistics a norm uses in a training pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNormMode {
    /// The batch's own, which also move the running ones: `module.train()`.
    Batch,
    /// The running ones, which stay as they are: `module.eval()`.
    Running,
}

/// A BatchNorm of a model: affine parameters, running statistics and mode.
#[derive(Debug)]
pub struct BatchNorm {
    name: String,
    stage: usize,
    weight: Arc<Parameter>,
    bias: Arc<Parameter>,
    epsilon: f64,
    running_mean: Var,
    running_variance: Var,
    batches: AtomicI64,
    uses_batch: AtomicBool,
    /// The bits of [`BatchNorm::momentum`].
    momentum: AtomicU64,
}

impl BatchNorm {
    pub(crate) fn new(
        spec: &description::NormSpec,
        parameters: &[Arc<Parameter>],
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            name: spec.name.clone(),
            stage: spec.stage,
            weight: Arc::clone(&parameters[spec.weight.0]),
            bias: Arc::clone(&parameters[spec.bias.0]),
            epsilon: spec.epsilon,
            running_mean: Var::zeros(spec.channels, DType::F32, device)?,
            running_variance: Var::ones(spec.channels, DType::F32, device)?,
            batches: AtomicI64::new(0),
            uses_batch: AtomicBool::new(true),
            momentum: AtomicU64::new(MOMENTUM.to_bits()),
        })
    }

    /// The same norm in a model whose parameters are `parameters`, with statistics of its own where they `move`.
    pub(crate) fn twin(
        &self,
        spec: &description::NormSpec,
        parameters: &[Arc<Parameter>],
        moves: bool,
    ) -> Result<Self> {
        let own = |var: &Var| {
            if moves { Var::from_tensor(&var.as_detached_tensor().copy()?) } else { Ok(var.clone()) }
        };
        Ok(Self {
            name: self.name.clone(),
            stage: self.stage,
            weight: Arc::clone(&parameters[spec.weight.0]),
            bias: Arc::clone(&parameters[spec.bias.0]),
            epsilon: self.epsilon,
            running_mean: own(&self.running_mean)?,
            running_variance: own(&self.running_variance)?,
            batches: AtomicI64::new(self.batches_tracked()),
            uses_batch: AtomicBool::new(true),
            momentum: AtomicU64::new(MOMENTUM.to_bits()),
        })
    }

    /// torchvision's module name, for instance `layer1.0.bn1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of its stage.
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// The scale, `[C]`.
    pub fn weight(&self) -> &Arc<Parameter> {
        &self.weight
    }

    /// The shift, `[C]`.
    pub fn bias(&self) -> &Arc<Parameter> {
        &self.bias
    }

    /// What a training pass does; [`BatchNormMode::Batch`] when built.
    pub fn mode(&self) -> BatchNormMode {
        if self.updates_statistics() { BatchNormMode::Batch } else { BatchNormMode::Running }
    }

    /// Sets what a training pass does, from the next one on.
    pub fn set_mode(&self, mode: BatchNormMode) {
        self.uses_batch.store(mode == BatchNormMode::Batch, Ordering::Relaxed);
    }

    /// The share of a new batch in the running statistics, in (0, 1]; 0.1 when built, as in PyTorch.
    pub fn momentum(&self) -> f64 {
        f64::from_bits(self.momentum.load(Ordering::Relaxed))
    }

    /// Sets it, from the next pass on; `None` for that of the beginning. With 1/k for the k-th batch the running statistics are
    /// the means over all.
    pub fn set_momentum(&self, momentum: Option<f64>) {
        self.momentum.store(momentum.unwrap_or(MOMENTUM).to_bits(), Ordering::Relaxed);
    }

    /// Whether a training pass moves the running statistics.
    pub fn updates_statistics(&self) -> bool {
        self.uses_batch.load(Ordering::Relaxed)
    }

    /// The running mean, `[C]`, outside any tape; shares memory with the buffer.
    pub fn running_mean(&self) -> Tensor {
        self.running_mean.as_detached_tensor()
    }

    /// The running (unbiased) variance, `[C]`, outside any tape; shares memory with the buffer.
    pub fn running_variance(&self) -> Tensor {
        self.running_variance.as_detached_tensor()
    }

    /// How many batches the running statistics have seen (`num_batches_tracked`).
    pub fn batches_tracked(&self) -> i64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// The ids of the variables that hold the running mean and the running variance.
    pub fn statistics_ids(&self) -> [TensorId; 2] {
        [self.running_mean.id(), self.running_variance.id()]
    }

    /// Copies running statistics `[C]` into the buffers.
    ///
    /// # Errors
    /// Where shape, type or device differ.
    pub fn set_statistics(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        self.running_mean.set(mean)?;
        self.running_variance.set(variance)
    }

    /// Sets how many batches the running statistics have seen.
    pub fn set_batches_tracked(&self, batches: i64) {
        self.batches.store(batches, Ordering::Relaxed);
    }

    /// `[relu](norm(conv(x)) [+ residual])` for a convolution's weight and bias. With `training`, in mode `Batch`, by the batch's statistics, which then move
    /// the running ones; else by the running ones.
    pub(crate) fn after_conv(
        &self,
        x: &Hwnc,
        (weight, bias): (&Tensor, Option<&Tensor>),
        conv: ConvSpec,
        residual: Option<&Hwnc>,
        relu: bool,
        training: bool,
    ) -> Result<Hwnc> {
        self.with(relu, training, |norm| conv_norm(x, weight, bias, conv, norm, residual))
    }

    /// `curve(norm(x))`, by statistics as in [`BatchNorm::after_conv`].
    pub(crate) fn of_map(&self, x: &Hwnc, curve: Curve, training: bool) -> Result<Hwnc> {
        self.with(false, training, |norm| batch_norm(x, norm, curve))
    }

    /// Normalises as a pass asks, and moves the running statistics where it was by the batch's.
    fn with(
        &self,
        relu: bool,
        training: bool,
        normalise: impl FnOnce(Normalisation<'_>) -> Result<(Hwnc, Option<BatchStatistics>)>,
    ) -> Result<Hwnc> {
        let tracked =
            |parameter: &Parameter| if training { parameter.tensor() } else { parameter.detached() };
        let (gamma, beta) = (&tracked(&self.weight), &tracked(&self.bias));
        let running = (&self.running_mean(), &self.running_variance());
        let running = (!training || self.mode() == BatchNormMode::Running).then_some(running);
        let spec = NormSpec { eps: self.epsilon, relu };
        let (y, statistics) = normalise(Normalisation { gamma, beta, running, spec })?;
        if let Some(statistics) = statistics {
            update_running(&self.running_mean, &self.running_variance, &statistics, self.momentum())?;
            self.batches.fetch_add(1, Ordering::Relaxed);
        }
        Ok(y)
    }
}
