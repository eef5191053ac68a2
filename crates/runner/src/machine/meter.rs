//! What a trial costs: [`Meter`] adds up time by section, processor time and peak memory. The clock is read here and
//! nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use frostline_engine::Section;
use frostline_results::Seconds;

/// Measures one trial, alone or beside others. Time passes for it only in its sections, so that what others do meanwhile is no part of
/// it. Processor time and memory are the whole process's.
#[derive(Debug)]
pub struct Meter {
    peak_is_ours: bool,
    taken: Taken,
    open: Option<Open>,
}

/// What a trial has taken.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    sections: BTreeMap<Section, f64>,
    /// Of the sections, what was there already.
    reused: f64,
    cpu: f64,
    /// Its part of what it had in common with others.
    share: f64,
    /// The most trials that a section was for.
    together: usize,
}

#[derive(Debug)]
struct Open {
    section: Section,
    sharers: usize,
    since: Instant,
    cpu: f64,
}

impl Meter {
    /// Gives the system what earlier trials have freed, forgets their peak of memory, and goes on from what was taken before.
    pub fn start(taken: Taken) -> Self {
        frostline_allocator::release_freed_memory();
        Self { peak_is_ours: reset_peak_memory(), taken, open: None }
    }

    /// A section begins, for so many trials. One that was still open ends.
    pub fn enter(&mut self, section: Section, sharers: usize) {
        self.leave();
        self.open = Some(Open { section, sharers, since: now(), cpu: cpu_seconds() });
    }

    /// The open section ends.
    pub fn leave(&mut self) {
        if let Some(Open { section, sharers, since, cpu }) = self.open.take() {
            let seconds = since.elapsed().as_secs_f64();
            *self.taken.sections.entry(section).or_default() += seconds;
            self.taken.cpu += (cpu_seconds() - cpu).max(0.0);
            self.taken.share += seconds / sharers.max(1) as f64;
            self.taken.together = self.taken.together.max(sharers);
        }
    }

    /// What a section would have taken was there.
    pub fn reuse(&mut self, section: Section, seconds: f64) {
        *self.taken.sections.entry(section).or_default() += seconds;
        self.taken.reused += seconds;
    }

    /// Everything up to now but for the section that is open.
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// The largest resident memory since the start, data sets and caches of earlier trials that are still held
    /// included. Only Linux tells it.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        peak_memory_bytes().filter(|_| self.peak_is_ours)
    }
}

impl Taken {
    /// What an earlier process has noted of a trial.
    pub fn again(seconds: &Seconds, share: f64, together: usize) -> Self {
        let Seconds { train, evaluation, data, checkpoint, audit, cpu, .. } = *seconds;
        let sections = [
            (Section::Train, train),
            (Section::Evaluation, evaluation),
            (Section::Data, data),
            (Section::Checkpoint, checkpoint),
            (Section::Audit, audit),
        ];
        Self { sections: sections.into(), reused: 0.0, cpu, share, together }
    }

    /// By section, as if the trial had run alone. [`Seconds::since`] gives the part after an earlier reading.
    pub fn seconds(&self) -> Seconds {
        let of = |section| self.sections.get(&section).copied().unwrap_or(0.0);
        let wall: f64 = self.sections.values().sum();
        // What was there already kept the processors as busy as the rest.
        let scale = if self.reused < wall { wall / (wall - self.reused) } else { 1.0 };
        Seconds {
            train: of(Section::Train),
            evaluation: of(Section::Evaluation),
            data: of(Section::Data),
            checkpoint: of(Section::Checkpoint),
            audit: of(Section::Audit),
            wall,
            cpu: self.cpu * scale,
        }
    }

    /// The seconds that it has had of what several have taken together, and how many those were at most.
    pub fn share(&self) -> (f64, usize) {
        (self.share, self.together)
    }
}

/// Seconds since some moment before the first call.
pub fn seconds() -> f64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(now).elapsed().as_secs_f64()
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

/// Seconds that the process's threads, past and present, have computed; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    cpu_time::ProcessTime::try_now().map_or(0.0, |time| time.as_duration().as_secs_f64())
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn sections_are_kept_apart_and_entering_ends_the_one_before() {
        let mut meter = Meter::start(Taken::default());
        for (section, pause) in [(Section::Train, 20), (Section::Data, 5), (Section::Train, 20)] {
            meter.enter(section, 1);
            std::thread::sleep(Duration::from_millis(pause));
        }
        let before = meter.taken().seconds();
        assert!(before.train >= 0.02 && before.train < before.wall, "{before:?}");
        meter.leave();
        std::thread::sleep(Duration::from_millis(50));
        let all = meter.taken().seconds();
        assert!(all.train >= 0.04 && all.data >= 0.005 && all.evaluation == 0.0, "{all:?}");
        assert!(
            (all.wall - all.train - all.data).abs() < 1e-9,
            "what is between sections is no part of it: {all:?}"
        );
        assert!(all.since(&before).train >= 0.02);
    }

    #[test]
    fn what_is_shared_counts_whole_for_each_and_in_parts_for_the_share() {
        let mut meter =
            Meter::start(Taken::again(&Seconds { train: 3.0, wall: 3.0, ..Seconds::default() }, 1.0, 2));
        meter.enter(Section::Train, 4);
        std::thread::sleep(Duration::from_millis(20));
        meter.leave();
        meter.reuse(Section::Evaluation, 5.0);
        let (seconds, (share, together)) = (meter.taken().seconds(), meter.taken().share());
        assert_eq!((seconds.evaluation, together), (5.0, 4));
        assert!(((share - 1.0) * 4.0 - (seconds.train - 3.0)).abs() < 1e-9, "{share} of {seconds:?}");
        assert!((seconds.wall - seconds.train - 5.0).abs() < 1e-9);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let mut meter = Meter::start(Taken::default());
        let mut x = 1u64;
        // On a busy machine the clock runs on without us, so the work goes on until it shows.
        while meter.taken().seconds().cpu < 0.05 && meter.taken().seconds().wall < 30.0 {
            meter.enter(Section::Train, 1);
            x = (0..1_000_000u64).fold(x, |x, i| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
            meter.leave();
        }
        assert!(std::hint::black_box(x) != 0 && meter.taken().seconds().cpu >= 0.05, "{meter:?}");
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
        let meter = Meter::start(Taken::default());
        let peak = meter.peak_memory_bytes().unwrap();
        touch(1024);
        let grown = meter.peak_memory_bytes().unwrap();
        assert!(grown >= peak + (128 << 20), "{peak} then {grown}");
    }
}
