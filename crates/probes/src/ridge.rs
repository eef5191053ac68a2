//! [`ridge`]: least squares to plus and minus one, with a penalty on the weights, in closed form.

use rayon::prelude::*;

use crate::cholesky::{factor, solve};
use crate::product::{BLOCK, Rows, add, block, scores, transposed};
use crate::scale::Scale;
use crate::{Features, Linear, ProbeError, accuracy};

/// Strengths that are tried, per image.
const STRENGTHS: [f64; 8] = [1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5];

/// Ridge regression of each class against the others, to +1 and -1, with a bias that is not penalised: what scikit-learn's
/// `RidgeClassifier` fits with `alpha` = strength × images, on features divided by their scale. The scores of the chosen classifier are
/// then multiplied by the number that makes them the best log-probabilities of the validation labels, which changes no answer.
///
/// # Errors
/// Where no strength gives a solution.
pub fn ridge(train: &Features<'_>, validation: &Features<'_>, classes: usize) -> Result<Linear, ProbeError> {
    let (scale, n, width) = (Scale::of(train), train.len(), train.width);
    let mean: Vec<f64> = (0..classes).map(|class| target_mean(train.labels, class)).collect();
    let primal = width <= n;
    let side = if primal { width } else { n };
    let gram = if primal { of_features(train, &scale) } else { of_images(train, &scale) };
    // `[side, classes]`: features by targets, or the targets themselves.
    let right = if primal {
        features_by(train, &scale, &|image, class| target(train.labels[image], class) - mean[class], classes)
    } else {
        let target = |image: usize| (0..classes).map(move |class| (image, class));
        let target = (0..n).flat_map(target);
        target.map(|(image, class)| target_of(train, image, class, &mean)).collect()
    };
    let (mut best, mut tried): (Option<Fitted>, _) = (None, Vec::new());
    for strength in STRENGTHS {
        let mut matrix = gram.clone();
        (0..side).for_each(|i| matrix[i * side + i] += strength * n as f64);
        if !factor(&mut matrix, side) {
            continue;
        }
        let mut solution = right.clone();
        solve(&matrix, side, &mut solution, classes);
        let weight = if primal {
            transposed(&solution, classes)
        } else {
            transposed(
                &features_by(train, &scale, &|i, class| solution[i * classes + class], classes),
                classes,
            )
        };
        let found = scores(validation.values, width, (&weight, &mean), &scale);
        let accuracy = accuracy(&found, validation.labels);
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
    /// `[classes, width]`.
    weight: Vec<f64>,
    /// Of the validation images.
    scores: Vec<f64>,
}

fn target(label: u32, class: usize) -> f64 {
    if label as usize == class { 1.0 } else { -1.0 }
}

fn target_of(train: &Features<'_>, image: usize, class: usize, mean: &[f64]) -> f64 {
    target(train.labels[image], class) - mean[class]
}

fn target_mean(labels: &[u32], class: usize) -> f64 {
    labels.iter().map(|label| target(*label, class)).sum::<f64>() / labels.len() as f64
}

/// XᵀX of centred, scaled features, the upper triangle.
fn of_features(train: &Features<'_>, scale: &Scale) -> Vec<f64> {
    const PART: usize = 64;
    let width = train.width;
    let mut gram = vec![0.0; width * width];
    for start in (0..train.len()).step_by(BLOCK) {
        let rows = block(train, scale, start);
        let images = rows.len() / width;
        let columns = transposed(&rows, width);
        gram.par_chunks_mut(PART * width).enumerate().for_each(|(part, sums)| {
            let (first, count) = (part * PART, sums.len() / width);
            let a = Rows::new(&columns[first * images..], images);
            let b = Rows::new(&rows[first..], width);
            add((count, images, width - first), (&mut sums[first..], width), (a, b), 1.0);
        });
    }
    gram
}

/// XXᵀ of centred, scaled features.
fn of_images(train: &Features<'_>, scale: &Scale) -> Vec<f64> {
    let (n, width) = (train.len(), train.width);
    let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
    let blocks: Vec<Vec<f64>> = starts.par_iter().map(|start| block(train, scale, *start)).collect();
    let mut gram = vec![0.0; n * n];
    gram.par_chunks_mut(BLOCK * n).zip(&blocks).for_each(|(sums, rows)| {
        for (start, others) in starts.iter().zip(&blocks) {
            let columns = transposed(others, width);
            let images = others.len() / width;
            let (a, b) = (Rows::new(rows, width), Rows::new(&columns, images));
            add((rows.len() / width, width, images), (&mut sums[*start..], n), (a, b), 1.0);
        }
    });
    gram
}

/// Xᵀ times a matrix `[images, classes]`: `[width, classes]`.
fn features_by(
    train: &Features<'_>,
    scale: &Scale,
    value: &(dyn Fn(usize, usize) -> f64 + Sync),
    classes: usize,
) -> Vec<f64> {
    let width = train.width;
    let mut sums = vec![0.0; classes * width];
    for start in (0..train.len()).step_by(BLOCK) {
        let rows = block(train, scale, start);
        let images = rows.len() / width;
        sums.par_chunks_mut(width).enumerate().for_each(|(class, sums)| {
            let factors: Vec<f64> = (0..images).map(|image| value(start + image, class)).collect();
            add(
                (1, images, width),
                (sums, width),
                (Rows::new(&factors, images), Rows::new(&rows, width)),
                1.0,
            );
        });
    }
    transposed(&sums, width)
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
