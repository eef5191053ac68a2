//! [`ridge`]: least squares to plus and minus one, with a penalty on the weights, in closed form.

use rayon::prelude::*;

use crate::cholesky::{factor, solve};
use crate::product::{BLOCK, Rows, add, transposed};
use crate::scale::{Scale, Scaled};
use crate::{Features, Judge, Linear, ProbeError, answers};

/// Strengths that are tried, per image.
const STRENGTHS: [f64; 8] = [1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5];

/// Ridge regression of each class against the others, to +1 and -1, with a bias that is not penalised: what scikit-learn's
/// `RidgeClassifier` fits with `alpha` = strength × images, on features divided by their scale. The scores of the chosen classifier are
/// then multiplied by the number that makes them the best log-probabilities of the validation labels, which changes no answer.
///
/// # Errors
/// Where no strength gives a solution.
pub fn ridge(
    train: &Features<'_>,
    validation: &Features<'_>,
    classes: usize,
    judge: &Judge<'_>,
) -> Result<Linear, ProbeError> {
    let (scale, n) = (Scale::of(train), train.len());
    let (rows, choosing) = (scale.apply(train.values), scale.apply(validation.values));
    let mean: Vec<f64> = (0..classes).map(|class| target_mean(train.labels, class)).collect();
    let target = |image: usize| {
        let (label, mean) = (train.labels[image], &mean);
        (0..classes).map(move |class| target(label, class) - mean[class])
    };
    let targets: Vec<f64> = (0..n).flat_map(target).collect();
    let primal = rows.width <= n;
    let side = if primal { rows.width } else { n };
    let gram = if primal { of_features(&rows) } else { of_images(&rows) };
    // `[side, classes]`: features by targets, or the targets themselves.
    let right = if primal { features_by(&rows, &targets, classes) } else { targets };
    let (mut best, mut tried): (Option<Fitted>, _) = (None, Vec::new());
    for strength in STRENGTHS {
        let mut matrix = gram.clone();
        (0..side).for_each(|i| matrix[i * side + i] += strength * n as f64);
        if !factor(&mut matrix, side) {
            continue;
        }
        let mut solution = right.clone();
        solve(&matrix, side, &mut solution, classes);
        let weight = if primal { solution } else { features_by(&rows, &solution, classes) };
        let found = choosing.scores(&weight, &mean);
        let accuracy = judge(&answers(&found, validation.labels));
        tried.push((strength, accuracy));
        if best.as_ref().is_none_or(|best| accuracy > best.accuracy) {
            best = Some(Fitted { strength, accuracy, weight, scores: found });
        }
    }
    let Fitted { strength, weight, scores, .. } =
        best.ok_or_else(|| ProbeError::Unfit("the features admit no ridge regression".to_owned()))?;
    let sharpness = sharpness(&scores, validation.labels);
    let sharper = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value * sharpness).collect() };
    let (weight, bias) = scale.undone(&sharper(&weight), &sharper(&mean));
    Ok(Linear { weight, bias, strength, tried })
}

/// What a strength came to.
struct Fitted {
    strength: f64,
    accuracy: f64,
    /// `[width, classes]`.
    weight: Vec<f64>,
    /// Of the validation images.
    scores: Vec<f64>,
}

fn target(label: u32, class: usize) -> f64 {
    if label as usize == class { 1.0 } else { -1.0 }
}

fn target_mean(labels: &[u32], class: usize) -> f64 {
    labels.iter().map(|label| target(*label, class)).sum::<f64>() / labels.len() as f64
}

/// XᵀX, the upper triangle.
fn of_features(rows: &Scaled) -> Vec<f64> {
    const PART: usize = 64;
    let width = rows.width;
    let mut gram = vec![0.0; width * width];
    for block in rows.blocks() {
        let images = block.len() / width;
        let columns = transposed(block, width);
        gram.par_chunks_mut(PART * width).enumerate().for_each(|(part, sums)| {
            let (first, count) = (part * PART, sums.len() / width);
            let a = Rows::new(&columns[first * images..], images);
            let b = Rows::new(&block[first..], width);
            add((count, images, width - first), (&mut sums[first..], width), (a, b), 1.0);
        });
    }
    gram
}

/// XXᵀ.
pub(crate) fn of_images(rows: &Scaled) -> Vec<f64> {
    let (n, width) = (rows.len(), rows.width);
    let mut gram = vec![0.0; n * n];
    for (index, others) in rows.blocks().enumerate() {
        let (start, images) = (index * BLOCK, others.len() / width);
        let columns = transposed(others, width);
        gram.par_chunks_mut(BLOCK * n).zip(rows.values.par_chunks(BLOCK * width)).for_each(
            |(sums, block)| {
                let factors = (Rows::new(block, width), Rows::new(&columns, images));
                add((block.len() / width, width, images), (&mut sums[start..], n), factors, 1.0);
            },
        );
    }
    gram
}

/// Xᵀ times a matrix `[images, classes]`: `[width, classes]`.
pub(crate) fn features_by(rows: &Scaled, values: &[f64], classes: usize) -> Vec<f64> {
    const PART: usize = 64;
    let width = rows.width;
    let mut sums = vec![0.0; width * classes];
    for (index, block) in rows.blocks().enumerate() {
        let images = block.len() / width;
        let (columns, values) = (transposed(block, width), &values[index * BLOCK * classes..]);
        sums.par_chunks_mut(PART * classes).enumerate().for_each(|(part, sums)| {
            let a = Rows::new(&columns[part * PART * images..], images);
            add(
                (sums.len() / classes, images, classes),
                (sums, classes),
                (a, Rows::new(values, classes)),
                1.0,
            );
        });
    }
    sums
}

/// The factor by which scores are the best log-probabilities of the labels, between 1/16 and 1024: the loss is convex in it.
fn sharpness(scores: &[f64], labels: &[u32]) -> f64 {
    let classes = scores.len() / labels.len();
    let loss = |factor: f64| -> f64 {
        let rows = scores.chunks_exact(classes).zip(labels);
        rows.map(|(row, label)| {
            let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|score| (factor * (score - highest)).exp()).sum();
            sum.ln() - factor * (row[*label as usize] - highest)
        })
        .sum()
    };
    let (mut low, mut high) = (-4.0f64, 10.0f64);
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        if loss((low + third).exp2()) <= loss((high - third).exp2()) {
            high -= third;
        } else {
            low += third;
        }
    }
    ((low + high) / 2.0).exp2()
}
