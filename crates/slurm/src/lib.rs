//! Jobs of a [Slurm](https://slurm.schedmd.com) cluster as text: [`Script`]s of a sweep, their division into [`Array`]s, and what Slurm
//! says of them as [`Task`]s. Nothing here runs a command, reads a file or knows a plan.

mod arrays;
mod script;
mod tasks;
mod time;

pub use arrays::{Array, arrays, ranges};
pub use script::{Request, Script, Setting, array_size, submitted_id};
pub use tasks::{Task, TaskId, active, ended, shown};
pub use time::{BadTime, seconds};
