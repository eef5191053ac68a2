//! The statistics against SciPy and statsmodels (`tests/fixtures/make_statistics.py`), and against made-up truths.

use frostline_results::Marks;
use frostline_streams::{Purpose, Streams};
use serde_json::Value;

use super::crossed::{Answered, Crossed};
use super::{Influences, Needed, bca, holm, mcnemar, wilson};

fn golden() -> Value {
    serde_json::from_str(include_str!("../tests/fixtures/statistics.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn close(is: f64, should: &Value, what: &str) {
    let should = number(should);
    assert!((is - should).abs() <= 1e-9 * should.abs().max(1e-3), "{what}: {is} is not {should}");
}

#[test]
fn wilson_mcnemar_and_holm_are_those_of_statsmodels() {
    let golden = golden();
    for case in list(&golden["wilson"]) {
        let images = number(&case["images"]);
        let (low, high) = wilson(number(&case["right"]) / images, images as usize).unwrap();
        close(low, &case["low"], "wilson");
        close(high, &case["high"], "wilson");
    }
    for case in list(&golden["mcnemar"]) {
        close(mcnemar(number(&case["a"]) as usize, number(&case["b"]) as usize), &case["p"], "mcnemar");
    }
    for case in list(&golden["holm"]) {
        let p: Vec<f64> = list(&case["p"]).map(number).collect();
        for (is, should) in holm(&p).into_iter().zip(list(&case["holm"])) {
            close(is, should, "holm");
        }
    }
}

/// Marks of text like `0110`.
fn marks(of: impl ExactSizeIterator<Item = bool>) -> Marks {
    let mut marks = Marks::none(of.len());
    of.enumerate().filter(|(_, right)| *right).for_each(|(image, _)| marks.mark(image));
    marks
}

fn crossed(first: &[Marks], second: &[Marks]) -> Crossed {
    Crossed::of(&Answered::of(&first.iter().zip(second).collect::<Vec<_>>())).unwrap()
}

#[test]
fn seeds_crossed_with_images_are_analysed_as_statsmodels_does() {
    let golden = golden();
    for case in list(&golden["crossed"]) {
        let rows = |name: &str| -> Vec<Marks> {
            let text = list(&case[name]).map(|row| row.as_str().unwrap());
            text.map(|row| marks(row.bytes().map(|b| b == b'1').collect::<Vec<_>>().into_iter())).collect()
        };
        let crossed = crossed(&rows("first"), &rows("second"));
        let (low, high) = crossed.interval(0.95);
        for (is, name) in [
            (crossed.mean, "mean"),
            (crossed.error, "error"),
            (crossed.freedom, "freedom"),
            (low, "low"),
            (high, "high"),
            (crossed.p(), "p"),
            (crossed.equivalence(number(&case["margin"])), "equivalence"),
        ] {
            close(is, &case[name], name);
        }
    }
}

#[test]
fn where_images_differ_in_nothing_it_is_the_paired_t_test() {
    let golden = &golden()["paired"];
    let rows = |name: &str| -> Vec<Marks> {
        list(&golden[name]).map(|right| marks(vec![number(right) == 1.0; 80].into_iter())).collect()
    };
    let crossed = crossed(&rows("first"), &rows("second"));
    let (low, high) = crossed.interval(0.95);
    close(crossed.p(), &golden["p"], "p");
    close(low, &golden["low"], "low");
    close(high, &golden["high"], "high");
    close(crossed.equivalence(number(&golden["margin"])), &golden["equivalence"], "equivalence");
}

#[test]
fn the_corrected_interval_is_scipys() {
    let golden = &golden()["bca"];
    let sample: Vec<f64> = list(&golden["sample"]).map(number).collect();
    let replicates: Vec<f64> = list(&golden["replicates"]).map(number).collect();
    let n = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / n;
    let sum = |power: i32| sample.iter().map(|x| ((x - mean) / n).powi(power)).sum();
    let (low, high) = bca(mean, replicates, &Influences { squares: sum(2), cubes: sum(3) });
    close(low, &golden["low"], "low");
    close(high, &golden["high"], "high");
}

/// Two arms of equal skill: images are hard for both alike, seeds shift all answers of a model, and the rest is chance.
fn equals(seeds: usize, images: usize, by_seed: f32, experiment: u64) -> (Vec<Marks>, Vec<Marks>) {
    let mut draws = Streams::new(experiment).draws(Purpose::Noise, 0, 0);
    let hard: Vec<f32> = (0..images).map(|_| draws.unit()).collect();
    let mut arm = || -> Vec<Marks> {
        let mut model = |_| {
            let shift = by_seed * draws.normal();
            let right = hard.iter().map(|hard| draws.unit() < 0.8 - 0.4 * hard + shift);
            marks(right.collect::<Vec<_>>().into_iter())
        };
        (0..seeds).map(&mut model).collect()
    };
    (arm(), arm())
}

#[test]
fn equal_arms_are_told_apart_no_more_often_than_said() {
    for (seeds, by_seed) in [(3, 0.0), (3, 0.03), (5, 0.03), (10, 0.01)] {
        let experiments = 400;
        let wrong = (0..experiments).filter(|&experiment| {
            let (first, second) = equals(seeds, 200, by_seed, experiment);
            crossed(&first, &second).p() < 0.05
        });
        // 5 % of 400 are 20; that 33 or more come up by chance is less likely than 1 in 300.
        let wrong = wrong.count();
        assert!(wrong < 33, "{wrong} of {experiments} with {seeds} seeds that differ by {by_seed}");
    }
}

#[test]
fn more_seeds_settle_what_seeds_leave_open_and_nothing_else() {
    let noisy = |gap: usize| {
        let model = |right: usize| marks((0..1000).map(|i| i < right).collect::<Vec<_>>().into_iter());
        let first: Vec<Marks> = [800, 840, 780].map(|right| model(right + gap)).into();
        crossed(&first, &[810, 790, 800].map(model))
    };
    // Differences of 1, 7 and 0 points: mean 2.7, deviation 3.8, so t is 1.2.
    assert!(noisy(20).p() > 0.05);
    let Some(Needed::Seeds(many)) = noisy(20).needed() else { panic!("{:?}", noisy(20).needed()) };
    let Some(Needed::Seeds(few)) = noisy(100).needed() else { panic!() };
    assert!(few < many && (10..40).contains(&many), "{few} {many}");
    // Seeds that agree and images that do not: one more image for the first, of ten that are told otherwise.
    let first = marks((0..100).map(|i| i < 60).collect::<Vec<_>>().into_iter());
    let second = marks((0..100).map(|i| (5..64).contains(&i)).collect::<Vec<_>>().into_iter());
    let settled = crossed(&vec![first; 3], &vec![second; 3]);
    assert_eq!((settled.needed(), settled.is_of_arms()), (Some(Needed::Images), true));
}
