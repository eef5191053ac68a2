//! Which trials advance together: [`cohorts`] groups those that see the same batches and begin with the same frozen stages, and
//! [`parts`] splits a group to what memory has room for.

use std::collections::BTreeMap;

use frostline_data::Augment;
use frostline_experiment::{Memory, Trial};

use super::graph::{Graph, Id, Train};

/// Trials in groups that advance together, in the order of their first members. A trial that has nothing in common with another is a
/// group of its own.
pub(super) fn cohorts(graph: &Graph, due: &[Id<Train>]) -> Vec<Vec<Id<Train>>> {
    let mut groups: Vec<Vec<Id<Train>>> = Vec::new();
    // The places of those whose trials begin with frozen stages, by seed.
    let mut open: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &id in due {
        let train = &graph.trials[id];
        if !begins_frozen(train) {
            groups.push(vec![id]);
            continue;
        }
        let alike = open.entry(train.trial.seed).or_default();
        match alike.iter().find(|place| together(&graph.trials[groups[**place][0]], train)) {
            Some(place) => groups[*place].push(id),
            None => {
                alike.push(groups.len());
                groups.push(vec![id]);
            }
        }
    }
    groups
}

fn begins_frozen(train: &Train) -> bool {
    train.prefixes.first().is_some_and(Option::is_some)
}

/// Whether two trials have the same batches and frozen stages to begin with.
fn together(a: &Train, b: &Train) -> bool {
    let same = |a: &Trial, b: &Trial| {
        let augment = |trial: &Trial| Augment::parse_all(&trial.data.augment);
        let drawn = |trial: &Trial| (trial.seed, trial.data.per_class, trial.data.validation.to_bits());
        (drawn(a), &a.data.fold) == (drawn(b), &b.data.fold)
            && augment(a) == augment(b)
            && a.data.views == b.data.views
            && (a.train.batch, &a.train.ragged, &a.train.sampling)
                == (b.train.batch, &b.train.ragged, &b.train.sampling)
            && (&a.model, &a.weights, &a.train.head, &a.device)
                == (&b.model, &b.weights, &b.train.head, &b.device)
    };
    let fits = a.trial.fits() == b.trial.fits(); // A cohort takes steps, or it takes none.
    fits && begins_frozen(a)
        && begins_frozen(b)
        && a.data == b.data
        && a.start == b.start
        && same(&a.trial, &b.trial)
}

/// A group in parts of which each takes no more than `free` bytes, as far as that can be reckoned; a trial that takes more alone is a
/// part alone.
pub(super) fn parts(
    group: &[Id<Train>],
    memory: impl Fn(Id<Train>) -> Option<Memory>,
    free: Option<u64>,
) -> Vec<Vec<Id<Train>>> {
    let mut parts: Vec<(Vec<Id<Train>>, Memory)> = Vec::new();
    for &id in group {
        let own = memory(id).unwrap_or_default();
        let fits = |known: &Memory| free.is_none_or(|free| known.and(&own).bytes() <= free);
        match parts.last_mut().filter(|(_, known)| fits(known)) {
            Some((part, known)) => {
                part.push(id);
                *known = known.and(&own);
            }
            None => parts.push((vec![id], own)),
        }
    }
    parts.into_iter().map(|(part, _)| part).collect()
}
