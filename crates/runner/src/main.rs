//! The `frostline` binary: parses the command line and delegates to the library.

/// Training allocates and frees large buffers at every step, which this allocator does faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    frostline::main()
}
