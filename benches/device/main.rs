//! What a device computes, held to what the kernels compute on the CPU: every gate of `crates/kernels/tests`, and a short real training.
//! `just device-check` builds it with CUDA and runs it; the binary needs nothing but the driver's libraries, so it can be copied to where
//! the GPU is. On the CPU it holds the composed operations, which are what other devices run, to the kernels.

mod gates;
mod panics;
mod speed;
mod table;
mod training;

use std::process::ExitCode;

use candle_core::Device;
use frostline_benches::Failure;
use frostline_engine::device::{self, DeviceKind};

const USAGE: &str = "\
usage: device_check [--device cpu|cuda|cuda:N|metal] [--speed]

Without --speed: holds the device to the CPU, gate by gate and in a training, and ends with 1 where one misses.
With --speed: images a second of ResNet-18 at 32x32 and 224x224, batches of 64.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing missed.
fn run(arguments: &[String]) -> Result<bool, Failure> {
    let (mut kind, mut ordinal, mut times) = (DeviceKind::Cpu, 0, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--speed" => times = true,
            "--device" => {
                let text = words.next().ok_or(USAGE)?;
                let (name, number) = text.split_once(':').unwrap_or((text, "0"));
                (kind, ordinal) = (name.parse()?, number.parse()?);
            }
            _ => return Err(USAGE.into()),
        }
    }
    let device = device::open(kind, ordinal).map_err(|error| format!("{error}; {}", error.help()))?;
    println!("device: {}", device::name(&device));
    if times {
        speed::measure(&device)?;
        return Ok(true);
    }
    check(&device)
}

fn check(device: &Device) -> Result<bool, Failure> {
    let what = if device.is_cpu() { "composed operations" } else { "the device" };
    println!(
        "{what} against the kernels on the CPU; errors as parts of the largest value, of bf16 in the mean\n"
    );
    table::head();
    let gates = gates::run(device);
    let training = training::run(device);
    let missed: Vec<&table::Row> =
        gates.iter().chain(&training).filter(|row| row.problem.is_some()).collect();
    println!();
    for row in &missed {
        println!("MISS {}: {}", row.operation, row.problem.as_deref().unwrap_or_default());
    }
    let seconds: f64 = gates.iter().chain(&training).map(|row| row.seconds).sum();
    println!(
        "{} of {} missed, {seconds:.1} s on {}",
        missed.len(),
        gates.len() + training.len(),
        device::name(device)
    );
    Ok(missed.is_empty())
}
