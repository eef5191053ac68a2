//! The Hub from outside, against the loopback server.

mod cached;
mod downloads;
mod stage;
