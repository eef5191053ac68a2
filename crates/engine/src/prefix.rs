//! What several models compute alike: [`Tree::of`] lays the frozen prefixes of some runs out as a tree whose nodes are stages, each
//! once for all runs in which it has the same numbers, and [`Tree::features`] runs a batch through it.
//!
//! Equality is by the SHA-256 of every number of a stage, not by where the weights are said to come from.

use std::ops::Range;

use candle_core::DType;
use frostline_kernels::Hwnc;
use frostline_models::{Activation, Model, Pass};
use sha2::{Digest, Sha256};

use crate::EngineError;
use crate::audit::{Digest256, Hashes};
use crate::seat::Slot;

/// The features of some images of a batch, `[.., N, C]`.
pub(crate) fn part(features: &Activation, images: Range<usize>) -> Result<Activation, EngineError> {
    let tensor = features.tensor();
    let some = tensor.narrow(tensor.rank() - 2, images.start, images.len())?.contiguous()?;
    Ok(match features {
        Activation::Map(_) => Hwnc::new(some)?.into(),
        Activation::Rows(_) => Activation::Rows(some),
    })
}

/// The stages that runs have in common.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    roots: Vec<Node>,
    /// For each run, the hash of its whole prefix.
    keys: Vec<Option<Digest256>>,
}

/// One stage, computed by the model of its first run for all of them.
#[derive(Debug)]
struct Node {
    stage: usize,
    runs: Vec<usize>,
    /// Those of the runs whose prefix ends behind this stage.
    ends: Vec<usize>,
    children: Vec<Node>,
}

/// One of several models, and how many of its leading stages are a fixed function of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix<'a> {
    pub(crate) model: &'a Model,
    pub(crate) stages: usize,
}

/// What computes for a stage's runs: it is given the runs and the work, and may take times.
pub(crate) type Timed<'t> =
    dyn FnMut(&[usize], &mut dyn FnMut() -> Result<(), EngineError>) -> Result<(), EngineError> + 't;

impl Tree {
    /// The tree of some runs; none where a run has no prefix, or has ended.
    ///
    /// # Errors
    /// Where numbers cannot be read from their device.
    pub(crate) fn of(prefixes: &[Option<Prefix<'_>>], hashes: &mut Hashes) -> Result<Self, EngineError> {
        let mut stages = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let digests = match prefix {
                Some(Prefix { model, stages }) => {
                    let of_stage =
                        |stage| Ok::<_, EngineError>(in_precision(hashes.stage(model, stage)?, model));
                    (0..*stages).map(of_stage).collect::<Result<Vec<_>, _>>()?
                }
                None => Vec::new(),
            };
            stages.push(digests);
        }
        let all: Vec<usize> = (0..prefixes.len()).collect();
        let keys = stages.iter().map(|digests| {
            (!digests.is_empty()).then(|| {
                let mut hasher = Sha256::new();
                digests.iter().for_each(|digest| hasher.update(digest));
                hasher.finalize().into()
            })
        });
        Ok(Self { roots: grow(0, &all, &stages), keys: keys.collect() })
    }

    /// What tells a run's prefix from others; none where it has none.
    pub(crate) fn key(&self, run: usize) -> Option<Digest256> {
        self.keys.get(run).copied().flatten()
    }

    /// Puts what prefixes give for `input` into the slots that want it. Each stage is computed once, within `timed`, and only where a
    /// run behind it wants something. What has no prefix is left as it is.
    ///
    /// # Errors
    /// Where a stage fails, or `timed` does.
    pub(crate) fn features(
        &self,
        prefixes: &[Option<Prefix<'_>>],
        input: &Activation,
        slots: &mut [Slot],
        timed: &mut Timed<'_>,
    ) -> Result<(), EngineError> {
        self.roots.iter().try_for_each(|node| node.compute(prefixes, input, slots, timed))
    }
}

impl Node {
    fn compute(
        &self,
        prefixes: &[Option<Prefix<'_>>],
        input: &Activation,
        slots: &mut [Slot],
        timed: &mut Timed<'_>,
    ) -> Result<(), EngineError> {
        let wants = |slots: &[Slot], run: &usize| matches!(slots[*run], Slot::Wanted);
        let wanting: Vec<usize> = self.runs.iter().copied().filter(|run| wants(slots, run)).collect();
        let Some(Prefix { model, .. }) = wanting.first().and_then(|run| prefixes[*run]) else {
            return Ok(());
        };
        let mut output = None;
        timed(&wanting, &mut || {
            output = Some(model.forward_range(self.stage..self.stage + 1, input.clone(), &Pass::Evaluate)?);
            Ok(())
        })?;
        let Some(output) = output else { return Ok(()) };
        self.children.iter().try_for_each(|node| node.compute(prefixes, &output, slots, timed))?;
        let ends: Vec<usize> = self.ends.iter().copied().filter(|run| wants(slots, run)).collect();
        ends.into_iter().for_each(|run| slots[run] = Slot::Have(output.clone()));
        Ok(())
    }
}

/// What tells a stage from one with the same numbers that computes in another precision.
fn in_precision(digest: Digest256, model: &Model) -> Digest256 {
    match model.precision() {
        DType::F32 => digest,
        other => Sha256::new().chain_update(digest).chain_update(other.as_str()).finalize().into(),
    }
}

/// The nodes of a stage for those of the runs that have it in their prefix.
fn grow(stage: usize, runs: &[usize], digests: &[Vec<Digest256>]) -> Vec<Node> {
    let mut groups: Vec<(Digest256, Vec<usize>)> = Vec::new();
    for &run in runs {
        let Some(digest) = digests[run].get(stage) else { continue };
        match groups.iter_mut().find(|(known, _)| known == digest) {
            Some((_, group)) => group.push(run),
            None => groups.push((*digest, vec![run])),
        }
    }
    let node = |runs: Vec<usize>| Node {
        stage,
        ends: runs.iter().copied().filter(|run| digests[*run].len() == stage + 1).collect(),
        children: grow(stage + 1, &runs, digests),
        runs,
    };
    groups.into_iter().map(|(_, runs)| node(runs)).collect()
}
