//! Initial values have PyTorch's moments: `fixtures/make_fixtures.py` measures torchvision's and timm's own.

use std::collections::BTreeMap;

use frostline_models::{BuildSpec, build, build_with_auxiliary};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    /// Per model and parameter: count, standard deviation, kurtosis.
    initial: BTreeMap<String, BTreeMap<String, (usize, f64, f64)>>,
}

#[test]
fn initial_values_have_pytorchs_moments() {
    let files = [
        include_str!("fixtures/golden.json"),
        include_str!("fixtures/inception.json"),
        include_str!("fixtures/vgg.json"),
        include_str!("fixtures/transformers.json"),
    ];
    let read = |text| serde_json::from_str::<Golden>(text).unwrap().initial;
    for (name, moments) in files.into_iter().flat_map(read) {
        let side = if name == "inception-v3" { 299 } else { 64 };
        let spec = BuildSpec { classes: 10, height: side, width: side, seed: 3 };
        let model = build_with_auxiliary(&name, &spec).unwrap();
        for parameter in model.parameters() {
            let values = parameter.detached().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let name = parameter.name();
            let Some(&(count, std, kurtosis)) = moments.get(name) else {
                let constant = if name.ends_with("weight") { 1.0 } else { 0.0 };
                assert!(values.iter().all(|&v| v == constant), "{name} is constant in torchvision");
                continue;
            };
            assert_eq!(values.len(), count, "{name}");
            let n = count as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let moment = |k| values.iter().map(|&v| (f64::from(v) - mean).powi(k)).sum::<f64>() / n;
            // Each bound is some five standard errors of the difference of two samples.
            assert!(mean.abs() < 5.0 * std / n.sqrt(), "{name}: mean {mean}");
            let ratio = moment(2).sqrt() / std;
            assert!(
                (ratio - 1.0).abs() < 5.0 / n.sqrt(),
                "{name}: standard deviation is {ratio} of PyTorch's"
            );
            let difference = moment(4) / moment(2).powi(2) - kurtosis;
            assert!(difference.abs() < 5.0 * (48.0 / n).sqrt(), "{name}: kurtosis differs by {difference}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_trunk_for_any_number_of_classes() {
    let with =
        |classes, seed| build("resnet18", &BuildSpec { classes, height: 32, width: 32, seed }).unwrap();
    let (ten, hundred, other) = (with(10, 1), with(100, 1), with(10, 2));
    let sum = |p: &frostline_models::Parameter| {
        p.detached().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
    };
    for ((a, b), c) in ten.parameters().iter().zip(hundred.parameters()).zip(other.parameters()) {
        assert_eq!(a.name(), b.name());
        if a.stage() != ten.head() {
            assert_eq!(sum(a), sum(b), "{}", a.name());
        }
        if a.name().contains("conv") {
            assert_ne!(sum(a), sum(c), "{}", a.name());
        }
    }
}
