//! Results in the files of other tools: [`tensorboard`] writes event files, [`mlflow`] a local file store. Both are written from what is
//! stored, and writing them again gives the same files.

mod mlflow;
mod tensorboard;

pub use mlflow::mlflow;
pub use tensorboard::tensorboard;

use std::time::UNIX_EPOCH;

use frostline_results::{EpochRecord, Outcome, StoredTrial};

/// A number of an epoch, counted from 1, that was measured so many seconds after 1970.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    name: &'static str,
    value: f64,
    epoch: usize,
    time: f64,
}

/// A name, and the number that it is of something.
type Named<T> = (&'static str, fn(&T) -> Option<f64>);

/// What of an epoch is a curve.
const CURVES: [Named<EpochRecord>; 5] = [
    ("loss/train", |epoch| epoch.train_loss),
    ("loss/validation", |epoch| epoch.validation_loss),
    ("accuracy/train", |epoch| epoch.train_accuracy),
    ("accuracy/validation", |epoch| epoch.validation_accuracy),
    ("learning-rate", |epoch| Some(epoch.learning_rate)),
];

/// What of a trial is one number, at the epoch that was kept.
const OUTCOMES: [Named<Outcome>; 4] = [
    ("accuracy/test", |outcome| outcome.test_accuracy),
    ("loss/test", |outcome| outcome.test_loss),
    ("seconds/wall", |outcome| Some(outcome.seconds.wall)),
    ("images-per-second", |outcome| outcome.images_per_second),
];

/// When a trial began, in seconds after 1970; 0 where that cannot be read.
fn began(outcome: &Outcome) -> f64 {
    let time = humantime::parse_rfc3339_weak(&outcome.started_at).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |since| since.as_secs_f64())
}

/// All numbers of a trial, in the order of their times.
fn points(stored: &StoredTrial) -> Vec<Point> {
    let mut time = began(&stored.outcome);
    let mut points = Vec::new();
    for record in &stored.epochs {
        time += record.seconds.wall;
        for (name, of) in CURVES {
            points.extend(of(record).map(|value| Point { name, value, epoch: record.epoch, time }));
        }
    }
    let end = time.max(began(&stored.outcome) + stored.outcome.seconds.wall);
    let kept = stored.outcome.chosen_epoch.unwrap_or(stored.epochs.len());
    for (name, of) in OUTCOMES {
        points.extend(of(&stored.outcome).map(|value| Point { name, value, epoch: kept, time: end }));
    }
    points
}

/// A text that is a file's name anywhere.
fn file_name(text: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    text.chars().map(keep).collect()
}
