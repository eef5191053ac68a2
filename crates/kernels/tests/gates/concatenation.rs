//! Concatenation of maps along channels, and the weighted sum of losses.

use candle_core::{Result, Tensor, Var};
use frostline_kernels::{Hwnc, Tape, add_losses, composed, concat_channels};
use proptest::prelude::*;

use super::harness::{Array, Case, hold, numbers, properties};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named maps", named_maps),
    ("a frozen branch gets no gradient", a_frozen_branch_gets_no_gradient),
    ("losses are weighed", losses_are_weighed),
    ("random maps", random_maps),
];

fn maps(tensors: &[Tensor]) -> Result<Vec<Hwnc>> {
    tensors.iter().map(|tensor| Hwnc::new(tensor.clone())).collect()
}

fn check((h, w, n): (usize, usize, usize), channels: &[usize], seed: u64) {
    let noise = |(index, c): (usize, &usize)| Array::noise(&[h, w, n, *c], seed + index as u64);
    let total: usize = channels.iter().sum();
    hold(&Case {
        name: format!("concatenation of {channels:?} channels of [{h}, {w}, {n}]"),
        inputs: channels.iter().enumerate().map(noise).collect(),
        here: &|t| Ok(concat_channels(&maps(t)?)?.into_tensor()),
        composed: &|t| Ok(composed::concat_channels(&maps(t)?)?.into_tensor()),
        oracle: &|t| {
            let mut y = Array::zeros(&[h, w, n, total]);
            for row in 0..h * w * n {
                let mut at = row * total;
                for map in t {
                    let c = map.dims[3];
                    y.values[at..at + c].copy_from_slice(&map.values[row * c..(row + 1) * c]);
                    at += c;
                }
            }
            y
        },
    });
}

#[cfg_attr(test, test)]
fn named_maps() {
    check((3, 5, 2), &[4, 7, 1], 1);
    check((4, 4, 4), &[4, 4], 2);
    check((1, 1, 1), &[1], 3);
    // Several tasks, and rows that are longer than one.
    check((9, 7, 16), &[64, 33, 128, 5], 4);
    check((1, 2, 2), &[17_000, 3], 5);
}

#[cfg_attr(test, test)]
fn a_frozen_branch_gets_no_gradient() {
    let var = Var::from_tensor(&Array::noise(&[2, 3, 2, 4], 1).tensor()).unwrap();
    let frozen = Array::noise(&[2, 3, 2, 5], 2).tensor();
    let forward = || concat_channels(&maps(&[frozen.clone(), var.as_tensor().clone()])?);
    let (y, tape) = Tape::record(forward).unwrap();
    let gradients = tape.backward_from(y.tensor(), y.tensor()).unwrap();
    // candle's tape has one all the same.
    assert!(super::session::is_on() || gradients.get(&frozen).is_none());
    assert_eq!(numbers(&gradients.get(&var).unwrap().tensor().unwrap()), numbers(&var));
    let (_, tape) = Tape::record(|| concat_channels(&maps(&[frozen.clone(), frozen.clone()])?)).unwrap();
    assert!(tape.is_empty());
}

#[cfg_attr(test, test)]
fn losses_are_weighed() {
    type Add = fn(&Tensor, &[(f64, Tensor)]) -> Result<Tensor>;
    let sum = |add: Add| move |t: &[Tensor]| add(&t[0], &[(0.3, t[1].clone()), (-0.7, t[2].clone())]);
    hold(&Case {
        name: "the sum of losses".into(),
        inputs: (0..3).map(|seed| Array::noise(&[], seed)).collect(),
        here: &sum(add_losses),
        composed: &sum(composed::add_losses),
        oracle: &|t| {
            let sum = t[0].values[0] + 0.3 * t[1].values[0] - 0.7 * t[2].values[0];
            Array { dims: Vec::new(), values: vec![sum] }
        },
    });
}

proptest! {
    #![proptest_config(properties(48))]
    #[cfg_attr(test, test)]
    fn random_maps(
        map in (1usize..6, 1usize..6, 1usize..4),
        channels in prop::collection::vec(1usize..20, 1..5),
        seed in 0u64..1_000_000,
    ) {
        check(map, &channels, seed);
    }
}
