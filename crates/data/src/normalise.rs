//! Normalisation in vector passes: [`Normaliser`] takes 8-bit values to `(value / 255 - mean) / std`, to the bit.
//!
//! Vector units divide slowly, so each quotient by a constant is a product with its reciprocal in two parts, one rounded
//! to `f32` and the rest (Brisebarre, Muller and Raina 2004). That rounds as the quotient does for nearly every divisor;
//! there are only 256 values a channel, so all of them are tried first, and where one differs, division is used.

/// `1 / 255`, rounded.
const SCALE: f32 = 1.0 / 255.0;
/// What [`SCALE`] lacks.
const SCALE_REST: f32 = (1.0 / 255.0 - SCALE as f64) as f32;

/// Values a pass: whole pixels, and whole vectors of any kind.
const LANES: usize = 48;

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

    /// Appends `bytes`, `[pixels, 3]`, to `out`.
    pub(crate) fn append(&self, bytes: &[u8], out: &mut Vec<f32>) {
        pulp::Arch::new().dispatch(Append { normaliser: self, bytes, out });
    }
}

struct Append<'a> {
    normaliser: &'a Normaliser,
    bytes: &'a [u8],
    out: &'a mut Vec<f32>,
}

impl pulp::NullaryFnOnce for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { normaliser: Normaliser { mean, std, products }, bytes, out } = self;
        let (mean, divisor) = (repeat(*mean), repeat(*std));
        let (inverse, rest) = (repeat(std.map(|std| 1.0 / std)), repeat(std.map(rest)));
        let mut values = [0.0; LANES];
        let (passes, last) = bytes.as_chunks::<LANES>();
        if *products {
            for bytes in passes {
                for i in 0..LANES {
                    values[i] = by_products(bytes[i], mean[i], inverse[i], rest[i]);
                }
                out.extend_from_slice(&values);
            }
        } else {
            for bytes in passes {
                for i in 0..LANES {
                    values[i] = by_division(bytes[i], mean[i], divisor[i]);
                }
                out.extend_from_slice(&values);
            }
        }
        for ((&value, mean), std) in last.iter().zip(mean).zip(divisor) {
            out.push(by_division(value, mean, std));
        }
    }
}

/// The channels again and again.
fn repeat(channels: [f32; 3]) -> [f32; LANES] {
    std::array::from_fn(|i| channels[i % 3])
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

    /// What is appended for all bytes in all channels and some more, and what should be.
    fn both(normaliser: &Normaliser) -> [Vec<u32>; 2] {
        let bytes: Vec<u8> = (0..=u8::MAX).chain(100..105).flat_map(|value| [value; 3]).collect();
        assert_ne!(bytes.len() % LANES, 0);
        let mut out = Vec::new();
        normaliser.append(&bytes, &mut out);
        let channels = (0..3).cycle();
        let expected = bytes.into_iter().zip(channels).map(|(value, channel)| {
            (f32::from(value) / 255.0 - normaliser.mean[channel]) / normaliser.std[channel]
        });
        [out.into_iter().map(f32::to_bits).collect(), expected.map(f32::to_bits).collect()]
    }

    proptest! {
        #[test]
        fn any_constants_give_what_division_gives(
            mean in uniform3(-1e3f32..1e3),
            std in uniform3(1e-3f32..2.0),
            small in 1e-44f32..1e-37,
            large in 1e20f32..3e38,
        ) {
            for std in [std, [std[0], small, large]] {
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
