//! Where each arm stands among all: [`Rank`], read off the made-up experiments of the bootstrap.

use rayon::prelude::*;

/// An arm's place among the arms that were measured on the same images, the most accurate first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// The highest and the lowest place, from 1, between which 95 % of the experiments put it.
    pub places: (usize, usize),
    /// The share of experiments in which it is the most accurate; ties share.
    pub best: f64,
}

/// The ranks of arms, each given by its mean accuracies in the experiments.
pub(crate) fn ranks(means: &[Vec<f64>]) -> Vec<Rank> {
    let experiments = means.first().map_or(0, Vec::len);
    // By experiment, each arm's place and its share of the first.
    let each: Vec<Vec<(u32, f32)>> = (0..experiments).into_par_iter().map(|at| places(means, at)).collect();
    (0..means.len())
        .into_par_iter()
        .map(|arm| {
            let mut of: Vec<u32> = each.iter().map(|places| places[arm].0).collect();
            of.sort_unstable();
            let cut = of.len() / 40; // 2.5 % on each side
            let best = each.iter().map(|places| f64::from(places[arm].1)).sum::<f64>() / experiments as f64;
            Rank { places: (of[cut] as usize, of[of.len() - 1 - cut] as usize), best }
        })
        .collect()
}

fn places(means: &[Vec<f64>], at: usize) -> Vec<(u32, f32)> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|&a, &b| means[b][at].total_cmp(&means[a][at]));
    let highest = order.first().map_or(0.0, |&arm| means[arm][at]);
    let tied = order.iter().take_while(|&&arm| means[arm][at] == highest).count() as f32;
    let (mut places, mut place) = (vec![(0, 0.0); means.len()], 0);
    for (rank, &arm) in order.iter().enumerate() {
        if rank == 0 || means[arm][at] < means[order[rank - 1]][at] {
            place = rank as u32 + 1;
        }
        places[arm] = (place, if means[arm][at] == highest { 1.0 / tied } else { 0.0 });
    }
    places
}
