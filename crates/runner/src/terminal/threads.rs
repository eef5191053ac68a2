//! Where the system starts no more threads: [`end_without_threads`] ends the process with a message, as it ends where there is no more
//! memory.
//!
//! Threads are started in many places, most of them in libraries, which panic where the system refuses one. In a trial that would be told
//! and stored as a defect, though the next sweep can train it.

use std::io;
use std::panic;

use frostline_allocator::OUT_OF_MEMORY;

use super::tell;

/// What to do where no thread can be started.
pub(crate) const MORE_THREADS: &str = "a limit of memory (`ulimit -v`) or of processes (`ulimit -u`, a container's) is reached; raise it, or take \
                                       fewer `--threads`, then run the same command again: what was finished is kept";

/// From now on, a panic for want of a thread ends the process: with a message instead of a backtrace, and the exit code for want of memory.
pub(crate) fn end_without_threads() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(is_refusal) {
            tell(&format!("\nthe system starts no more threads: {MORE_THREADS}"));
            std::process::exit(OUT_OF_MEMORY);
        }
        usual(info);
    }));
}

/// Whether a panic says that a thread was refused, as the standard library, rayon and polars say it.
fn is_refusal(message: &str) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::OutOfMemory];
    message.contains("thread") && kinds.iter().any(|kind| message.contains(&format!("kind: {kind:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_thread_is_told_from_a_defect() {
        let refused = |code: i32| format!("failed to spawn thread: {:?}", io::Error::from_raw_os_error(code));
        let [again, no_memory, no_entry] = [11, 12, 2];
        if cfg!(target_os = "linux") {
            assert!(is_refusal(&refused(again)) && is_refusal(&refused(no_memory)));
        }
        assert!(!is_refusal(&refused(no_entry)));
        assert!(!is_refusal("index out of bounds: the len is 3 but the index is 7"));
        assert!(!is_refusal("thread pool: the queue is empty"));
    }
}
