//! A training under way as bytes: [`State`] is all that the numbers of the rest depend on, so that going on from it gives the same
//! bits as not having stopped.

use std::collections::BTreeMap;
use std::io::{self, Write};

use candle_core::{Device, Tensor};
use frostline_models::Model;
use safetensors::tensor::{Metadata, TensorInfo, View};
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::average::Average;
use crate::evaluate::Sums;
use crate::run::{Best, Run};
use crate::snapshot::Snapshot;
use crate::{EngineError, EpochReport, PartRate};

/// A training between two steps.
#[derive(Clone, Debug)]
pub struct State {
    numbers: Numbers,
    tensors: Vec<(String, Tensor)>,
}

/// Where a training stands: so many epochs are done, and so many steps of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Epochs that are done and evaluated.
    pub epochs: usize,
    /// Steps of the next one.
    pub steps: usize,
}

/// What is no tensor. Floating-point numbers are written as their bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Numbers {
    format: u32,
    at: Position,
    loss: u64,
    right: Option<usize>,
    examples: usize,
    trainable: usize,
    epochs: Vec<Epoch>,
    best: Option<(usize, u64)>,
    /// Batches that the norms have seen, in the model's order.
    batches: Vec<i64>,
    /// Updates of each parameter, likewise.
    updates: Vec<u64>,
    /// How much the gradients count that wait for a step, as bits; 0 where there are none.
    #[serde(default)]
    gathered: u64,
    /// Steps that an average of the weights has taken in; none where there is no average.
    #[serde(default)]
    average: Option<u64>,
    /// What the phase under way is held to; none between two phases.
    frozen: Option<Vec<(String, [u8; 32])>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Epoch {
    epoch: usize,
    phase: String,
    learning_rate: u64,
    rates: Vec<(String, u64)>,
    train: (u64, Option<u64>),
    validation: (Option<u64>, Option<u64>),
}

const KEY: &str = "training";
/// Numbers of a tensor that are laid out at a time.
const PIECE: usize = 1 << 18;
/// Raised when what a state holds changes; one of another format is not gone on from.
const FORMAT: u32 = 1;

impl State {
    /// Where it stands.
    pub fn position(&self) -> Position {
        self.numbers.at
    }

    /// The epochs that are done.
    pub fn epochs(&self) -> Vec<EpochReport> {
        self.numbers.epochs.iter().map(Epoch::report).collect()
    }

    /// Writes a safetensors file, whose metadata holds what is no tensor, a piece at a time: laid out whole it would take as much memory
    /// as the state.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut header = serde_json::to_vec(&self.header().map_err(io::Error::other)?)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for (_, tensor) in &self.tensors {
            let flat = tensor.flatten_all().map_err(io::Error::other)?;
            for start in (0..flat.elem_count()).step_by(PIECE) {
                let length = PIECE.min(flat.elem_count() - start);
                let piece = flat.narrow(0, start, length).map_err(io::Error::other)?;
                out.write_all(&View::data(&&piece))?;
            }
        }
        Ok(())
    }

    /// What stands before the numbers of the file.
    fn header(&self) -> Result<Metadata, SafeTensorError> {
        let numbers = serde_json::to_string(&self.numbers)?;
        let mut offset = 0;
        let place = |(name, tensor): &(String, Tensor)| {
            let start = offset;
            offset += View::data_len(&tensor);
            let (dtype, shape) = (View::dtype(&tensor), tensor.dims().to_vec());
            (name.clone(), TensorInfo { dtype, shape, data_offsets: (start, offset) })
        };
        let infos = self.tensors.iter().map(place).collect();
        Metadata::new(Some([(KEY.to_owned(), numbers)].into()), infos)
    }

    /// Reads what [`State::write_to`] wrote.
    ///
    /// # Errors
    /// [`EngineError::Unfit`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EngineError> {
        let unfit =
            |error: &dyn std::fmt::Display| EngineError::Unfit(format!("no training's state: {error}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| unfit(&error))?;
        let numbers = metadata.metadata().as_ref().and_then(|found| found.get(KEY));
        let numbers = numbers.ok_or_else(|| unfit(&"it says nothing of a training"))?;
        let numbers: Numbers = serde_json::from_str(numbers).map_err(|error| unfit(&error))?;
        if numbers.format != FORMAT {
            return Err(unfit(&"it was written by another version"));
        }
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        Ok(Self { numbers, tensors: tensors.into_iter().collect() })
    }
}

impl Run<'_> {
    /// A copy of all that moves, after so many steps of the epoch under way.
    ///
    /// # Errors
    /// Where tensors cannot be copied.
    pub(crate) fn state(&self, steps: usize) -> Result<State, EngineError> {
        let model = self.task.model;
        let mut tensors = Snapshot::take(model, &self.movable)?.named(model, "now");
        if let Some(best) = &self.best {
            tensors.extend(best.snapshot.named(model, "best"));
        }
        if let Some(average) = &self.average {
            for (name, tensor) in average.kept.named(model, "average") {
                tensors.push((name, tensor.to_device(&Device::Cpu)?.copy()?));
            }
        }
        let (updates, states) = self.optimizer.state()?;
        for (name, tensor) in states {
            tensors.push((name, tensor.to_device(&Device::Cpu)?));
        }
        let numbers = Numbers {
            format: FORMAT,
            at: Position { epochs: self.epochs.len(), steps },
            loss: self.sums.loss.to_bits(),
            right: self.sums.right,
            examples: self.sums.examples,
            trainable: self.trainable,
            epochs: self.epochs.iter().map(Epoch::of).collect(),
            best: self.best.as_ref().map(|best| (best.epoch, best.accuracy.to_bits())),
            batches: model.norms().iter().map(|norm| norm.batches_tracked()).collect(),
            updates,
            gathered: self.optimizer.gathered().to_bits(),
            average: self.average.as_ref().map(|average| average.steps),
            frozen: self.audit.as_ref().map(|audit| audit.frozen.clone()),
        };
        Ok(State { numbers, tensors })
    }

    /// Brings a run that has not begun to where `state` was taken. The model has the weights that the training began with.
    ///
    /// # Errors
    /// [`EngineError::Unfit`] where the state is another training's.
    pub(crate) fn resume(&mut self, state: &State) -> Result<(), EngineError> {
        let (model, numbers) = (self.task.model, &state.numbers);
        let all: BTreeMap<&str, &Tensor> =
            state.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let lengths = (numbers.batches.len(), numbers.updates.len());
        if lengths != (model.norms().len(), model.parameters().len())
            || numbers.at.epochs != numbers.epochs.len()
            || numbers.at.epochs > self.task.recipe.epochs
        {
            return Err(EngineError::Unfit("the state is that of another training".to_owned()));
        }
        self.epochs = state.epochs();
        self.trainable = numbers.trainable;
        let right = numbers.right;
        self.sums = Sums { loss: f64::from_bits(numbers.loss), right, examples: numbers.examples };
        if let Some((epoch, accuracy)) = numbers.best {
            let snapshot = Snapshot::of_named(model, &self.movable, "best", &all)?;
            self.best = Some(Best { epoch, accuracy: f64::from_bits(accuracy), snapshot });
        }
        if !self.is_done() {
            let index = self.phase_index();
            self.lay_phase(index);
            self.optimizer.begin(&self.phases[index]);
        }
        self.optimizer.restore(&numbers.updates, &all)?;
        self.optimizer.restore_gathered(f64::from_bits(numbers.gathered));
        if let (Some(decay), Some(steps)) = (self.task.recipe.ema, numbers.average) {
            let kept = Snapshot::of_named(model, &self.movable, "average", &all)?.on(model.device())?;
            self.average = Some(Average::resumed(decay, steps, kept));
        }
        Snapshot::of_named(model, &self.movable, "now", &all)?.restore(model)?;
        restore_batches(model, &numbers.batches);
        self.audit = numbers.frozen.clone().map(|frozen| Audit { frozen });
        Ok(())
    }
}

fn restore_batches(model: &Model, batches: &[i64]) {
    model.norms().iter().zip(batches).for_each(|(norm, batches)| norm.set_batches_tracked(*batches));
}

impl Epoch {
    fn of(report: &EpochReport) -> Self {
        let bits = |number: Option<f64>| number.map(f64::to_bits);
        Self {
            epoch: report.epoch,
            phase: report.phase.clone(),
            learning_rate: report.learning_rate.to_bits(),
            rates: report.rates.iter().map(|r| (r.part.clone(), r.learning_rate.to_bits())).collect(),
            train: (report.train_loss.to_bits(), bits(report.train_accuracy)),
            validation: (bits(report.validation_loss), bits(report.validation_accuracy)),
        }
    }

    fn report(&self) -> EpochReport {
        let number = |bits: Option<u64>| bits.map(f64::from_bits);
        let rate = |(part, rate): &(String, u64)| PartRate {
            part: part.clone(),
            learning_rate: f64::from_bits(*rate),
        };
        EpochReport {
            epoch: self.epoch,
            phase: self.phase.clone(),
            learning_rate: f64::from_bits(self.learning_rate),
            rates: self.rates.iter().map(rate).collect(),
            train_loss: f64::from_bits(self.train.0),
            train_accuracy: number(self.train.1),
            validation_loss: number(self.validation.0),
            validation_accuracy: number(self.validation.1),
        }
    }
}
