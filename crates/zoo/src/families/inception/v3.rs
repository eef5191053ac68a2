//! Inception v3 (Szegedy et al. 2015, arXiv:1512.00567) as torchvision and timm have it, under the same names. Stages: stem
//! (the convolutions with their pools); mixed5, mixed6 and mixed7, the blocks on maps of 35x35, 17x17 and 8x8 at 299 pixels,
//! each with the block that leads to its map; head. The auxiliary head hangs at the end of mixed6.

use super::{AUXILIARY_WEIGHT, PIXEL, avg_pool, basic_conv, dropout, linear, max_pool, normal};
use crate::description::{Architecture, Builder, Layer, ModelCard, Normalisation, PinnedWeights, Window};

pub(crate) const INCEPTION_V3: ModelCard = ModelCard {
    name: "inception-v3",
    title: "Inception v3",
    year: 2015,
    paper: "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision, \
            arXiv:1512.00567",
    stages: &["stem", "mixed5", "mixed6", "mixed7", "head"],
    normalisation: Normalisation::CENTRED,
    // torchvision's weights, which there are used with `transform_input`: the same normalisation.
    pinned: Some(PinnedWeights::in_timm("timm/inception_v3.tv_in1k", "Apache-2.0", Normalisation::CENTRED)),
    architecture: inception_v3,
};

/// Halves a map's sides, without padding.
const HALVING: Window = Window::square(3, 2, 0);
/// A kernel along a row.
const ROW7: Window = Window::same(1, 7);
/// A kernel along a column.
const COLUMN7: Window = Window::same(7, 1);

fn inception_v3(classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage("stem");
    let stem = [
        conv(&mut b, "Conv2d_1a_3x3", (3, 32), HALVING),
        conv(&mut b, "Conv2d_2a_3x3", (32, 32), Window::square(3, 1, 0)),
        conv(&mut b, "Conv2d_2b_3x3", (32, 64), Window::same(3, 3)),
        max_pool("maxpool1", HALVING, false),
        conv(&mut b, "Conv2d_3b_1x1", (64, 80), PIXEL),
        conv(&mut b, "Conv2d_4a_3x3", (80, 192), Window::square(3, 1, 0)),
        max_pool("maxpool2", HALVING, false),
    ];
    b.push(stem);

    b.stage("mixed5");
    for (name, from, pooled) in [("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)] {
        let branches = block_a(&mut b, name, from, pooled);
        b.push([branches]);
    }

    b.stage("mixed6");
    let branches = block_b(&mut b, "Mixed_6a", 288);
    b.push([branches]);
    for (name, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        let branches = block_c(&mut b, name, 768, width);
        b.push([branches]);
    }
    let place = b.place_for_auxiliary();

    b.stage("mixed7");
    let branches = block_d(&mut b, "Mixed_7a", 768);
    b.push([branches]);
    for (name, from) in [("Mixed_7b", 1280), ("Mixed_7c", 2048)] {
        let branches = block_e(&mut b, name, from);
        b.push([branches]);
    }

    b.stage("head");
    let fc = linear(&mut b, "fc", 2048, classes, normal(0.1));
    b.push([Layer::GlobalAvgPool, dropout("dropout", 0.5), Layer::Linear(fc)]);

    b.auxiliary(place, "AuxLogits", AUXILIARY_WEIGHT, |b| {
        let conv0 = conv(b, "AuxLogits.conv0", (768, 128), PIXEL);
        let conv1 = conv(b, "AuxLogits.conv1", (128, 768), Window::square(5, 1, 0));
        let fc = linear(b, "AuxLogits.fc", 768, classes, normal(0.001));
        let pool = avg_pool("AuxLogits.pool", Window::square(5, 3, 0));
        vec![pool, conv0, conv1, Layer::GlobalAvgPool, Layer::Linear(fc)]
    });
    b.finish()
}

/// torchvision's `stddev` of a convolution is on the module around it, where its own constructor does not look for it: so
/// all start alike.
fn conv(b: &mut Builder, name: &str, channels: (usize, usize), window: Window) -> Layer {
    basic_conv(b, name, channels, window, normal(0.1))
}

/// The average of a map's neighbourhoods, and a 1x1 convolution.
fn pooled(b: &mut Builder, block: &str, from: usize, to: usize) -> Vec<Layer> {
    let name = format!("{block}.branch_pool");
    vec![avg_pool(&name, Window::same(3, 3)), conv(b, &name, (from, to), PIXEL)]
}

/// Figure 5 of the paper: two 3x3 in place of a 5x5, which stands beside them.
fn block_a(b: &mut Builder, block: &str, from: usize, to: usize) -> Layer {
    let mut unit = |name: &str, channels, window| conv(b, &format!("{block}.{name}"), channels, window);
    let mut branches = vec![
        vec![unit("branch1x1", (from, 64), PIXEL)],
        vec![unit("branch5x5_1", (from, 48), PIXEL), unit("branch5x5_2", (48, 64), Window::same(5, 5))],
        vec![
            unit("branch3x3dbl_1", (from, 64), PIXEL),
            unit("branch3x3dbl_2", (64, 96), Window::same(3, 3)),
            unit("branch3x3dbl_3", (96, 96), Window::same(3, 3)),
        ],
    ];
    branches.push(pooled(b, block, from, to));
    Layer::Branches(branches)
}

/// Halves the map (figure 10).
fn block_b(b: &mut Builder, block: &str, from: usize) -> Layer {
    let mut unit = |name: &str, channels, window| conv(b, &format!("{block}.{name}"), channels, window);
    Layer::Branches(vec![
        vec![unit("branch3x3", (from, 384), HALVING)],
        vec![
            unit("branch3x3dbl_1", (from, 64), PIXEL),
            unit("branch3x3dbl_2", (64, 96), Window::same(3, 3)),
            unit("branch3x3dbl_3", (96, 96), HALVING),
        ],
        vec![max_pool(&format!("{block}.branch_pool"), HALVING, false)],
    ])
}

/// Rows and columns in place of 7x7 kernels (figure 6).
fn block_c(b: &mut Builder, block: &str, from: usize, width: usize) -> Layer {
    let mut unit = |name: &str, channels, window| conv(b, &format!("{block}.{name}"), channels, window);
    let mut branches = vec![
        vec![unit("branch1x1", (from, 192), PIXEL)],
        vec![
            unit("branch7x7_1", (from, width), PIXEL),
            unit("branch7x7_2", (width, width), ROW7),
            unit("branch7x7_3", (width, 192), COLUMN7),
        ],
        vec![
            unit("branch7x7dbl_1", (from, width), PIXEL),
            unit("branch7x7dbl_2", (width, width), COLUMN7),
            unit("branch7x7dbl_3", (width, width), ROW7),
            unit("branch7x7dbl_4", (width, width), COLUMN7),
            unit("branch7x7dbl_5", (width, 192), ROW7),
        ],
    ];
    branches.push(pooled(b, block, from, 192));
    Layer::Branches(branches)
}

/// Halves the map again.
fn block_d(b: &mut Builder, block: &str, from: usize) -> Layer {
    let mut unit = |name: &str, channels, window| conv(b, &format!("{block}.{name}"), channels, window);
    Layer::Branches(vec![
        vec![unit("branch3x3_1", (from, 192), PIXEL), unit("branch3x3_2", (192, 320), HALVING)],
        vec![
            unit("branch7x7x3_1", (from, 192), PIXEL),
            unit("branch7x7x3_2", (192, 192), ROW7),
            unit("branch7x7x3_3", (192, 192), COLUMN7),
            unit("branch7x7x3_4", (192, 192), HALVING),
        ],
        vec![max_pool(&format!("{block}.branch_pool"), HALVING, false)],
    ])
}

/// Rows and columns side by side (figure 7).
fn block_e(b: &mut Builder, block: &str, from: usize) -> Layer {
    let mut unit = |name: &str, channels, window| conv(b, &format!("{block}.{name}"), channels, window);
    let (row, column) = (Window::same(1, 3), Window::same(3, 1));
    let mut branches = vec![
        vec![unit("branch1x1", (from, 320), PIXEL)],
        vec![
            unit("branch3x3_1", (from, 384), PIXEL),
            Layer::Branches(vec![
                vec![unit("branch3x3_2a", (384, 384), row)],
                vec![unit("branch3x3_2b", (384, 384), column)],
            ]),
        ],
        vec![
            unit("branch3x3dbl_1", (from, 448), PIXEL),
            unit("branch3x3dbl_2", (448, 384), Window::same(3, 3)),
            Layer::Branches(vec![
                vec![unit("branch3x3dbl_3a", (384, 384), row)],
                vec![unit("branch3x3dbl_3b", (384, 384), column)],
            ]),
        ],
    ];
    branches.push(pooled(b, block, from, 192));
    Layer::Branches(branches)
}
