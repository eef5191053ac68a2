//! Training: optimizers, freezing, the loop over epochs, and evaluation.
//!
//! [`train`] takes a [`Task`] (model, data, [`Recipe`], [`Strategy`]) and an [`Objective`] (the labels, or what a pretraining
//! learns), and [`train_together`] several of them that see the same images; [`test()`] and [`test_together`] open the test split,
//! and [`classify`] puts a trained model to use. What happens on the way is told
//! to an [`Observer`]; this crate neither prints, nor reads a clock, nor knows where results live.

mod audit;
mod average;
mod cohort;
pub mod device;
mod embed;
mod error;
mod evaluate;
mod explain;
mod fit;
mod fold;
mod freeze;
mod member;
mod objective;
mod observer;
mod optimizer;
mod prefix;
mod recalibrate;
mod reconstruct;
mod run;
mod seat;
mod shelf;
mod snapshot;
mod state;
mod task;
mod train;

pub use cohort::train_together;
pub use embed::{Embedding, embed};
pub use error::EngineError;
pub use evaluate::{Evaluation, Prediction, Ranking, classify, evaluate};
pub use explain::explain;
pub use fold::fold;
pub use freeze::{Movable, freeze, parts_of};
pub use frostline_recipe::{
    BatchNormPolicy, ClassWeights, Counting, Keep, Length, OptimizerKind, Part, Parts, Phase, PhaseSpec,
    Probe, Ragged, Recipe, RecipeError, Rule, Sampling, Schedule, ScheduleOver, StateOnStart, Strategy,
    StrategyError, Timetable,
};
pub use member::{Bookmark, Member, NoBookmark};
pub use objective::{Objective, ROTATIONS};
pub use observer::{EpochReport, Event, Observer, PartRate, Section, Silent};
pub use optimizer::Optimizer;
pub use reconstruct::{Reconstruction, reconstruct};
pub use seat::{Candidate, test_together};
pub use shelf::Shelf;
pub use state::{Position, State};
pub use task::{Task, Trained};
pub use train::{test, train};
