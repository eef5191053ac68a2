//! The probes against scikit-learn (`tests/fixtures/make_probes.py`), and on features made to fool them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn golden() -> Vec<Value> {
    let text = include_str!("../tests/fixtures/probes.json");
    serde_json::from_str::<Value>(text).unwrap()["cases"].as_array().unwrap().clone()
}

/// The share of answers that are right.
fn right(answers: &[(u32, u32)]) -> f64 {
    let right = answers.iter().filter(|(said, class)| said == class).count();
    right as f64 / answers.len() as f64
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Features and labels of a golden case.
struct Case {
    width: usize,
    classes: usize,
    train: (Vec<f32>, Vec<u32>),
    validation: (Vec<f32>, Vec<u32>),
}

impl Case {
    fn of(value: &Value) -> Self {
        let single = |key: &str| numbers(&value[key]).into_iter().map(|value| value as f32).collect();
        let labels = |key: &str| numbers(&value[key]).into_iter().map(|value| value as u32).collect();
        Self {
            width: value["width"].as_u64().unwrap() as usize,
            classes: value["classes"].as_u64().unwrap() as usize,
            train: (single("train"), labels("labels")),
            validation: (single("validation"), labels("validation_labels")),
        }
    }

    fn features(&self) -> (Features<'_>, Features<'_>) {
        let made = |values, labels| Features::new(values, self.width, labels, self.classes).unwrap();
        (made(&self.train.0, &self.train.1), made(&self.validation.0, &self.validation.1))
    }
}

fn tried_alike(found: &Linear, accuracies: &Value) {
    let apart =
        found.tried.iter().zip(numbers(accuracies)).map(|((_, found), golden)| (found - golden).abs());
    assert!(apart.fold(0.0, f64::max) < 1e-9, "{:?}, {accuracies}", found.tried);
}

fn close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart <= tolerance * largest, "{what}: {found} is not {expected}");
    }
}

#[test]
fn ridge_regression_is_that_of_scikit_learn_but_for_one_factor() {
    for value in golden() {
        let case = Case::of(&value);
        let (train, validation) = case.features();
        let found = ridge(&train, &validation, case.classes, &right).unwrap();
        tried_alike(&found, &value["ridge"]["accuracies"]);
        assert_eq!(found.strength, value["ridge"]["strength"].as_f64().unwrap());
        let expected = [numbers(&value["ridge"]["weight"]), numbers(&value["ridge"]["bias"])].concat();
        let all = [found.weight.clone(), found.bias.clone()].concat();
        let dot: f64 = all.iter().zip(&expected).map(|(a, b)| f64::from(*a) * b).sum();
        let factor = dot / expected.iter().map(|b| b * b).sum::<f64>();
        let expected: Vec<f64> = expected.iter().map(|value| value * factor).collect();
        close(&all, &expected, 1e-6, "ridge");
        // The factor is that of the smallest loss.
        let loss = |by: f32| -> f64 {
            let logits = found.logits(&case.validation.0, case.width);
            let rows = logits.chunks_exact(case.classes).zip(&case.validation.1);
            rows.map(|(row, label)| {
                let sum: f64 = row.iter().map(|logit| f64::from(by * logit).exp()).sum();
                sum.ln() - f64::from(by * row[*label as usize])
            })
            .sum()
        };
        assert!(loss(1.0) < loss(1.02) && loss(1.0) < loss(0.98), "{factor}");
    }
}

#[test]
fn logistic_regression_is_that_of_scikit_learn() {
    for value in golden() {
        let case = Case::of(&value);
        let (train, validation) = case.features();
        let found = logistic(&train, &validation, case.classes, &right).unwrap();
        tried_alike(&found, &value["logistic"]["accuracies"]);
        assert_eq!(found.strength, value["logistic"]["strength"].as_f64().unwrap());
        close(&found.weight, &numbers(&value["logistic"]["weight"]), 2e-3, "weight");
        // Biases that all grow alike change no probability.
        let even = |values: Vec<f64>| -> Vec<f64> {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.into_iter().map(|value| value - mean).collect()
        };
        let bias = even(found.bias.iter().copied().map(f64::from).collect());
        let bias: Vec<f32> = bias.into_iter().map(|value| value as f32).collect();
        close(&bias, &even(numbers(&value["logistic"]["bias"])), 2e-3, "bias");
    }
}

#[test]
fn votes_are_those_of_scikit_learn() {
    for value in golden() {
        let case = Case::of(&value);
        let (train, _) = case.features();
        for votes in value["neighbours"].as_array().unwrap() {
            let count = votes["count"].as_u64().unwrap() as usize;
            let neighbours = Neighbours::new(&train, case.classes, count).unwrap();
            let shares = neighbours.logits(&case.validation.0).into_iter().map(f32::exp);
            // One vote more is divided among all, and places count a little.
            let all = count as f32 + 1.0;
            let plain: Vec<f32> =
                shares.map(|share| (share * all - 1.0 / case.classes as f32) / count as f32).collect();
            close(&plain, &numbers(&votes["shares"]), 2e-3, "shares");
        }
        let most = train.len() + 1;
        assert!(
            Neighbours::new(&train, case.classes, most).is_err()
                && Neighbours::new(&train, case.classes, 0).is_err()
        );
    }
}

#[test]
fn of_as_many_votes_the_nearest_wins_and_not_the_first_class() {
    let (values, labels) = ([0.0f32, 1.0, 1.0, 0.0], [1, 0]);
    let train = Features::new(&values, 2, &labels, 2).unwrap();
    let logits = Neighbours::new(&train, 2, 2).unwrap().logits(&[0.1, 1.0, 1.0, 0.1]);
    assert!(logits[1] > logits[0] && logits[2] > logits[3], "{logits:?}");
}

#[test]
fn what_is_no_table_of_features_is_told() {
    assert!(matches!(Features::new(&[1.0, 2.0], 2, &[0, 1], 2), Err(ProbeError::Unfit(_))));
    assert!(matches!(Features::new(&[1.0, 2.0], 2, &[2], 2), Err(ProbeError::Unfit(_))));
    assert!(matches!(Features::new(&[], 2, &[], 2), Err(ProbeError::Unfit(_))));
    let broken = Features::new(&[1.0, 2.0, f32::NAN, 2.0], 2, &[0, 1], 2);
    assert_eq!(broken.unwrap_err(), ProbeError::NotFinite(1));
}

#[test]
fn features_that_tell_nothing_give_the_likeliest_class() {
    let (values, labels) = (vec![3.0f32; 5 * 4], [0, 2, 2, 2, 1]);
    let all = Features::new(&values, 4, &labels, 3).unwrap();
    for fit in [ridge, logistic] {
        let found = fit(&all, &all, 3, &right).unwrap();
        let logits = found.logits(&values[..4], 4);
        assert!(logits[2] > logits[0] && logits[2] > logits[1], "{logits:?}");
        assert!(logits.iter().all(|logit| logit.is_finite()));
    }
}

/// Overlapping clouds of pseudo-random numbers.
fn clouds(images: usize, width: usize, classes: usize) -> (Vec<f32>, Vec<u32>) {
    let mut state = 9u64;
    let mut draw = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    let labels: Vec<u32> = (0..images as u32).map(|image| image % classes as u32).collect();
    let values = labels.iter().flat_map(|label| {
        (0..width)
            .map(|feature| draw() + if feature % classes == *label as usize { 0.2 } else { 0.0 })
            .collect::<Vec<_>>()
    });
    (values.collect(), labels.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn numbers_do_not_depend_on_the_threads(images in 3usize..700, width in 1usize..150, threads in 2usize..4) {
        let (values, labels) = clouds(images, width, 3);
        let all = Features::new(&values, width, &labels, 3).unwrap();
        let fit = || (
            ridge(&all, &all, 3, &right).unwrap(),
            logistic(&all, &all, 3, &right).unwrap(),
            Neighbours::new(&all, 3, 3).unwrap().logits(&values),
        );
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        prop_assert_eq!(pool(1).install(fit), pool(threads).install(fit));
    }

    #[test]
    fn ridge_solves_its_equations(images in 10usize..400, width in 2usize..300) {
        let (values, labels) = clouds(images, width, 3);
        let all = Features::new(&values, width, &labels, 3).unwrap();
        let found = ridge(&all, &all, 3, &right).unwrap();
        // Where the loss is smallest, errors weighed by a feature make up for the penalty, up to the one factor, which cancels in a
        // ratio; the mean of the scores is that of the targets times the factor.
        let logits = found.logits(&values, width);
        let mean = |class: usize| logits.iter().skip(class).step_by(3).map(|l| f64::from(*l)).sum::<f64>() / images as f64;
        let target = |class: u32| labels.iter().map(|l| if *l == class { 1.0 } else { -1.0 }).sum::<f64>() / images as f64;
        let factor = mean(0) / target(0);
        for class in 0..3 {
            prop_assert!((mean(class) - factor * target(class as u32)).abs() <= 1e-3 * factor.abs(), "{class}");
        }
    }
}

#[test]
fn the_judge_chooses() {
    let (values, labels) = clouds(60, 4, 3);
    let all = Features::new(&values, 4, &labels, 3).unwrap();
    type Fit = fn(&Features<'_>, &Features<'_>, usize, &Judge<'_>) -> Result<Linear, ProbeError>;
    for fit in [ridge as Fit, logistic as Fit] {
        // One that is never content takes the strongest, one that likes each better than the last the weakest that was tried.
        let strongest = fit(&all, &all, 3, &|_| 0.0).unwrap();
        let asked = std::cell::Cell::new(0.0);
        let weakest = fit(&all, &all, 3, &|answers| {
            assert_eq!(answers.iter().map(|(_, class)| *class).collect::<Vec<_>>(), labels);
            asked.set(asked.get() + 1.0);
            asked.get()
        });
        let weakest = weakest.unwrap();
        assert_eq!(strongest.strength, strongest.tried[0].0);
        assert_eq!(weakest.strength, weakest.tried.last().unwrap().0);
        assert!(weakest.strength < strongest.strength);
    }
}
