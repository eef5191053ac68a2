//! [`Neighbours`]: a vote of the most similar training images.

use rayon::prelude::*;

use crate::product::{Rows, add, transposed};
use crate::{Features, ProbeError};

/// The features of training images, each of length one, and their classes.
#[derive(Clone, Debug)]
pub struct Neighbours {
    rows: Vec<f32>,
    labels: Vec<u32>,
    width: usize,
    classes: usize,
    count: usize,
}

impl Neighbours {
    /// A vote of `count` neighbours by cosine similarity, as scikit-learn's `KNeighborsClassifier` with `metric="cosine"` takes it.
    ///
    /// # Errors
    /// Where there are fewer images than that.
    pub fn new(train: &Features<'_>, classes: usize, count: usize) -> Result<Self, ProbeError> {
        if count == 0 || count > train.len() {
            let problem = format!(
                "a vote of {count} neighbours needs as many training images; there are {}, so take a smaller K",
                train.len()
            );
            return Err(ProbeError::Unfit(problem));
        }
        let rows = train.values.chunks_exact(train.width).flat_map(unit).map(|value| value as f32).collect();
        Ok(Self { rows, labels: train.labels.to_vec(), width: train.width, classes, count })
    }

    /// The logarithms of the shares of votes `[images, classes]` for rows `[images, features]`, with one vote more divided among all
    /// classes, so that none has no chance. Classes with as many votes stand in the order of their nearest neighbours.
    pub fn logits(&self, values: &[f32]) -> Vec<f32> {
        const PART: usize = 32;
        let bank = &self.rows;
        let parts = values.par_chunks(PART * self.width).map(|rows| {
            let images = rows.len() / self.width;
            let queries: Vec<f64> = rows.chunks_exact(self.width).flat_map(unit).collect();
            let mut similar: Vec<Vec<f64>> = vec![Vec::with_capacity(self.labels.len()); images];
            for some in bank.chunks(256 * self.width) {
                let some: Vec<f64> = some.iter().copied().map(f64::from).collect();
                let (count, columns) = (some.len() / self.width, transposed(&some, self.width));
                let mut products = vec![0.0; images * count];
                let (a, b) = (Rows::new(&queries, self.width), Rows::new(&columns, count));
                add((images, self.width, count), (&mut products, count), (a, b), 1.0);
                similar.iter_mut().zip(products.chunks_exact(count)).for_each(|(all, some)| all.extend(some));
            }
            similar.iter().flat_map(|similarity| self.votes(similarity)).collect::<Vec<f32>>()
        });
        parts.collect::<Vec<_>>().concat()
    }

    fn votes(&self, similarity: &[f64]) -> Vec<f32> {
        let mut order: Vec<u32> = (0..similarity.len() as u32).collect();
        let nearer =
            |a: &u32, b: &u32| similarity[*b as usize].total_cmp(&similarity[*a as usize]).then(a.cmp(b));
        if self.count < order.len() {
            order.select_nth_unstable_by(self.count - 1, nearer);
            order.truncate(self.count);
        }
        order.sort_unstable_by(nearer);
        let mut votes = vec![1.0 / self.classes as f64; self.classes];
        // Earlier neighbours weigh more by less than any vote.
        let ahead = 1e-3 / (self.count * (self.count + 1)) as f64;
        for (place, neighbour) in order.iter().enumerate() {
            votes[self.labels[*neighbour as usize] as usize] += 1.0 + ahead * (self.count - place) as f64;
        }
        let all: f64 = votes.iter().sum();
        votes.into_iter().map(|votes| (votes / all).ln() as f32).collect()
    }
}

/// A row of length one; zeros stay zeros.
fn unit(row: &[f32]) -> Vec<f64> {
    let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    row.iter().map(|value| f64::from(*value) / length).collect()
}
