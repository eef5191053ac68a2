//! Training: freeze strategies, optimizers, schedules, the loop over epochs, and evaluation.
//!
//! [`train`] runs one trial: a [`Task`] (model, data, [`Recipe`], [`Strategy`]) in, a [`Trained`] out; [`pretrain`] does it
//! for another [`Objective`] than the labels, and [`classify`] puts a trained model to use. What happens on the way is told
//! to an [`Observer`]; this crate neither prints, nor reads a clock, nor knows where results live.

mod audit;
mod error;
mod evaluate;
mod fold;
mod freeze;
mod objective;
mod observer;
mod optimizer;
mod recipe;
mod reconstruct;
mod schedule;
mod snapshot;
mod strategy;
mod train;

pub use error::EngineError;
pub use evaluate::{Evaluation, Prediction, classify, evaluate};
pub use fold::fold;
pub use freeze::freeze;
pub use objective::{Objective, ROTATIONS};
pub use observer::{EpochReport, Event, Observer, PartRate, Section, Silent};
pub use optimizer::{Optimizer, OptimizerKind};
pub use recipe::{BatchNormPolicy, Keep, Recipe, RecipeError, ScheduleOver};
pub use reconstruct::{Reconstruction, reconstruct};
pub use schedule::{Schedule, Timetable};
pub use strategy::{Length, Part, Parts, Phase, PhaseSpec, Rule, StateOnStart, Strategy, StrategyError};
pub use train::{Pretrained, Task, Trained, pretrain, train};
