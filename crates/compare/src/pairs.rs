//! Two arms held against each other: [`Pair`], with everything that may be said of their difference, and [`Standing`], the verdict.

use frostline_results::StoredTrial;

use super::crossed::{Answered, Crossed, ENOUGH_SEEDS, Needed};
use super::hypotheses::{holm, mcnemar};
use super::resampling::{Influences, Resampled, ahead, bca, quantile};
use super::{Arm, Run, mean};

/// Below this a p-value speaks against chance.
pub const LEVEL: f64 = 0.05;
/// An arm is better only if it is ahead in this share of seeds.
const AHEAD: f64 = 0.75;

/// An arm against another, over the seeds that both finished on the same test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The first arm's place in [`super::Comparison::arms`].
    pub arm: usize,
    /// The second's.
    pub other: usize,
    /// The mean difference of accuracy, first less second, and its error.
    pub difference: Crossed,
    /// The 95 % interval of the difference by the BCa bootstrap over seeds and images.
    pub bootstrap: (f64, f64),
    /// The probability that the first is ahead in a seed, ties counting half.
    pub ahead: f64,
    /// Its 95 % interval by the bootstrap.
    pub ahead_interval: (f64, f64),
    /// McNemar's exact test, by seed.
    pub mcnemar: Vec<Disagreement>,
    /// How likely such a difference is where there is none: of one seed McNemar's, else by Student's t.
    pub p: f64,
    /// The same in its family of comparisons, by Holm.
    pub adjusted: f64,
    /// How likely it is to pass for equivalent within the margin where it is not, by Holm.
    pub equivalence: f64,
    /// What would settle the order.
    pub needed: Option<Needed>,
    /// Whether the two gave right answers to the very same images in every seed.
    pub same_answers: bool,
    /// Whether the two are as accurate as each other in every seed.
    pub tied: bool,
}

/// Where two models of one seed disagree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disagreement {
    /// The seed.
    pub seed: u64,
    /// Images that the first alone was right on.
    pub only_arm: usize,
    /// Images that the second alone was right on.
    pub only_other: usize,
    /// McNemar's exact p-value.
    pub p: f64,
}

/// What may be said of an arm against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As accurate in every seed.
    Tied,
    /// Better: the intervals exclude 0, the family's p-value is low, and it is ahead in most seeds.
    Better,
    /// The same the other way round.
    Worse,
    /// The same within the margin.
    Equivalent,
    /// Ahead or behind by its own test, and not any more in its family of comparisons.
    NotInFamily,
    /// Fewer than three seeds: the models that were trained differ, and nothing is known of others.
    OnlyThese,
    /// Nothing is settled.
    Open,
}

impl Pair {
    /// Compares two arms; `places` gives each run's place among the trials that were drawn from. None where they share no seed on
    /// the same images.
    pub(crate) fn of(
        (arm, first): (usize, &Arm<'_>),
        (other, second): (usize, &Arm<'_>),
        places: &dyn Fn(&Run<'_>) -> Option<usize>,
        drawn: &Resampled,
        margin: f64,
    ) -> Option<Self> {
        let common = common(first, second);
        let answered = answered(&common);
        let difference = Crossed::of(&answered)?;
        let drawn_of: Vec<_> =
            common.iter().filter_map(|(seed, a, b)| Some((*seed, places(a)?, places(b)?))).collect();
        let (replicates, mut ahead_in) = drawn.differences(&drawn_of);
        ahead_in.sort_by(f64::total_cmp);
        let by_seed = answered.by_seed();
        let disagreements: Vec<Disagreement> = common
            .iter()
            .zip(&answered.only)
            .map(|((seed, ..), &(only_arm, only_other))| Disagreement {
                seed: *seed,
                only_arm,
                only_other,
                p: mcnemar(only_arm, only_other),
            })
            .collect();
        let p = match disagreements.as_slice() {
            [only] => only.p,
            _ => difference.p(),
        };
        Some(Self {
            arm,
            other,
            difference,
            bootstrap: bca(difference.mean, replicates, &influences(&answered, &by_seed, difference.mean)),
            ahead: mean(&by_seed.iter().map(|d| ahead(*d)).collect::<Vec<_>>()).unwrap_or(0.5),
            ahead_interval: (quantile(&ahead_in, 0.025), quantile(&ahead_in, 0.975)),
            mcnemar: disagreements,
            p,
            adjusted: p,
            equivalence: if difference.is_of_arms() { difference.equivalence(margin) } else { 1.0 },
            needed: difference.needed(),
            same_answers: answered.only.iter().all(|only| *only == (0, 0)),
            tied: answered.only.iter().all(|(a, b)| a == b),
        })
    }

    /// The second against the first.
    pub fn reversed(&self) -> Self {
        let turned = |(low, high): (f64, f64)| (-high, -low);
        let other_way = |(low, high): (f64, f64)| (1.0 - high, 1.0 - low);
        let swap = |d: &Disagreement| Disagreement { only_arm: d.only_other, only_other: d.only_arm, ..*d };
        Self {
            arm: self.other,
            other: self.arm,
            difference: self.difference.reversed(),
            bootstrap: turned(self.bootstrap),
            ahead: 1.0 - self.ahead,
            ahead_interval: other_way(self.ahead_interval),
            mcnemar: self.mcnemar.iter().map(swap).collect(),
            ..self.clone()
        }
    }

    /// What may be said of the first against the second.
    pub fn standing(&self) -> Standing {
        let (low, high) = self.bootstrap;
        let (above, below) = (low > 0.0, high < 0.0);
        if self.tied {
            return Standing::Tied;
        }
        if self.difference.seeds < ENOUGH_SEEDS {
            return if self.p < LEVEL { Standing::OnlyThese } else { Standing::Open };
        }
        let in_family = self.adjusted < LEVEL;
        match self.ahead {
            share if above && in_family && share >= AHEAD && self.ahead_interval.0 > 0.5 => Standing::Better,
            share if below && in_family && share <= 1.0 - AHEAD && self.ahead_interval.1 < 0.5 => {
                Standing::Worse
            }
            _ if self.equivalence < LEVEL => Standing::Equivalent,
            _ if self.p < LEVEL => Standing::NotInFamily,
            _ => Standing::Open,
        }
    }

    /// Whether the first cannot be told from the second, by its own test, which is the harder one to pass for as good.
    pub fn cannot_be_told_apart(&self) -> bool {
        self.p >= LEVEL
    }
}

/// The difference of two arms, as [`Pair::difference`].
pub(crate) fn difference(first: &Arm<'_>, second: &Arm<'_>) -> Option<Crossed> {
    Crossed::of(&answered(&common(first, second)))
}

/// The runs of two arms by the seeds that both finished on the same images.
fn common<'r, 'a>(first: &'r Arm<'a>, second: &'r Arm<'a>) -> Vec<(u64, &'r Run<'a>, &'r Run<'a>)> {
    let twins = first.runs.iter().filter_map(|run| {
        let twin = second.runs.iter().find(|twin| twin.trial.seed == run.trial.seed)?;
        same_images(run, twin).then_some((run.trial.seed, run, twin))
    });
    twins.collect()
}

fn answered(common: &[(u64, &Run<'_>, &Run<'_>)]) -> Answered {
    let marks =
        common.iter().filter_map(|(_, a, b)| Some((&a.stored?.answers.right, &b.stored?.answers.right)));
    Answered::of(&marks.collect::<Vec<_>>())
}

/// Gives each pair the p-values that it has in the family of all of them.
pub(crate) fn adjust(pairs: &mut [Pair]) {
    let adjusted = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
    let equivalences = holm(&pairs.iter().map(|pair| pair.equivalence).collect::<Vec<_>>());
    for ((pair, p), equivalence) in pairs.iter_mut().zip(adjusted).zip(equivalences) {
        (pair.adjusted, pair.equivalence) = (p, equivalence);
    }
}

fn same_images(a: &Run<'_>, b: &Run<'_>) -> bool {
    let finished = a.finished().is_some() && b.finished().is_some();
    finished && a.stored.zip(b.stored).is_some_and(|(a, b)| on_the_same_images(a, b))
}

/// Whether two trials were tested on the same images: of one source, and as many, and to the bit where they are of one size.
pub(crate) fn on_the_same_images(a: &StoredTrial, b: &StoredTrial) -> bool {
    let images = (a.answers.right.len(), b.answers.right.len());
    a.outcome.data.as_ref().zip(b.outcome.data.as_ref()).is_some_and(|(x, y)| {
        let alike = x.source == y.source && x.class_names == y.class_names;
        let same = a.trial.resolution != b.trial.resolution || x.digest == y.digest;
        images.0 == images.1 && images.0 > 0 && alike && same
    })
}

fn influences(answered: &Answered, by_seed: &[f64], mean: f64) -> Influences {
    let (seeds, images) = (by_seed.len() as f64, answered.images as f64);
    let of_seeds = |power: i32| {
        let sum: f64 = by_seed.iter().map(|d| ((d - mean) / seeds).powi(power)).sum();
        if by_seed.len() > 1 { sum } else { 0.0 }
    };
    let of_images = |power: i32| answered.over_images(|d| ((d - mean) / images).powi(power));
    Influences { squares: of_seeds(2) + of_images(2), cubes: of_seeds(3) + of_images(3) }
}
