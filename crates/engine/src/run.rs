//! One trial under way: [`Run`] is taken through its phases epoch by epoch and step by step by its cohort (`cohort.rs`), which
//! computes what several runs have in common and hands each what it needs.

use frostline_kernels::{Tape, add_losses};
use frostline_models::{Activation, AuxiliaryLogits, Model, Pass};
use frostline_streams::Streams;

use crate::audit::{Audit, Hashes};
use crate::average::Average;
use crate::evaluate::{Sums, Validated};
use crate::freeze::{self, Movable, freeze};
use crate::objective::{Grading, Lesson};
use crate::recalibrate::{Over, recalibrate};
use crate::seat::Voice;
use crate::snapshot::Snapshot;
use crate::{
    BatchNormPolicy, ClassWeights, EngineError, EpochReport, Event, Keep, Objective, Observer, Optimizer,
    PartRate, Phase, Rule, ScheduleOver, Section, Task, Timetable, Trained, parts_of,
};

/// A trial under way.
pub(crate) struct Run<'a> {
    pub(crate) task: Task<'a>,
    objective: Objective,
    pub(crate) voice: Voice<'a>,
    /// Steps of an epoch.
    steps: usize,
    streams: Streams,
    pub(crate) phases: Vec<Phase>,
    pub(crate) optimizer: Optimizer,
    pub(crate) movable: Movable,
    grading: Grading,
    /// Of the weights, in the phase under way; none where the recipe has none.
    pub(crate) average: Option<Average>,
    /// What of the phase under way is held to its beginning; none between two phases.
    pub(crate) audit: Option<Audit>,
    /// Of the epoch under way.
    pub(crate) sums: Sums,
    pub(crate) epochs: Vec<EpochReport>,
    pub(crate) best: Option<Best>,
    pub(crate) trainable: usize,
    /// What was chosen in fitting the classifier of the epoch under way.
    pub(crate) fitted: Option<String>,
}

/// The best epoch so far, by validation accuracy.
pub(crate) struct Best {
    pub(crate) epoch: usize,
    pub(crate) accuracy: f64,
    pub(crate) snapshot: Snapshot,
}

impl<'a> Run<'a> {
    /// A run that has not begun, of so many steps an epoch.
    ///
    /// # Errors
    /// A recipe or a strategy that does not fit the model, or a choice that the objective or the split does not allow.
    pub(crate) fn new(
        task: Task<'a>,
        objective: Objective,
        steps: usize,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, EngineError> {
        task.recipe.check()?;
        let best = task.recipe.keep == Keep::Best;
        if best && matches!(objective, Objective::Reconstruction { .. }) {
            let problem = "keep = \"best\" chooses by accuracy, which a reconstruction does not have; set keep = \"last\"";
            return Err(EngineError::Unfit(problem.to_owned()));
        }
        if best && task.splits.validation.is_empty() {
            let problem = "keep = \"best\" chooses on validation, and there is no validation split; set \
                           validation above 0, or keep = \"last\"";
            return Err(EngineError::Unfit(problem.to_owned()));
        }
        if task.recipe.class_weights != ClassWeights::Equal
            && (objective != Objective::Labels || task.augment.mixes())
        {
            let problem = "class-weights are for labels, and for pictures that have one each; leave them out, or mixup and cutmix";
            return Err(EngineError::Unfit(problem.to_owned()));
        }
        let images = &task.dataset.train;
        let labels = task.splits.train.iter().map(|&example| images.labels()[images.place(example)]);
        let grading = Grading::of(task.recipe, labels, task.dataset.classes.len());
        let phases = task.strategy.phases(&parts_of(task.model), task.recipe.epochs)?;
        Ok(Self {
            task,
            objective,
            voice: Voice::of(observer),
            steps,
            streams: Streams::new(task.seed),
            optimizer: Optimizer::new(task.recipe, task.model.parameters(), &phases)?,
            movable: Movable::of(task.model, &phases, task.recipe),
            phases,
            grading,
            average: None,
            audit: None,
            sums: Sums::default(),
            epochs: Vec::new(),
            best: None,
            trainable: 0,
            fitted: None,
        })
    }

    /// Whether all epochs are behind it, or as many as it has patience for.
    pub(crate) fn is_done(&self) -> bool {
        self.epochs.len() == self.task.recipe.epochs || self.has_lost_patience()
    }

    /// Whether the last phase has gone on for as many epochs as the recipe allows without one that validates better than all before it.
    fn has_lost_patience(&self) -> bool {
        let recipe = self.task.recipe;
        let begins = recipe.epochs - self.phases.last().map_or(0, |phase| phase.epochs);
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        let since = self.epochs.len().saturating_sub(best.max(begins));
        recipe.patience.is_some_and(|patience| since >= patience)
    }

    /// The phase of the epoch under way.
    pub(crate) fn phase_index(&self) -> usize {
        self.at().0
    }

    /// The same, and how many epochs were before it.
    fn at(&self) -> (usize, usize) {
        let mut before = 0;
        for (index, phase) in self.phases.iter().enumerate() {
            if self.epochs.len() < before + phase.epochs {
                return (index, before);
            }
            before += phase.epochs;
        }
        (self.phases.len() - 1, before)
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phases[self.at().0]
    }

    /// How many leading stages are, in this phase, a fixed function of the image that other runs may have in common with this one.
    pub(crate) fn prefix(&self) -> usize {
        let phase = self.phase();
        let trains = freeze::policy(phase, self.task.recipe) == BatchNormPolicy::Train;
        if trains { 0 } else { phase.frozen_prefix }
    }

    /// Begins the phase of the next epoch, where that is not under way. Whether it did.
    pub(crate) fn begin_phase(&mut self, hashes: &mut Hashes) -> Result<bool, EngineError> {
        if self.audit.is_some() {
            return Ok(false);
        }
        let index = self.at().0;
        self.lay_phase(index);
        self.optimizer.begin(&self.phases[index]);
        let model = self.task.model;
        self.audit = Some(self.timed(Section::Audit, |_| Audit::begin(model, hashes))?);
        if let Some(decay) = self.task.recipe.ema {
            let begun = self.timed(Section::Checkpoint, |run| Average::begin(decay, model, &run.movable))?;
            self.average = Some(begun);
        }
        Ok(true)
    }

    /// Freezes what a phase freezes, and tells of it.
    pub(crate) fn lay_phase(&mut self, index: usize) {
        let (model, phase) = (self.task.model, &self.phases[index]);
        freeze(model, phase, self.task.recipe);
        let trainable = model.parameters().iter().filter(|p| p.trainable()).map(|p| p.elements()).sum();
        self.trainable = self.trainable.max(trainable);
        let name = phase.name.clone();
        self.voice.tell(Event::Phase { name: &name, trainable_parameters: trainable });
    }

    /// One optimizer step, on the sum of the losses of the head and of auxiliary heads. `features` are what [`Run::prefix`]
    /// gives for the lesson's images. What is reported is the head's loss, as in evaluation.
    pub(crate) fn step(
        &mut self,
        (epoch, step): (usize, usize),
        lesson: &Lesson,
        features: Activation,
    ) -> Result<(), EngineError> {
        let from = self.prefix();
        let accumulate = self.task.recipe.accumulate;
        let updates = self.task.recipe.updates(self.steps);
        let rate = self.learning_rate((epoch - 1) * updates + (step - 1) / accumulate);
        self.voice.tell(Event::Enter { section: Section::Train, sharers: 1 });
        let (model, recipe) = (self.task.model, self.task.recipe);
        let (index, _) = self.at();
        let (phase, grading) = (&self.phases[index], &self.grading);
        let pass = Pass::Train { streams: self.streams, epoch: epoch as u64, examples: &lesson.examples };
        let ((answer, sum), tape) = Tape::record(|| {
            let policy = freeze::policy(phase, recipe);
            let (answer, heads) = forward(model, features, (from, phase.frozen_prefix), policy, &pass)?;
            let answer = lesson.answered(answer, grading)?;
            let sum = add_losses(&answer.loss, &lesson.auxiliary(&heads, grading)?)?;
            Ok::<_, EngineError>((answer, sum))
        })?;
        let value = f64::from(sum.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(EngineError::Diverged { epoch, step, loss: value });
        }
        let gradients = tape.backward(&sum)?;
        let moves = step % accumulate == 0 || step == self.steps;
        if accumulate == 1 {
            self.optimizer.step(&gradients, rate)?;
        } else {
            self.optimizer.gather(&gradients, lesson.mass(grading))?;
            if moves {
                self.optimizer.step_gathered(rate)?;
            }
        }
        if let (true, Some(average)) = (moves, &mut self.average) {
            average.follow(model)?;
        }
        let loss = f64::from(answer.loss.to_scalar::<f32>()?);
        let examples = lesson.examples.len();
        self.sums.add(&Sums { loss: loss * examples as f64, right: answer.right, examples });
        self.voice.tell(Event::Leave(Section::Train));
        self.voice.tell(Event::Step { epoch, step, steps: self.steps, examples, loss });
        Ok(())
    }

    /// Has the model hold the average of its weights, where there is one, or the weights that train.
    pub(crate) fn show_average(&mut self, shown: bool) -> Result<(), EngineError> {
        let Some(mut average) = self.average.take() else { return Ok(()) };
        let model = self.task.model;
        let done = self.timed(Section::Checkpoint, |run| average.show(shown, model, &run.movable));
        self.average = Some(average);
        done
    }

    /// Takes BatchNorm's statistics anew before an evaluation, where the recipe asks for it.
    pub(crate) fn recalibrate(&mut self) -> Result<(), EngineError> {
        let Task { model, dataset, splits, mean, std, recipe, .. } = self.task;
        if !recipe.recalibrate {
            return Ok(());
        }
        let phase = self.phase();
        let laid = (phase.frozen_prefix, freeze::policy(phase, recipe));
        let over = Over {
            images: &dataset.train,
            indices: &splits.train,
            batch: recipe.batch,
            normalisation: (mean, std),
            objective: self.objective,
            streams: self.streams,
        };
        self.timed(Section::Evaluation, |_| recalibrate(model, laid, &over))
    }

    /// An epoch whose steps are done and that was evaluated ends, and the phase with its last one.
    pub(crate) fn end_epoch(
        &mut self,
        validation: Option<Validated>,
        hashes: &mut Hashes,
    ) -> Result<(), EngineError> {
        let (index, before) = self.at();
        let epoch = self.epochs.len() + 1;
        let fitted = self.fitted.take();
        let learning_rate = if fitted.is_some() {
            0.0
        } else {
            self.learning_rate(epoch * self.task.recipe.updates(self.steps) - 1)
        };
        let phase = &self.phases[index];
        let ends = epoch == before + phase.epochs;
        let rate =
            |rule: &Rule| PartRate { part: rule.part.to_string(), learning_rate: learning_rate * rule.rate };
        let report = EpochReport {
            epoch,
            phase: fitted
                .as_ref()
                .map_or_else(|| phase.name.clone(), |told| format!("{}, {told}", phase.name)),
            learning_rate,
            rates: phase.rules.iter().filter(|_| fitted.is_none()).map(rate).collect(),
            train_loss: self.sums.mean_loss(),
            train_accuracy: self.sums.accuracy(),
            validation_loss: validation.map(|validated| validated.loss),
            validation_accuracy: validation.and_then(|validated| validated.accuracy),
        };
        self.sums = Sums::default();
        self.keep_best(&report)?;
        self.epochs.push(report.clone());
        self.voice.tell(Event::Epoch(&report));
        if (ends || self.is_done())
            && let Some(audit) = self.audit.take()
        {
            let model = self.task.model;
            self.timed(Section::Audit, |_| audit.end(model, hashes))?;
        }
        Ok(())
    }

    /// Whether the epoch under way is the trial's last.
    pub(crate) fn is_last_epoch(&self) -> bool {
        self.epochs.len() + 1 == self.task.recipe.epochs
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
    pub(crate) fn choose(&mut self) -> Result<Trained, EngineError> {
        let mut chosen_epoch = self.epochs.len();
        if let Some(best) = self.best.take()
            && best.epoch != chosen_epoch
        {
            chosen_epoch = best.epoch;
            let model = self.task.model;
            self.timed(Section::Checkpoint, |_| best.snapshot.restore(model))?;
        }
        let model = self.task.model;
        let answers = if model.has_classifier() { model.head() } else { model.stages().len() };
        let still = self.movable.leading_still(model).min(answers);
        let epochs = std::mem::take(&mut self.epochs);
        Ok(Trained { epochs, chosen_epoch, trainable_parameters: self.trainable, still })
    }

    /// At an update, before the factors of the parts; the timetable is the trial's or the phase's.
    fn learning_rate(&self, step: usize) -> f64 {
        let recipe = self.task.recipe;
        let updates = recipe.updates(self.steps);
        let (index, before) = self.at();
        let (epochs, start) = match recipe.schedule_over {
            ScheduleOver::Phase => (self.phases[index].epochs, before * updates),
            ScheduleOver::Trial => (recipe.epochs, 0),
        };
        let timetable = Timetable::new(recipe.schedule, epochs, updates, recipe.warmup);
        recipe.learning_rate * timetable.factor(step - start)
    }

    pub(crate) fn timed<T>(
        &mut self,
        section: Section,
        work: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.voice.tell(Event::Enter { section, sharers: 1 });
        let done = work(self)?;
        self.voice.tell(Event::Leave(section));
        Ok(done)
    }
}

/// What the last stage gives, and auxiliary heads behind the frozen prefix, for what the stages before `from` gave. The rest of the frozen
/// prefix has no tape, as none of its parameters is tracked; unless the policy keeps BatchNorm training everywhere, it runs as in
/// evaluation (no dropout), so that it is a fixed function of the image.
fn forward(
    model: &Model,
    input: Activation,
    (from, prefix): (usize, usize),
    policy: BatchNormPolicy,
    pass: &Pass<'_>,
) -> Result<(Activation, Vec<AuxiliaryLogits>), EngineError> {
    let prefix_pass = if policy == BatchNormPolicy::Train { pass } else { &Pass::Evaluate };
    let features = model.forward_range(from..prefix, input, prefix_pass)?;
    Ok(model.forward_range_with_auxiliary(prefix..model.stages().len(), features, pass)?)
}
