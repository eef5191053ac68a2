//! bf16 held to PyTorch's autocast (`fixtures/make_autocast.py`): as near to it, in the scale of how far it is from f32, as two ways
//! of rounding may be.

#[path = "../../models/tests/golden/formula.rs"]
#[expect(dead_code, reason = "digests are for the gradients of the models' own goldens")]
mod formula;

use std::collections::BTreeMap;

use candle_core::DType;
use frostline_engine::{Optimizer, Recipe, Strategy, freeze, parts_of};
use frostline_kernels::{Tape, cross_entropy};
use frostline_models::{BuildSpec, Model, Pass, build};
use frostline_streams::Streams;
use serde::Deserialize;

const CLASSES: usize = 10;
const BATCH: usize = 16;
const STEPS: usize = 10;

#[derive(Deserialize)]
struct Golden {
    side: usize,
    f32: Numbers,
    bf16: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    logits: Vec<f64>,
    losses: Vec<f64>,
}

fn run(name: &str, side: usize, precision: DType) -> Numbers {
    let model = build(name, &BuildSpec { classes: CLASSES, height: side, width: side, seed: 0 }).unwrap();
    formula::fill(&model, 0.0);
    model.set_precision(precision).unwrap();
    model.set_dropout(0.0).unwrap();
    let batch = |step: usize| formula::images(&format!("trajectory {}", step % 4), BATCH, side, side);
    let logits = model.forward(&batch(0), &Pass::Evaluate).unwrap();
    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let losses = (0..STEPS).scan(None, |optimizer, step| {
        let recipe = Recipe { learning_rate: 1e-4, ..Recipe::default() };
        let optimizer = optimizer.get_or_insert_with(|| begin(&model, &recipe));
        let examples: Vec<u32> = (0..BATCH as u32).collect();
        let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
        let labels = formula::labels(BATCH, step % 4, CLASSES);
        let (loss, tape) =
            Tape::record(|| cross_entropy(&model.forward(&batch(step), &pass).unwrap(), &labels, 0.0))
                .unwrap();
        optimizer.step(&tape.backward(&loss).unwrap(), recipe.learning_rate).unwrap();
        Some(f64::from(loss.to_scalar::<f32>().unwrap()))
    });
    Numbers { losses: losses.collect(), logits: logits.into_iter().map(f64::from).collect() }
}

fn begin(model: &Model, recipe: &Recipe) -> Optimizer {
    let phase = Strategy::Full.phases(&parts_of(model), 1).unwrap().remove(0);
    let mut optimizer = Optimizer::new(recipe, model.parameters(), std::slice::from_ref(&phase)).unwrap();
    freeze(model, &phase, recipe);
    optimizer.begin(&phase);
    optimizer
}

/// The root of the mean squared difference.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64).sqrt()
}

#[test]
fn bf16_is_as_near_to_autocast_as_rounding_lets_it_be() {
    let golden: BTreeMap<String, Golden> =
        serde_json::from_str(include_str!("fixtures/autocast.json")).unwrap();
    for (name, Golden { side, f32: single, bf16: half }) in &golden {
        let ours = run(name, *side, DType::BF16);
        for (what, ours, half, single) in [
            ("logits", &ours.logits, &half.logits, &single.logits),
            ("losses", &ours.losses, &half.losses, &single.losses),
        ] {
            let scale = apart(half, single);
            let (theirs, exact) = (apart(ours, half), apart(ours, single));
            println!(
                "{name}: {what} {theirs:.5} from autocast's and {exact:.5} from f32's, which are {scale:.5} apart"
            );
            assert!(scale > 0.0 && exact > 0.0, "{name}: nothing is rounded");
            assert!(theirs < 2.0 * scale, "{name}: {what} {theirs} from autocast's");
            assert!(exact < 2.0 * scale, "{name}: {what} {exact} from f32's");
        }
    }
}
