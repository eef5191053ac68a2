//! Training: optimizers, freezing, the loop over epochs, and evaluation.
//!
//! [`train`] takes a [`Task`] (model, data, [`Recipe`], [`Strategy`]) and an [`Objective`] (the labels, or what a pretraining
//! learns); [`test()`] opens the test split, and [`classify`] puts a trained model to use. What happens on the way is told
//! to an [`Observer`]; this crate neither prints, nor reads a clock, nor knows where results live.

mod audit;
mod error;
mod evaluate;
mod fold;
mod freeze;
mod objective;
mod observer;
mod optimizer;
mod recalibrate;
mod reconstruct;
mod snapshot;
mod train;

pub use error::EngineError;
pub use evaluate::{Evaluation, Prediction, Ranking, classify, evaluate};
pub use fold::fold;
pub use freeze::{freeze, parts_of};
pub use frostline_recipe::{
    BatchNormPolicy, Keep, Length, OptimizerKind, Part, Parts, Phase, PhaseSpec, Ragged, Recipe, RecipeError,
    Rule, Schedule, ScheduleOver, StateOnStart, Strategy, StrategyError, Timetable,
};
pub use objective::{Objective, ROTATIONS};
pub use observer::{EpochReport, Event, Observer, PartRate, Section, Silent};
pub use optimizer::Optimizer;
pub use reconstruct::{Reconstruction, reconstruct};
pub use train::{Task, Trained, test, train};
