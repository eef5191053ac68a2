//! What the operations refuse, and what they say.

use super::harness::device;
use candle_core::{DType, Result, Tensor, Var};
use frostline_kernels::optim::{AdamStep, Moments, SgdStep, adam, sgd};
use frostline_kernels::{
    AttentionSpec, ConvSpec, Hwnc, NormSpec, Normalisation, PoolSpec, Tape, adaptive_avg_pool2d, add_images,
    add_losses, attention, avg_pool2d, concat_channels, conv_norm, conv2d, cross_entropy, dropout,
    embed_tokens, first_rows, layer_norm, linear, linear_add, linear_gelu, max_pool2d, mean_squared_error,
    mixed_cross_entropy, mlp, oihw_to_tap_major, rows_as, sum_copies, update_running, weighted_cross_entropy,
};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("convolution names the sizes that do not fit", convolution_names_the_sizes_that_do_not_fit),
    ("pooling names the sizes that do not fit", pooling_names_the_sizes_that_do_not_fit),
    ("squared errors need two tensors of one shape", squared_errors_need_two_tensors_of_one_shape),
    ("batch norm needs two values per channel", batch_norm_needs_two_values_per_channel),
    ("layers and layouts name their shapes", layers_and_layouts_name_their_shapes),
    ("concatenation names the maps that differ", concatenation_names_the_maps_that_differ),
    ("transformers name their shapes", transformers_name_their_shapes),
    ("losses name the label", losses_name_the_label),
    ("optimizers name the shapes that differ", optimizers_name_the_shapes_that_differ),
];

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::F32, &device()).unwrap()
}

fn map(h: usize, w: usize, n: usize, c: usize) -> Hwnc {
    Hwnc::new(zeros(&[h, w, n, c])).unwrap()
}

/// The message of a refusal; all the words must be in it.
fn refused<T>(outcome: Result<T>, words: &[&str]) {
    let Err(error) = outcome else { panic!("expected an error with {words:?}") };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[cfg_attr(test, test)]
fn convolution_names_the_sizes_that_do_not_fit() {
    let x = map(4, 6, 2, 8);
    let spec = ConvSpec::square(1, 0);
    refused(conv2d(&x, &zeros(&[5, 3, 8, 4]), None, spec), &["5x3 kernel", "4x6 pixels", "padding 0x0"]);
    refused(conv2d(&x, &zeros(&[3, 3, 7, 4]), None, spec), &["7 channels", "(4, 6, 2, 8)"]);
    refused(conv2d(&x, &zeros(&[3, 3, 8]), None, spec), &["[kh, kw, C_in, C_out]"]);
    refused(
        conv2d(&x, &zeros(&[3, 3, 8, 4]), Some(&zeros(&[5])), spec),
        &["bias is [5]", "4 output channels"],
    );
    refused(conv2d(&x, &zeros(&[3, 3, 8, 4]), None, ConvSpec::square(0, 0)), &["zero"]);
    refused(conv2d(&map(4, 4, 0, 8), &zeros(&[3, 3, 8, 4]), None, spec), &["zero"]);
}

#[cfg_attr(test, test)]
fn pooling_names_the_sizes_that_do_not_fit() {
    let x = map(2, 5, 2, 8);
    for pool in [max_pool2d, avg_pool2d] {
        refused(pool(&x, PoolSpec::square(3, 2, 0)), &["3x3 pixels", "2x5", "no output"]);
        refused(pool(&x, PoolSpec::square(3, 2, 2)), &["more than half"]);
        refused(pool(&x, PoolSpec::square(3, 0, 1)), &["no output"]);
    }
    refused(adaptive_avg_pool2d(&x, (0, 3)), &["2x5", "0x3"]);
}

#[cfg_attr(test, test)]
fn squared_errors_need_two_tensors_of_one_shape() {
    refused(mean_squared_error(&zeros(&[2, 3]), &zeros(&[3, 2])), &["[2, 3]", "[3, 2]"]);
    refused(mean_squared_error(&zeros(&[0]), &zeros(&[0])), &["[0]"]);
}

#[cfg_attr(test, test)]
fn batch_norm_needs_two_values_per_channel() {
    let vector = zeros(&[8]);
    let spec = NormSpec { eps: 1e-5, relu: false };
    let apply = |x: &Hwnc, gamma: &Tensor, residual: Option<&Hwnc>| {
        let norm = Normalisation { gamma, beta: &vector, running: None, spec };
        super::harness::batch_norm(x, norm, residual, false)
    };
    refused(apply(&map(1, 1, 1, 8), &vector, None), &["1 value per channel", "larger batch"]);
    let x = map(2, 1, 1, 8);
    refused(apply(&x, &zeros(&[7]), None), &["gamma is [7]"]);
    refused(apply(&x, &vector, Some(&map(1, 2, 1, 8))), &["residual is (1, 2, 1, 8)"]);
    let norm = Normalisation { gamma: &vector, beta: &vector, running: None, spec };
    let (weights, bias, conv) = (zeros(&[1, 1, 8, 8]), zeros(&[9]), ConvSpec::square(1, 0));
    refused(conv_norm(&x, &weights, Some(&bias), conv, norm, None), &["convolution's bias is [9]"]);
    let statistics =
        frostline_kernels::BatchStatistics { mean: vector.clone(), variance: vector.clone(), count: 1 };
    let running = Var::from_tensor(&vector).unwrap();
    refused(update_running(&running, &running, &statistics, 0.1), &["one value per channel"]);
}

#[cfg_attr(test, test)]
fn layers_and_layouts_name_their_shapes() {
    refused(linear(&zeros(&[2, 3]), &zeros(&[4, 5]), None), &["[4, 5]", "[2, 3]"]);
    refused(linear(&zeros(&[2, 4]), &zeros(&[4, 5]), Some(&zeros(&[4]))), &["bias is [4]", "5 outputs"]);
    refused(linear(&zeros(&[2, 4, 1]), &zeros(&[4, 5]), None), &["[N, C_in]"]);
    refused(sum_copies(&zeros(&[98, 2]), (7, 7), (2, 1)), &["7x7 pixels", "2x1"]);
    refused(sum_copies(&zeros(&[98, 2]), (7, 7), (0, 1)), &["7x7 pixels", "0x1"]);
    refused(sum_copies(&zeros(&[90, 2]), (7, 7), (1, 1)), &["[90, 2]", "7x7 pixels"]);
    refused(dropout(&zeros(&[2, 3]), &zeros(&[3, 2])), &["mask is [3, 2]"]);
    refused(Hwnc::new(zeros(&[2, 3])), &["[H, W, N, C]", "[2, 3]"]);
    refused(Hwnc::from_vec(vec![0.0; 5], (1, 2, 3, 1), &device()), &["5 values", "[1, 2, 3, 1]"]);
    refused(oihw_to_tap_major(&zeros(&[2, 3])), &["[C_out, C_in, kh, kw]"]);
}

#[cfg_attr(test, test)]
fn concatenation_names_the_maps_that_differ() {
    refused(concat_channels(&[]), &["no map"]);
    refused(concat_channels(&[map(4, 6, 2, 8), map(4, 5, 2, 8)]), &["(4, 5, 2, 8)", "(4, 6, 2, 8)"]);
    refused(concat_channels(&[map(4, 6, 2, 8), map(4, 6, 2, 1), map(4, 6, 1, 8)]), &["(4, 6, 1, 8)"]);
}

#[cfg_attr(test, test)]
fn transformers_name_their_shapes() {
    let (x, vector) = (zeros(&[6, 8]), zeros(&[8]));
    refused(layer_norm(&x, &zeros(&[7]), &vector, 1e-6), &["weight is [7]", "[6, 8]"]);
    refused(layer_norm(&x, &vector, &zeros(&[9]), 1e-6), &["bias is [9]", "[6, 8]"]);
    refused(layer_norm(&zeros(&[2, 3, 8]), &vector, &vector, 1e-6), &["[N, C]", "[2, 3, 8]"]);
    refused(linear_gelu(&x, &zeros(&[8, 5]), &zeros(&[4])), &["bias is [4]", "5 outputs"]);
    refused(
        linear_add(&x, &zeros(&[8, 5]), &zeros(&[5]), &zeros(&[5, 6])),
        &["residual is [5, 6]", "output is [6, 5]"],
    );
    // As one operation, which they are where gradients are wanted, and one after the other.
    let moves = candle_core::Var::from_tensor(&zeros(&[8, 5])).unwrap();
    let (first, second) = (zeros(&[8, 5]), (zeros(&[5, 3]), zeros(&[3])));
    let layers = |first: &Tensor, w2: &Tensor, b2: &Tensor, residual: Option<&Tensor>| {
        let recorded = Tape::record(|| mlp(&x, (first, &zeros(&[5])), (w2, b2), residual));
        recorded.map(|(y, _)| y)
    };
    for first in [&first, moves.as_tensor()] {
        refused(layers(&zeros(&[7, 5]), &second.0, &second.1, None), &["weights are [7, 5]", "[6, 8]"]);
        refused(layers(first, &zeros(&[4, 3]), &second.1, None), &["weights are [4, 3]"]);
        refused(layers(first, &second.0, &zeros(&[2]), None), &["[2]"]);
        let residual = zeros(&[6, 5]);
        refused(layers(first, &second.0, &second.1, Some(&residual)), &["residual is [6, 5]", "[6, 3]"]);
    }
    let spec = AttentionSpec { tokens: 3, heads: 2, queries: 3 };
    refused(attention(&zeros(&[7, 12]), spec), &["3 of 3 tokens", "[7, 12]"]);
    refused(attention(&zeros(&[6, 12]), AttentionSpec { queries: 4, ..spec }), &["4 of 3 tokens"]);
    refused(attention(&zeros(&[6, 12]), AttentionSpec { tokens: 0, ..spec }), &["0 tokens"]);
    refused(attention(&zeros(&[6, 15]), spec), &["[6, 15]", "2 heads"]);
    refused(attention(&zeros(&[6, 12]), AttentionSpec { heads: 0, ..spec }), &["0 heads"]);
    let map = map(2, 2, 3, 8);
    refused(embed_tokens(&map, &zeros(&[7]), None, &zeros(&[1, 5, 8])), &["class token of 8", "[7]"]);
    refused(embed_tokens(&map, &vector, None, &zeros(&[1, 3, 8])), &["positions [1, 5, 8]", "[1, 3, 8]"]);
    let registers = zeros(&[1, 2, 8]);
    refused(embed_tokens(&map, &vector, Some(&registers), &zeros(&[1, 5, 8])), &["[1, 4, 8] for its pixels"]);
    refused(first_rows(&x, 7), &["7 rows", "[6, 8]"]);
    refused(add_images(&x, &zeros(&[6, 7]), &[1.0; 3]), &["[6, 7]", "[6, 8]"]);
    refused(add_images(&x, &x, &[1.0; 4]), &["4 images", "[6, 8]"]);
    refused(rows_as(&x, (1, 2, 3, 7)), &["[6, 8]", "[1, 2, 3, 7]"]);
}

#[cfg_attr(test, test)]
fn losses_name_the_label() {
    refused(cross_entropy(&zeros(&[2, 3]), &[0, 3], 0.0), &["label 3 of example 1", "3 classes"]);
    refused(cross_entropy(&zeros(&[2, 3]), &[0], 0.0), &["2 rows", "1 labels"]);
    refused(cross_entropy(&zeros(&[0, 3]), &[], 0.0), &["0 rows"]);
    refused(cross_entropy(&zeros(&[1, 3]), &[0], 1.5), &["smoothing of 1.5"]);
    let mixed = |others: &[u32], share| mixed_cross_entropy(&zeros(&[2, 3]), (&[0, 1], others), share, 0.0);
    refused(mixed(&[3, 0], 0.5), &["label 3 of example 0"]);
    refused(mixed(&[0], 0.5), &["2 rows", "1 labels"]);
    refused(mixed(&[0, 0], 1.5), &["share of 1.5"]);
    let weighted = |weights: &[f64]| weighted_cross_entropy(&zeros(&[2, 3]), &[0, 1], weights, 0.0);
    refused(weighted(&[1.0, 2.0]), &["2 weights", "3 classes"]);
    refused(weighted(&[1.0, -2.0, 1.0]), &["weight -2"]);
    refused(weighted(&[0.0, 0.0, 1.0]), &["all 2 examples", "weight 0"]);
    refused(weighted_cross_entropy(&zeros(&[2, 3]), &[0, 3], &[1.0; 3], 0.0), &["label 3 of example 1"]);
    refused(add_losses(&zeros(&[]), &[(0.3, zeros(&[2]))]), &["scalar", "[2]"]);
    refused(add_losses(&zeros(&[1]), &[]), &["scalar", "[1]"]);
}

#[cfg_attr(test, test)]
fn optimizers_name_the_shapes_that_differ() {
    let var = Var::from_tensor(&zeros(&[2, 3])).unwrap();
    let step = SgdStep { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0, grad_scale: 1.0 };
    refused(sgd(&var, &zeros(&[3, 2]).into(), &mut None, &step), &["gradient is [3, 2]", "[2, 3]"]);
    let mut other = Some(frostline_kernels::optim::State::zeros_like(&zeros(&[6])).unwrap());
    refused(sgd(&var, &zeros(&[2, 3]).into(), &mut other, &step), &["state is [6]", "[2, 3]"]);
    let mut moments = Moments::zeros_like(&var).unwrap();
    let step = AdamStep {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
        step: 0,
        grad_scale: 1.0,
    };
    refused(adam(&var, &zeros(&[2, 3]).into(), &mut moments, &step), &["from 1"]);
}
