//! The experiment: one question in one file, and what follows from it before anything runs.
//!
//! [`Experiment::read`] reads the file and points at all that is wrong in it; [`expand`] lays out its [`Trial`]s, each with
//! the id that its numbers depend on, as a [`Plan`]. [`recipe_of`], [`strategy_of`] and [`reading_of`] say what a trial's words
//! mean. Nothing here opens a data set, builds a model or knows where results live.

mod checkpoints;
mod comparing;
mod file;
mod halving;
mod kinds;
mod meaning;
mod memory;
mod plan;
mod refusal;
mod schema;
mod trial;
mod tune;

pub use checkpoints::{Checkpoints, Footprint};
pub use file::{Experiment, Problem, Problems, did_you_mean};
pub use halving::{Climb, Comparison, Decided, Halving};
pub use kinds::Kinds;
pub use meaning::{reading_of, recipe_of, strategy_of};
pub use memory::{Memory, trained_numbers};
pub use plan::{Axis, Claim, Plan, SelectError, expand};
pub use refusal::METHODS;
pub use schema::schema;
pub use trial::{
    DataSpec, HeldOut, NUMERICS, PhaseWords, Pretraining, TrainSpec, Trial, Trunk, keys, pretraining_name,
};
pub use tune::{Choice, Family, Tried, Tune};
