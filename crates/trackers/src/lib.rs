//! Results in the files of other tools: event files for TensorBoard, a local file store for MLflow. [`Trackers::underway`] writes how a
//! trial stands while it trains, [`Trackers::write`] what is stored; writing the same again changes no file.

mod mlflow;
mod tensorboard;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use frostline_experiment::Trial;
use frostline_results::{EpochRecord, Outcome, Results, StoreError, StoredTrial, write_file};

/// The folders that files are written to; none for a tool that is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trackers {
    /// For TensorBoard: `tensorboard --logdir FOLDER` shows them.
    pub tensorboard: Option<PathBuf>,
    /// For MLflow: `mlflow ui --backend-store-uri FOLDER` shows them.
    pub mlflow: Option<PathBuf>,
}

impl Trackers {
    /// Writes all stored trials: for each tool that is asked for its name, its folder and the number of runs.
    ///
    /// # Errors
    /// A failed write.
    pub fn write(&self, results: &Results) -> Result<Vec<(&'static str, &Path, usize)>, StoreError> {
        let runs: Vec<Run<'_>> = results.trials.iter().map(Run::stored).collect();
        self.put(&results.plan.experiment, &runs)
    }

    /// Writes a trial of an experiment that trains now, has done `epochs` and began at `started_at`, in RFC 3339.
    ///
    /// # Errors
    /// A failed write.
    pub fn underway(
        &self,
        experiment: &str,
        trial: &Trial,
        started_at: &str,
        epochs: &[EpochRecord],
    ) -> Result<(), StoreError> {
        self.put(experiment, &[Run { trial, began: seconds_of(started_at), epochs, outcome: None }]).map(drop)
    }

    fn put(
        &self,
        experiment: &str,
        runs: &[Run<'_>],
    ) -> Result<Vec<(&'static str, &Path, usize)>, StoreError> {
        let mut written = Vec::new();
        if let Some(folder) = &self.tensorboard {
            tensorboard::write(folder, runs)?;
            written.push(("TensorBoard", folder.as_path(), runs.len()));
        }
        if let Some(folder) = &self.mlflow {
            mlflow::write(folder, experiment, runs)?;
            written.push(("MLflow", folder.as_path(), runs.len()));
        }
        Ok(written)
    }
}

/// A trial, as tools see it.
struct Run<'a> {
    trial: &'a Trial,
    /// Seconds after 1970; 0 where that cannot be read.
    began: f64,
    epochs: &'a [EpochRecord],
    /// None while it trains.
    outcome: Option<&'a Outcome>,
}

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

impl<'a> Run<'a> {
    fn stored(stored: &'a StoredTrial) -> Self {
        let StoredTrial { trial, outcome, epochs, .. } = stored;
        Self { trial, began: seconds_of(&outcome.started_at), epochs, outcome: Some(outcome) }
    }

    /// All numbers, in the order of their times.
    fn points(&self) -> Vec<Point> {
        let mut time = self.began;
        let mut points = Vec::new();
        for record in self.epochs {
            time += record.seconds.wall;
            for (name, of) in CURVES {
                points.extend(of(record).map(|value| Point { name, value, epoch: record.epoch, time }));
            }
        }
        if let Some(outcome) = self.outcome {
            let end = time.max(self.began + outcome.seconds.wall);
            let kept = outcome.chosen_epoch.unwrap_or(self.epochs.len());
            for (name, of) in OUTCOMES {
                points.extend(of(outcome).map(|value| Point { name, value, epoch: kept, time: end }));
            }
        }
        points
    }
}

fn seconds_of(timestamp: &str) -> f64 {
    let time = humantime::parse_rfc3339_weak(timestamp).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |since| since.as_secs_f64())
}

/// A text that is a file's name anywhere.
fn file_name(text: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    text.chars().map(keep).collect()
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| StoreError::writing(folder, error))
}

/// Writes a file unless that is what it holds.
fn put_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    if fs::read(path).is_ok_and(|there| there == content) { Ok(()) } else { write_file(path, content) }
}
