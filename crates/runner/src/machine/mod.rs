//! The machine that a command runs on: what it is ([`environment`]), what of it computes ([`Devices`]), what it has spent ([`Meter`]),
//! and what it says of the Hub ([`hub_options`]). The clock and the environment variables are read here and nowhere else.

mod devices;
mod environment;
mod holder;
mod hub_options;
mod memory;
mod meter;
mod slurm;

pub use devices::{DeviceChoice, Devices};
pub use environment::{build, environment};
pub use holder::holder;
pub use hub_options::hub_options;
pub use memory::free_memory;
pub use meter::{Meter, Taken, seconds, timestamp};
pub use slurm::{SlurmError, ask};
