//! [`logistic`]: multinomial logistic regression, to convergence.

use rayon::prelude::*;

use crate::lbfgs::{dot, minimise};
use crate::product::{BLOCK, Rows, add, block, of_columns, scores, transposed};
use crate::scale::Scale;
use crate::{Features, Linear, ProbeError, accuracy};

/// Strengths that are tried, per image.
const STRENGTHS: [f64; 8] = [1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// Where the gradient of the mean loss counts as zero, and the most steps to there.
const TOLERANCE: f64 = 1e-5;
const STEPS: usize = 500;

/// Multinomial logistic regression with a squared penalty on the weights and none on the biases: what scikit-learn's
/// `LogisticRegression` fits with `C` = 1 / (strength × images), on features divided by their scale. Each strength begins where the one
/// before it came to.
///
/// # Errors
/// Where the loss is no number.
pub fn logistic(
    train: &Features<'_>,
    validation: &Features<'_>,
    classes: usize,
) -> Result<Linear, ProbeError> {
    let (scale, width) = (Scale::of(train), train.width);
    let mut start = vec![0.0; classes * (width + 1)];
    let (mut best, mut tried): (Option<(f64, f64, Vec<f64>)>, _) = (None, Vec::new());
    for strength in STRENGTHS {
        let point = minimise(start, (TOLERANCE, STEPS), &|x| loss(train, &scale, (x, classes), strength));
        if !point.value.is_finite() {
            return Err(ProbeError::Unfit("the loss of logistic regression is no number".to_owned()));
        }
        let (weight, bias) = point.x.split_at(classes * width);
        let found = scores(validation.values, width, (weight, bias), &scale);
        let accuracy = accuracy(&found, validation.labels);
        tried.push((strength, accuracy));
        if best.as_ref().is_none_or(|(_, most, _)| accuracy > *most) {
            best = Some((strength, accuracy, point.x.clone()));
        }
        start = point.x;
    }
    let (strength, _, x) = best.ok_or_else(|| ProbeError::Unfit("no strength was tried".to_owned()))?;
    let (weight, bias) = scale.undone(&x[..classes * width], &x[classes * width..]);
    Ok(Linear { weight, bias, strength, tried })
}

/// The mean loss with the penalty, and its gradient. `x` are the weights `[classes, width]` and then the biases.
fn loss(
    train: &Features<'_>,
    scale: &Scale,
    (x, classes): (&[f64], usize),
    strength: f64,
) -> (f64, Vec<f64>) {
    let width = train.width;
    let (weight, bias) = x.split_at(classes * width);
    let starts: Vec<usize> = (0..train.len()).step_by(BLOCK).collect();
    let of_block = |start: &usize| {
        let rows = block(train, scale, *start);
        let images = rows.len() / width;
        let mut scores = of_columns(&transposed(&rows, width), width, (weight, bias));
        let labels = &train.labels[*start..][..images];
        let value = wrong(&mut scores, labels, classes);
        let errors = transposed(&scores, classes);
        let mut gradient = vec![0.0; classes * (width + 1)];
        let (weights, biases) = gradient.split_at_mut(classes * width);
        let (a, b) = (Rows::new(&errors, images), Rows::new(&rows, width));
        add((classes, images, width), (weights, width), (a, b), 1.0);
        biases.iter_mut().zip(errors.chunks_exact(images)).for_each(|(sum, row)| *sum = row.iter().sum());
        (value, gradient)
    };
    let n = train.len() as f64;
    let (mut value, mut gradient) = (0.0, vec![0.0; x.len()]);
    // A few blocks at a time, so that their gradients do not fill the memory.
    for some in starts.chunks(32) {
        let parts: Vec<(f64, Vec<f64>)> = some.par_iter().map(of_block).collect();
        for (part, sums) in parts {
            value += part / n;
            gradient.iter_mut().zip(sums).for_each(|(sum, part)| *sum += part / n);
        }
    }
    value += 0.5 * strength * dot(weight, weight);
    gradient.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += strength * weight);
    (value, gradient)
}

/// Makes of scores `[images, classes]` how far their probabilities are from the labels; the sum of the losses.
fn wrong(scores: &mut [f64], labels: &[u32], classes: usize) -> f64 {
    let mut loss = 0.0;
    for (row, label) in scores.chunks_exact_mut(classes).zip(labels) {
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let own = row[*label as usize] - highest;
        row.iter_mut().for_each(|score| *score = (*score - highest).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|score| *score /= sum);
        row[*label as usize] -= 1.0;
        loss += sum.ln() - own;
    }
    loss
}
