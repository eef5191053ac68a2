//! The quest by the deadline: [`Quest`] sweeps an experiment that grows, as far as time allows.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use frostline_experiment::{Experiment, Plan, expand};
use frostline_hub::Hub;
use frostline_report::write_report;
use frostline_results::{Results, Status};

use super::file::{Arm, Draft};
use super::look::Subject;
use super::scores::{Score, scores};
use super::{CLIMBERS, Candidate, MOST_EPOCHS, MOST_SEEDS, told};
use crate::cli::{ExportArgs, PlanArgs, RunArgs, TryArgs};
use crate::commands::export::export;
use crate::commands::sweep::{Run, asked, ending};
use crate::error::{Ending, Error};
use crate::execute::Tally;
use crate::machine::seconds;

/// Of the time that is left, what is planned for; the rest is for what takes longer than expected.
const PLANNED: f64 = 0.85;
/// Classifiers on frozen features.
const PROBES: [&str; 2] = ["probe:ridge", "probe:logistic"];
/// The best so many get more seeds.
const REPEATED: usize = 4;

/// What is asked, what is known so far, and how much time is left.
pub(super) struct Quest<'a> {
    args: &'a TryArgs,
    pub(super) subject: &'a Subject,
    asked: Vec<Candidate>,
    /// What is not tried, and why.
    pub(super) left_out: Vec<String>,
    per_class: Option<usize>,
    began: f64,
    pub(super) budget: f64,
    pub(super) folder: PathBuf,
    epochs: usize,
    pub(super) arms: Vec<Arm>,
    /// Measured by expected time.
    pace: f64,
    /// What a trial takes besides its own time: its weights are written, its inputs read. In seconds.
    overhead: f64,
    run: Option<Run>,
    /// Whether the user, or the clock, has ended it.
    ended: bool,
}

impl<'a> Quest<'a> {
    pub(super) fn new(
        args: &'a TryArgs,
        subject: &'a Subject,
        (asked, left_out): (Vec<Candidate>, Vec<String>),
        per_class: Option<usize>,
        (began, budget): (f64, f64),
        folder: PathBuf,
    ) -> Self {
        Self {
            args,
            subject,
            asked,
            left_out,
            per_class,
            began,
            budget,
            folder,
            epochs: 1,
            arms: Vec::new(),
            pace: 1.0,
            overhead: 1.0,
            run: None,
            ended: false,
        }
    }

    /// Seconds since it began.
    pub(super) fn spent(&self) -> f64 {
        seconds() - self.began
    }

    fn left(&self) -> f64 {
        self.budget - self.spent() - 2.0
    }

    /// Images to train on, to choose on and to test on.
    fn images(&self) -> (usize, usize, usize) {
        let counts = self.subject.dataset.class_counts();
        let all: usize =
            counts.iter().map(|class| class.train.min(self.per_class.unwrap_or(usize::MAX))).sum();
        let validation = (0.15 * all as f64) as usize;
        (all - validation, validation, self.subject.dataset.test.len())
    }

    fn expected(&self, arm: &Arm) -> f64 {
        let candidate = self.asked.iter().find(|candidate| candidate.name() == arm.model);
        let epochs = if arm.strategy.starts_with("probe:") { 1 } else { self.epochs };
        candidate.map_or(0.0, |candidate| candidate.expected(&arm.strategy, self.images(), epochs))
            * self.pace
    }

    fn arm(&self, candidate: &Candidate, strategy: &str) -> Arm {
        let (model, weights) = (candidate.name().to_owned(), candidate.weights.clone());
        Arm { model, weights, strategy: strategy.to_owned(), seeds: 1 }
    }

    /// The experiment of what is tried so far, and its plan.
    fn experiment(&self) -> Result<(Experiment, Plan), Error> {
        let mut head = vec![format!("Written by `frostline try`, which had {} minutes.", self.args.minutes)];
        head.extend(self.subject.facts.iter().cloned());
        head.extend(self.left_out.iter().map(|what| format!("Not tried: {what}")));
        let (arms, per_class) = (self.arms.clone(), self.per_class);
        let draft =
            Draft { subject: self.subject, head, arms, epochs: self.epochs, per_class, explained: false };
        let name = self.folder.file_name().unwrap_or_default();
        let path = Path::new(name).with_extension("toml");
        let experiment = Experiment::read(&path, &draft.text(), &[])?;
        let plan = expand(&experiment)?;
        Ok((experiment, plan))
    }

    fn file(&self) -> PlanArgs {
        PlanArgs {
            file: self.folder.join("experiment.toml"),
            set: Vec::new(),
            only: Vec::new(),
            device: None,
        }
    }

    fn run_args(&self) -> RunArgs {
        RunArgs { results: Some(self.folder.clone()), ..self.args.run.clone() }
    }

    /// Opens the results folder.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        let arms = self.asked.iter().flat_map(|candidate| PROBES.map(|probe| self.arm(candidate, probe)));
        self.arms = arms.collect();
        let (experiment, plan) = self.experiment()?;
        let run = Run::open(&experiment, &plan, &self.file(), &self.run_args())?;
        run.end_at(self.began + 1.05 * self.budget);
        self.run = Some(run);
        Ok(())
    }

    /// Trains what the experiment has now and is not stored; the scores of all that is.
    fn sweep(&mut self, hub: &Hub, expected: f64) -> Result<Vec<Score>, Error> {
        let (experiment, plan) = self.experiment()?;
        let (before, asked) = (seconds(), asked(&self.file(), &self.run_args()));
        let Some(run) = &mut self.run else { return Ok(Vec::new()) };
        run.store.record_plan(&plan, &experiment.text, &asked)?;
        let known: Vec<String> = plan
            .trials
            .iter()
            .map(|trial| trial.id.clone())
            .filter(|id| run.store.state(id).is_some())
            .collect();
        let Tally { left, .. } = run.sweep(&plan, &plan).run(hub)?;
        self.ended = left > 0 || run.interrupt.flag().load(Ordering::Relaxed);
        let took = seconds() - before;
        let results = Results::read(&self.folder)?;
        let new = results.trials.iter().filter(|stored| !known.contains(&stored.trial.id));
        let new: Vec<f64> = new.map(|stored| stored.outcome.seconds.wall).collect();
        if !self.ended && !new.is_empty() {
            let trained: f64 = new.iter().sum();
            self.overhead = ((took - trained) / new.len() as f64).clamp(0.2, 60.0);
            if expected > 0.0 {
                self.pace *= (trained / expected).clamp(0.2, 5.0);
            }
        }
        Ok(scores(&results))
    }

    pub(super) fn scores(&self) -> Result<Vec<Score>, Error> {
        Ok(scores(&Results::read(&self.folder)?))
    }

    fn say(&self, line: &str) {
        if let Some(run) = &self.run {
            run.progress.say(line);
        }
    }

    /// Probes of all models on their frozen features.
    pub(super) fn probe(&mut self, hub: &Hub) -> Result<(), Error> {
        let expected = self.asked.iter().map(|candidate| {
            let (train, validation, test) = self.images();
            candidate.pass(train + validation + test)
        });
        let expected = expected.sum();
        let scores = self.sweep(hub, expected)?;
        for score in scores.iter().filter(|score| score.strategy == PROBES[0]) {
            self.say(&format!(
                "{}: {:.1} % of the validation images by a probe",
                score.model,
                100.0 * score.mean()
            ));
        }
        // The best first, by either probe.
        let rank = |candidate: &Candidate| {
            scores.iter().position(|score| score.model == candidate.name()).unwrap_or(usize::MAX)
        };
        self.asked.sort_by_key(rank);
        Ok(())
    }

    /// The best few models train deeper and deeper, fewer at each depth.
    pub(super) fn climb(&mut self, hub: &Hub) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        let Some(climbers) = self.climbers() else {
            self.left_out.push("training deeper than the head: there is no time for it".to_owned());
            return Ok(());
        };
        let mut ranked: Vec<String> =
            self.asked.iter().map(|candidate| candidate.name().to_owned()).collect();
        for (depth, count) in climbers.into_iter().enumerate() {
            let mut new = Vec::new();
            for model in ranked.iter().take(count) {
                let Some(candidate) = self.asked.iter().find(|candidate| candidate.name() == model) else {
                    continue;
                };
                let arm = self.arm(candidate, &candidate.depths()[depth]);
                if self.arms.contains(&arm) || new.contains(&arm) {
                    continue;
                }
                let planned: f64 = new.iter().chain([&arm]).map(|arm| self.expected(arm)).sum();
                if planned + self.overhead * (new.len() + 1) as f64 > self.left() {
                    self.left_out.push(format!("{} on {}: there is no time for it", arm.strategy, arm.model));
                } else {
                    new.push(arm);
                }
            }
            if new.is_empty() {
                continue;
            }
            let expected = new.iter().map(|arm| self.expected(arm)).sum();
            self.arms.append(&mut new);
            let scores = self.sweep(hub, expected)?;
            if self.ended {
                return Ok(());
            }
            // Those that trained at this depth, the best first.
            let best = |model: &String| {
                let trained = scores.iter().filter(|score| !score.strategy.starts_with("probe:"));
                trained.clone().position(|score| score.model == *model).unwrap_or(usize::MAX)
            };
            ranked.sort_by_key(best);
        }
        Ok(())
    }

    /// How many models train at each depth, after the epochs are chosen that there is time for; none where there is not time for two.
    fn climbers(&mut self) -> Option<[usize; 3]> {
        let cost = |quest: &Self, counts: [usize; 3]| -> f64 {
            let climbs = counts.into_iter().enumerate().flat_map(|(depth, count)| {
                quest.asked.iter().take(count).map(move |candidate| (candidate, depth))
            });
            climbs
                .map(|(candidate, depth)| quest.expected(&quest.arm(candidate, &candidate.depths()[depth])))
                .sum()
        };
        for counts in [CLIMBERS, [2, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]] {
            let trials = counts.iter().sum::<usize>() as f64;
            let epochs = (1..=MOST_EPOCHS).rev().find(|epochs| {
                self.epochs = *epochs;
                cost(self, counts) <= PLANNED * (self.left() - trials * self.overhead)
            });
            if epochs.is_some_and(|epochs| epochs >= 3 || (epochs >= 2 && counts == [1, 0, 0])) {
                if counts != CLIMBERS {
                    self.left_out.push("more models at greater depths: there is no time for them".to_owned());
                }
                return Some(counts);
            }
        }
        self.epochs = 1;
        None
    }

    /// More seeds for the best arms, in what time is left.
    pub(super) fn repeat(&mut self, hub: &Hub) -> Result<(), Error> {
        while !self.ended {
            let scores = self.scores()?;
            let mut best: Vec<(usize, f64)> = Vec::new();
            for score in scores.iter().take(REPEATED) {
                let is = |arm: &Arm| (&arm.model, &arm.strategy) == (&score.model, &score.strategy);
                best.extend(self.arms.iter().position(is).map(|place| (place, score.seconds)));
            }
            // By the seeds that were asked for: one that failed is not asked for again.
            let fewest = best.iter().map(|(place, _)| self.arms[*place].seeds).min().unwrap_or(MOST_SEEDS);
            let (mut time, mut more) = (self.left(), Vec::new());
            for (place, seconds) in best {
                // What a trial takes is known.
                let cost = 1.1 * seconds + self.overhead;
                if self.arms[place].seeds == fewest && fewest < MOST_SEEDS && cost <= time {
                    time -= cost;
                    more.push(place);
                }
            }
            if more.is_empty() {
                return Ok(());
            }
            more.into_iter().for_each(|place| self.arms[place].seeds += 1);
            self.sweep(hub, 0.0)?;
        }
        Ok(())
    }

    /// The report, the winner's weights, and what to print.
    pub(super) fn conclude(&mut self) -> Result<(String, Ending), Error> {
        let by_user = self.run.as_ref().is_some_and(|run| run.interrupt.by_user());
        if by_user {
            let Some(run) = &self.run else { return Ok((String::new(), Ending::Done)) };
            let text = format!(
                "stopped; what is trained is kept in {}, and the same command goes on\n",
                self.folder.display()
            );
            return Ok((text, Ending::Interrupted(run.interrupt.exit_code())));
        }
        let scores = self.scores()?;
        let Some(winner) = scores.first() else {
            let help =
                format!("give it more --minutes, or look at {} for what failed", self.folder.display());
            return Err(Error::usage("no trial came to an end", help));
        };
        self.forget_unfinished(&scores);
        let (experiment, plan) = self.experiment()?;
        if let Some(run) = &self.run {
            run.store.record_plan(&plan, &experiment.text, &asked(&self.file(), &self.run_args()))?;
        }
        let report = write_report(&self.folder)?;
        let output = self.folder.join("winner.safetensors");
        export(&ExportArgs {
            trial: winner.best.clone(),
            output: output.clone(),
            onnx: false,
            results: Some(self.folder.clone()),
        })?;
        let text = told::told(self, &scores, &output, &report)?;
        let failed = Results::read(&self.folder)?
            .trials
            .iter()
            .filter(|t| t.outcome.status != Status::Finished)
            .count();
        Ok((
            if self.args.run.json { String::new() } else { text },
            ending(&Tally { failed, ..Tally::default() }, 0),
        ))
    }

    /// Takes out of the experiment what the clock has ended.
    fn forget_unfinished(&mut self, scores: &[Score]) {
        let mut gone = Vec::new();
        for arm in &mut self.arms {
            let score =
                scores.iter().find(|score| (&score.model, &score.strategy) == (&arm.model, &arm.strategy));
            let done = score.map_or(0, |score| score.last_seed + 1);
            if done < arm.seeds && self.ended {
                gone.push(format!(
                    "seed {done} of {} on {}: time was up before it came to its end",
                    arm.strategy, arm.model
                ));
                arm.seeds = done;
            }
        }
        self.arms.retain(|arm| arm.seeds > 0);
        self.left_out.append(&mut gone);
    }
}
