//! Training: freeze strategies, optimizers, schedules, the loop over epochs, and evaluation.
//!
//! [`train`] runs one trial: a [`Task`] (model, data, [`Recipe`], [`Strategy`]) in, a [`Trained`] out. What happens
//! on the way is told to an [`Observer`]; this crate neither prints, nor reads a clock, nor knows where results live.

mod audit;
mod evaluate;
mod observer;
mod optimizer;
mod recipe;
mod schedule;
mod snapshot;
mod strategy;
mod train;

pub use evaluate::{Evaluation, Prediction, evaluate};
pub use observer::{EpochReport, Event, Observer, Section, Silent};
pub use optimizer::{Optimizer, OptimizerKind};
pub use recipe::{BatchNormPolicy, Keep, Recipe, RecipeError};
pub use schedule::{Schedule, Timetable};
pub use strategy::{Phase, Strategy, StrategyError};
pub use train::{EngineError, Task, Trained, train};
