//! A plan in parts for as many processes: [`Shares`] hands out its cohorts, so that what trials have in common is still computed once, and
//! each [`Share`] is about as much work. It depends on the plan alone, so that processes that know nothing of each other agree on it.

use std::fmt;
use std::str::FromStr;

use frostline_experiment::{Plan, Trial};

use super::cohort::cohorts;
use super::error::SweepError;
use super::graph::{Graph, Id, Train};
use super::saving::{Work, Works};

/// The most shares of a plan.
const MOST: usize = 100_000;

/// One of several parts of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').map(|(index, of)| (index.trim().parse(), of.trim().parse()));
        let Some((Ok(index), Ok(of))) = parts else {
            return Err("write I/N, such as 3/8 for the third of eight shares".to_owned());
        };
        if of > MOST {
            return Err(format!("there may be {MOST} shares at most"));
        }
        if index < 1 || index > of {
            return Err(format!("shares are counted from 1, so this is one of 1/{of} to {of}/{of}"));
        }
        Ok(Self { index, of })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// The cohorts of a plan, handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// For each share the places of its cohorts.
    parts: Vec<Vec<usize>>,
    /// For each cohort the places of its trials in the plan, ascending.
    cohorts: Vec<Vec<usize>>,
}

impl Shares {
    /// So many shares of a plan, or as many as it has cohorts. The dearest cohort goes first, to the share with the least work, the first of
    /// equals: so the first share has the dearest cohort, and shares that were handed nothing come last.
    ///
    /// # Errors
    /// As the sweep's graph.
    pub fn of(
        plan: &Plan,
        count: Option<usize>,
        classes: impl Fn(&Trial) -> usize,
    ) -> Result<Self, SweepError> {
        let graph = Graph::of(plan)?;
        let all: Vec<Id<Train>> = graph.trials.ids().collect();
        let places: Vec<Vec<Id<Train>>> = cohorts(&graph, &all);
        let mut works = Works::default();
        let costs: Vec<f64> =
            places.iter().map(|cohort| cost(&graph, cohort, &classes, &mut works)).collect();
        let count = count.unwrap_or(places.len());
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|a, b| costs[*b].total_cmp(&costs[*a])); // Stable: of equals the first.
        let (mut parts, mut loads) = (vec![Vec::new(); count], vec![0.0f64; count]);
        for (turn, cohort) in order.into_iter().enumerate() {
            let least = || (0..count).min_by(|a, b| loads[*a].total_cmp(&loads[*b]));
            // As long as there is an empty share, it is the next one.
            if let Some(share) = if turn < count { Some(turn) } else { least() } {
                loads[share] += costs[cohort];
                parts[share].push(cohort);
            }
        }
        let cohorts = places.into_iter().map(|cohort| cohort.into_iter().map(Id::place).collect()).collect();
        Ok(Self { parts, cohorts })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// How many cohorts the plan has.
    pub fn cohorts(&self) -> usize {
        self.cohorts.len()
    }

    /// The trials of each cohort of a share, counted from 0, as places in the plan.
    pub fn of_share(&self, share: usize) -> Vec<&[usize]> {
        let part = self.parts.get(share).map(Vec::as_slice).unwrap_or_default();
        part.iter().map(|cohort| self.cohorts[*cohort].as_slice()).collect()
    }

    /// The plan with the trials of one share alone, in its order, and how many cohorts they are.
    pub fn plan(&self, plan: &Plan, share: Share) -> (Plan, usize) {
        let cohorts = self.of_share(share.index - 1);
        let mut places: Vec<usize> = cohorts.concat();
        places.sort_unstable();
        let trials = places.into_iter().map(|place| plan.trials[place].clone()).collect();
        (Plan { trials, ..plan.clone() }, cohorts.len())
    }
}

/// What a cohort computes, in multiply-adds; a little for each trial besides, so that those of which nothing is known are spread too.
fn cost(graph: &Graph, cohort: &[Id<Train>], classes: impl Fn(&Trial) -> usize, works: &mut Works) -> f64 {
    let of = |id: &Id<Train>| works.of(graph, *id, classes(&graph.trials[*id].trial));
    let works: Vec<Work> = cohort.iter().filter_map(of).collect();
    Work::together(&works) + cohort.len() as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use frostline_experiment::{Experiment, expand};

    use super::*;

    /// Of each seed a cohort of three probes, and each `full` alone.
    fn plan() -> Plan {
        let file = "question = \"who does what?\"\n[data]\nsource = \"digits\"\n[grid]\nmodel = [\"resnet18\"]\n\
                    strategy = [\"head\", \"last-1\", \"last-2\", \"full\"]\nseed = [0, 1, 2]\n";
        expand(&Experiment::read(Path::new("x.toml"), file, &[]).unwrap()).unwrap()
    }

    fn shares(of: Option<usize>) -> Shares {
        Shares::of(&plan(), of, |_| 10).unwrap()
    }

    #[test]
    fn every_trial_is_in_one_share_and_cohorts_stay_whole() {
        let plan = plan();
        for of in 1..9 {
            let shares = shares(Some(of));
            let mut ids: Vec<String> = Vec::new();
            for index in 1..=of {
                let (part, cohorts) = shares.plan(&plan, Share { index, of });
                assert_eq!(cohorts, shares.of_share(index - 1).len());
                ids.extend(part.trials.into_iter().map(|trial| trial.id));
            }
            ids.sort();
            let mut all: Vec<String> = plan.trials.iter().map(|trial| trial.id.clone()).collect();
            all.sort();
            assert_eq!(ids, all, "of {of}");
        }
        let whole = shares(None);
        assert_eq!((whole.count(), whole.cohorts()), (6, 6));
        let sizes: Vec<usize> = (0..6).map(|share| whole.of_share(share).concat().len()).collect();
        assert_eq!(sizes, [3, 3, 3, 1, 1, 1], "three probes together take longer than one whole training");
    }

    #[test]
    fn work_is_spread_evenly_and_what_is_left_over_is_empty() {
        let three = shares(Some(3));
        let each: Vec<usize> = (0..3).map(|share| three.of_share(share).concat().len()).collect();
        assert_eq!(each, [4, 4, 4]);
        let seven = shares(Some(7));
        assert!(seven.of_share(6).is_empty() && !seven.of_share(5).is_empty());
        assert_eq!(shares(Some(3)), three);
    }

    #[test]
    fn shares_are_written_as_a_fraction() {
        assert_eq!("3/8".parse(), Ok(Share { index: 3, of: 8 }));
        for (text, problem) in
            [("3", "write I/N"), ("0/8", "1/8 to 8/8"), ("9/8", "1/8 to 8/8"), ("x/y", "write I/N")]
        {
            assert!(text.parse::<Share>().unwrap_err().contains(problem), "{text}");
        }
    }
}
