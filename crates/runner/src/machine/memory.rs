//! How much memory the process may still take: [`free_memory`].

use std::fs;

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// What the process may still take, in bytes: what the system has to give, or where that is less, what is left of `most`. None where the
/// system does not tell and there is no `most`.
pub fn free_memory(most: Option<u64>) -> Option<u64> {
    let left = most.map(|most| most.saturating_sub(resident().unwrap_or(0)));
    [available_memory(), left].into_iter().flatten().min()
}

/// What the process has now.
fn resident() -> Option<u64> {
    let (pid, mut system) = (sysinfo::get_current_pid().ok()?, System::new().ok()?);
    let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    system.process(pid).map(sysinfo::Process::memory)
}

/// The least of what the system has to give, what the process's control group leaves, and what its address space is limited to
/// (`ulimit -v`), in bytes; none where the system does not tell.
fn available_memory() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory).ok();
    let free = system.as_ref().map(System::available_memory).filter(|free| *free > 0);
    let root = system.as_ref().and_then(System::cgroup_limits).map(|limits| limits.free_memory);
    [free, root, own_group(), address_space()].into_iter().flatten().min()
}

/// What the limit of the process's own control group leaves.
fn own_group() -> Option<u64> {
    let (pid, mut system) = (sysinfo::get_current_pid().ok()?, System::new().ok()?);
    let kind = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    Some(system.process(pid)?.cgroup_limits()?.free_memory)
}

/// What can be used of what is left of a limited address space: the allocator takes it in large blocks and leaves gaps, so three
/// quarters.
fn address_space() -> Option<u64> {
    let limit = limit(&fs::read_to_string("/proc/self/limits").ok()?)?;
    let used = used(&fs::read_to_string("/proc/self/status").ok()?)?;
    Some(limit.saturating_sub(used) / 4 * 3)
}

/// The soft limit of the line `Max address space`, in bytes; none where it is unlimited.
fn limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What a process has taken of its address space, by its status: all but its data, and of its data what is resident, since the
/// allocator reserves more than it has handed out, and hands that out first. In bytes.
fn used(status: &str) -> Option<u64> {
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    Some(of("VmSize:")?.saturating_sub(of("VmData:")?) + of("RssAnon:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max address space         1536000000           unlimited            bytes     \n";
        assert_eq!(limit(limits), Some(1_536_000_000));
        assert_eq!(limit("Max address space         unlimited            unlimited            bytes"), None);
        let status = "Name:\tx\nVmSize:\t 1204 kB\nRssAnon:\t  50 kB\nVmData:\t 1000 kB\n";
        assert_eq!(used(status), Some(254 << 10));
        assert!(free_memory(None).is_none_or(|free| free > 1 << 20));
        assert_eq!(free_memory(Some(1)), Some(0), "more than that is taken already");
    }
}
