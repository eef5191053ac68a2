//! Normalisation in vector passes: [`Normaliser`] takes 8-bit values to `(value / 255 - mean) / std`, to the bit.
//!
//! Vector units divide slowly, so each quotient by a constant is a product with its reciprocal in two parts, one rounded to
//! `f32` and the rest (Brisebarre, Muller and Raina 2004). That rounds as the quotient does for nearly every divisor;
//! there are only 256 values a channel, so all of them are tried first, and where one differs division is what is used.

/// `1 / 255`, rounded.
const SCALE: f32 = 1.0 / 255.0;
/// What [`SCALE`] lacks.
const SCALE_REST: f32 = (1.0 / 255.0 - SCALE as f64) as f32;

/// Mean and standard deviation of three channels.
#[derive(Clone, Debug)]
pub(crate) struct Normaliser {
    mean: [f32; 3],
    std: [f32; 3],
    /// Whether products give what division gives, and the processor has the instruction that they need.
    products: bool,
}

impl Normaliser {
    pub(crate) fn new(mean: [f32; 3], std: [f32; 3]) -> Self {
        let alike = |(mean, std): (f32, f32)| {
            (0..=u8::MAX).all(|value| {
                let product = by_products(value, mean, 1.0 / std, rest(std));
                product.to_bits() == by_division(value, mean, std).to_bits()
            })
        };
        let fused = !matches!(pulp::Arch::new(), pulp::Arch::Scalar);
        Self { mean, std, products: fused && mean.into_iter().zip(std).all(alike) }
    }

    /// The same for `n` pixels side by side, `[n, 3]`.
    pub(crate) fn run(&self, n: usize) -> Run {
        let repeat = |channels: [f32; 3]| channels.into_iter().cycle().take(n * 3).collect();
        Run {
            mean: repeat(self.mean),
            std: repeat(self.std),
            inverse: repeat(self.std.map(|std| 1.0 / std)),
            rest: repeat(self.std.map(rest)),
            products: self.products,
        }
    }
}

/// Constants for each value of a run of pixels.
pub(crate) struct Run {
    mean: Vec<f32>,
    std: Vec<f32>,
    inverse: Vec<f32>,
    rest: Vec<f32>,
    products: bool,
}

impl Run {
    /// Appends to `out` the front of each `stride` of `bytes`, as long as the run and normalised.
    pub(crate) fn append(&self, bytes: &[u8], stride: usize, out: &mut Vec<f32>) {
        pulp::Arch::new().dispatch(Append { run: self, bytes, stride, out });
    }
}

struct Append<'a> {
    run: &'a Run,
    bytes: &'a [u8],
    stride: usize,
    out: &'a mut Vec<f32>,
}

impl pulp::NullaryFnOnce for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { run: Run { mean, std, inverse, rest, products }, bytes, stride, out } = self;
        for bytes in bytes.chunks_exact(stride) {
            let values = bytes.iter().zip(mean);
            if *products {
                let values = values.zip(inverse).zip(rest);
                out.extend(
                    values.map(|(((&v, &mean), &inverse), &rest)| by_products(v, mean, inverse, rest)),
                );
            } else {
                out.extend(values.zip(std).map(|((&v, &mean), &std)| by_division(v, mean, std)));
            }
        }
    }
}

#[inline(always)]
fn by_division(value: u8, mean: f32, std: f32) -> f32 {
    (f32::from(value) / 255.0 - mean) / std
}

#[inline(always)]
fn by_products(value: u8, mean: f32, inverse: f32, rest: f32) -> f32 {
    let value = f32::from(value);
    let centred = value.mul_add(SCALE, value * SCALE_REST) - mean;
    centred.mul_add(inverse, centred * rest)
}

/// What the rounded reciprocal lacks.
fn rest(divisor: f32) -> f32 {
    (1.0 / f64::from(divisor) - f64::from(1.0 / divisor)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::array::uniform3;
    use proptest::prelude::*;

    /// What is appended for all bytes in all channels, and what should be.
    fn both(normaliser: &Normaliser) -> [Vec<u32>; 2] {
        let bytes: Vec<u8> = (0..=u8::MAX).flat_map(|value| [value; 4]).collect();
        let mut out = Vec::new();
        normaliser.run(1).append(&bytes, 4, &mut out);
        let expected = (0..=u8::MAX).flat_map(|value| {
            (0..3).map(move |c| (f32::from(value) / 255.0 - normaliser.mean[c]) / normaliser.std[c])
        });
        [out.into_iter().map(f32::to_bits).collect(), expected.map(f32::to_bits).collect()]
    }

    proptest! {
        #[test]
        fn any_constants_give_what_division_gives(
            mean in uniform3(-1e3f32..1e3), usual in uniform3(1e-3f32..2.0), small in 1e-44f32..1e-37, large in 1e20f32..3e38,
        ) {
          for std in [usual, [usual[0], small, large]] {
            let [out, expected] = both(&Normaliser::new(mean, std));
            prop_assert_eq!(out, expected);
          }
        }
    }

    #[test]
    fn usual_constants_need_no_division() {
        let fused = !matches!(pulp::Arch::new(), pulp::Arch::Scalar);
        for (mean, std) in [
            ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            ([0.5; 3], [0.5; 3]),
            ([0.0; 3], [1.0; 3]),
        ] {
            let normaliser = Normaliser::new(mean, std);
            assert_eq!(normaliser.products, fused, "{mean:?} {std:?}");
            let [out, expected] = both(&normaliser);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_divisor_whose_reciprocal_overflows_is_divided_by() {
        let normaliser = Normaliser::new([0.5; 3], [0.5, 1e-40, 0.5]);
        assert!(!normaliser.products);
        let [out, expected] = both(&normaliser);
        assert_eq!(out, expected);
    }
}
