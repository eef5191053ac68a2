//! What a trial costs: [`Meter`] adds up time by section, processor time and peak memory. The clock is read here and
//! nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use frostline_engine::Section;
use frostline_results::Seconds;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Measures one trial from [`Meter::start`] on. Processor time and memory are the whole process's.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu_before: f64,
    peak_is_ours: bool,
    sections: BTreeMap<Section, Duration>,
    open: Option<(Section, Instant)>,
}

impl Meter {
    /// Gives the system what earlier trials have freed, forgets their peak of memory, and starts the clock.
    pub fn start() -> Self {
        frostline_allocator::release_freed_memory();
        Self {
            peak_is_ours: reset_peak_memory(),
            cpu_before: cpu_seconds(),
            started: now(),
            sections: BTreeMap::new(),
            open: None,
        }
    }

    /// A section begins. One that was still open ends.
    pub fn enter(&mut self, section: Section) {
        self.leave();
        self.open = Some((section, now()));
    }

    /// The open section ends.
    pub fn leave(&mut self) {
        if let Some((section, since)) = self.open.take() {
            *self.sections.entry(section).or_default() += since.elapsed();
        }
    }

    /// Everything up to now but for the section that is open. [`Seconds::since`] gives the part after an earlier reading.
    pub fn seconds(&self) -> Seconds {
        let of = |section| self.sections.get(&section).map_or(0.0, Duration::as_secs_f64);
        Seconds {
            train: of(Section::Train),
            evaluation: of(Section::Evaluation),
            data: of(Section::Data),
            checkpoint: of(Section::Checkpoint),
            audit: of(Section::Audit),
            wall: self.started.elapsed().as_secs_f64(),
            cpu: (cpu_seconds() - self.cpu_before).max(0.0),
        }
    }

    /// The largest resident memory since the start, data sets and caches of earlier trials that are still held
    /// included. Only Linux tells it.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        peak_memory_bytes().filter(|_| self.peak_is_ours)
    }
}

/// The present time in UTC, to the second, as RFC 3339 writes it.
pub fn timestamp() -> String {
    #[expect(clippy::disallowed_methods, reason = "the runner dates its results")]
    let now = SystemTime::now();
    humantime::format_rfc3339_seconds(now).to_string()
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the runner measures what trials cost")]
    Instant::now()
}

/// Seconds that the process's threads, past and present, have computed.
fn cpu_seconds() -> f64 {
    let (Ok(pid), Ok(mut system)) = (sysinfo::get_current_pid(), System::new()) else { return 0.0 };
    let kind = ProcessRefreshKind::nothing().with_cpu().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    system.process(pid).map_or(0.0, |process| process.accumulated_cpu_time() as f64 / 1000.0)
}

/// Linux sets `VmHWM` back to what is resident now when 5 is written here.
fn reset_peak_memory() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn peak_memory_bytes() -> Option<u64> {
    parse_peak(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The `VmHWM` line of `/proc/self/status`, in bytes.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_kept_apart_and_entering_ends_the_one_before() {
        let mut meter = Meter::start();
        for (section, pause) in [(Section::Train, 20), (Section::Data, 5), (Section::Train, 20)] {
            meter.enter(section);
            std::thread::sleep(Duration::from_millis(pause));
        }
        let before = meter.seconds();
        assert!(before.train >= 0.02 && before.train < before.wall, "{before:?}");
        meter.leave();
        std::thread::sleep(Duration::from_millis(5));
        let all = meter.seconds();
        assert!(all.train >= 0.04 && all.data >= 0.005 && all.evaluation == 0.0, "{all:?}");
        assert!(all.wall >= all.train + all.data + 0.005, "{all:?}");
        assert!(all.since(&before).train >= 0.02);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let meter = Meter::start();
        let mut x = 1u64;
        // On a busy machine the clock runs on without us, so the work goes on until it shows.
        while meter.seconds().cpu < 0.05 && meter.seconds().wall < 30.0 {
            x = (0..1_000_000u64).fold(x, |x, i| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
        }
        assert!(std::hint::black_box(x) != 0 && meter.seconds().cpu >= 0.05, "{:?}", meter.seconds());
    }

    #[test]
    fn peak_memory_is_read_in_kibibytes() {
        assert_eq!(parse_peak("VmPeak:\t  99 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 7 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("VmPeak:\t  99 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_the_trials_own() {
        let touch = |mebibytes: usize| std::hint::black_box(vec![1u8; mebibytes << 20]).len();
        touch(256); // Other tests of this process free memory meanwhile, which what follows may take first.
        let meter = Meter::start();
        let peak = meter.peak_memory_bytes().unwrap();
        touch(1024);
        let grown = meter.peak_memory_bytes().unwrap();
        assert!(grown >= peak + (128 << 20), "{peak} then {grown}");
    }
}
