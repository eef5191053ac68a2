//! The memory allocator of every binary that links this crate: mimalloc, and when it gives memory back to the system.
//!
//! A training step allocates and frees hundreds of MiB. mimalloc gives back once a second whatever is free just then, so a
//! step that takes about as long must fetch it from the system again, page by page. [`keep_freed_memory`] puts that off;
//! [`release_freed_memory`] does it at once, so that what one trial has freed is not counted in the next one's peak.
#![expect(
    unsafe_code,
    reason = "mimalloc's options are set by functions of C, and an allocator is unsafe to be"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// mimalloc, which ends the process with a message where no memory is left.
struct Allocator;

/// The exit code of a process for which no memory is left: that of `EX_OSERR` in sysexits.h.
pub const OUT_OF_MEMORY: i32 = 71;

/// A request of more than this is a broken file's, and its reader's to bear.
const ABSURD: usize = 1 << 44;

// SAFETY: every call goes to mimalloc, which is an allocator; where it has no memory, none is handed out.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        given(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        given(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`; the block is mimalloc's, as every block is.
        given(unsafe { MiMalloc.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `realloc`.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

/// The block, if there is one. Without one the standard library would abort with a backtrace; here the process says what to do
/// and ends. Nothing is allocated on the way, and no destructor runs: what is on the disk is whole at any time.
fn given(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() && size > 0 && size < ABSURD {
        let _ = std::io::stderr().write_all(
            b"\nout of memory: the system gives no more. What was finished is kept; take a smaller batch or resolution, or free \
              some memory, then run the same command again\n",
        );
        exit();
    }
    block
}

/// Ends the process at once.
fn exit() -> ! {
    // SAFETY: may be called at any time.
    unsafe { libc::_exit(OUT_OF_MEMORY) }
}

/// `mi_option_purge_delay` of mimalloc's version 3, for which the bindings have no name.
const PURGE_DELAY: mi_option_t = 15;

/// In milliseconds: far more than a step takes.
const DELAY: i64 = 60_000;

/// From now on, freed memory goes back to the system once a minute instead of once a second.
pub fn keep_freed_memory() {
    // SAFETY: the option exists in this version (the test holds it to its default), and mimalloc checks the index.
    unsafe { mi_option_set(PURGE_DELAY, DELAY as _) }
}

/// Gives freed memory back to the system.
pub fn release_freed_memory() {
    // SAFETY: may be called at any time, from any thread.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    fn resident_kib() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    #[test]
    fn freed_memory_stays_until_it_is_released() {
        let delay = || {
            // SAFETY: reads an option.
            unsafe { mi_option_get(PURGE_DELAY) }
        };
        // Its default, or what .cargo/config.toml tells tests.
        assert!(
            [1000, 50_000].contains(&delay()),
            "the option has another index in this version of mimalloc"
        );
        keep_freed_memory();
        assert_eq!(delay(), 60_000);

        let before = resident_kib();
        let blocks: Vec<Vec<u8>> = (0..32u8).map(|value| vec![value | 1; 4 << 20]).collect();
        drop(std::hint::black_box(blocks));
        std::thread::sleep(std::time::Duration::from_millis(1500));
        drop(std::hint::black_box(vec![1u8; 4 << 20]));
        let (Some(before), Some(kept)) = (before, resident_kib()) else { return }; // only Linux tells
        assert!(kept > before + 100_000, "{kept} KiB of {before}");
        release_freed_memory();
        let left = resident_kib().unwrap_or(u64::MAX);
        assert!(left < before + 30_000, "{left} KiB of {before}, from {kept}");
    }
}
