//! The families since DenseNet, whose numbers are timm's.

use crate::{TOLERANCE, check};

/// Whether a model is of a family since DenseNet, whose numbers are timm's.
pub(crate) fn has(name: &str) -> bool {
    let families =
        ["densenet", "mobilenet", "efficientnet", "regnet", "convnext", "swin", "deit3", "vit_small_patch14"];
    families.iter().any(|family| name.starts_with(family)) || name.ends_with("_clip")
}

#[test]
fn densenet121_is_timms() {
    check("densenet121", 64, 48, TOLERANCE);
}

#[test]
fn mobilenetv3_is_timms() {
    check("mobilenetv3_small", 64, 64, TOLERANCE);
    check("mobilenetv3_large", 64, 48, TOLERANCE);
}

#[test]
fn efficientnet_is_timms() {
    check("efficientnet_b0", 64, 64, TOLERANCE);
    check("efficientnet_b1", 48, 64, TOLERANCE);
}

#[test]
fn regnety_is_timms() {
    check("regnety_004", 64, 48, TOLERANCE);
    check("regnety_008", 64, 64, TOLERANCE);
}

#[test]
fn convnext_is_timms() {
    check("convnext_atto", 64, 64, TOLERANCE);
    check("convnext_tiny", 64, 96, TOLERANCE);
}

#[test]
fn convnext_v2_is_timms() {
    check("convnextv2_atto", 64, 96, TOLERANCE);
    check("convnextv2_tiny", 64, 64, TOLERANCE);
}

#[test]
fn swin_is_timms() {
    check("swin_tiny_patch4_window7", 64, 64, TOLERANCE);
    // Windows beyond the edges, shifted along one side alone, and odd maps.
    check("swin_tiny_patch4_window7", 96, 40, TOLERANCE);
}

#[test]
fn towers_with_layer_scale_registers_or_quick_gelu_are_timms() {
    check("deit3_small_patch16", 48, 32, TOLERANCE);
    check("vit_small_patch14_dinov2", 42, 28, TOLERANCE);
    check("vit_small_patch14_reg4_dinov2", 28, 42, TOLERANCE);
    check("vit_base_patch32_clip", 64, 32, TOLERANCE);
}
