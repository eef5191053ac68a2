//! Swin transformers (Liu et al. 2021, arXiv:2103.14030) as timm has them: attention within windows of 7x7 patches, which move by
//! half a window in every second block, over maps that halve from stage to stage. Where a map is smaller than a window, the window
//! is as large as the map, and the biases of the ways that remain stay as they are. Stages: stem, stage1 … stage4, the last
//! with the final norm and the mean over pixels, and the linear head. This file only describes them.

use crate::description::{Architecture, Builder, Curve, Layer, ModelCard, Normalisation, Skip, Window};

const STAGES: &[&str] = &["stem", "stage1", "stage2", "stage3", "stage4", "head"];
const PAPER: &str =
    "Liu et al.: Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, arXiv:2103.14030";
/// What PyTorch's `LayerNorm` adds to the variance.
const EPSILON: f64 = 1e-5;

pub(crate) const SWIN_TINY: ModelCard = card(
    "swin_tiny_patch4_window7",
    "Swin-T",
    "timm/swin_tiny_patch4_window7_224.ms_in22k_ft_in1k",
    |classes| swin([2, 2, 6, 2], classes),
);

pub(crate) const SWIN_SMALL: ModelCard = card(
    "swin_small_patch4_window7",
    "Swin-S",
    "timm/swin_small_patch4_window7_224.ms_in22k_ft_in1k",
    |classes| swin([2, 2, 18, 2], classes),
);

const fn card(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("MIT", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2021, PAPER), of, STAGES, architecture)
}

/// `depths` blocks in the stages, of 96 channels and 3 heads in the first and twice as many in each that follows.
fn swin(depths: [usize; 4], classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let patches = b.conv_with_bias("patch_embed.proj", 3, 96, Window::square(4, 4, 0));
    let norm = b.layer_norm_with_epsilon("patch_embed.norm", 96, EPSILON);
    b.push([Layer::Conv(patches), Layer::LayerNorm(norm)]);
    let last = depths.iter().sum::<usize>() - 1;
    let mut before = 0;
    for (stage, depth) in depths.into_iter().enumerate() {
        b.stage(STAGES[1 + stage]);
        let (name, width, heads) = (format!("layers.{stage}"), 96 << stage, 3 << stage);
        if stage > 0 {
            let norm = b.layer_norm_with_epsilon(&format!("{name}.downsample.norm"), 2 * width, EPSILON);
            let narrow = b.matrix(&format!("{name}.downsample.reduction"), 2 * width, width);
            b.push([Layer::MergePixels, Layer::LayerNorm(norm), Layer::Linear(narrow)]);
        }
        for index in 0..depth {
            let share = (before + index) as f32 / last as f32;
            let block = format!("{name}.blocks.{index}");
            let skips = block_layers(&mut b, &block, (width, heads), index % 2 == 1, share);
            b.push(skips);
        }
        before += depth;
    }
    let norm = b.layer_norm_with_epsilon("norm", 8 * 96, EPSILON);
    b.push([Layer::LayerNorm(norm), Layer::GlobalAvgPool]);
    b.stage(STAGES[5]);
    let head = b.projection("head.fc", 8 * 96, classes);
    b.push([Layer::Dropout { name: "head.drop".to_owned(), probability: 0.0 }, Layer::Linear(head)]);
    b.finish()
}

fn block_layers(
    b: &mut Builder,
    name: &str,
    (width, heads): (usize, usize),
    shifted: bool,
    depth: f32,
) -> [Layer; 2] {
    let within = |part: &str| format!("{name}.{part}");
    let norm1 = b.layer_norm_with_epsilon(&within("norm1"), width, EPSILON);
    let biases = b.window_biases(&within("attn.relative_position_bias_table"), 7, heads);
    let qkv = b.projection(&within("attn.qkv"), width, 3 * width);
    let attention = b.window_attention((qkv, biases), heads, (7, shifted));
    let proj = b.projection(&within("attn.proj"), width, width);
    let norm2 = b.layer_norm_with_epsilon(&within("norm2"), width, EPSILON);
    let fc1 = b.projection(&within("mlp.fc1"), width, 4 * width);
    let fc2 = b.projection(&within("mlp.fc2"), 4 * width, width);
    let skip = |path: &str, body: Vec<Layer>| {
        let name = within(path);
        Layer::Skip(Box::new(Skip { name, body, shortcut: Vec::new(), scale: None, relu: false, depth }))
    };
    [
        skip("drop_path1", vec![Layer::LayerNorm(norm1), attention, Layer::Linear(proj)]),
        skip(
            "drop_path2",
            vec![Layer::LayerNorm(norm2), Layer::Linear(fc1), Layer::Curve(Curve::Gelu), Layer::Linear(fc2)],
        ),
    ]
}
