//! How a model is trained, in values that are checked: a [`Recipe`] with its optimizer and [`Schedule`], and a [`Strategy`],
//! which says what trains when as [`Phase`]s over a model's [`Parts`]. Nothing here touches a tensor or a file.

mod optimizer;
mod recipe;
mod schedule;
mod strategy;

pub use optimizer::OptimizerKind;
pub use recipe::{
    BatchNormPolicy, ClassWeights, Counting, Keep, Ragged, Recipe, RecipeError, Sampling, ScheduleOver,
};
pub use schedule::{Schedule, Timetable};
pub use strategy::{
    Length, Part, Parts, Phase, PhaseSpec, Probe, Rule, StateOnStart, Strategy, StrategyError,
};
