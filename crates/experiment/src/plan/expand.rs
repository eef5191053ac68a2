//! From the grid to the plan: [`expand`] makes every cell, resolves it, checks it, drops duplicates and puts the trials
//! in order. Nothing is downloaded or built for it.

use std::collections::BTreeSet;
use std::path::Path;

use frostline_streams::{Purpose, Streams};

use super::{Axis, Claim, Plan, folds};
use crate::file::{Assignment, Experiment, GridAxis, Place, Problem, Problems};
use crate::refusal;
use crate::trial::keys::{Key, keys};
use crate::trial::{Trial, pretraining_name};
use crate::tune::Tune;

/// More cells than this are taken for a mistake.
const MOST_CELLS: usize = 100_000;

/// The plan of an experiment: seeds outermost in the order of the file, arms shuffled within a seed from the seed.
///
/// # Errors
/// Cells that cannot be trained, and claims that speak of no trial, each with its place in the file.
pub fn expand(experiment: &Experiment) -> Result<Plan, Problems> {
    let fail = |list| Problems { subject: experiment.path.clone(), list };
    let cells = experiment.all_axes().try_fold(1usize, |cells, axis| cells.checked_mul(axis.values.len()));
    let cells = cells.filter(|cells| *cells <= MOST_CELLS).ok_or_else(|| {
        let problem = Problem::new(format!("the grid has more than {MOST_CELLS} cells"));
        fail(vec![
            problem
                .help("an axis of k values multiplies the trials by k; use fewer values, or several files"),
        ])
    })?;
    let mut problems = Vec::new();
    let trials = trials(experiment, cells, &mut problems);
    if trials.is_empty() && problems.is_empty() {
        let problem = Problem::new("the grid has no trial that [[except]] does not leave out");
        problems.push((String::new(), problem.help("remove an [[except]], or a key of its `when` less")));
    }
    let claims = claims(experiment, &trials, &mut problems);
    if !problems.is_empty() {
        return Err(fail(problems.into_iter().map(|(_, problem)| problem).collect()));
    }
    let trials = in_order(trials);
    let seed = trials.first().map_or(0, |trial| trial.seed);
    let tuned = !experiment.tuned.is_empty();
    let plan = Plan {
        experiment: experiment.name.clone(),
        question: experiment.question.clone(),
        axes: axes(&experiment.axes),
        trials,
        claims,
        checkpoints: experiment.checkpoints,
        baseline: experiment.baseline.clone(),
        margin: experiment.margin,
        halving: experiment.halving.as_ref().map(|(halving, _)| *halving),
        tune: tuned.then(|| Tune { axes: axes(&experiment.tuned), seed }),
    };
    let halved =
        experiment.halving.as_ref().and_then(|(halving, place)| Some((halving.problem(&plan)?, place)));
    let tuned = experiment.tuned.first().zip(plan.tune.as_ref());
    let tuned = tuned.and_then(|(axis, tune)| Some((tune.problem(&plan)?, &axis.name)));
    if let Some((problem, place)) = tuned.or(halved) {
        return Err(fail(vec![Problem::new(problem).at(place, "here")]));
    }
    let Some(problem) = folds::problem(&plan) else { return Ok(plan) };
    let (message, help) = problem.split_once("; ").unwrap_or((&problem, ""));
    let axis = experiment.axes.iter().find(|axis| axis.key.name == "fold").map(|axis| &axis.name);
    let fixed = experiment.fixed.iter().find(|fixed| fixed.key.name == "fold").map(|fixed| &fixed.place);
    let problem = Problem::new(message.to_owned()).help(help);
    Err(fail(vec![match axis.or(fixed) {
        Some(place) => problem.at(place, "here"),
        None => problem,
    }]))
}

fn axes(axes: &[GridAxis]) -> Vec<Axis> {
    let axes = axes.iter().map(|axis| Axis {
        key: axis.key.name.to_owned(),
        values: axis.values.iter().map(|(value, _)| value.clone()).collect(),
    });
    axes.collect()
}

/// The trials of the grid's cells, each once.
fn trials(experiment: &Experiment, cells: usize, problems: &mut Found) -> Vec<Trial> {
    let (mut trials, mut ids) = (Vec::new(), BTreeSet::new());
    let mut known = refusal::Found::default();
    for index in 0..cells {
        let cell = Cell::new(experiment, index);
        if cell.excepted {
            continue;
        }
        cell.check(problems, &mut known);
        let trial = cell.trial.sealed();
        if ids.insert(trial.id.clone()) {
            trials.push(trial);
        }
    }
    trials
}

/// Problems that were found, without repetition; the text tells repetitions apart.
type Found = Vec<(String, Problem)>;

/// One combination of the grid, and where each of its values comes from.
struct Cell {
    trial: Trial,
    places: Vec<(&'static Key, Place)>,
    /// Whether the experiment leaves it out.
    excepted: bool,
}

impl Cell {
    /// The cell of this index, the last axis running fastest.
    fn new(experiment: &Experiment, mut index: usize) -> Self {
        let mut cell = Self { trial: Trial::default(), places: Vec::new(), excepted: false };
        for fixed in &experiment.fixed {
            cell.set(fixed.key, &fixed.value, &fixed.place);
        }
        for axis in experiment.all_axes().rev() {
            let (value, place) = &axis.values[index % axis.values.len()];
            index /= axis.values.len();
            cell.set(axis.key, value, place);
        }
        // Overrides speak of the grid's cells, so none depends on what another has changed.
        let written = cell.trial.clone();
        let is = |conditions: &[Assignment]| {
            conditions.iter().all(|condition| condition.key.show(&written) == condition.value)
        };
        cell.excepted = experiment.excepted.iter().any(|conditions| is(conditions));
        for overriding in &experiment.overrides {
            if is(&overriding.when) {
                overriding.set.iter().for_each(|set| cell.set(set.key, &set.value, &set.place));
            }
        }
        let own = experiment.strategies.iter().find(|(name, _)| *name == cell.trial.strategy);
        cell.trial.phases = own.map(|(_, phases)| phases.clone());
        let before = pretraining_name(&cell.trial.weights)
            .and_then(|name| experiment.pretrainings.iter().find(|entry| entry.name == name));
        cell.trial.pretraining = before.map(|entry| entry.resolved(&cell.trial));
        cell
    }

    fn set(&mut self, key: &'static Key, value: &str, place: &Place) {
        key.set(&mut self.trial, value)
            .expect("the experiment holds values that were read with the same key");
        self.places.retain(|(known, _)| *known != key);
        self.places.push((key, place.clone()));
    }

    /// Adds what makes this cell impossible to `found`.
    fn check(&self, found: &mut Found, known: &mut refusal::Found) {
        for refusal in refusal::cell(&self.trial, known) {
            let mut problem = Problem::new(&refusal.message);
            if !refusal.help.is_empty() {
                problem = problem.help(&refusal.help);
            }
            let mut identity = refusal.message.clone();
            for name in &refusal.keys {
                if let Some((key, place)) = self.places.iter().find(|(key, _)| key.name == *name) {
                    problem = problem.at(place, format!("{} {}", key.name, key.show(&self.trial)));
                    identity += &format!("\n{:?}", place.span);
                }
            }
            if found.iter().all(|(known, _)| *known != identity) {
                found.push((identity, problem));
            }
        }
    }
}

/// The claims that speak of a trial. One that speaks of none is a problem, unless `--set` changed the grid.
fn claims(experiment: &Experiment, trials: &[Trial], found: &mut Found) -> Vec<Claim> {
    let (mut claims, written) = (Vec::new(), as_written(experiment));
    for entry in &experiment.claims {
        let holds = |trial: &Trial| entry.when.iter().all(|when| when.key.show(trial) == when.value);
        if trials.iter().any(holds) {
            claims.push(Claim {
                when: entry.when.iter().map(|when| (when.key.name.to_owned(), when.value.clone())).collect(),
                test_accuracy: entry.test_accuracy,
                minutes: entry.minutes,
                source: entry.source.clone(),
                written: changed(&written, trials, holds),
            });
        } else if !experiment.changed && !trials.is_empty() {
            let problem =
                Problem::new("this claim speaks of no trial").at(&entry.place, "no trial has all of these");
            found.push((
                String::new(),
                problem.help("`frostline plan` lists the trials once the claim is removed"),
            ));
        }
    }
    claims
}

/// The trials that the file has without `--set`; none where nothing was set.
fn as_written(experiment: &Experiment) -> Vec<Trial> {
    if !experiment.changed {
        return Vec::new();
    }
    let Ok(written) = Experiment::read(Path::new(&experiment.path), &experiment.text, &[]) else {
        return Vec::new();
    };
    let cells = written.all_axes().map(|axis| axis.values.len()).product();
    trials(&written, cells, &mut Vec::new())
}

/// The keys whose values some of the trials that a claim speaks of do not have in the file, with those that they have there.
fn changed(
    written: &[Trial],
    trials: &[Trial],
    speaks: impl Fn(&Trial) -> bool,
) -> Vec<(String, Vec<String>)> {
    let of = |key: &Key, trials: &[Trial]| -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for trial in trials.iter().filter(|trial| speaks(trial)) {
            let value = key.show(trial);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let changed = keys().iter().filter(|key| key.name != "seed").filter_map(|key| {
        let (now, before) = (of(key, trials), of(key, written));
        let other = !before.is_empty() && now.iter().any(|value| !before.contains(value));
        other.then(|| (key.name.to_owned(), before))
    });
    changed.collect()
}

/// Seeds outermost, in the order in which they first appear; arms shuffled within a seed. The order of the axes in the
/// file plays no part.
fn in_order(trials: Vec<Trial>) -> Vec<Trial> {
    let mut seeds: Vec<u64> = Vec::new();
    for trial in &trials {
        if !seeds.contains(&trial.seed) {
            seeds.push(trial.seed);
        }
    }
    let mut ordered = Vec::with_capacity(trials.len());
    for seed in seeds {
        let mut block: Vec<Trial> = trials.iter().filter(|trial| trial.seed == seed).cloned().collect();
        block.sort_by_cached_key(Trial::arm);
        Streams::new(seed).draws(Purpose::Plan, 0, 0).shuffle(&mut block);
        ordered.append(&mut block);
    }
    ordered
}
