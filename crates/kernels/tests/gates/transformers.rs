//! Layer norm, GELU, attention, and the operations on tokens.

use candle_core::{Result, Tensor};
use frostline_kernels::{
    AttentionSpec, Hwnc, add_images, attention, composed, embed_tokens, first_rows, gelu, keep_as,
    layer_norm, linear, linear_add, linear_gelu, mlp, rows_as, rows_of,
};
use proptest::prelude::*;

use super::harness::{
    Array, Case, Operation, device, hold, numbers, properties, rounded, run, run_half, same_bits,
};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("layer norms of random shapes", layer_norms_of_random_shapes),
    ("linear layers of random shapes", linear_layers_of_random_shapes),
    ("two layers of random shapes", two_layers_of_random_shapes),
    ("attention of random shapes", attention_of_random_shapes),
    ("tokens of random shapes", tokens_of_random_shapes),
    ("many rows are done in blocks", many_rows_are_done_in_blocks),
    ("gelu of small and large values", gelu_of_small_and_large_values),
    ("large scores do not overflow", large_scores_do_not_overflow),
    ("rows are activations in the same order", || rows_are_activations_in_the_same_order().unwrap()),
];

fn check_layer_norm((n, c): (usize, usize), seed: u64) {
    hold(&Case {
        name: format!("layer norm of [{n}, {c}]"),
        inputs: vec![
            Array::noise(&[n, c], seed).map(|x| 3.0 + 2.0 * x),
            Array::noise(&[c], seed + 1).map(|x| 1.0 + 0.5 * x),
            Array::noise(&[c], seed + 2),
        ],
        // With two or three channels nearly alike, everything cancels; a larger epsilon keeps the numbers meaningful.
        here: &|t| layer_norm(&t[0], &t[1], &t[2], 0.01),
        composed: &|t| composed::layer_norm(&t[0], &t[1], &t[2], 0.01),
        oracle: &|t| oracle::layer_norm(&t[0], &t[1], &t[2], 0.01),
    });
}

fn check_linear((n, inputs, outputs): (usize, usize, usize), seed: u64) {
    let list = vec![
        Array::noise(&[n, inputs], seed).map(|x| 2.0 * x),
        Array::noise(&[inputs, outputs], seed + 1),
        Array::noise(&[outputs], seed + 2),
        Array::noise(&[n, outputs], seed + 3),
    ];
    hold(&Case {
        name: format!("linear and gelu of [{n}, {inputs}] with [{inputs}, {outputs}]"),
        inputs: list[..3].to_vec(),
        here: &|t| linear_gelu(&t[0], &t[1], &t[2]),
        composed: &|t| composed::gelu(&composed::linear(&t[0], &t[1], Some(&t[2]))?),
        oracle: &|t| oracle::gelu(&oracle::linear(&t[0], &t[1], Some(&t[2]))),
    });
    hold(&Case {
        name: format!("linear onto a residual of [{n}, {inputs}] with [{inputs}, {outputs}]"),
        inputs: list,
        here: &|t| linear_add(&t[0], &t[1], &t[2], &t[3]),
        composed: &|t| composed::linear_add(&t[0], &t[1], &t[2], &t[3]),
        oracle: &|t| {
            let mut y = oracle::linear(&t[0], &t[1], Some(&t[2]));
            y.values.iter_mut().zip(&t[3].values).for_each(|(y, residual)| *y += residual);
            y
        },
    });
}

/// Two layers in one, with a residual and without: right, and with the bits of one layer after the other.
fn check_mlp((n, inputs, width, outputs): (usize, usize, usize, usize), seed: u64) {
    let list = [
        Array::noise(&[n, inputs], seed).map(|x| 2.0 * x),
        Array::noise(&[inputs, width], seed + 1),
        Array::noise(&[width], seed + 2),
        Array::noise(&[width, outputs], seed + 3),
        Array::noise(&[outputs], seed + 4),
        Array::noise(&[n, outputs], seed + 5),
    ];
    for count in [5, 6] {
        let case = Case {
            name: format!("two layers of [{n}, {inputs}], {width} wide, to {outputs}, of {count} tensors"),
            inputs: list[..count].to_vec(),
            here: &|t| mlp(&t[0], (&t[1], &t[2]), (&t[3], &t[4]), t.get(5)),
            composed: &|t| {
                let hidden = composed::gelu(&composed::linear(&t[0], &t[1], Some(&t[2]))?)?;
                match t.get(5) {
                    Some(residual) => composed::linear_add(&hidden, &t[3], &t[4], residual),
                    None => composed::linear(&hidden, &t[3], Some(&t[4])),
                }
            },
            oracle: &|t| {
                let hidden = oracle::gelu(&oracle::linear(&t[0], &t[1], Some(&t[2])));
                let mut y = oracle::linear(&hidden, &t[3], Some(&t[4]));
                let residual = t.get(5).map_or(&[][..], |residual| &residual.values);
                y.values.iter_mut().zip(residual).for_each(|(y, residual)| *y += residual);
                y
            },
        };
        hold(&case);
        let layers: Operation<'_> = &|t| {
            let hidden = linear_gelu(&t[0], &t[1], &t[2])?;
            match t.get(5) {
                Some(residual) => linear_add(&hidden, &t[3], &t[4], residual),
                None => linear(&hidden, &t[3], Some(&t[4])),
            }
        };
        assert!(same_bits(&run(case.here, &case.inputs), &run(layers, &case.inputs)), "{}", case.name);
        let inputs = rounded(&case);
        let half = [case.here, layers].map(|operation| run_half(operation, &inputs, keep_as));
        assert!(same_bits(&half[0], &half[1]), "{}: in bf16", case.name);
    }
}

fn check_attention(spec: AttentionSpec, (n, d): (usize, usize), seed: u64) {
    let AttentionSpec { tokens, heads, .. } = spec;
    hold(&Case {
        name: format!("attention of {n} images with heads of {d}, {spec:?}"),
        inputs: vec![Array::noise(&[tokens * n, 3 * heads * d], seed).map(|x| 2.0 * x)],
        here: &|t| attention(&t[0], spec),
        composed: &|t| composed::attention(&t[0], spec),
        oracle: &|t| oracle::attention(&t[0], spec),
    });
}

fn check_tokens((h, w, n, c): (usize, usize, usize, usize), seed: u64) {
    check_embedding((h, w, n, c), 0, true, seed);
    check_embedding((h, w, n, c), 0, false, seed);
    check_embedding((h, w, n, c), 1 + seed as usize % 3, false, seed);
    let tokens = 1 + h * w;
    hold(&Case {
        name: format!("class rows of [{tokens}·{n}, {c}]"),
        inputs: vec![Array::noise(&[tokens * n, c], seed)],
        here: &|t| first_rows(&t[0], n),
        composed: &|t| t[0].narrow(0, 0, n)?.contiguous(),
        oracle: &|t| Array { dims: vec![n, c], values: t[0].values[..n * c].to_vec() },
    });
    let scales: Vec<f32> = (0..n).map(|image| [0.0, 1.25, 2.0][(image + seed as usize) % 3]).collect();
    hold(&Case {
        name: format!("branches of [{tokens}·{n}, {c}]"),
        inputs: vec![Array::noise(&[tokens * n, c], seed), Array::noise(&[tokens * n, c], seed + 1)],
        here: &|t| add_images(&t[0], &t[1], &scales),
        composed: &|t| composed::add_images(&t[0], &t[1], &scales),
        oracle: &|t| {
            let scale = |index: usize| f64::from(scales[index / c % n]);
            let pairs = t[0].values.iter().zip(&t[1].values).enumerate();
            let values = pairs.map(|(index, (x, branch))| x + scale(index) * branch).collect();
            Array { dims: t[0].dims.clone(), values }
        },
    });
}

/// With so many registers, and a position for the class token or none.
fn check_embedding((h, w, n, c): (usize, usize, usize, usize), registers: usize, placed: bool, seed: u64) {
    let (first, tokens) = (1 + registers, 1 + registers + h * w);
    let mut inputs = vec![
        Array::noise(&[h, w, n, c], seed),
        Array::noise(&[1, 1, c], seed + 1),
        Array::noise(&[1, usize::from(placed) + h * w, c], seed + 2),
    ];
    if registers > 0 {
        inputs.push(Array::noise(&[1, registers, c], seed + 3));
    }
    hold(&Case {
        name: format!("tokens of [{h}, {w}, {n}, {c}] with {registers} registers, class placed: {placed}"),
        inputs,
        here: &|t| embed_tokens(&Hwnc::new(t[0].clone())?, &t[1], t.get(3), &t[2]),
        composed: &|t| composed::embed_tokens(&Hwnc::new(t[0].clone())?, &t[1], t.get(3), &t[2]),
        oracle: &|t| {
            let mut y = Array::zeros(&[tokens * n, c]);
            for (index, value) in y.values.iter_mut().enumerate() {
                let (token, image, channel) = (index / c / n, index / c % n, index % c);
                let x = match token {
                    0 => t[1].values[channel],
                    token if token < first => t[3].values[(token - 1) * c + channel],
                    token => t[0].at((token - first) / w, (token - first) % w, image, channel),
                };
                let place = if placed { Some(token) } else { token.checked_sub(first) };
                *value = x + place.map_or(0.0, |place| t[2].values[place * c + channel]);
            }
            y
        },
    });
}

proptest! {
    #![proptest_config(properties(32))]
    #[cfg_attr(test, test)]
    fn layer_norms_of_random_shapes(shape in (1usize..20, 2usize..70), seed in 0u64..1_000_000) {
        check_layer_norm(shape, seed);
    }

    #[cfg_attr(test, test)]
    fn linear_layers_of_random_shapes(
        shape in (1usize..20, 1usize..40, 1usize..40),
        seed in 0u64..1_000_000,
    ) {
        check_linear(shape, seed);
    }

    #[cfg_attr(test, test)]
    fn two_layers_of_random_shapes(
        shape in (1usize..20, 1usize..40, 1usize..40, 1usize..40),
        seed in 0u64..1_000_000,
    ) {
        check_mlp(shape, seed);
    }

    #[cfg_attr(test, test)]
    fn attention_of_random_shapes(
        (tokens, queries) in (1usize..11).prop_flat_map(|tokens| (Just(tokens), 1..=tokens)),
        heads in 1usize..4,
        sizes in (1usize..5, 1usize..9),
        seed in 0u64..1_000_000,
    ) {
        check_attention(AttentionSpec { tokens, heads, queries }, sizes, seed);
    }

    #[cfg_attr(test, test)]
    fn tokens_of_random_shapes(
        shape in (1usize..6, 1usize..6, 1usize..5, 1usize..40),
        seed in 0u64..1_000_000,
    ) {
        check_tokens(shape, seed);
    }
}

#[cfg_attr(test, test)]
fn many_rows_are_done_in_blocks() {
    // More rows than a block has, in each operation; products of either kind of weight gradient.
    check_layer_norm((300, 192), 1);
    check_linear((300, 24, 70), 2);
    check_linear((3, 40, 130), 3);
    check_mlp((300, 24, 70, 24), 6);
    check_mlp((3, 40, 130, 40), 7);
    for queries in [1, 65] {
        check_attention(AttentionSpec { tokens: 65, heads: 2, queries }, (3, 16), 4);
    }
    check_tokens((9, 7, 5, 33), 5);
}

#[cfg_attr(test, test)]
fn gelu_of_small_and_large_values() {
    hold(&Case {
        name: "gelu".into(),
        inputs: vec![Array::noise(&[7, 5000], 1).map(|x| 7.0 * x)],
        here: &|t| gelu(&t[0]),
        composed: &|t| composed::gelu(&t[0]),
        oracle: &|t| oracle::gelu(&t[0]),
    });
    let x = Tensor::new(&[-200f32, -0.0, 200.0, f32::NAN], &device()).unwrap();
    let y = numbers(&gelu(&x).unwrap());
    assert!(y[0].abs() < 1e-30 && y[1..3] == [0.0, 200.0] && y[3].is_nan(), "{y:?}");
}

#[cfg_attr(test, test)]
fn large_scores_do_not_overflow() {
    let spec = AttentionSpec { tokens: 2, heads: 1, queries: 2 };
    let qkv = Tensor::new(&[[1e4f32, 1e4, 3.0], [1e4, -1e4, 5.0]], &device()).unwrap();
    for attention in [attention, composed::attention] {
        assert_eq!(numbers(&attention(&qkv, spec).unwrap()), [3.0, 3.0]);
    }
}

#[cfg_attr(test, test)]
fn rows_are_activations_in_the_same_order() -> Result<()> {
    let x = Array::noise(&[2, 3, 4, 5], 1).tensor();
    let rows = rows_of(&Hwnc::new(x.clone())?)?;
    assert_eq!((rows.dims(), numbers(&rows)), (&[24, 5][..], numbers(&x)));
    assert_eq!(rows_as(&rows, (2, 3, 4, 5))?.dims(), (2, 3, 4, 5));
    Ok(())
}
