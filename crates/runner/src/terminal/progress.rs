//! What a user sees while a sweep runs: [`Progress`], bars on a terminal and plain lines elsewhere. It only shows.

use std::io::IsTerminal;
use std::sync::Mutex;

use frostline_engine::EpochReport;
use frostline_experiment::{Trial, Trunk};
use frostline_results::{Outcome, Status, TrunkOutcome};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::tell;

/// The bars of a sweep, on standard error.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    live: bool,
    state: Mutex<Bars>,
}

#[derive(Debug, Default)]
struct Bars {
    sweep: Option<ProgressBar>,
    training: Option<ProgressBar>,
    download: Option<ProgressBar>,
    epochs: usize,
    done: usize,
    due: usize,
}

impl Progress {
    /// Bars where standard error is a terminal, else a line for each finished trial.
    pub fn new() -> Self {
        Self { bars: MultiProgress::new(), live: std::io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        if self.live {
            // A terminal that cannot be written to has nobody who reads it.
            let _ = self.bars.println(line);
        } else {
            tell(line);
        }
    }

    /// `due` trials are to run; `skipped` are stored already.
    pub fn sweep_begins(&self, due: usize, skipped: usize) {
        if skipped > 0 {
            self.say(&format!("{skipped} finished before, {due} to run"));
        }
        self.with(|bars| bars.due = due);
    }

    /// A training of so many epochs begins.
    pub fn training_begins(&self, label: &str, epochs: usize) {
        self.with(|bars| {
            bars.epochs = epochs;
            if self.live {
                let sweep = bars.sweep.get_or_insert_with(|| {
                    let style =
                        style("{prefix:>9} {wide_bar} {pos}/{len} trials, {elapsed} gone, {eta} to go");
                    let bar = ProgressBar::new(bars.due as u64).with_style(style).with_prefix("sweep");
                    self.bars.add(bar)
                });
                sweep.tick();
                let style = style("{prefix} {wide_bar} {msg}");
                let bar = ProgressBar::new(1).with_style(style).with_prefix(label.to_owned());
                bars.training = Some(self.bars.add(bar));
            }
        });
    }

    /// A step is done; all counts from 1.
    pub fn step(&self, epoch: usize, step: usize, steps: usize, loss: f64) {
        self.with(|bars| {
            if let Some(bar) = &bars.training {
                bar.set_length((bars.epochs * steps) as u64);
                bar.set_position(((epoch - 1) * steps + step) as u64);
                bar.set_message(format!("epoch {epoch}/{}, loss {loss:.3}", bars.epochs));
            }
        });
    }

    /// An epoch is done and evaluated.
    pub fn epoch(&self, report: &EpochReport) {
        self.with(|bars| {
            if let (Some(bar), Some(accuracy)) = (&bars.training, report.validation_accuracy) {
                bar.set_message(format!("epoch {}, validation {:.1} %", report.epoch, 100.0 * accuracy));
            }
        });
    }

    /// A trial is stored.
    pub fn trial_ends(&self, trial: &Trial, outcome: &Outcome) {
        let (done, due) = self.with(|bars| {
            bars.done += 1;
            if let Some(bar) = bars.training.take() {
                bar.finish_and_clear();
            }
            if let Some(bar) = &bars.sweep {
                bar.inc(1);
            }
            (bars.done, bars.due)
        });
        let what = match (&outcome.status, outcome.test_accuracy) {
            (Status::Finished, Some(accuracy)) => {
                format!("test {:.1} % in {:.1} s", 100.0 * accuracy, outcome.seconds.wall)
            }
            (Status::Failed { reason }, _) => format!("failed: {reason}"),
            (Status::Finished, None) => "finished".to_owned(),
        };
        self.say(&format!("{done:>3}/{due} {}  {what}", trial.label()));
    }

    /// A trunk is stored.
    pub fn pretraining_ends(&self, trunk: &Trunk, outcome: &TrunkOutcome) {
        self.with(|bars| {
            if let Some(bar) = bars.training.take() {
                bar.finish_and_clear();
            }
        });
        let what = match &outcome.status {
            Status::Finished => format!("in {:.1} s", outcome.seconds.wall),
            Status::Failed { reason } => format!("failed: {reason}"),
        };
        self.say(&format!("pretrained {}  {what}", trunk.label()));
    }

    /// Takes the bars away.
    pub fn sweep_ends(&self) {
        self.with(|bars| {
            for bar in [bars.training.take(), bars.sweep.take(), bars.download.take()].into_iter().flatten() {
                bar.finish_and_clear();
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Bars) -> T) -> T {
        // A panic while drawing leaves bars that are still fit to draw.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl frostline_hub::Progress for Progress {
    fn begin(&self, name: &str, total: Option<u64>) {
        if !self.live {
            return self.say(&format!("fetching {name}"));
        }
        let style = style("{prefix} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go");
        let bar = ProgressBar::new(total.unwrap_or(0)).with_style(style).with_prefix(name.to_owned());
        self.with(|bars| bars.download = Some(self.bars.add(bar)));
    }

    fn advance(&self, bytes_so_far: u64) {
        self.with(|bars| {
            if let Some(bar) = &bars.download {
                bar.set_position(bytes_so_far);
            }
        });
    }

    fn end(&self) {
        self.with(|bars| {
            if let Some(bar) = bars.download.take() {
                bar.finish_and_clear();
            }
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━╌")
}
