//! What a sweep computes, as a graph: [`Graph::of`] lays a plan out as nodes, each once, whose inputs are other nodes.
//!
//! ```text
//! FetchImages ──> Decode ──┬──────────────────> Train
//!                          ├──> Pretrain ──┐     ^ ^
//! FetchWeights ────────────┼───────────────┴─────┘ │
//!                          └──> Prefix ────────────┘
//! ```
//!
//! A node says what it is made of and nothing else; what it comes to is its [`Node::Product`]. Which of them are due, and in
//! which order, is the [schedule](super::schedule)'s; the [worker](super::worker) makes them. The graph is a pure function of
//! the plan: nothing is opened for it.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use frostline_data::{Dataset, OnDuplicates, Prepared, Reading};
use frostline_engine::{BatchNormPolicy, Phase};
use frostline_experiment::{
    DataSpec, Kinds, Plan, Trial, Trunk, pretraining_name, reading_of, recipe_of, strategy_of,
};
use frostline_models::{Resolved, card};

use super::error::SweepError;
use super::pretrain::{Pretrained, objective_of};

/// The classes that phases are laid out with, as the true number is known only with the data; stages do not depend on it.
const ANY_CLASSES: usize = 2;

/// Something that a sweep makes from other things.
pub(super) trait Node: PartialEq {
    /// What it comes to.
    type Product;
}

/// The place of a node among those of its kind.
pub(super) struct Id<N> {
    index: usize,
    kind: PhantomData<fn() -> N>,
}

impl<N> Id<N> {
    /// The place among the nodes of its kind.
    pub(super) fn place(self) -> usize {
        self.index
    }
}

/// The files of a data source, here and verified.
#[derive(Debug, PartialEq)]
pub(super) struct FetchImages {
    pub(super) source: String,
    pub(super) reading: Reading,
}

/// A file of weights for a model, here, verified, and with the model's names and shapes.
#[derive(Debug, PartialEq)]
pub(super) struct FetchWeights {
    pub(super) model: String,
    pub(super) weights: String,
}

/// A source's images of some classes, decoded at one resolution.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decode {
    pub(super) images: Id<FetchImages>,
    pub(super) source: String,
    pub(super) classes: Vec<String>,
    pub(super) duplicates: OnDuplicates,
    /// Whether folds of the images test, so that none are set aside for it.
    pub(super) in_folds: bool,
    pub(super) resolution: usize,
}

/// Images in memory.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) dataset: Dataset,
    /// The digest of the whole source, of which the images may be some classes.
    pub(super) source_digest: String,
}

/// The weights of a pretraining.
#[derive(Debug, PartialEq)]
pub(super) struct Pretrain {
    pub(super) trunk: Trunk,
    pub(super) data: Id<Decode>,
}

/// What the weights of a model are when its training starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    /// Drawn from this seed.
    Drawn(u64),
    /// From a file; the head is drawn.
    Fetched(Id<FetchWeights>),
    /// From a pretraining; the head is drawn.
    Pretrained(Id<Pretrain>),
}

/// The leading stages of a model with the weights that training starts from, while a phase trains nothing of them: a fixed
/// function of the images, the same for every trial that names it; trials that begin with one advance together.
#[derive(Debug, PartialEq)]
pub(super) struct Prefix {
    pub(super) model: String,
    pub(super) start: Start,
    pub(super) data: Id<Decode>,
    /// How many stages.
    pub(super) stages: usize,
}

/// A trained model, with the weights of the epoch that was chosen on validation, and what it says of the test split.
#[derive(Debug, PartialEq)]
pub(super) struct Train {
    pub(super) trial: Trial,
    pub(super) data: Id<Decode>,
    pub(super) start: Start,
    /// For each phase that has one, its prefix.
    pub(super) prefixes: Vec<Option<Id<Prefix>>>,
}

impl Node for FetchImages {
    type Product = Prepared;
}

impl Node for FetchWeights {
    type Product = Resolved;
}

impl Node for Decode {
    type Product = Decoded;
}

impl Node for Pretrain {
    type Product = Pretrained;
}

impl Node for Prefix {
    type Product = ();
}

/// All that the trials of a plan need, in the order in which the plan first needs it. Trials have the places that they have in the plan,
/// which names each once.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) images: Nodes<FetchImages>,
    pub(super) weights: Nodes<FetchWeights>,
    pub(super) data: Nodes<Decode>,
    pub(super) trunks: Nodes<Pretrain>,
    pub(super) prefixes: Nodes<Prefix>,
    pub(super) trials: Nodes<Train>,
}

impl Graph {
    /// The graph of a plan.
    ///
    /// # Errors
    /// A setting that the crates below do not take; a plan that was expanded from a file has none.
    pub(super) fn of(plan: &Plan) -> Result<Self, SweepError> {
        let mut graph = Self::default();
        let mut kinds = Kinds::default();
        for trial in &plan.trials {
            let setting = |problem: String| SweepError::Setting { trial: trial.id.clone(), problem };
            graph.add(trial, &mut kinds).map_err(setting)?;
        }
        Ok(graph)
    }

    fn add(&mut self, trial: &Trial, kinds: &mut Kinds<Result<Vec<usize>, String>>) -> Result<(), String> {
        recipe_of(&trial.train)?;
        let data = self.decode(&trial.data, trial.resolution)?;
        let start = match trial.trunk() {
            Some(trunk) => {
                recipe_of(&trunk.pretraining.train)?;
                objective_of(&trunk.pretraining)?;
                let data = self.decode(&trunk.pretraining.data, trunk.resolution)?;
                Start::Pretrained(self.trunks.add(Pretrain { trunk, data }))
            }
            None if pretraining_name(&trial.weights).is_some() => {
                return Err(format!("`{}` names no pretraining of its experiment", trial.weights));
            }
            None if trial.weights == "none" => Start::Drawn(trial.seed),
            None => {
                let (model, weights) = (trial.model.clone(), trial.weights.clone());
                Start::Fetched(self.weights.add(FetchWeights { model, weights }))
            }
        };
        let prefixes = kinds.of(trial, ANY_CLASSES, frozen)?.into_iter().map(|stages| {
            let model = trial.model.clone();
            (stages > 0).then(|| self.prefixes.add(Prefix { model, start, data, stages }))
        });
        let prefixes = prefixes.collect();
        self.trials.push(Train { trial: trial.clone(), data, start, prefixes });
        Ok(())
    }

    pub(super) fn decode(&mut self, data: &DataSpec, resolution: usize) -> Result<Id<Decode>, String> {
        let (source, classes) = (data.source.clone(), data.classes.clone());
        let ((reading, duplicates), in_folds) = (reading_of(data)?, data.fold.is_some());
        let images = self.images.add(FetchImages { source: source.clone(), reading });
        Ok(self.data.add(Decode { images, source, classes, duplicates, in_folds, resolution }))
    }
}

/// For each phase of a trial, how many leading stages are what they were when the trial started: nothing of them has trained,
/// and no BatchNorm of them has learnt statistics.
fn frozen(trial: &Trial) -> Result<Vec<usize>, String> {
    let card = card(&trial.model).map_err(|error| error.to_string())?;
    let strategy = strategy_of(trial)?;
    let recipe = recipe_of(&trial.train)?;
    let phases = strategy
        .phases(&strategy.parts(card, ANY_CLASSES), trial.train.epochs)
        .map_err(|error| error.to_string())?;
    let moves = |phase: &Phase| {
        phase.batch_norm.unwrap_or(recipe.batch_norm) == BatchNormPolicy::Train && card.has_batch_norm()
    };
    let mut untouched = usize::MAX;
    let stages = phases.iter().map(|phase| {
        untouched = untouched.min(if moves(phase) { 0 } else { phase.frozen_prefix });
        untouched
    });
    Ok(stages.collect())
}

/// Nodes of one kind, each once.
#[derive(Debug)]
pub(super) struct Nodes<N>(Vec<N>);

impl<N> Default for Nodes<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N: Node> Nodes<N> {
    /// The place of a node, which is added where it is new.
    fn add(&mut self, node: N) -> Id<N> {
        match self.0.iter().position(|known| *known == node) {
            Some(index) => Id { index, kind: PhantomData },
            None => self.push(node),
        }
    }

    /// The place of a node that is new.
    fn push(&mut self, node: N) -> Id<N> {
        self.0.push(node);
        Id { index: self.0.len() - 1, kind: PhantomData }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id<N>> + use<N> {
        (0..self.0.len()).map(|index| Id { index, kind: PhantomData })
    }
}

impl<N> std::ops::Index<Id<N>> for Nodes<N> {
    type Output = N;

    fn index(&self, id: Id<N>) -> &N {
        &self.0[id.index]
    }
}

/// What nodes of one kind have come to.
pub(super) struct Made<N: Node>(Vec<Option<N::Product>>);

impl<N: Node> Made<N> {
    /// Room for the products of these nodes.
    pub(super) fn of(nodes: &Nodes<N>) -> Self {
        Self(nodes.0.iter().map(|_| None).collect())
    }

    pub(super) fn put(&mut self, id: Id<N>, product: N::Product) {
        self.0[id.index] = Some(product);
    }

    /// The product, where it was made.
    pub(super) fn get(&self, id: Id<N>) -> Option<&N::Product> {
        self.0[id.index].as_ref()
    }
}

impl<N: Node> std::ops::Index<Id<N>> for Made<N> {
    type Output = N::Product;

    /// The product of a node that the schedule has put before.
    fn index(&self, id: Id<N>) -> &N::Product {
        self.get(id).expect("a schedule makes inputs before what needs them")
    }
}

impl Node for Train {
    type Product = ();
}

// Derived, these would ask the same of the kind.
impl<N> Clone for Id<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Id<N> {}

impl<N> PartialEq for Id<N> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<N> Eq for Id<N> {}

impl<N> PartialOrd for Id<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N> Ord for Id<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<N> fmt::Debug for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)
    }
}
