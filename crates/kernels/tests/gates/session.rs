//! Gates that run elsewhere than as tests, such as on a GPU: within a session they have another device, and what their cases give is
//! noted instead of held to an oracle, so that it can be compared with what another session has noted.

#![allow(dead_code, reason = "tests have no session")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Device;
use frostline_kernels::keep_as;

use super::harness::{Case, Outcome, rounded, run, run_half};

/// A gate with its name.
pub(crate) type Gate = (&'static str, fn());

/// What a case gave.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// The case.
    pub(crate) name: String,
    /// In single precision.
    pub(crate) single: Outcome,
    /// In bf16.
    pub(crate) half: Outcome,
}

struct Session {
    device: Device,
    noted: Vec<Noted>,
}

static SESSION: Mutex<Option<Session>> = Mutex::new(None);

fn session() -> MutexGuard<'static, Option<Session>> {
    SESSION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where gates run.
pub(crate) fn device() -> Device {
    session().as_ref().map_or(Device::Cpu, |session| session.device.clone())
}

/// Whether there is a session.
pub(crate) fn is_on() -> bool {
    session().is_some()
}

/// Notes what a case gives, if there is a session.
pub(crate) fn takes(case: &Case<'_>) -> bool {
    if !is_on() {
        return false;
    }
    // Without the lock, as tensors of the case ask for the device.
    let single = run(case.here, &case.inputs);
    let half = run_half(case.here, &rounded(case), keep_as);
    if let Some(session) = &mut *session() {
        session.noted.push(Noted { name: case.name.clone(), single, half });
    }
    true
}

/// What the cases of a gate give on a device, in their order.
pub(crate) fn on(device: &Device, gate: impl FnOnce()) -> Vec<Noted> {
    *session() = Some(Session { device: device.clone(), noted: Vec::new() });
    gate();
    session().take().map(|session| session.noted).unwrap_or_default()
}
