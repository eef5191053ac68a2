//! An exponential moving average of all that trains, over optimizer steps: [`Average`], which can stand in for the weights.

use frostline_models::Model;

use crate::EngineError;
use crate::freeze::Movable;
use crate::snapshot::Snapshot;

/// The average of what moves in a phase, or what it stands in for.
pub(crate) struct Average {
    decay: f64,
    /// Steps since it began.
    pub(crate) steps: u64,
    pub(crate) kept: Snapshot,
    /// Whether the model holds the average, and `kept` the weights that train.
    shown: bool,
}

impl Average {
    /// One that begins where the model is.
    pub(crate) fn begin(decay: f64, model: &Model, movable: &Movable) -> Result<Self, EngineError> {
        Ok(Self { decay, steps: 0, kept: Snapshot::take_there(model, movable)?, shown: false })
    }

    /// One that goes on, after so many steps.
    pub(crate) fn resumed(decay: f64, steps: u64, kept: Snapshot) -> Self {
        Self { decay, steps, kept, shown: false }
    }

    /// Takes in what a step made of the model.
    pub(crate) fn follow(&mut self, model: &Model) -> Result<(), EngineError> {
        self.steps += 1;
        self.kept.approach(model, 1.0 - decay_at(self.decay, self.steps))
    }

    /// Has the model hold the average, or the weights that train.
    pub(crate) fn show(&mut self, shown: bool, model: &Model, movable: &Movable) -> Result<(), EngineError> {
        if self.shown != shown {
            let held = Snapshot::take_there(model, movable)?;
            self.kept.restore(model)?;
            (self.kept, self.shown) = (held, shown);
        }
        Ok(())
    }
}

/// The decay of the `step`th step, from 1: what came before counts for little while there is little of it.
fn decay_at(decay: f64, step: u64) -> f64 {
    let step = step as f64;
    decay.min((1.0 + step) / (10.0 + step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decay_grows_to_what_was_asked_for() {
        let near = |step, decay: f64| assert!((decay_at(0.99, step) - decay).abs() < 1e-12, "{step}");
        near(1, 2.0 / 11.0);
        near(90, 0.91);
        near(890, 0.99);
        near(100_000, 0.99);
    }
}
