//! The operations as their definitions say, in double precision, one value at a time.

use frostline_kernels::{AttentionSpec, ConvSpec, Curve, PoolSpec};

use super::harness::Array;

/// Convolution of `[H, W, N, C]` with `[kh, kw, C, O]`; empty output sizes are the caller's mistake.
pub(crate) fn conv2d(x: &Array, weights: &Array, bias: Option<&Array>, spec: ConvSpec) -> Array {
    let [h, w, n, c] = x.dims[..] else { panic!("four dimensions") };
    let [kh, kw, _, outputs] = weights.dims[..] else { panic!("four dimensions") };
    let oh = (h + 2 * spec.padding.0 - kh) / spec.stride.0 + 1;
    let ow = (w + 2 * spec.padding.1 - kw) / spec.stride.1 + 1;
    let mut y = Array::zeros(&[oh, ow, n, outputs]);
    for oy in 0..oh {
        for ox in 0..ow {
            for image in 0..n {
                for output in 0..outputs {
                    let mut sum = bias.map_or(0.0, |bias| bias.values[output]);
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let iy = (oy * spec.stride.0 + ky) as isize - spec.padding.0 as isize;
                            let ix = (ox * spec.stride.1 + kx) as isize - spec.padding.1 as isize;
                            if iy < 0 || ix < 0 || iy >= h as isize || ix >= w as isize {
                                continue;
                            }
                            for channel in 0..c {
                                sum += x.at(iy as usize, ix as usize, image, channel)
                                    * weights.at(ky, kx, channel, output);
                            }
                        }
                    }
                    let at = y.index(oy, ox, image, output);
                    y.values[at] = sum;
                }
            }
        }
    }
    y
}

/// The mean and biased variance of each channel (the last dimension).
pub(crate) fn moments(x: &Array) -> (Vec<f64>, Vec<f64>) {
    let c = x.dims[x.dims.len() - 1];
    let rows = (x.values.len() / c) as f64;
    let column = |channel: usize| x.values.iter().skip(channel).step_by(c);
    let mean: Vec<f64> = (0..c).map(|channel| column(channel).sum::<f64>() / rows).collect();
    let square = |channel: usize| column(channel).map(|value| (value - mean[channel]).powi(2)).sum::<f64>();
    let variance = (0..c).map(|channel| square(channel) / rows).collect();
    (mean, variance)
}

/// Normalisation by given moments, scaled by `gamma`, shifted by `beta`, with a residual and ReLU if wanted.
pub(crate) fn normalise(
    x: &Array,
    (mean, variance): (&[f64], &[f64]),
    (gamma, beta): (&Array, &Array),
    residual: Option<&Array>,
    eps: f64,
    relu: bool,
) -> Array {
    let c = gamma.values.len();
    let value = |index: usize| {
        let channel = index % c;
        let normal = (x.values[index] - mean[channel]) / (variance[channel] + eps).sqrt();
        let sum = normal * gamma.values[channel]
            + beta.values[channel]
            + residual.map_or(0.0, |residual| residual.values[index]);
        if relu { sum.max(0.0) } else { sum }
    };
    Array { dims: x.dims.clone(), values: (0..x.values.len()).map(value).collect() }
}

/// What a pooling makes of the values of a window, and of the number of places that count in an average.
type Summary = dyn Fn(&[f64], usize) -> f64;

/// Pooling as PyTorch's documentation defines it: windows over the padded input, where padding holds no value.
pub(crate) fn pool(x: &Array, spec: PoolSpec, summary: &Summary) -> Array {
    let [h, w, n, c] = x.dims[..] else { panic!("four dimensions") };
    let starts = |size: usize, kernel: usize, stride: usize, padding: usize| {
        let mut starts = Vec::new();
        let mut start = -(padding as isize);
        // A window is kept if it fits, or, in ceil mode, if it starts inside the input or its leading padding
        // and something is left for it that the window before did not reach.
        while start + kernel as isize <= (size + padding) as isize
            || (spec.ceil && start < size as isize && reaches_on(&starts, kernel, size + padding))
        {
            starts.push(start);
            start += stride as isize;
        }
        starts
    };
    let rows = starts(h, spec.kernel.0, spec.stride.0, spec.padding.0);
    let cols = starts(w, spec.kernel.1, spec.stride.1, spec.padding.1);
    let mut y = Array::zeros(&[rows.len(), cols.len(), n, c]);
    for (oy, top) in rows.iter().enumerate() {
        for (ox, left) in cols.iter().enumerate() {
            for inner in 0..n * c {
                let (mut values, mut padded) = (Vec::new(), 0);
                for iy in *top..top + spec.kernel.0 as isize {
                    for ix in *left..left + spec.kernel.1 as isize {
                        let inside = iy >= 0 && ix >= 0 && iy < h as isize && ix < w as isize;
                        let bottom = (h + spec.padding.0) as isize;
                        let right = (w + spec.padding.1) as isize;
                        padded += usize::from(iy < bottom && ix < right);
                        if inside {
                            values.push(x.at(iy as usize, ix as usize, inner / c, inner % c));
                        }
                    }
                }
                let count = if spec.count_include_pad { padded } else { values.len() };
                let at = y.index(oy, ox, inner / c, inner % c);
                y.values[at] = summary(&values, count);
            }
        }
    }
    y
}

/// Whether the padded input goes on behind the last window (or no window exists yet).
fn reaches_on(starts: &[isize], kernel: usize, end: usize) -> bool {
    starts.last().is_none_or(|last| last + (kernel as isize) < end as isize)
}

/// Adaptive average pooling: output `i` of `n` covers inputs from `floor(i·size/n)` to `ceil((i+1)·size/n)`.
pub(crate) fn adaptive(x: &Array, (oh, ow): (usize, usize)) -> Array {
    let [h, w, n, c] = x.dims[..] else { panic!("four dimensions") };
    let span = |index: usize, size: usize, outputs: usize| {
        let end = ((index + 1) as f64 * size as f64 / outputs as f64).ceil() as usize;
        index * size / outputs..end
    };
    let mut y = Array::zeros(&[oh, ow, n, c]);
    for oy in 0..oh {
        for ox in 0..ow {
            for inner in 0..n * c {
                let (rows, cols) = (span(oy, h, oh), span(ox, w, ow));
                let mut sum = 0.0;
                for iy in rows.clone() {
                    for ix in cols.clone() {
                        sum += x.at(iy, ix, inner / c, inner % c);
                    }
                }
                let at = y.index(oy, ox, inner / c, inner % c);
                y.values[at] = sum / (rows.len() * cols.len()) as f64;
            }
        }
    }
    y
}

/// The mean cross-entropy of `[N, K]` with smoothed labels.
pub(crate) fn cross_entropy(logits: &Array, labels: &[u32], smoothing: f64) -> Array {
    mixed_cross_entropy(logits, (labels, labels), 1.0, smoothing)
}

/// The same, where each target is `share` of one label's and the rest of another's.
pub(crate) fn mixed_cross_entropy(
    logits: &Array,
    (labels, others): (&[u32], &[u32]),
    share: f64,
    smoothing: f64,
) -> Array {
    let classes = logits.dims[1];
    let loss = |(row, (label, other)): (&[f64], (&u32, &u32))| {
        let log_sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        let target = |class: usize| {
            let is = |label: u32| f64::from(u8::from(class == label as usize));
            smoothing / classes as f64 + (1.0 - smoothing) * (share * is(*label) + (1.0 - share) * is(*other))
        };
        row.iter().enumerate().map(|(class, logit)| target(class) * (log_sum - logit)).sum::<f64>()
    };
    let rows = logits.values.chunks(classes).zip(labels.iter().zip(others));
    let total: f64 = rows.map(loss).sum();
    Array { dims: vec![], values: vec![total / labels.len() as f64] }
}

/// The cross-entropy of classes that count as their weights say.
pub(crate) fn weighted_cross_entropy(
    logits: &Array,
    labels: &[u32],
    weights: &[f64],
    smoothing: f64,
) -> Array {
    let classes = logits.dims[1];
    let of_row = |(row, label): (&[f64], &u32)| {
        let log_sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        let spread: f64 = row.iter().zip(weights).map(|(logit, weight)| weight * (log_sum - logit)).sum();
        let label = *label as usize;
        (1.0 - smoothing) * weights[label] * (log_sum - row[label]) + smoothing * spread / classes as f64
    };
    let total: f64 = logits.values.chunks(classes).zip(labels).map(of_row).sum();
    let count: f64 = labels.iter().map(|label| weights[*label as usize]).sum();
    Array { dims: vec![], values: vec![total / count] }
}

/// `x · w + bias` for `[N, I]` and `[I, O]`.
pub(crate) fn linear(x: &Array, weights: &Array, bias: Option<&Array>) -> Array {
    let (n, inputs, outputs) = (x.dims[0], x.dims[1], weights.dims[1]);
    let mut y = Array::zeros(&[n, outputs]);
    for row in 0..n {
        for output in 0..outputs {
            let product =
                |input: usize| x.values[row * inputs + input] * weights.values[input * outputs + output];
            y.values[row * outputs + output] =
                (0..inputs).map(product).sum::<f64>() + bias.map_or(0.0, |bias| bias.values[output]);
        }
    }
    y
}

/// Normalises each row, with epsilon.
pub(crate) fn layer_norm(x: &Array, weight: &Array, bias: &Array, eps: f64) -> Array {
    let c = weight.values.len();
    let mut y = x.clone();
    for row in y.values.chunks_exact_mut(c) {
        let mean = row.iter().sum::<f64>() / c as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
        for (channel, x) in row.iter_mut().enumerate() {
            *x = (*x - mean) / (variance + eps).sqrt() * weight.values[channel] + bias.values[channel];
        }
    }
    y
}

/// `x · Φ(x)`, Φ by its power series, which converges everywhere.
pub(crate) fn gelu(x: &Array) -> Array {
    let below = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        0.5 + (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
    };
    Array { dims: x.dims.clone(), values: x.values.iter().map(|&x| x * below(x)).collect() }
}

/// The curve at every value.
pub(crate) fn curve(x: &Array, curve: Curve) -> Array {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let hard = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    let value = |&x: &f64| match curve {
        Curve::Identity | Curve::Gelu => x,
        Curve::Relu => x.max(0.0),
        Curve::QuickGelu => x * sigmoid(1.702 * x),
        Curve::Silu => x * sigmoid(x),
        Curve::Sigmoid => sigmoid(x),
        Curve::HardSwish => x * hard(x),
        Curve::HardSigmoid => hard(x),
    };
    match curve {
        Curve::Gelu => gelu(x),
        _ => Array { dims: x.dims.clone(), values: x.values.iter().map(value).collect() },
    }
}

/// Multi-head attention of rows `[tokens·N, 3·C]`.
pub(crate) fn attention(qkv: &Array, spec: AttentionSpec) -> Array {
    let AttentionSpec { tokens, heads, queries } = spec;
    let (n, c) = (qkv.dims[0] / tokens, qkv.dims[1] / 3);
    let d = c / heads;
    let at = |token: usize, image: usize, part: usize, channel: usize| {
        qkv.values[(token * n + image) * 3 * c + part * c + channel]
    };
    let mut y = Array::zeros(&[queries * n, c]);
    for (image, head, query) in
        (0..n * heads * queries).map(|i| (i / (heads * queries), i / queries % heads, i % queries))
    {
        let channels = head * d..(head + 1) * d;
        let score = |token: usize| {
            let product =
                channels.clone().map(|i| at(query, image, 0, i) * at(token, image, 1, i)).sum::<f64>();
            (product / (d as f64).sqrt()).exp()
        };
        let scores: Vec<f64> = (0..tokens).map(score).collect();
        let total: f64 = scores.iter().sum();
        for channel in channels {
            let mixed = scores.iter().enumerate().map(|(token, score)| score * at(token, image, 2, channel));
            y.values[(query * n + image) * c + channel] = mixed.sum::<f64>() / total;
        }
    }
    y
}
