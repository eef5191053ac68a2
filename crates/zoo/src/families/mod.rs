//! The families: one file for each line of papers, which only describes its models. Each model is a [`ModelCard`](crate::ModelCard)
//! with a function that writes its architecture.

pub(crate) mod alexnet;
pub(crate) mod convnext;
pub(crate) mod densenet;
pub(crate) mod inception;
pub(crate) mod mobile;
pub(crate) mod regnet;
pub(crate) mod resnet;
pub(crate) mod swin;
pub(crate) mod towers;
pub(crate) mod vgg;
pub(crate) mod vit;

#[cfg(test)]
mod tests {
    use crate::trace::trace;

    /// Parameters as timm counts them, and the multiply-adds (in units of 10⁹) that PyTorch's counter finds in them, at 1000
    /// classes and the side of the images that the weights saw.
    #[test]
    fn sizes_of_the_families_since_densenet_are_timms() {
        for (name, parameters, side, giga) in [
            ("densenet121", 7_978_856, 224, 2.834),
            ("mobilenetv3_small", 2_542_856, 224, 0.057),
            ("mobilenetv3_large", 5_483_032, 224, 0.217),
            ("efficientnet_b0", 5_288_548, 224, 0.386),
            ("efficientnet_b1", 7_794_184, 224, 0.570),
            ("efficientnet_b2", 9_109_994, 224, 0.659),
            ("efficientnet_b3", 12_233_232, 224, 0.963),
            ("regnety_004", 4_344_144, 224, 0.402),
            ("regnety_008", 6_432_512, 224, 0.834),
            ("regnety_016", 11_202_430, 224, 1.612),
            ("regnety_032", 19_436_338, 224, 3.176),
            ("convnext_atto", 3_695_520, 224, 0.547),
            ("convnext_femto", 5_217_784, 224, 0.780),
            ("convnext_pico", 9_045_672, 224, 1.367),
            ("convnext_nano", 15_593_560, 224, 2.446),
            ("convnext_tiny", 28_589_128, 224, 4.456),
            ("convnext_small", 50_223_688, 224, 8.684),
            ("convnext_base", 88_591_464, 224, 15.355),
            ("convnextv2_atto", 3_708_400, 224, 0.547),
            ("convnextv2_femto", 5_233_240, 224, 0.780),
            ("convnextv2_pico", 9_066_280, 224, 1.367),
            ("convnextv2_nano", 15_623_800, 224, 2.446),
            ("convnextv2_tiny", 28_635_496, 224, 4.456),
            ("convnextv2_base", 88_717_800, 224, 15.355),
            ("swin_tiny_patch4_window7", 28_288_354, 224, 4.491),
            ("swin_small_patch4_window7", 49_606_258, 224, 8.741),
            ("deit3_small_patch16", 22_059_496, 224, 4.599),
            ("deit3_base_patch16", 86_585_320, 224, 17.564),
            ("vit_small_patch14_dinov2", 22_441_192, 518, 46.697),
            ("vit_base_patch14_dinov2", 87_348_712, 518, 151.574),
            ("vit_small_patch14_reg4_dinov2", 22_442_344, 518, 46.883),
            ("vit_base_patch14_reg4_dinov2", 87_351_016, 518, 152.117),
            ("vit_base_patch32_clip", 88_225_000, 224, 4.409),
            ("vit_base_patch16_clip", 86_568_424, 224, 17.564),
        ] {
            let card = crate::card(name).unwrap();
            let mut architecture = (card.architecture)(1000);
            let stages = trace(&architecture, side, side).unwrap();
            stages.iter().for_each(|stage| architecture.place(&stage.grids));
            let elements: usize =
                architecture.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
            assert_eq!(elements, parameters, "{name}");
            let total: u64 = stages.iter().map(|stage| stage.multiply_adds).sum();
            assert!((total as f64 / 1e9 / giga - 1.0).abs() < 0.01, "{name}: {total}");
        }
    }
}
