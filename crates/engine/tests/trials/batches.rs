//! What frozen stages give for an image is the image's own: sharing and keeping it rest on that.

use frostline_kernels::Hwnc;
use frostline_models::Pass;

use crate::harness::Trial;

#[test]
fn what_a_stage_gives_for_an_image_does_not_depend_on_its_batch() {
    for (name, side) in [
        ("resnet18", 32),
        ("vgg11_bn", 32),
        ("alexnet", 64),
        ("vit_tiny_patch4", 32),
        ("googlenet", 32),
        ("resnet50", 32),
    ] {
        let trial = Trial::of(name, side, 7);
        let n = 70;
        let value = |pixel: usize, image: usize, channel: usize| {
            ((pixel * 31 + image * 17 + channel * 7 + image * image) % 23) as f32 / 11.0 - 1.0
        };
        let batch = |images: &[usize]| {
            let mut values = Vec::new();
            for pixel in 0..side * side {
                for image in images {
                    values.extend((0..3).map(|channel| value(pixel, *image, channel)));
                }
            }
            Hwnc::from_vec(values, (side, side, images.len(), 3), trial.model.device()).unwrap()
        };
        let stages = trial.model.stages().len();
        let all: Vec<usize> = (0..n).collect();
        for end in [1, stages - 1, stages] {
            let rows = |images: &[usize]| {
                let given = trial.model.forward_range(0..end, batch(images), &Pass::Evaluate).unwrap();
                let tensor = given.tensor().clone();
                let places: usize = tensor.dims()[..tensor.rank() - 2].iter().product();
                let channels = tensor.dims()[tensor.rank() - 1];
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let at = |image: usize| -> Vec<u32> {
                    let places = (0..places).map(|place| (place * images.len() + image) * channels);
                    places
                        .flat_map(|at| values[at..at + channels].iter().map(|value| value.to_bits()))
                        .collect()
                };
                (0..images.len()).map(at).collect::<Vec<_>>()
            };
            let whole = rows(&all);
            for images in [vec![5], vec![69, 0, 33], (0..64).rev().collect(), (3..36).collect()] {
                for (row, image) in rows(&images).iter().zip(&images) {
                    assert!(
                        *row == whole[*image],
                        "{name}, {end} stages: image {image} among {}",
                        images.len()
                    );
                }
            }
        }
    }
}
