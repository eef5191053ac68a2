//! The `frostline` binary: parses the command line and delegates to the library.

fn main() -> std::process::ExitCode {
    frostline_allocator::keep_freed_memory();
    frostline::main()
}
