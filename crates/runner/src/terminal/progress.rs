//! What a user sees while a sweep runs: [`Progress`], in the [`Form`] that was asked for. It only shows.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use frostline_engine::EpochReport;
use frostline_experiment::{Trial, Trunk};
use frostline_results::{Outcome, Place, Status, TrunkOutcome};
use frostline_text::{duration, plural, rate};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::pace::Pace;
use super::tell;

/// Without a terminal, epochs have lines of their own where the last line is so long ago.
const SILENCE: Duration = Duration::from_secs(30);

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bars on standard error.
    Bars,
    /// A line for each trial on standard error.
    Lines,
    /// Nothing but errors.
    Quiet,
    /// An event a line, as JSON, on standard output.
    Events,
}

impl Form {
    /// Bars where standard error is a terminal, else lines.
    pub fn of_terminal() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }
}

/// The progress of a sweep.
#[derive(Debug)]
pub struct Progress {
    form: Form,
    bars: MultiProgress,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sweep: Option<ProgressBar>,
    training: Option<ProgressBar>,
    download: Option<ProgressBar>,
    loss: f64,
    accuracy: Option<f64>,
    last_line: Instant,
    pace: Pace,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new(form: Form) -> Self {
        let began = now();
        let state = State {
            sweep: None,
            training: None,
            download: None,
            loss: 0.0,
            accuracy: None,
            last_line: began,
            pace: Pace::default(),
        };
        Self { form, bars: MultiProgress::new(), began, state: Mutex::new(state) }
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        match self.form {
            // A terminal that cannot be written to has nobody who reads it.
            Form::Bars => drop(self.bars.println(line)),
            Form::Lines => tell(line),
            Form::Events => self.event("note", json!({ "text": line })),
            Form::Quiet => {}
        }
        self.with(|state| state.last_line = now());
    }

    /// An event, with what belongs to it; nothing in the other forms.
    pub fn event(&self, name: &str, mut of: Value) {
        if self.form == Form::Events
            && let Some(fields) = of.as_object_mut()
        {
            fields.insert("event".to_owned(), name.into());
            fields.insert("seconds".to_owned(), self.began.elapsed().as_secs_f64().into());
            let _ = writeln!(std::io::stdout().lock(), "{of}"); // A reader that has gone is no reason to stop.
        }
    }

    /// `due` trials are to run; `skipped` are stored already.
    pub fn sweep_begins(&self, due: usize, skipped: usize) {
        self.event("sweep-begins", json!({ "due": due, "stored": skipped }));
        if skipped > 0 && self.form != Form::Events {
            self.say(&format!("{skipped} finished before, {due} to run"));
        }
        self.with(|state| {
            // A sweep after one that has ended counts anew.
            if state.pace.done >= state.pace.due {
                state.pace = Pace::default();
                if let Some(bar) = state.sweep.take() {
                    bar.finish_and_clear();
                }
            }
            state.pace.due = due;
        });
    }

    /// A training of so many epochs and images a batch begins.
    pub fn training_begins(&self, label: &str, epochs: usize, batch: usize) {
        self.event("training-begins", json!({ "label": label, "epochs": epochs }));
        let now = self.now();
        self.with(|state| {
            (state.loss, state.accuracy) = (0.0, None);
            state.pace.begins(now, epochs, batch);
            if self.form == Form::Bars {
                let sweep = state.sweep.get_or_insert_with(|| {
                    let style = style("{prefix:>9} {wide_bar} {pos}/{len} trials, {elapsed} gone{msg}");
                    let bar = ProgressBar::new(state.pace.due as u64).with_style(style).with_prefix("sweep");
                    self.bars.add(bar)
                });
                sweep.tick();
                let style = style("{prefix} {wide_bar} {msg}");
                let bar = ProgressBar::new(1).with_style(style).with_prefix(label.to_owned());
                state.training = Some(self.bars.add(bar));
            }
        });
    }

    /// A training goes on from where it was kept.
    pub fn goes_on(&self, place: &Place) {
        let Place { of, done, steps, .. } = place;
        self.event("goes-on", json!({ "of": of, "epochs": done, "steps": steps }));
        self.line(&format!("{of} goes on after {}, {}", plural(*done, "epoch"), plural(*steps, "step")));
    }

    /// A step is done; all counts from 1.
    pub fn step(&self, epoch: usize, step: usize, steps: usize, loss: f64) {
        let now = self.now();
        self.with(|state| {
            state.pace.step(epoch, step, steps);
            state.loss = loss;
            if let Some(bar) = &state.training {
                let (_, done, all) = state.pace.progress();
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(state.line(epoch, now));
            }
            if let (Some(bar), Some(left)) = (&state.sweep, state.pace.sweep_left(now)) {
                bar.set_message(format!(", about {} to go", duration(left)));
            }
        });
    }

    /// An epoch of the training with this label is done and evaluated.
    pub fn epoch(&self, label: &str, report: &EpochReport) {
        let at = self.now();
        let (line, epochs, pace, silent) = self.with(|state| {
            state.accuracy = report.validation_accuracy.or(report.train_accuracy);
            state.loss = report.train_loss;
            if let Some(bar) = &state.training {
                bar.set_message(state.line(report.epoch, at));
            }
            let silent = state.last_line.elapsed() >= SILENCE;
            let pace = state.pace.clone();
            (state.line(report.epoch, at), pace.progress().0, pace, silent)
        });
        self.event(
            "epoch",
            json!({
                "label": label, "epoch": report.epoch, "epochs": epochs, "phase": report.phase,
                "learning_rate": report.learning_rate, "train_loss": report.train_loss,
                "train_accuracy": report.train_accuracy, "validation_loss": report.validation_loss,
                "validation_accuracy": report.validation_accuracy,
                "images_per_second": pace.images_per_second(at),
                "training_seconds_left": pace.training_left(at), "sweep_seconds_left": pace.sweep_left(at),
            }),
        );
        if self.form == Form::Lines && silent {
            self.say(&format!("        {label}  {line}"));
        }
    }

    /// A trial, which the user knows by its label, is stored.
    pub fn trial_ends(&self, label: &str, trial: &Trial, outcome: &Outcome) {
        let now = self.now();
        let (done, due, left) = self.with(|state| {
            state.pace.ends(now);
            state.end_training();
            if let Some(bar) = &state.sweep {
                bar.inc(1);
            }
            (state.pace.done, state.pace.due, state.pace.sweep_left(now))
        });
        let what = match (&outcome.status, outcome.test_accuracy) {
            (Status::Finished, Some(accuracy)) => {
                format!("test {:.1} % in {}", 100.0 * accuracy, duration(outcome.seconds.wall))
            }
            (Status::Failed { reason }, _) => format!("failed: {reason}"),
            (Status::Finished, None) => "finished".to_owned(),
        };
        let (state, reason) = state_of(&outcome.status);
        self.event(
            "trial-ends",
            json!({
                "trial": trial.id, "label": label, "state": state, "reason": reason, "done": done, "due": due,
                "test_accuracy": outcome.test_accuracy, "validation_accuracy": outcome.validation_accuracy,
                "wall_seconds": outcome.seconds.wall, "images_per_second": outcome.images_per_second,
                "sweep_seconds_left": left,
            }),
        );
        let left = match left {
            Some(left) if done < due => format!(", about {} to go", duration(left)),
            _ => String::new(),
        };
        self.line(&format!("{done:>3}/{due} {label}  {what}{left}"));
    }

    /// A trunk is stored.
    pub fn pretraining_ends(&self, trunk: &Trunk, outcome: &TrunkOutcome) {
        self.with(State::end_training);
        let what = match &outcome.status {
            Status::Finished => format!("in {}", duration(outcome.seconds.wall)),
            Status::Failed { reason } => format!("failed: {reason}"),
        };
        let (state, reason) = state_of(&outcome.status);
        self.event(
            "pretraining-ends",
            json!({
                "trunk": trunk.id, "label": trunk.label(), "state": state, "reason": reason,
                "wall_seconds": outcome.seconds.wall,
            }),
        );
        self.line(&format!("pretrained {}  {what}", trunk.label()));
    }

    /// Takes the bars away.
    pub fn sweep_ends(&self) {
        self.with(|state| {
            let bars = [state.training.take(), state.sweep.take(), state.download.take()];
            bars.into_iter().flatten().for_each(|bar| bar.finish_and_clear());
        });
    }

    /// A line of what an event has told already.
    fn line(&self, line: &str) {
        if self.form != Form::Events {
            self.say(line);
        }
    }

    /// Seconds since the beginning.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic while drawing leaves bars that are still fit to draw.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl State {
    /// How a training stands: `epoch 3/10, loss 0.412, 85.2 %, 1,234 images/s, 12.0 s to go`.
    fn line(&self, epoch: usize, now: f64) -> String {
        let mut line = format!("epoch {epoch}/{}, loss {:.3}", self.pace.progress().0, self.loss);
        if let Some(accuracy) = self.accuracy {
            line += &format!(", {:.1} %", 100.0 * accuracy);
        }
        if let Some(images) = self.pace.images_per_second(now) {
            line += &format!(", {} images/s", rate(images));
        }
        if let Some(left) = self.pace.training_left(now) {
            line += &format!(", {} to go", duration(left));
        }
        line
    }

    fn end_training(&mut self) {
        if let Some(bar) = self.training.take() {
            bar.finish_and_clear();
        }
    }
}

fn state_of(status: &Status) -> (&'static str, Option<&str>) {
    match status {
        Status::Finished => ("finished", None),
        Status::Failed { reason } => ("failed", Some(reason)),
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the runner tells how long things take")]
    Instant::now()
}

impl frostline_hub::Progress for Progress {
    fn begin(&self, name: &str, total: Option<u64>) {
        if self.form != Form::Bars {
            return self.say(&format!("fetching {name}"));
        }
        let style = style("{prefix} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go");
        let bar = ProgressBar::new(total.unwrap_or(0)).with_style(style).with_prefix(name.to_owned());
        self.with(|state| state.download = Some(self.bars.add(bar)));
    }

    fn advance(&self, bytes_so_far: u64) {
        self.with(|state| {
            if let Some(bar) = &state.download {
                bar.set_position(bytes_so_far);
            }
        });
    }

    fn end(&self) {
        self.with(|state| {
            if let Some(bar) = state.download.take() {
                bar.finish_and_clear();
            }
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━╌")
}
