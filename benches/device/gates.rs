//! The gates of `crates/kernels/tests`, the very files: [`run`] has each give what it gives on the CPU by the kernels, and on a device,
//! and compares the two.

use std::time::Instant;

use candle_core::Device;
use frostline_kernels::compose_all;

use crate::panics;
use crate::table::Row;
use harness::{Outcome, apart};
use session::{Gate, Noted};

#[path = "../../crates/kernels/tests/gates/concatenation.rs"]
mod concatenation;
#[path = "../../crates/kernels/tests/gates/conv_norm.rs"]
mod conv_norm;
#[path = "../../crates/kernels/tests/gates/convolution.rs"]
mod convolution;
#[path = "../../crates/kernels/tests/gates/golden.rs"]
mod golden;
#[path = "../../crates/kernels/tests/gates/harness.rs"]
mod harness;
#[path = "../../crates/kernels/tests/gates/layers.rs"]
mod layers;
#[path = "../../crates/kernels/tests/gates/layout.rs"]
mod layout;
#[path = "../../crates/kernels/tests/gates/modern.rs"]
mod modern;
#[path = "../../crates/kernels/tests/gates/normalisation.rs"]
mod normalisation;
#[path = "../../crates/kernels/tests/gates/optimizers.rs"]
mod optimizers;
#[path = "../../crates/kernels/tests/gates/oracle.rs"]
mod oracle;
#[path = "../../crates/kernels/tests/gates/pooling.rs"]
mod pooling;
#[path = "../../crates/kernels/tests/gates/refusals.rs"]
mod refusals;
#[path = "../../crates/kernels/tests/gates/session.rs"]
mod session;
#[path = "../../crates/kernels/tests/gates/transformers.rs"]
mod transformers;
#[path = "../../crates/kernels/tests/gates/windows.rs"]
mod windows;

/// The most that single precision may be off, as a part of the largest value: what the gates allow against their oracles.
const SINGLE: f64 = 1e-4;
/// The most that bf16 may be off, in the mean: what the gates allow against single precision.
const HALF: f64 = 0.1;

const ALL: &[(&str, &[Gate])] = &[
    ("convolution", convolution::GATES),
    ("convolution and norm", conv_norm::GATES),
    ("batch norm", normalisation::GATES),
    ("pooling", pooling::GATES),
    ("layers", layers::GATES),
    ("transformers", transformers::GATES),
    ("families since", modern::GATES),
    ("windows", windows::GATES),
    ("concatenation", concatenation::GATES),
    ("optimizers", optimizers::GATES),
    ("layout", layout::GATES),
    ("PyTorch's numbers", golden::GATES),
    ("refusals", refusals::GATES),
];

/// Runs all of them, and prints a row for each.
pub(crate) fn run(device: &Device) -> Vec<Row> {
    let gates = ALL.iter().flat_map(|(of, gates)| gates.iter().map(move |(name, gate)| (*of, *name, *gate)));
    let rows = gates.map(|(of, name, gate)| {
        let row = compared(format!("{of}: {name}"), gate, device);
        row.print();
        row
    });
    rows.collect()
}

#[expect(clippy::disallowed_methods, reason = "timing is what it does")]
fn compared(operation: String, gate: fn(), device: &Device) -> Row {
    let here = panics::caught(|| session::on(&Device::Cpu, gate));
    // On the CPU, the composed operations are what is held to the kernels.
    compose_all(device.is_cpu());
    let start = Instant::now();
    let there = panics::caught(|| session::on(device, gate));
    let seconds = start.elapsed().as_secs_f64();
    compose_all(false);
    let mut row = Row { operation, seconds, ..Row::default() };
    match (here, there) {
        (Err(problem), _) => row.problem = Some(format!("on the CPU: {problem}")),
        (_, Err(problem)) => row.problem = Some(problem),
        (Ok(here), Ok(there)) => compare(&mut row, &here, &there),
    }
    row
}

fn compare(row: &mut Row, here: &[Noted], there: &[Noted]) {
    if here.len() != there.len() {
        row.problem = Some(format!("{} cases on the CPU, {} on the device", here.len(), there.len()));
        return;
    }
    row.cases = here.len();
    for (here, there) in here.iter().zip(there) {
        let (single, half) = (furthest(&there.single, &here.single), apart(&there.half, &here.half));
        row.single = Some(row.single.unwrap_or(0.0).max(single));
        row.half = Some(row.half.unwrap_or(0.0).max(half));
        // Not so, where one is no number.
        let holds = single <= SINGLE && half <= HALF;
        if !holds && row.problem.is_none() {
            row.problem = Some(format!("{}: off by {single:.1e}, in bf16 by {half:.1e}", here.name));
        }
    }
}

/// The largest difference of an output or a gradient, as a part of its largest value.
fn furthest(ours: &Outcome, theirs: &Outcome) -> f64 {
    let of = |(ours, theirs): (&Vec<f32>, &Vec<f32>)| {
        let largest = theirs.iter().fold(1e-2f64, |largest, value| largest.max(f64::from(value.abs())));
        let error = |(ours, theirs): (&f32, &f32)| (f64::from(*ours) - f64::from(*theirs)).abs();
        ours.iter().zip(theirs).map(error).max_by(f64::total_cmp).unwrap_or(0.0) / largest
    };
    let gradients = ours.1.iter().zip(&theirs.1);
    std::iter::once((&ours.0, &theirs.0)).chain(gradients).map(of).max_by(f64::total_cmp).unwrap_or(0.0)
}
