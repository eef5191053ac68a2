//! What a peer in Rust speaks with `peers.py`; the one of burn, a project of its own, includes this file.

use std::io::BufRead;

/// Any failure; a bench has nothing to do about one but to tell.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Speaks the protocol of `torch_worker.py` on standard input and output: after three steps says `ready`, then for
/// each line `N` runs N steps and gives the seconds per step; before several (short) steps it runs one untimed, as another
/// process had the caches; for `peak`, the most memory that the process has had.
///
/// # Errors
/// A step that fails, or a line that is neither.
#[expect(clippy::disallowed_methods, reason = "timing is what a peer does")]
pub fn serve(mut step: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 0..3 {
        step()?;
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim() == "peak" {
            println!("{}", peak_bytes().unwrap_or(0));
            continue;
        }
        let steps: u32 = line.trim().parse()?;
        if steps > 1 {
            step()?;
        }
        let start = std::time::Instant::now();
        for _ in 0..steps {
            step()?;
        }
        println!("{}", start.elapsed().as_secs_f64() / f64::from(steps));
    }
    Ok(())
}

/// In bytes, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
