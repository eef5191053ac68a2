//! How fast a device trains: [`measure`] prints images a second.

use std::time::{Duration, Instant};

use candle_core::Device;
use frostline_benches::{BATCH, Failure, Work};

/// Steps before the clock starts.
const UNTIMED: usize = 3;
/// How long a piece of work is repeated.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// Times ResNet-18 at two sizes, all of it, its head alone and inference, in f32 and bf16.
///
/// # Errors
/// Where the device fails.
pub(crate) fn measure(device: &Device) -> Result<(), Failure> {
    println!("\n{:<10} {:>5} {:<10} {:<5} {:>10}", "model", "side", "what", "", "images/s");
    for side in [32, 224] {
        for what in ["full", "head", "inference"] {
            for half in [false, true] {
                if half && device.is_metal() {
                    continue;
                }
                let mut work = Work::on("resnet18", side, what, device)?;
                if half {
                    work.round_to_bf16()?;
                }
                let rate = images_per_second(&mut work, device)?;
                let precision = if half { "bf16" } else { "f32" };
                println!("{:<10} {side:>5} {what:<10} {precision:<5} {rate:>10.0}", "resnet18");
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "timing is what it does")]
fn images_per_second(work: &mut Work, device: &Device) -> Result<f64, Failure> {
    for _ in 0..UNTIMED {
        work.step()?;
    }
    device.synchronize()?;
    let (start, mut steps) = (Instant::now(), 0usize);
    while start.elapsed() < LONG_ENOUGH {
        work.step()?;
        steps += 1;
        // A device is given work faster than it does it.
        device.synchronize()?;
    }
    Ok((steps * BATCH) as f64 / start.elapsed().as_secs_f64())
}
