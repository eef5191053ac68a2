//! The formula of `fixtures/make_fixtures.py`: weights, images and labels that no file stores, and the digest of a
//! gradient that the fixtures hold.

use candle_core::{Device, Tensor};
use frostline_kernels::Hwnc;
use frostline_models::{HeadPolicy, Model, Role, StateDict};

pub(crate) fn salt(name: &str) -> u32 {
    name.bytes().fold(0u32, |value, byte| value.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// 32 mixed bits.
fn bits(salt: u32, index: u32) -> u32 {
    let mut h = index.wrapping_mul(0x9E37_79B1).wrapping_add(salt.wrapping_mul(0x85EB_CA77));
    h ^= h >> 16;
    h = h.wrapping_mul(0x7FEB_352D);
    h ^= h >> 15;
    h = h.wrapping_mul(0x846C_A68B);
    h ^ (h >> 16)
}

fn noise(salt: u32, index: usize) -> f64 {
    f64::from(bits(salt, index as u32)) / f64::from(1u32 << 31) - 1.0
}

pub(crate) fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape.iter().skip(1).product();
    let scale = (6.0 / fan_in as f64).sqrt();
    let salt = salt(name);
    // Asked once, and not for each of millions of numbers.
    let (middle, spread) = match name {
        _ if name.ends_with("gamma") || name.contains(".grn.") => (0.5, 0.3),
        _ if name.ends_with("running_var") => (1.0, 0.3),
        _ if name.ends_with("running_mean") => (0.0, 0.2),
        _ if shape.len() > 1 => (0.0, scale),
        _ if name.ends_with("weight") => (1.0, 0.3),
        _ => (0.0, 0.1),
    };
    (0..shape.iter().product()).map(|i| (middle + spread * noise(salt, i)) as f32).collect()
}

/// Gives the model the formula's weights and statistics, with every norm's bias shifted.
pub(crate) fn fill(model: &Model, shift: f32) {
    let mut dict = StateDict::new("formula");
    for parameter in model.parameters() {
        let name = parameter.name();
        let mut values = values(name, parameter.shape());
        if parameter.role() == Role::NormBias {
            values.iter_mut().for_each(|value| *value += shift);
        }
        let tensor = Tensor::from_vec(values, parameter.shape(), &Device::Cpu).unwrap();
        dict.insert(name, tensor);
    }
    for norm in model.norms() {
        for part in ["running_mean", "running_var"] {
            let (name, channels) = (format!("{}.{part}", norm.name()), norm.weight().elements());
            let tensor = Tensor::from_vec(values(&name, &[channels]), channels, &Device::Cpu).unwrap();
            dict.insert(name, tensor);
        }
    }
    model.load(&dict, HeadPolicy::Keep).unwrap();
}

pub(crate) fn images(name: &str, batch: usize, height: usize, width: usize) -> Hwnc {
    let salt = salt(name);
    let values: Vec<f32> = (0..batch * 3 * height * width).map(|i| (1.5 * noise(salt, i)) as f32).collect();
    let nchw = Tensor::from_vec(values, (batch, 3, height, width), &Device::Cpu).unwrap();
    Hwnc::from_nchw(&nchw).unwrap()
}

pub(crate) fn labels(batch: usize, first: usize, classes: usize) -> Vec<u32> {
    (0..batch).map(|n| ((3 * n + first) % classes) as u32).collect()
}

/// What the fixtures keep of a tensor.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Digest {
    norm: f64,
    sum: Option<f64>,
    product: f64,
    samples: Vec<f64>,
}

impl Digest {
    /// The norm.
    pub(crate) fn norm(&self) -> f64 {
        self.norm
    }

    /// The worst relative difference from a tensor in torchvision's element order. Norm, sum and product are measured
    /// against the norm (a sum is the product with ones, so against √n times less), entries against themselves or,
    /// where they are smaller, against the root mean square; a norm below `floor` is taken for it. From zeros, it is the norm.
    pub(crate) fn difference(&self, name: &str, torch: &[f32], floor: f64) -> f64 {
        let wide: Vec<f64> = torch.iter().map(|&v| f64::from(v)).collect();
        let probe = salt(&format!("{name}.probe"));
        let product: f64 = wide.iter().enumerate().map(|(i, v)| v * noise(probe, i)).sum();
        let norm = wide.iter().map(|v| v * v).sum::<f64>().sqrt();
        if self.norm == 0.0 {
            return norm;
        }
        let sum: f64 = wide.iter().sum();
        let by_norm = [norm - self.norm, product - self.product]
            .into_iter()
            .chain(self.sum.map(|expected| sum - expected))
            .map(|difference| difference.abs() / self.norm.max(floor));

        let typical = self.norm.max(floor) / (wide.len() as f64).sqrt();
        let sample = salt(&format!("{name}.sample"));
        assert!(!self.samples.is_empty());
        let by_entry = self.samples.iter().zip(0..).map(|(&expected, i)| {
            let found = wide[bits(sample, i) as usize % wide.len()];
            (found - expected).abs() / expected.abs().max(typical)
        });
        by_norm.chain(by_entry).fold(0.0, f64::max)
    }
}
