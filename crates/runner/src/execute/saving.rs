//! What advancing together saves, from a plan alone: [`Saving`], in multiply-adds of training.

use std::rc::Rc;

use frostline_engine::Phase;
use frostline_experiment::{Kinds, Memory, Plan, Trial, strategy_of};
use frostline_models::card;

use super::cohort::cohorts;
use super::error::SweepError;
use super::graph::{Graph, Id, Train};

/// A backward pass costs about twice a forward pass.
const BOTH_WAYS: f64 = 3.0;

/// What the trials of a plan have in common, and what that saves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saving {
    /// How many trials each group has that advances together, the largest first; trials that advance alone are in none.
    pub groups: Vec<usize>,
    /// Multiply-adds of training together, as a share of those of one trial after another; of evaluations nothing is counted.
    pub share: f64,
    /// The largest group's memory, where it has one.
    pub memory: Option<(usize, Memory)>,
}

impl Saving {
    /// Of a plan whose images have so many classes.
    ///
    /// # Errors
    /// As the sweep's graph.
    pub fn of(plan: &Plan, classes: impl Fn(&Trial) -> usize) -> Result<Self, SweepError> {
        let graph = Graph::of(plan)?;
        let all: Vec<Id<Train>> = graph.trials.ids().collect();
        let (mut groups, mut alone, mut together) = (Vec::new(), 0.0, 0.0);
        let (mut works, mut memories) = (Works::default(), Kinds::default());
        let mut memory: Option<(usize, Memory)> = None;
        for cohort in cohorts(&graph, &all) {
            let works: Vec<Work> = cohort
                .iter()
                .filter_map(|id| works.of(&graph, *id, classes(&graph.trials[*id].trial)))
                .collect();
            alone += works.iter().map(Work::alone).sum::<f64>();
            together += Work::together(&works);
            if cohort.len() > 1 {
                groups.push(cohort.len());
                let each = cohort.iter().filter_map(|id| {
                    let trial = &graph.trials[*id].trial;
                    let classes = classes(trial);
                    memories.of(trial, classes, |trial| Memory::of(trial, classes))
                });
                let most = each.reduce(|a, b| a.and(&b)).map(|memory| (cohort.len(), memory));
                if memory.as_ref().map(|(_, known)| known.bytes()) < most.as_ref().map(|(_, m)| m.bytes()) {
                    memory = most;
                }
            }
        }
        groups.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let share = if alone > 0.0 { together / alone } else { 1.0 };
        Ok(Self { groups, share, memory })
    }
}

/// Multiply-adds that each trial of a plan trains with, alone, but for a factor that all trials with the same images have; in the
/// order of the plan.
///
/// # Errors
/// As the sweep's graph.
pub fn work_of(plan: &Plan, classes: impl Fn(&Trial) -> usize) -> Result<Vec<f64>, SweepError> {
    let graph = Graph::of(plan)?;
    let mut works = Works::default();
    let of = |id: Id<Train>| {
        let work = works.of(&graph, id, classes(&graph.trials[id].trial));
        work.map_or(0.0, |work| work.alone())
    };
    Ok(graph.trials.ids().map(of).collect())
}

/// What a trial computes of an image.
#[derive(Clone)]
pub(super) struct Work {
    /// Multiply-adds of each stage.
    stages: Rc<[f64]>,
    /// Of each epoch, the stages that are as they were in the beginning, and those that nothing is trained of.
    epochs: Rc<[(usize, usize)]>,
    /// Whether it computes in bf16: stages are shared by those that compute alike.
    half: bool,
    /// Images that train in an epoch, but for a factor that all trials of a plan with the same images have.
    images: f64,
}

/// What trials compute, found once for those that compute the same.
#[derive(Default)]
pub(super) struct Works(Kinds<Option<Work>>);

impl Works {
    pub(super) fn of(&mut self, graph: &Graph, id: Id<Train>, classes: usize) -> Option<Work> {
        let Train { trial, prefixes, .. } = &graph.trials[id];
        let still = prefixes.iter().map(|prefix| prefix.map_or(0, |prefix| graph.prefixes[prefix].stages));
        let work = self.0.of(trial, classes, |trial| Work::of(trial, still, classes))?;
        let images = (1.0 - trial.data.validation) * trial.data.per_class.map_or(1.0, |count| count as f64);
        Some(Work { images, half: trial.train.precision == "bf16", ..work })
    }
}

impl Work {
    /// For each phase `still` is how many stages are as they were in the beginning.
    fn of(trial: &Trial, still: impl Iterator<Item = usize>, classes: usize) -> Option<Self> {
        let card = card(&trial.model).ok()?;
        let summary = card.summary(classes, trial.resolution, trial.resolution).ok()?;
        let strategy = strategy_of(trial).ok()?;
        let phases: Vec<Phase> = strategy.phases(&strategy.parts(card, classes), trial.train.epochs).ok()?;
        let mut epochs = Vec::new();
        for (phase, still) in phases.iter().zip(still) {
            epochs.extend(std::iter::repeat_n((still, phase.frozen_prefix.max(still)), phase.epochs));
        }
        let stages: Vec<f64> = summary.iter().map(|stage| stage.multiply_adds as f64).collect();
        Some(Self { stages: stages.into(), epochs: epochs.into(), half: false, images: 1.0 })
    }

    fn alone(&self) -> f64 {
        let epoch = |&(_, frozen): &(usize, usize)| {
            self.stages[..frozen].iter().sum::<f64>() + BOTH_WAYS * self.stages[frozen..].iter().sum::<f64>()
        };
        self.images * self.epochs.iter().map(epoch).sum::<f64>()
    }

    /// Of several with the same images and the same model: what is as it was is computed once in an epoch.
    pub(super) fn together(all: &[Self]) -> f64 {
        let saved = |epoch: usize| {
            let stages = all.first().map_or(0, |work| work.stages.len());
            let of_stage = |stage: usize| {
                let still = |work: &&Self| work.epochs.get(epoch).is_some_and(|(still, _)| *still > stage);
                let again = |half: bool| {
                    let sharers = all.iter().filter(still).filter(|work| work.half == half);
                    sharers.count().saturating_sub(1) as f64
                };
                all[0].images * all[0].stages[stage] * (again(false) + again(true))
            };
            (0..stages).map(of_stage).sum::<f64>()
        };
        let epochs = all.iter().map(|work| work.epochs.len()).max().unwrap_or(0);
        all.iter().map(Self::alone).sum::<f64>() - (0..epochs).map(saved).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use frostline_experiment::{Experiment, expand};

    use super::*;

    fn saving(grid: &str) -> Saving {
        let file = format!(
            "question = \"what is shared?\"\n[data]\nsource = \"digits\"\n[train]\nepochs = 4\n[grid]\nmodel = [\"resnet18\"]\n{grid}"
        );
        let plan = expand(&Experiment::read(Path::new("x.toml"), &file, &[]).unwrap()).unwrap();
        Saving::of(&plan, |_| 10).unwrap()
    }

    #[test]
    fn what_is_shared_is_counted_once() {
        let probes = saving("strategy = [\"head\"]\nlearning-rate = [0.1, 0.01, 0.001]\n");
        // Three times the trunk and three heads, of which a head is next to nothing.
        assert_eq!(probes.groups, [3]);
        assert!((probes.share - 1.0 / 3.0).abs() < 1e-3, "{probes:?}");
        assert!(probes.memory.is_some());
        let full = saving("strategy = [\"full\"]\nlearning-rate = [0.1, 0.01, 0.001]\n");
        assert_eq!((full.groups, full.share), (vec![], 1.0));
        // The images come once, the trunk once in each precision.
        let precisions =
            saving("strategy = [\"head\"]\nlearning-rate = [0.1, 0.01]\nprecision = [\"f32\", \"bf16\"]\n");
        assert_eq!(precisions.groups, [4]);
        assert!((precisions.share - 0.5).abs() < 1e-3, "{precisions:?}");
        let both = saving("strategy = [\"head\", \"full\"]\nseed = [0, 1]\n");
        assert_eq!((both.groups, both.share), (vec![], 1.0));
        // Linear probing for half of the epochs, with the probe's trunk: 1 + 3 + 0.5 + ... of it.
        let later = saving("strategy = [\"head\", \"lp-ft\"]\n");
        assert_eq!(later.groups, [2]);
        // Alone: 4 epochs of the trunk, and 2 forward with 2 both ways: 4 + 2 + 6 = 12; 2 are saved.
        assert!((later.share - 10.0 / 12.0).abs() < 1e-3, "{later:?}");
    }
}
