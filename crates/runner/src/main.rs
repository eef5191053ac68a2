//! The `frostline` binary: parses the command line and delegates to the library.

fn main() -> std::process::ExitCode {
    frostline::main()
}
