//! Backpropagation through this crate's operations, without candle's tape.
//!
//! candle adds every gradient to fresh zeros, with a pool of threads that spins between its jobs and so takes the cores
//! from ours. [`Tape::record`] notes the operations that run within it instead, and [`Tape::backward`] walks them back,
//! moving each gradient to where it is needed. What is composed from candle's operations, as on other devices, stays on
//! candle's own tape, and `backward` knows both. An operation that runs outside of a recording keeps nothing.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use candle_core::{CustomOp1, Result, Shape, Tensor, TensorId};

use crate::gemm::written;
use crate::storage::{self, Values, by_number};
use crate::{Gradient, tasks};

/// Operations in the order in which they ran.
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
    /// What some operation gave.
    outputs: HashSet<TensorId>,
}

struct Node {
    inputs: Vec<Tensor>,
    output: Tensor,
    backward: Box<dyn Backward>,
}

/// The gradients of an operation's inputs, each where it is [`wanted`], from the inputs, the output and its gradient.
pub(crate) trait Backward {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>>;
}

/// Gradients, by the tensor they belong to.
#[derive(Debug)]
pub struct Gradients(HashMap<TensorId, Gradient>);

impl Gradients {
    /// The gradient of a variable; none where the loss does not depend on it. A variable is used by candle's operations or
    /// by ours; where both use it, this is our part.
    pub fn get(&self, variable: &Tensor) -> Option<&Gradient> {
        self.0.get(&variable.id())
    }
}

thread_local! {
    /// The recording under way on this thread.
    static RECORDING: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// Puts back what was recorded before, however a recording is left.
struct Recording(Option<Tape>);

impl Recording {
    fn start(tape: Tape) -> Self {
        Self(RECORDING.replace(Some(tape)))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDING.replace(self.0.take());
    }
}

impl Tape {
    /// Runs `forward` and notes its operations.
    ///
    /// # Errors
    /// Those of `forward`.
    pub fn record<T, E>(
        forward: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(T, Self), E> {
        let _recording = Recording::start(Self::default());
        let value = forward()?;
        Ok((value, RECORDING.take().unwrap_or_default()))
    }

    /// Runs `work` as if no recording were under way on this thread. A thread of a pool may take up whole trainings while it waits for
    /// parts of its own: their passes without a tape have nothing to do with its.
    pub fn apart<T>(work: impl FnOnce() -> T) -> T {
        let _recording = Recording(RECORDING.take());
        work()
    }

    /// How many operations it holds: those that depend on a variable.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The gradients of a scalar `loss`.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        self.backward_from(loss, &loss.ones_like()?.detach())
    }

    /// The gradients of `Σ output · weights`, where `weights` has the shape of `output`.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn backward_from(mut self, output: &Tensor, weights: &Tensor) -> Result<Gradients> {
        if !self.outputs.contains(&output.id()) {
            let mut gradients = HashMap::new();
            go_back(&(output * weights.detach())?.sum_all()?, &mut gradients)?;
            return Ok(Gradients(gradients));
        }
        let mut gradients = HashMap::from([(output.id(), Gradient::from(weights.contiguous()?))]);
        let nodes = std::mem::take(&mut self.nodes);
        let mut of_candle: HashMap<TensorId, Tensor> = HashMap::new();
        // The operations ask the recording which gradients are wanted.
        let _recording = Recording::start(self);
        for node in nodes.into_iter().rev() {
            let Some(dy) = gradients.remove(&node.output.id()) else { continue };
            let found = node.backward.backward(&node.inputs, &node.output, &dy.tensor()?)?;
            for (input, gradient) in node.inputs.iter().zip(found) {
                let (Some(gradient), true) = (gradient, wanted(input)) else { continue };
                let sum = match gradients.remove(&input.id()) {
                    Some(other) => sum(&other.tensor()?, &gradient.tensor()?)?.into(),
                    None => gradient,
                };
                gradients.insert(input.id(), sum);
                if input.track_op() && !input.is_variable() {
                    of_candle.insert(input.id(), input.clone());
                }
            }
        }
        if let Some(loss) = weighted_sum(of_candle.into_values(), &gradients)? {
            go_back(&loss, &mut gradients)?;
        }
        Ok(Gradients(gradients))
    }
}

/// What has the gradients of `tensors` as its own: from here candle goes on along its tape.
fn weighted_sum(
    tensors: impl Iterator<Item = Tensor>,
    gradients: &HashMap<TensorId, Gradient>,
) -> Result<Option<Tensor>> {
    let mut sum: Option<Tensor> = None;
    for tensor in tensors {
        let Some(gradient) = gradients.get(&tensor.id()) else { continue };
        let part = (tensor * gradient.tensor()?)?.sum_all()?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    Ok(sum)
}

/// Adds what candle's tape gives for `loss` to the gradients that are not there yet.
fn go_back(loss: &Tensor, gradients: &mut HashMap<TensorId, Gradient>) -> Result<()> {
    let store = loss.backward()?;
    for id in store.get_ids() {
        if let (Some(gradient), false) = (store.get_id(*id), gradients.contains_key(id)) {
            gradients.insert(*id, gradient.clone().into());
        }
    }
    Ok(())
}

/// Whether a gradient of `tensor` is wanted: it is a variable, or was computed from one within the recording.
pub(crate) fn wanted(tensor: &Tensor) -> bool {
    RECORDING.with_borrow(|tape| match tape {
        Some(tape) => tensor.track_op() || tape.outputs.contains(&tensor.id()),
        None => false,
    })
}

/// Notes an operation with what it gave, unless no gradient is wanted of any of its inputs.
pub(crate) fn note(inputs: &[&Tensor], output: &Tensor, backward: impl Backward + 'static) {
    if !inputs.iter().any(|input| wanted(input)) {
        return;
    }
    RECORDING.with_borrow_mut(|tape| {
        if let Some(tape) = tape {
            tape.outputs.insert(output.id());
            let inputs = inputs.iter().map(|&input| input.clone()).collect();
            tape.nodes.push(Node { inputs, output: output.clone(), backward: Box::new(backward) });
        }
    });
}

/// The same values in another shape.
pub(crate) fn reshape<S: Into<Shape>>(x: &Tensor, shape: S) -> Result<Tensor> {
    let y = x.reshape(shape.into())?;
    if y.id() != x.id() && storage::runs_here(x) {
        note(&[x], &y, Reshape);
    }
    Ok(y)
}

struct Reshape;

impl Backward for Reshape {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        Ok(vec![Some(dy.reshape(inputs[0].shape())?.into())])
    }
}

/// Runs a custom operation of one argument, and notes it.
pub(crate) fn apply1<O: CustomOp1 + 'static>(x: &Tensor, operation: O) -> Result<Tensor> {
    let y = x.apply_op1_no_bwd(&operation)?;
    note(&[x], &y, One(operation));
    Ok(y)
}

struct One<O>(O);

impl<O: CustomOp1> Backward for One<O> {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        Ok(vec![self.0.bwd(&inputs[0], y, dy)?.map(Gradient::from)])
    }
}

fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let a = a.contiguous()?;
    if !storage::runs_here(&a) {
        return &a + b.to_dtype(a.dtype())?;
    }
    let b = storage::like(b, &a)?;
    by_number!(storage::is_half(&a), T => {
        let (a_values, b_values) = (Values::<T>::of(&a)?, Values::<T>::of(&b)?);
        let sum: Vec<T> = written(a_values.len(), tasks::VALUES, &|own, sum| {
            tasks::sum(sum, &a_values[own.clone()], &b_values[own]);
        });
        storage::tensor(sum, a.shape())
    })
}
