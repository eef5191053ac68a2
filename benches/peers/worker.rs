//! Frostline's side of the comparison with peers: one process, one piece of work, timed when asked.

use frostline_benches::{Failure, Work, serve};

fn main() -> Result<(), Failure> {
    frostline_allocator::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, resolution, what, threads] = &arguments[..] else {
        return Err("usage: worker MODEL RESOLUTION full|head|last-K|inference THREADS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let mut work = Work::new(model, resolution.parse()?, what)?;
    serve(|| work.step())
}
