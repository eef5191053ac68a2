//! Layouts: conversions, and their gradients.

use candle_core::{Tensor, Var};
use frostline_kernels::{Hwnc, oihw_to_tap_major, tap_major_to_oihw};

use super::harness::{Array, device, numbers};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("conversions move each value to its place", conversions_move_each_value_to_its_place),
    ("conversions are differentiable", conversions_are_differentiable),
];

#[cfg_attr(test, test)]
fn conversions_move_each_value_to_its_place() {
    let x = Tensor::arange(0f32, 2.0 * 3.0 * 4.0 * 5.0, &device()).unwrap().reshape((2, 3, 4, 5)).unwrap();
    let hwnc = Hwnc::from_nchw(&x).unwrap();
    assert_eq!(hwnc.dims(), (4, 5, 2, 3));
    assert_eq!((hwnc.height(), hwnc.width(), hwnc.batch(), hwnc.channels()), (4, 5, 2, 3));
    let nchw: Vec<Vec<Vec<Vec<f32>>>> = (0..2).map(|n| x.get(n).unwrap().to_vec3().unwrap()).collect();
    let values = numbers(hwnc.tensor());
    for (index, value) in values.iter().enumerate() {
        let (h, w, n, c) = (index / 30, index / 6 % 5, index / 3 % 2, index % 3);
        assert_eq!(*value, nchw[n][c][h][w]);
    }
    assert_eq!(numbers(&hwnc.to_nchw().unwrap()), numbers(&x));
    let taps = oihw_to_tap_major(&x).unwrap();
    assert_eq!(taps.dims(), [4, 5, 3, 2]);
    assert_eq!(numbers(&tap_major_to_oihw(&taps).unwrap()), numbers(&x));
}

#[cfg_attr(test, test)]
fn conversions_are_differentiable() {
    let x = Var::from_tensor(&Array::noise(&[2, 3, 4, 5], 1).tensor()).unwrap();
    let y = Hwnc::from_nchw(&x).unwrap();
    let back = y.to_nchw().unwrap();
    let store = (&back * &back).unwrap().sum_all().unwrap().backward().unwrap();
    let expected: Vec<f32> = numbers(&x).iter().map(|x| 2.0 * x).collect();
    assert_eq!(numbers(store.get(&x).unwrap()), expected);
    assert!(!y.detach().tensor().track_op());
}
