//! Where models find what they say: PyTorch's Grad-CAM and attention rollout, by `fixtures/make_explanations.py`.

use frostline_models::{BuildSpec, Method, ModelError, build};
use serde::Deserialize;

use crate::{TOLERANCE, formula};

#[derive(Deserialize)]
struct Case {
    model: String,
    height: usize,
    width: usize,
    stage: String,
    rows: usize,
    columns: usize,
    classes: Vec<u32>,
    weights: Vec<f64>,
}

#[test]
fn explanations_are_pytorchs() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/explanations.json")).unwrap();
    assert_eq!(cases.len(), 5);
    for Case { model: name, height, width, stage, rows, columns, classes, weights } in cases {
        let mut model = build(&name, &BuildSpec { classes: 10, height, width, seed: 0 }).unwrap();
        formula::fill(&model, 0.0);
        let images = formula::images(&format!("explained {name}"), classes.len(), height, width);
        let found = model.explain(&images).unwrap();
        assert_eq!((&found.stage, found.height, found.width), (&stage, rows, columns), "{name}");
        assert_eq!(found.classes, classes, "{name}");
        let transformer = name.starts_with("vit");
        assert_eq!(found.method, if transformer { Method::Rollout } else { Method::GradCam });
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let wrong = found.weights.iter().zip(&weights).map(|(a, b)| (f64::from(*a) - b).abs() / largest);
        let wrong = wrong.fold(0.0, f64::max);
        assert!(wrong < TOLERANCE, "{name} at {height}x{width}: {wrong:e}");
        // The same where copies of pixels are folded, which a predictor does.
        model.fold().unwrap();
        assert_eq!(model.explain(&images).unwrap(), found, "{name}");
    }
}

#[test]
fn a_model_without_a_map_that_shows_places_says_so() {
    let model = build("resnet18", &BuildSpec { classes: 3, height: 9, width: 9, seed: 0 }).unwrap();
    formula::fill(&model, 0.0);
    let error = model.explain(&formula::images("small", 1, 9, 9)).unwrap_err();
    assert!(
        matches!(&error, ModelError::Input(what) if what.contains("no stage of ResNet-18 has a map of 4x4")),
        "{error}"
    );
    let error = model.explain(&formula::images("small", 1, 8, 9)).unwrap_err();
    assert!(error.to_string().contains("was built for images [9, 9, N, 3]"), "{error}");
}
