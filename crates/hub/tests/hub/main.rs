//! The Hub from outside, against the loopback server.

mod cached;
mod downloads;
mod first_use;
mod stage;
