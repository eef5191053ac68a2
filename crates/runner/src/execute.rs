//! The sweep: [`Sweep`] resolves everything that a plan needs, then trains its trials one by one and stores each.
//!
//! Nothing is trained before every data set and every weight file is here and verified. A trial that fails is stored
//! as failed and the sweep goes on; a result that cannot be stored ends the sweep, with all earlier ones kept.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_data::{Augment, DataError, Dataset, Prepared, Source, Splits};
use frostline_engine::{EngineError, EpochReport, Event, Observer, Recipe, Task, Trained, train};
use frostline_hub::Hub;
use frostline_models::{
    BuildSpec, HeadPolicy, Lineage, Model, ModelError, Normalisation, Resolved, WeightsSource, build, card,
};

use crate::measure::{Meter, timestamp};
use crate::plan::{Plan, Trial};
use crate::progress::Progress;
use crate::recipe::{recipe_of, strategy_of};
use crate::results::{
    DataRecord, EpochRecord, FileRecord, Outcome, Seconds, State, Status, Store, StoreError, TrialResult,
    WeightsRecord,
};

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trained and stored now.
    pub finished: usize,
    /// Failed and stored as failed now.
    pub failed: usize,
    /// Stored by an earlier sweep, and left alone.
    pub skipped: usize,
    /// Not begun, or given up, since the sweep was interrupted.
    pub left: usize,
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A data set is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A weight file is missing or broken.
    #[error("weights for {model}: {source}")]
    Weights {
        /// The model that they are for.
        model: String,
        /// What is wrong.
        source: ModelError,
    },
    /// Results cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting of the plan that the crates below do not take.
    #[error("trial {trial}: {problem}")]
    Setting {
        /// The trial's id.
        trial: String,
        /// What is wrong.
        problem: String,
    },
}

/// A sweep under way.
pub struct Sweep<'a> {
    plan: &'a Plan,
    store: &'a mut Store,
    progress: &'a Progress,
    interrupted: &'a AtomicBool,
    environment: String,
    threads: usize,
    force: bool,
    prepared: BTreeMap<String, Prepared>,
    weights: BTreeMap<(String, String), Option<Resolved>>,
    datasets: BTreeMap<(String, usize), Dataset>,
}

/// What a sweep runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The id of the environment, a key of `environment.json`.
    pub environment: String,
    /// Threads that compute.
    pub threads: usize,
    /// Whether finished trials are redone.
    pub force: bool,
}

impl<'a> Sweep<'a> {
    /// A sweep of `plan` into `store`. It stops at the next step after `interrupted` becomes true.
    pub fn new(
        plan: &'a Plan,
        store: &'a mut Store,
        progress: &'a Progress,
        interrupted: &'a AtomicBool,
        settings: Settings,
    ) -> Self {
        let Settings { environment, threads, force } = settings;
        let (prepared, weights, datasets) = Default::default();
        Self { plan, store, progress, interrupted, environment, threads, force, prepared, weights, datasets }
    }

    /// Fetches and verifies what the trials need, then trains those that are not stored yet.
    ///
    /// # Errors
    /// [`SweepError`], before the first trial for everything but a failed write.
    pub fn run(mut self, hub: &Hub) -> Result<Tally, SweepError> {
        let due: Vec<&Trial> = self.plan.trials.iter().filter(|trial| self.is_due(trial)).collect();
        let mut tally = Tally { skipped: self.plan.trials.len() - due.len(), ..Tally::default() };
        self.progress.sweep_begins(due.len(), tally.skipped);
        self.resolve(&due, hub)?;
        for (done, trial) in due.iter().enumerate() {
            if self.interrupted.load(Ordering::Relaxed) {
                tally.left = due.len() - done;
                break;
            }
            match self.trial(trial)? {
                Some(Status::Finished) => tally.finished += 1,
                Some(Status::Failed { .. }) => tally.failed += 1,
                None => {
                    tally.left = due.len() - done;
                    break;
                }
            }
        }
        self.progress.sweep_ends();
        Ok(tally)
    }

    /// Finished trials are due only by force. A failed one would fail again, as its numbers depend on its id alone.
    fn is_due(&self, trial: &Trial) -> bool {
        let stored = self.store.state(&trial.id);
        self.force || !matches!(stored, Some(State::Finished | State::Failed { .. }))
    }

    /// Downloads, verifies and reads the headers of everything, so that nothing is missing later.
    fn resolve(&mut self, due: &[&Trial], hub: &Hub) -> Result<(), SweepError> {
        for trial in due {
            let setting = |problem: String| SweepError::Setting { trial: trial.id.clone(), problem };
            if !self.prepared.contains_key(&trial.data.source) {
                let source: Source = trial.data.source.parse()?;
                let prepared = frostline_data::prepare(&source, hub, self.progress)?;
                self.prepared.insert(trial.data.source.clone(), prepared);
            }
            let key = (trial.model.clone(), trial.weights.clone());
            if !self.weights.contains_key(&key) {
                let source: WeightsSource = trial.weights.parse().map_err(|e| setting(format!("{e}")))?;
                let failed = |source| SweepError::Weights { model: trial.model.clone(), source };
                let card = card(&trial.model).map_err(|unknown| failed(unknown.into()))?;
                let resolved =
                    frostline_models::resolve(card, &source, hub, self.progress).map_err(failed)?;
                self.weights.insert(key, resolved);
            }
            recipe_of(&trial.train).map_err(setting)?;
        }
        for trial in due {
            self.open_dataset(trial)?;
            split(trial, &self.datasets[&dataset_key(trial)])?;
        }
        Ok(())
    }

    fn open_dataset(&mut self, trial: &Trial) -> Result<(), SweepError> {
        let key = dataset_key(trial);
        if !self.datasets.contains_key(&key) {
            self.progress.say(&format!("decoding {} at {} px", trial.data.source, trial.resolution));
            let resolution = Some((trial.resolution, trial.resolution));
            let dataset = frostline_data::open(&self.prepared[&trial.data.source], resolution)?;
            self.datasets.insert(key, dataset);
        }
        Ok(())
    }

    /// Trains and stores one trial; `None` where it was interrupted, and nothing is stored.
    fn trial(&mut self, trial: &Trial) -> Result<Option<Status>, SweepError> {
        self.progress.trial_begins(trial);
        let mut outcome = Outcome::started(trial, self.threads, timestamp(), self.environment.clone());
        let weights =
            self.weights.get(&(trial.model.clone(), trial.weights.clone())).and_then(Option::as_ref);
        let dataset = &self.datasets[&dataset_key(trial)];
        let mut witness = Witness::new(self.progress, self.interrupted);
        let done = attempt(|| run_trial(trial, dataset, weights, &mut outcome, &mut witness));
        witness.meter.leave();
        outcome.seconds = witness.meter.seconds();
        outcome.peak_memory_bytes = witness.meter.peak_memory_bytes();
        let predictions = match done {
            Ok(Err(EngineError::Interrupted)) => return Ok(None),
            Ok(Ok(trained)) => {
                record(&mut outcome, &trained);
                trained.test.predictions
            }
            Ok(Err(error)) => {
                outcome.status = Status::Failed { reason: error.to_string() };
                Vec::new()
            }
            Err(panic) => {
                let reason = format!("a defect of Frostline, please report it: {panic}");
                outcome.status = Status::Failed { reason };
                Vec::new()
            }
        };
        let result = TrialResult { outcome, epochs: witness.epochs, predictions };
        self.store.save(trial, &result, self.force)?;
        self.progress.trial_ends(trial, &result.outcome);
        Ok(Some(result.outcome.status))
    }
}

fn dataset_key(trial: &Trial) -> (String, usize) {
    (trial.data.source.clone(), trial.resolution)
}

fn split(trial: &Trial, dataset: &Dataset) -> Result<Splits, DataError> {
    frostline_data::split(dataset, trial.data.validation, trial.data.per_class, trial.seed)
}

/// Builds, loads and trains; what is known on the way goes into `outcome`, so that a failure keeps it.
fn run_trial(
    trial: &Trial,
    dataset: &Dataset,
    weights: Option<&Resolved>,
    outcome: &mut Outcome,
    observer: &mut Witness<'_>,
) -> Result<Trained, EngineError> {
    let unfit = |problem: String| EngineError::Unfit(problem);
    let splits = split(trial, dataset)?;
    outcome.data = Some(data_record(dataset, &splits));
    let model = prepare_model(trial, dataset.classes.len(), weights)?;
    let (mean, std) = weights.map_or((Normalisation::IMAGENET.mean, Normalisation::IMAGENET.std), |w| {
        (w.lineage.mean, w.lineage.std)
    });
    outcome.weights = weights.map(|w| weights_record(&w.lineage));
    outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
    outcome.multiply_adds = Some(model.summary().iter().map(|stage| stage.multiply_adds).sum());
    let recipe: Recipe = recipe_of(&trial.train).map_err(unfit)?;
    let strategy = strategy_of(trial).map_err(unfit)?;
    let task = Task {
        model: &model,
        dataset,
        splits: &splits,
        augment: Augment::parse_all(&trial.data.augment)?,
        mean,
        std,
        recipe: &recipe,
        strategy: &strategy,
        seed: trial.seed,
    };
    observer.restart();
    train(&task, observer)
}

fn prepare_model(trial: &Trial, classes: usize, weights: Option<&Resolved>) -> Result<Model, ModelError> {
    let (height, width) = (trial.resolution, trial.resolution);
    let model = build(&trial.model, &BuildSpec { classes, height, width, seed: trial.seed })?;
    if let Some(weights) = weights {
        model.load(&frostline_models::read_safetensors(&weights.path)?, HeadPolicy::Redraw)?;
    }
    Ok(model)
}

/// Runs `work`; a panic in it becomes its message.
fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
    })
}

fn record(outcome: &mut Outcome, trained: &Trained) {
    outcome.status = Status::Finished;
    outcome.test_accuracy = Some(trained.test.accuracy);
    outcome.test_loss = Some(trained.test.loss);
    outcome.chosen_epoch = Some(trained.chosen_epoch);
    outcome.validation_accuracy = trained.epochs[trained.chosen_epoch - 1].validation_accuracy;
    outcome.trainable_parameters = Some(trained.trainable_parameters as u64);
    let images = outcome.data.as_ref().map_or(0, |data| data.train) * trained.epochs.len();
    outcome.images_per_second = Some(images as f64 / outcome.seconds.train).filter(|rate| rate.is_finite());
}

fn data_record(dataset: &Dataset, splits: &Splits) -> DataRecord {
    let files = dataset.files.iter().map(|file| FileRecord {
        name: file.name.clone(),
        revision: file.revision.clone(),
        sha256: file.sha256.clone(),
        size: file.size,
    });
    DataRecord {
        source: dataset.source.clone(),
        digest: dataset.digest.clone(),
        classes: dataset.classes.len(),
        train: splits.train.len(),
        validation: splits.validation.len(),
        test: dataset.test.len(),
        licence: dataset.licence.clone(),
        files: files.collect(),
    }
}

fn weights_record(lineage: &Lineage) -> WeightsRecord {
    let Lineage { source, repo, revision, file, sha256, size, licence, mean, std } = lineage.clone();
    WeightsRecord { source, repo, revision, file, sha256, size, licence, mean, std }
}

/// Listens to a trial: takes its times, keeps its epochs, moves the bar, and ends it when the user asks.
struct Witness<'a> {
    progress: &'a Progress,
    interrupted: &'a AtomicBool,
    meter: Meter,
    before: Seconds,
    epochs: Vec<EpochRecord>,
}

impl<'a> Witness<'a> {
    fn new(progress: &'a Progress, interrupted: &'a AtomicBool) -> Self {
        Self { progress, interrupted, meter: Meter::start(), before: Seconds::default(), epochs: Vec::new() }
    }

    /// Starts the clock: building the model and reading weights are not part of a trial's time.
    fn restart(&mut self) {
        (self.meter, self.before) = (Meter::start(), Seconds::default());
    }

    fn epoch(&mut self, report: &EpochReport) {
        let now = self.meter.seconds();
        let number = |x: f64| Some(x).filter(|x| x.is_finite());
        self.epochs.push(EpochRecord {
            epoch: report.epoch,
            phase: report.phase.clone(),
            learning_rate: report.learning_rate,
            rates: report.rates.iter().map(|rate| (rate.part.clone(), rate.learning_rate)).collect(),
            train_loss: number(report.train_loss),
            train_accuracy: number(report.train_accuracy),
            validation_loss: report.validation_loss.and_then(number),
            validation_accuracy: report.validation_accuracy,
            seconds: now.since(&self.before),
        });
        self.before = now;
    }
}

impl Observer for Witness<'_> {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Enter(section) => self.meter.enter(section),
            Event::Leave(_) => self.meter.leave(),
            Event::Step { epoch, step, steps, loss, .. } => self.progress.step(epoch, step, steps, loss),
            Event::Epoch(report) => {
                self.epoch(report);
                self.progress.epoch(report);
            }
            Event::Phase { .. } => {}
        }
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
