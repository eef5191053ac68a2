//! The training of one trial: [`train`] takes a [`Task`] through the phases of its strategy and gives a [`Trained`]; [`test`]
//! opens the test split of what was trained.
//!
//! One screen a level: a trial is phases, a phase is epochs, an epoch is steps. Whatever is chosen is chosen on validation.

use std::ops::ControlFlow;
use std::sync::mpsc;

use frostline_data::{Augment, Batch, Dataset, Loader, LoaderOptions, Splits};
use frostline_kernels::{Hwnc, Tape, add_losses};
use frostline_models::{Activation, AuxiliaryLogits, Model, Pass};
use frostline_streams::Streams;

use crate::audit::Audit;
use crate::evaluate::{Sums, review};
use crate::freeze::{self, Movable, freeze};
use crate::recalibrate::{Over, recalibrate};
use crate::snapshot::Snapshot;
use crate::{
    BatchNormPolicy, EngineError, EpochReport, Evaluation, Event, Keep, Objective, Observer, Optimizer,
    PartRate, Phase, Ragged, Recipe, Rule, ScheduleOver, Section, Strategy, Timetable, evaluate, parts_of,
};

/// One trial's work, with everything resolved.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The model, with its initial or pretrained weights.
    pub model: &'a Model,
    /// The images, at the resolution that the model was built for.
    pub dataset: &'a Dataset,
    /// Which of the training images train and which validate.
    pub splits: &'a Splits,
    /// What is done to a training image.
    pub augment: Augment,
    /// The mean of each channel that the weights were trained with, of pixel values in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation of each channel, likewise.
    pub std: [f32; 3],
    /// How to train.
    pub recipe: &'a Recipe,
    /// What to train.
    pub strategy: &'a Strategy,
    /// The seed of order, augmentation and dropout.
    pub seed: u64,
}

/// What came of a training. The model holds the weights of the chosen epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Every epoch, in order.
    pub epochs: Vec<EpochReport>,
    /// The epoch whose weights the model holds, counted from 1.
    pub chosen_epoch: usize,
    /// The most parameters that a phase trained.
    pub trainable_parameters: usize,
}

/// Trains `task.model` for `objective`; no image of the test split is looked at.
///
/// # Errors
/// [`EngineError`]; the model is then in an unspecified state between two steps. [`EngineError::Unfit`] where an epoch shall
/// be chosen by an accuracy that the objective does not have.
pub fn train(
    task: &Task<'_>,
    objective: Objective,
    observer: &mut dyn Observer,
) -> Result<Trained, EngineError> {
    // On a thread of the pool: handing each operation over to it, and waiting for it, would cost more than some take.
    rayon::scope(|_| {
        let Run { epochs, chosen_epoch, trainable, .. } = fit(task, objective, observer)?;
        Ok(Trained { epochs, chosen_epoch, trainable_parameters: trainable })
    })
}

/// Opens the test split: evaluates `model` on all of it, normalised with `mean` and `std` (of pixel values in [0, 1]).
///
/// # Errors
/// Where a tensor operation fails, the split is empty, or the observer asks for the end.
pub fn test(
    model: &Model,
    dataset: &Dataset,
    (mean, std): ([f32; 3], [f32; 3]),
    observer: &mut dyn Observer,
) -> Result<Evaluation, EngineError> {
    let all: Vec<u32> = (0..dataset.test.len() as u32).collect();
    tell(observer, Event::Enter(Section::Evaluation))?;
    let evaluation = rayon::scope(|_| evaluate(model, &dataset.test, &all, mean, std))?;
    tell(observer, Event::Leave(Section::Evaluation))?;
    Ok(evaluation)
}

/// A run with all its epochs behind it and the chosen weights in the model.
fn fit<'a>(
    task: &Task<'a>,
    objective: Objective,
    observer: &'a mut dyn Observer,
) -> Result<Run<'a>, EngineError> {
    task.recipe.check()?;
    let phases = task.strategy.phases(&parts_of(task.model), task.recipe.epochs)?;
    let mut run = Run::new(*task, objective, &phases, observer)?;
    let mut optimizer = Optimizer::new(task.recipe, task.model.parameters(), &phases)?;
    for phase in &phases {
        run.phase(phase, &mut optimizer)?;
    }
    run.choose()?;
    Ok(run)
}

/// A trial under way.
struct Run<'a> {
    task: Task<'a>,
    objective: Objective,
    observer: &'a mut dyn Observer,
    loader: Loader,
    /// Of the trial, or of the phase under way.
    timetable: Timetable,
    /// The step at which the timetable begins.
    timetable_start: usize,
    streams: Streams,
    movable: Movable,
    epochs: Vec<EpochReport>,
    best: Option<Best>,
    /// The epoch whose weights the model holds at the end.
    chosen_epoch: usize,
    trainable: usize,
}

/// The best epoch so far, by validation accuracy.
struct Best {
    epoch: usize,
    accuracy: f64,
    snapshot: Snapshot,
}

impl<'a> Run<'a> {
    fn new(
        task: Task<'a>,
        objective: Objective,
        phases: &[Phase],
        observer: &'a mut dyn Observer,
    ) -> Result<Self, EngineError> {
        let (recipe, splits) = (task.recipe, task.splits);
        if recipe.keep == Keep::Best && matches!(objective, Objective::Reconstruction { .. }) {
            let problem = "keep = \"best\" chooses by accuracy, which a reconstruction does not have; set keep = \"last\"";
            return Err(EngineError::Unfit(problem.to_owned()));
        }
        if recipe.keep == Keep::Best && splits.validation.is_empty() {
            let problem = "keep = \"best\" chooses on validation, and there is no validation split; set \
                           validation above 0, or keep = \"last\"";
            return Err(EngineError::Unfit(problem.to_owned()));
        }
        let options = LoaderOptions {
            batch: recipe.batch,
            augment: task.augment,
            mean: task.mean,
            std: task.std,
            seed: task.seed,
            shuffle: true,
            ragged: match recipe.ragged {
                Ragged::Keep => frostline_data::Ragged::Keep,
                Ragged::Drop => frostline_data::Ragged::Drop,
                Ragged::Merge => frostline_data::Ragged::Merge,
            },
        };
        let loader = Loader::new(&task.dataset.train, splits.train.clone(), options)?;
        let timetable = Timetable::new(recipe.schedule, recipe.epochs, loader.batches(), recipe.warmup);
        Ok(Self {
            task,
            objective,
            observer,
            loader,
            timetable,
            timetable_start: 0,
            streams: Streams::new(task.seed),
            movable: Movable::of(task.model, phases, recipe),
            epochs: Vec::new(),
            best: None,
            chosen_epoch: 0,
            trainable: 0,
        })
    }

    fn phase(&mut self, phase: &Phase, optimizer: &mut Optimizer) -> Result<(), EngineError> {
        let (model, recipe) = (self.task.model, self.task.recipe);
        freeze(model, phase, recipe);
        optimizer.begin(phase);
        if recipe.schedule_over == ScheduleOver::Phase {
            let steps = self.loader.batches();
            self.timetable = Timetable::new(recipe.schedule, phase.epochs, steps, recipe.warmup);
            self.timetable_start = self.epochs.len() * steps;
        }
        let trainable = model.parameters().iter().filter(|p| p.trainable()).map(|p| p.elements()).sum();
        self.trainable = self.trainable.max(trainable);
        self.tell(Event::Phase { name: &phase.name, trainable_parameters: trainable })?;
        let audit = self.timed(Section::Audit, |_| Audit::begin(model))?;
        for _ in 0..phase.epochs {
            self.epoch(phase, optimizer)?;
        }
        self.timed(Section::Audit, |_| audit.end(model))
    }

    fn epoch(&mut self, phase: &Phase, optimizer: &mut Optimizer) -> Result<(), EngineError> {
        let epoch = self.epochs.len() + 1;
        let sums = self.steps(epoch, phase, optimizer)?;
        let validation = self.validate(phase)?;
        let learning_rate = self.learning_rate(epoch * self.loader.batches() - 1);
        let rate =
            |rule: &Rule| PartRate { part: rule.part.to_string(), learning_rate: learning_rate * rule.rate };
        let report = EpochReport {
            epoch,
            phase: phase.name.clone(),
            learning_rate,
            rates: phase.rules.iter().map(rate).collect(),
            train_loss: sums.mean_loss(),
            train_accuracy: sums.accuracy(),
            validation_loss: validation.as_ref().map(Sums::mean_loss),
            validation_accuracy: validation.as_ref().and_then(Sums::accuracy),
        };
        self.keep_best(&report)?;
        self.tell(Event::Epoch(&report))?;
        self.epochs.push(report);
        Ok(())
    }

    /// All steps of one epoch; the next batches are made on another thread meanwhile.
    fn steps(&mut self, epoch: usize, phase: &Phase, optimizer: &mut Optimizer) -> Result<Sums, EngineError> {
        let loader = self.loader.clone();
        let steps = loader.batches();
        let mut sums = Sums::default();
        std::thread::scope(|scope| {
            let (sender, batches) = mpsc::sync_channel(2);
            scope.spawn(move || loader.epoch(epoch as u64).try_for_each(|batch| sender.send(batch)));
            for step in 1..=steps {
                let batch = self.timed(Section::Data, |_| {
                    batches.recv().map_err(|_| EngineError::Unfit("the loader stopped early".to_owned()))
                })?;
                let done =
                    self.timed(Section::Train, |run| run.step(epoch, step, phase, optimizer, batch))?;
                sums.add(&done);
                let (examples, loss) = (done.examples, done.mean_loss());
                self.tell(Event::Step { epoch, step, steps, examples, loss })?;
            }
            Ok(sums)
        })
    }

    /// One optimizer step on one batch, on the sum of the losses of the head and of auxiliary heads. What is reported is
    /// the head's, as in evaluation.
    fn step(
        &mut self,
        epoch: usize,
        step: usize,
        phase: &Phase,
        optimizer: &mut Optimizer,
        batch: Batch,
    ) -> Result<Sums, EngineError> {
        let (model, recipe) = (self.task.model, self.task.recipe);
        let lesson = self.objective.lesson(batch, &self.streams, epoch as u64, model.device())?;
        let pass = Pass::Train { streams: self.streams, epoch: epoch as u64, examples: &lesson.examples };
        let ((answer, sum), tape) = Tape::record(|| {
            let (input, policy) = (lesson.input.clone(), freeze::policy(phase, recipe));
            let (answer, heads) = forward(model, input, phase.frozen_prefix, policy, &pass)?;
            let answer = lesson.answered(answer, recipe.label_smoothing)?;
            let sum = add_losses(&answer.loss, &lesson.auxiliary(&heads, recipe.label_smoothing)?)?;
            Ok::<_, EngineError>((answer, sum))
        })?;
        let value = f64::from(sum.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(EngineError::Diverged { epoch, step, loss: value });
        }
        let rate = self.learning_rate((epoch - 1) * self.loader.batches() + step - 1);
        optimizer.step(&tape.backward(&sum)?, rate)?;
        let loss = f64::from(answer.loss.to_scalar::<f32>()?);
        let examples = lesson.examples.len();
        Ok(Sums { loss: loss * examples as f64, right: answer.right, examples })
    }

    /// Takes BatchNorm's statistics anew, where the recipe asks for it.
    fn recalibrate(&self, phase: &Phase) -> Result<(), EngineError> {
        let Task { model, dataset, splits, mean, std, recipe, .. } = self.task;
        if !recipe.recalibrate {
            return Ok(());
        }
        let over = Over {
            images: &dataset.train,
            indices: &splits.train,
            batch: recipe.batch,
            normalisation: (mean, std),
            objective: self.objective,
            streams: self.streams,
        };
        recalibrate(model, (phase.frozen_prefix, freeze::policy(phase, recipe)), &over)
    }

    fn validate(&mut self, phase: &Phase) -> Result<Option<Sums>, EngineError> {
        if self.task.splits.validation.is_empty() {
            if self.epochs.len() + 1 == self.task.recipe.epochs {
                self.timed(Section::Evaluation, |run| run.recalibrate(phase))?; // for the test
            }
            return Ok(None);
        }
        let Task { model, dataset, splits, mean, std, .. } = self.task;
        let (objective, streams) = (self.objective, self.streams);
        self.timed(Section::Evaluation, |run| {
            run.recalibrate(phase)?;
            let images = &dataset.train;
            match objective {
                Objective::Labels => evaluate(model, images, &splits.validation, mean, std).map(Sums::of),
                _ => review(model, images, &splits.validation, (mean, std), objective, &streams),
            }
            .map(Some)
        })
    }

    fn keep_best(&mut self, report: &EpochReport) -> Result<(), EngineError> {
        let (Keep::Best, Some(accuracy)) = (self.task.recipe.keep, report.validation_accuracy) else {
            return Ok(());
        };
        if self.best.as_ref().is_none_or(|best| accuracy > best.accuracy) {
            let model = self.task.model;
            self.best = None; // Two of them at a time would be a model more in memory.
            let snapshot = self.timed(Section::Checkpoint, |run| Snapshot::take(model, &run.movable))?;
            self.best = Some(Best { epoch: report.epoch, accuracy, snapshot });
        }
        Ok(())
    }

    /// Brings the chosen epoch back.
    fn choose(&mut self) -> Result<(), EngineError> {
        self.chosen_epoch = self.epochs.len();
        if let Some(best) = self.best.take()
            && best.epoch != self.chosen_epoch
        {
            self.chosen_epoch = best.epoch;
            let model = self.task.model;
            self.timed(Section::Checkpoint, |_| best.snapshot.restore(model))?;
        }
        Ok(())
    }

    fn learning_rate(&self, step: usize) -> f64 {
        self.task.recipe.learning_rate * self.timetable.factor(step - self.timetable_start)
    }

    fn tell(&mut self, event: Event<'_>) -> Result<(), EngineError> {
        tell(self.observer, event)
    }

    fn timed<T>(
        &mut self,
        section: Section,
        work: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.tell(Event::Enter(section))?;
        let done = work(self)?;
        self.tell(Event::Leave(section))?;
        Ok(done)
    }
}

/// What the last stage gives, and auxiliary heads behind the frozen prefix. The frozen prefix has no tape, as none of its parameters is tracked; unless the policy keeps
/// BatchNorm training everywhere, it runs as in evaluation (no dropout), so that it is a fixed function of the image.
fn forward(
    model: &Model,
    input: Hwnc,
    prefix: usize,
    policy: BatchNormPolicy,
    pass: &Pass<'_>,
) -> Result<(Activation, Vec<AuxiliaryLogits>), EngineError> {
    let prefix_pass = if policy == BatchNormPolicy::Train { pass } else { &Pass::Evaluate };
    let features = model.forward_range(0..prefix, input, prefix_pass)?;
    Ok(model.forward_range_with_auxiliary(prefix..model.stages().len(), features, pass)?)
}

fn tell(observer: &mut dyn Observer, event: Event<'_>) -> Result<(), EngineError> {
    match observer.on(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(EngineError::Interrupted),
    }
}
