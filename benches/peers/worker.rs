//! Frostline's side of the comparison with peers: one process, one piece of work, timed when asked.

use frostline_benches::{Failure, Work, serve};

fn main() -> Result<(), Failure> {
    frostline_allocator::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, resolution, what, threads, more @ ..] = &arguments[..] else {
        return Err(
            "usage: worker MODEL RESOLUTION full|head|last-K|inference THREADS [avx2] [bf16] [count]".into(),
        );
    };
    let asked = |word: &str| more.iter().any(|given| given == word);
    if asked("avx2") {
        frostline_kernels::keep_to_avx2();
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let mut work = Work::new(model, resolution.parse()?, what)?;
    if asked("bf16") {
        work.round_to_bf16()?;
    }
    if asked("count") {
        println!("{}", work.multiply_adds()?);
        return Ok(());
    }
    serve(|| work.step())
}
