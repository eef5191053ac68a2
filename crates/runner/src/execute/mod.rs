//! The sweep: [`Sweep`] resolves everything that a plan needs, then trains its trials one by one and stores each.
//!
//! Nothing is trained before every data set and every weight file is here and verified. A trial that fails is stored
//! as failed and the sweep goes on; a result that cannot be stored ends the sweep, with all earlier ones kept.

mod error;
mod keep;
mod models;
mod records;
mod trunks;
mod witness;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_data::{Augment, DataError, Dataset, Prepared, Source, Splits};
use frostline_engine::{EngineError, Recipe, Task, Trained, fold, train};
use frostline_hub::Hub;
use frostline_models::{Resolved, WeightsSource, card};

use crate::checkpoints::Checkpoints;
use crate::measure::timestamp;
use crate::plan::{DataSpec, Plan, Trial};
use crate::progress::Progress;
use crate::recipe::{objective_of, recipe_of, strategy_of};
use crate::results::{Checkpoint, EpochRecord, Outcome, State, Status, Store, TrialResult};
use crate::trial::pretraining_name;
pub use error::SweepError;
use keep::Keeper;
use records::{data_record, weights_record};
use trunks::Made;
use witness::Witness;

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
    datasets: BTreeMap<DatasetKey, Dataset>,
    /// The digest of each source's whole set.
    digests: BTreeMap<String, String>,
    trunks: BTreeMap<String, Made>,
    /// Whether trunks that are stored are made anew.
    remake: bool,
}

/// The source, the chosen classes, and the side in pixels.
type DatasetKey = (String, Vec<String>, usize);

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
        let (prepared, weights, datasets, digests, trunks) = Default::default();
        Self {
            plan,
            store,
            progress,
            interrupted,
            environment,
            threads,
            force,
            prepared,
            weights,
            datasets,
            digests,
            trunks,
            remake: false,
        }
    }

    /// Makes the trunks of a plan's trials that are not stored yet, or all by force, and trains no trial.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub fn pretrain(mut self, hub: &Hub) -> Result<Tally, SweepError> {
        self.remake = self.force;
        let trials: Vec<&Trial> = self.plan.trials.iter().collect();
        let trunks = self.plan.trunks();
        self.progress.sweep_begins(trunks.len(), 0);
        self.resolve(&trials, hub)?;
        let mut tally = Tally::default();
        for (done, trunk) in trunks.iter().enumerate() {
            match self.trunk(trunk)? {
                Made::Ready(..) => tally.finished += 1,
                Made::Failed(_) => tally.failed += 1,
                Made::Interrupted => {
                    tally.left = trunks.len() - done;
                    break;
                }
            }
        }
        self.progress.sweep_ends();
        Ok(tally)
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
        self.check_room(&due)?;
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

    /// Finished trials are due only by force. A failed one would fail again, as its numbers depend on its id alone, unless
    /// it was its pretraining that failed and has been done since.
    fn is_due(&self, trial: &Trial) -> bool {
        match self.store.state(&trial.id) {
            Some(State::Failed { reason }) if trunks::failed_before(reason) => {
                self.force || self.is_pretrained(trial)
            }
            Some(State::Finished | State::Failed { .. }) => self.force,
            _ => true,
        }
    }

    /// Downloads, verifies and reads the headers of everything, so that nothing is missing later.
    fn resolve(&mut self, due: &[&Trial], hub: &Hub) -> Result<(), SweepError> {
        for trial in due {
            let setting = |problem: String| SweepError::Setting { trial: trial.id.clone(), problem };
            self.prepare(&trial.data, hub)?;
            if let Some(trunk) = trial.trunk() {
                self.prepare(&trunk.pretraining.data, hub)?;
                recipe_of(&trunk.pretraining.train).map_err(setting)?;
                objective_of(&trunk.pretraining).map_err(setting)?;
            }
            let key = (trial.model.clone(), trial.weights.clone());
            if !self.weights.contains_key(&key) && pretraining_name(&trial.weights).is_none() {
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
            self.open_dataset(&trial.data, trial.resolution)?;
            split(trial, &self.datasets[&dataset_key(&trial.data, trial.resolution)])?;
            if let Some(trunk) = trial.trunk() {
                let data = &trunk.pretraining.data;
                self.open_dataset(data, trunk.resolution)?;
                if data.source != trial.data.source
                    && self.digests[&data.source] == self.digests[&trial.data.source]
                {
                    let problem = format!(
                        "{} and {} are the same images, so validation images cannot be kept out of [pretrain.{}]; write \
                         both sources alike",
                        data.source, trial.data.source, trunk.name
                    );
                    return Err(SweepError::Setting { trial: trial.id.clone(), problem });
                }
                trunks::split(&trunk, &self.datasets[&dataset_key(data, trunk.resolution)])?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, data: &DataSpec, hub: &Hub) -> Result<(), SweepError> {
        if !self.prepared.contains_key(&data.source) {
            let source: Source = data.source.parse()?;
            let prepared = frostline_data::prepare(&source, hub, self.progress)?;
            self.prepared.insert(data.source.clone(), prepared);
        }
        Ok(())
    }

    fn open_dataset(&mut self, data: &DataSpec, resolution: usize) -> Result<(), SweepError> {
        let key = dataset_key(data, resolution);
        if !self.datasets.contains_key(&key) {
            self.progress.say(&format!("decoding {} at {resolution} px", data.source));
            let size = Some((resolution, resolution));
            let mut dataset = frostline_data::open(&self.prepared[&data.source], size)?;
            self.digests.insert(data.source.clone(), dataset.digest.clone());
            if !data.classes.is_empty() {
                dataset = dataset.of_classes(&data.classes)?;
            }
            self.datasets.insert(key, dataset);
        }
        Ok(())
    }

    /// Trains and stores one trial, after the trunk that it starts from; `None` where it was interrupted, and nothing of
    /// the trial is stored.
    fn trial(&mut self, trial: &Trial) -> Result<Option<Status>, SweepError> {
        let trunk = trial.trunk().map(|trunk| self.trunk(&trunk)).transpose()?;
        let mut outcome = Outcome::started(trial, self.threads, timestamp(), self.environment.clone());
        let weights = match trunk {
            Some(Made::Interrupted) => return Ok(None),
            Some(Made::Failed(reason)) => {
                outcome.status = Status::Failed { reason };
                return self.store(trial, failed(outcome, Vec::new()));
            }
            Some(Made::Ready(resolved, record)) => {
                outcome.pretraining = Some(record);
                Some(*resolved)
            }
            None => self.weights.get(&(trial.model.clone(), trial.weights.clone())).cloned().flatten(),
        };
        let dataset = &self.datasets[&dataset_key(&trial.data, trial.resolution)];
        self.progress.training_begins(&trial.label(), trial.train.epochs);
        let mut witness = Witness::new(self.progress, self.interrupted);
        let policy = self.plan.checkpoints;
        let done =
            attempt(|| run_trial(trial, dataset, weights.as_ref(), policy, &mut outcome, &mut witness));
        let result = match done {
            Err(Attempt::Interrupted) => return Ok(None),
            Ok((trained, checkpoint)) => {
                record(&mut outcome, &trained);
                outcome.checkpoint = checkpoint.as_ref().map(|checkpoint| checkpoint.record.clone());
                let predictions = trained.test.predictions;
                TrialResult { outcome, epochs: witness.epochs, predictions, checkpoint }
            }
            Err(Attempt::Failed(reason)) => {
                (outcome.seconds, outcome.peak_memory_bytes) = witness.measured();
                outcome.status = Status::Failed { reason };
                failed(outcome, witness.epochs)
            }
        };
        self.store(trial, result)
    }

    fn store(&mut self, trial: &Trial, result: TrialResult) -> Result<Option<Status>, SweepError> {
        self.store.save(trial, &result, self.force)?;
        self.progress.trial_ends(trial, &result.outcome);
        Ok(Some(result.outcome.status))
    }
}

/// What a failure leaves behind.
fn failed(outcome: Outcome, epochs: Vec<EpochRecord>) -> TrialResult {
    TrialResult { outcome, epochs, predictions: Vec::new(), checkpoint: None }
}

fn dataset_key(data: &DataSpec, resolution: usize) -> DatasetKey {
    (data.source.clone(), data.classes.clone(), resolution)
}

fn split(trial: &Trial, dataset: &Dataset) -> Result<Splits, DataError> {
    frostline_data::split(dataset, trial.data.validation, trial.data.per_class, trial.seed)
}

/// Builds, loads and trains; what is known on the way goes into `outcome`, so that a failure keeps it.
fn run_trial(
    trial: &Trial,
    dataset: &Dataset,
    weights: Option<&Resolved>,
    checkpoints: Checkpoints,
    outcome: &mut Outcome,
    witness: &mut Witness<'_>,
) -> Result<(Trained, Option<Checkpoint>), EngineError> {
    let unfit = |problem: String| EngineError::Unfit(problem);
    let splits = split(trial, dataset)?;
    outcome.data = Some(data_record(dataset, &splits));
    let mut model = models::for_trial(trial, dataset.classes.len(), weights)?;
    let scratch = model.card().normalisation;
    let (mean, std) =
        weights.map_or((scratch.mean, scratch.std), |weights| (weights.lineage.mean, weights.lineage.std));
    outcome.weights = weights.map(|weights| weights_record(&weights.lineage));
    outcome.parameters = Some(model.parameters().iter().map(|p| p.elements() as u64).sum());
    outcome.multiply_adds = Some(model.summary().iter().map(|stage| stage.multiply_adds).sum());
    let recipe: Recipe = recipe_of(&trial.train).map_err(unfit)?;
    let strategy = strategy_of(trial).map_err(unfit)?;
    fold(&mut model, &recipe, &strategy)?;
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
    witness.restart();
    let mut keeper = Keeper::new(witness, checkpoints, &model, trial.train.epochs);
    let trained = train(&task, &mut keeper)?;
    (outcome.seconds, outcome.peak_memory_bytes) = keeper.witness.measured();
    let checkpoint = keeper.checkpoint(trained.chosen_epoch, (mean, std))?;
    Ok((trained, checkpoint))
}

/// Why a training came to nothing.
enum Attempt {
    /// The user asked for the end.
    Interrupted,
    /// The reason, in words.
    Failed(String),
}

/// Runs `work`; an error or a panic in it becomes its message.
fn attempt<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, Attempt> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(EngineError::Interrupted)) => Err(Attempt::Interrupted),
        Ok(Err(error)) => Err(Attempt::Failed(error.to_string())),
        Err(panic) => {
            let panic: Box<dyn Any + Send> = panic;
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "a panic".to_owned());
            Err(Attempt::Failed(format!("a defect of Frostline, please report it: {text}")))
        }
    }
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
