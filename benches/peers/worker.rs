//! Frostline's side of the comparison with peers: one process, one piece of work, timed when asked. The protocol is that of
//! `torch_worker.py`.

use std::io::BufRead;
use std::time::Instant;

use frostline_benches::{BATCH, Work};

/// As in the `frostline` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(resolution), Some(strategy), Some(threads)) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: worker MODEL RESOLUTION full|head|last-K|inference THREADS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let mut work = Work::new(&model, resolution.parse()?, &strategy)?;
    for _ in 0..3 {
        work.step()?;
    }
    println!("ready {} batch {BATCH}", env!("CARGO_PKG_VERSION"));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim() == "peak" {
            println!("{}", peak_bytes().unwrap_or(0));
            continue;
        }
        let steps: u32 = line.trim().parse()?;
        let start = Instant::now();
        for _ in 0..steps {
            work.step()?;
        }
        println!("{}", start.elapsed().as_secs_f64() / f64::from(steps));
    }
    Ok(())
}

/// The most memory that the process has had, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
