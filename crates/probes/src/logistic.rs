//! [`logistic`]: multinomial logistic regression, to convergence.

use rayon::prelude::*;

use crate::cholesky::{factor, solve_upper};
use crate::lbfgs::{dot, minimise};
use crate::product::{BLOCK, Rows, add, transposed};
use crate::ridge::{features_by, of_images};
use crate::scale::{Scale, Scaled, add_scores};
use crate::{Features, Judge, Linear, ProbeError, answers};

/// Strengths that are tried, per image, until so many in a row are no better than the best.
const STRENGTHS: [f64; 8] = [1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
const IN_VAIN: usize = 2;

/// Where the gradient of the mean loss counts as zero, under strong penalties and under weak ones, where minima are flat; and the most steps
/// to there.
const TOLERANCES: (f64, f64) = (1e-5, 1e-4);
const WEAK: f64 = 1e-2;
const STEPS: usize = 150;

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
    judge: &Judge<'_>,
) -> Result<Linear, ProbeError> {
    let (scale, width) = (Scale::of(train), train.width);
    let (rows, choosing) = (scale.apply(train.values), scale.apply(validation.values));
    let turned = Turned::of(&rows);
    let (within, side) = turned.as_ref().map_or((&rows, width), |turned| (&turned.rows, turned.rows.width));
    let mut start = vec![0.0; classes * (side + 1)];
    let mut best: Option<(f64, f64, Vec<f64>)> = None;
    let (mut tried, mut in_vain) = (Vec::new(), 0);
    for strength in STRENGTHS {
        let function = |x: &[f64]| loss((within, train.labels), (x, classes), strength);
        let tolerance = if strength < WEAK { TOLERANCES.1 } else { TOLERANCES.0 };
        let point = minimise(start, (tolerance, STEPS), &function);
        if !point.value.is_finite() {
            return Err(ProbeError::Unfit("the loss of logistic regression is no number".to_owned()));
        }
        let (weight, bias) = point.x.split_at(classes * side);
        let weight =
            turned.as_ref().map_or_else(|| weight.to_vec(), |turned| turned.back(&rows, weight, classes));
        let accuracy = judge(&answers(&choosing.scores(&weight, bias), validation.labels));
        tried.push((strength, accuracy));
        in_vain += 1;
        if best.as_ref().is_none_or(|(_, most, _)| accuracy > *most) {
            best = Some((strength, accuracy, [&weight, bias].concat()));
            in_vain = 0;
        }
        if in_vain == IN_VAIN {
            break;
        }
        start = point.x;
    }
    let (strength, _, x) = best.ok_or_else(|| ProbeError::Unfit("no strength was tried".to_owned()))?;
    let (weight, bias) = scale.undone(&x[..classes * width], &x[classes * width..]);
    Ok(Linear { weight, bias, strength, tried })
}

/// Features of fewer images than there are features, in as many dimensions as there are images: turned so that the others are zero, which
/// changes neither scores nor lengths of weights.
struct Turned {
    /// Z with ZZᵀ = XXᵀ, `[images, images]`, lower triangular.
    rows: Scaled,
    /// U with UᵀU = XXᵀ.
    upper: Vec<f64>,
}

impl Turned {
    /// None where there are more images than features, or where all lie in fewer dimensions still, beyond rounding.
    fn of(rows: &Scaled) -> Option<Self> {
        let n = rows.len();
        if rows.width <= n {
            return None;
        }
        let mut upper = of_images(rows);
        // Centred features have a dimension less than there are images.
        let little = 1e-9 * (0..n).map(|i| upper[i * n + i]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| upper[i * n + i] += little);
        if !factor(&mut upper, n) {
            return None;
        }
        (1..n).for_each(|row| upper[row * n..row * n + row].fill(0.0));
        let rows = Scaled { values: transposed(&upper, n), width: n };
        Some(Self { rows, upper })
    }

    /// Weights of the features as they were, `[width, classes]`: XᵀU⁻¹ times those of the turned ones.
    fn back(&self, rows: &Scaled, weight: &[f64], classes: usize) -> Vec<f64> {
        let mut solved = weight.to_vec();
        solve_upper(&self.upper, self.rows.width, &mut solved, classes);
        features_by(rows, &solved, classes)
    }
}

/// The mean loss with the penalty, and its gradient. `x` are the weights `[width, classes]` and then the biases.
fn loss((rows, labels): (&Scaled, &[u32]), (x, classes): (&[f64], usize), strength: f64) -> (f64, Vec<f64>) {
    let width = rows.width;
    let (weight, bias) = x.split_at(classes * width);
    let of_block = |(block, labels): (&[f64], &[u32])| {
        let images = labels.len();
        let mut scores: Vec<f64> = bias.iter().copied().cycle().take(images * classes).collect();
        add_scores(&mut scores, block, width, weight, classes);
        let value = wrong(&mut scores, labels, classes);
        let errors = transposed(&scores, classes);
        let mut gradient = vec![0.0; classes * width];
        let factors = (Rows::new(&errors, images), Rows::new(block, width));
        add((classes, images, width), (&mut gradient, width), factors, 1.0);
        let biases: Vec<f64> = errors.chunks_exact(images).map(|row| row.iter().sum()).collect();
        (value, gradient, biases)
    };
    let n = labels.len() as f64;
    // By classes first, as products give it.
    let (mut value, mut weights, mut biases) = (0.0, vec![0.0; weight.len()], vec![0.0; classes]);
    let sum =
        |sums: &mut [f64], parts: &[f64]| sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part / n);
    let blocks: Vec<(&[f64], &[u32])> = rows.blocks().zip(labels.chunks(BLOCK)).collect();
    // A few blocks at a time, so that their gradients do not fill the memory.
    for some in blocks.chunks(32) {
        let parts: Vec<(f64, Vec<f64>, Vec<f64>)> = some.par_iter().copied().map(of_block).collect();
        for (part, of_weights, of_biases) in parts {
            value += part / n;
            sum(&mut weights, &of_weights);
            sum(&mut biases, &of_biases);
        }
    }
    value += 0.5 * strength * dot(weight, weight);
    let mut gradient = transposed(&weights, width);
    gradient.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += strength * weight);
    gradient.append(&mut biases);
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
