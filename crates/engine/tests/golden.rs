//! Losses of strategies across a change of phase, and of an autoencoder, held to PyTorch's (`fixtures/make_fixtures.py`).

#[path = "../../models/tests/golden/formula.rs"]
#[expect(dead_code, reason = "digests are for the gradients of the models' own goldens")]
mod formula;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use frostline_engine::{Optimizer, Parts, Phase, Recipe, StateOnStart, Strategy, freeze, parts_of};
use frostline_kernels::{Tape, cross_entropy, mean_squared_error};
use frostline_models::{Activation, BuildSpec, HeadPolicy, Model, Pass, build, build_autoencoder};
use frostline_streams::Streams;

const CLASSES: usize = 10;
const BATCH: usize = 16;
/// Steps of each phase.
const STEPS: usize = 5;

/// Two phases, each of an epoch; the second of the other strategy where one is named.
fn phases(parts: &Parts, first: &str, second: Option<&str>, slower: f64) -> Vec<Phase> {
    let of = |name: &str, epochs| name.parse::<Strategy>().unwrap().phases(parts, epochs).unwrap();
    let Some(second) = second else { return of(first, 2) };
    let mut second = of(second, 1).remove(0);
    second.state = StateOnStart::Keep;
    second.rates.iter_mut().for_each(|rate| *rate = rate.map(|rate| rate * slower));
    vec![of(first, 1).remove(0), second]
}

fn losses(phases: impl Fn(&Parts) -> Vec<Phase>) -> Vec<f64> {
    let model = build("resnet18", &BuildSpec { classes: CLASSES, height: 32, width: 32, seed: 0 }).unwrap();
    formula::fill(&model, 0.0);
    let (phases, recipe) = (phases(&parts_of(&model)), Recipe::default());
    let mut optimizer = Optimizer::new(&recipe, model.parameters(), &phases).unwrap();
    let examples: Vec<u32> = (0..BATCH as u32).collect();
    let mut losses = Vec::new();
    for phase in &phases {
        freeze(&model, phase, &recipe);
        optimizer.begin(phase);
        for _ in 0..STEPS {
            let batch = losses.len() % 4;
            let x = formula::images(&format!("trajectory {batch}"), BATCH, 32, 32);
            let labels = formula::labels(BATCH, batch, CLASSES);
            let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
            let (loss, tape) = Tape::record(|| {
                let features = model.forward_range(0..phase.frozen_prefix, x, &Pass::Evaluate).unwrap();
                let all = model.stages().len();
                let logits = model.forward_range(phase.frozen_prefix..all, features, &pass).unwrap();
                cross_entropy(&Activation::into_tensor(logits).unwrap(), &labels, 0.0)
            })
            .unwrap();
            losses.push(f64::from(loss.to_scalar::<f32>().unwrap()));
            optimizer.step(&tape.backward(&loss).unwrap(), recipe.learning_rate).unwrap();
        }
    }
    losses
}

fn check(name: &str, phases: impl Fn(&Parts) -> Vec<Phase>) {
    follow(name, &losses(phases));
}

/// Holds losses to the nearer of PyTorch's two trajectories.
fn follow(name: &str, ours: &[f64]) {
    let golden: BTreeMap<String, Vec<Vec<f64>>> =
        serde_json::from_str(include_str!("fixtures/strategies.json")).unwrap();
    assert_eq!(ours.len(), 2 * STEPS);
    let worst = golden[name].iter().map(|theirs| {
        let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs() / theirs);
        differences.fold(0.0, f64::max)
    });
    let worst = worst.fold(f64::INFINITY, f64::min);
    println!("{name}: {worst:.1e}");
    assert!(worst < 0.01, "{name}: {worst} from the nearer of PyTorch's, {ours:?}");
}

#[test]
fn lp_ft_is_pytorchs() {
    check("lp-ft", |parts| phases(parts, "lp-ft", None, 1.0));
}

#[test]
fn layer_decay_after_the_head_is_pytorchs() {
    check("head, then layer-decay:0.5, state kept", |parts| {
        phases(parts, "head", Some("layer-decay:0.5"), 1.0)
    });
}

#[test]
fn l2_sp_is_pytorchs_loss_with_the_penalty() {
    check("head, then l2-sp:100 at a tenth, state kept", |parts| {
        phases(parts, "head", Some("l2-sp:100"), 0.1)
    });
    // The pull is strong enough to be seen: without it, the losses are others.
    let without = losses(|parts| phases(parts, "head", Some("full"), 0.1));
    let with = losses(|parts| phases(parts, "head", Some("l2-sp:100"), 0.1));
    let differences = with.iter().zip(&without).map(|(with, without)| (with - without).abs() / without);
    assert!(differences.fold(0.0, f64::max) > 0.05, "{with:?} {without:?}");
}

#[test]
fn bn_only_and_then_all_is_pytorchs() {
    check("bn-only, then all at a tenth, state kept", |parts| phases(parts, "bn-only", Some("full"), 0.1));
}

#[test]
fn adapters_are_pefts_and_merge_into_the_weights() {
    let spec = BuildSpec { classes: CLASSES, height: 32, width: 32, seed: 0 };
    let mut model = build("vit_tiny_patch4", &spec).unwrap();
    formula::fill(&model, 0.0);
    assert_eq!(model.adapt(4).unwrap(), 4 * 12);
    // The first factors are the formula's; the second ones stay zero.
    for down in model.parameters().iter().filter(|one| one.name().ends_with("lora_A.weight")) {
        let torch = formula::values(down.name(), down.shape());
        let torch = Tensor::from_vec(torch, down.shape(), &Device::Cpu).unwrap();
        let native = torch.t().unwrap().contiguous().unwrap();
        down.set(&native.reshape(down.var().shape()).unwrap()).unwrap();
    }
    let (recipe, strategy) = (Recipe::default(), "lora:4".parse::<Strategy>().unwrap());
    let phase = strategy.phases(&parts_of(&model), 1).unwrap().remove(0);
    // Each adapter has 4 of all inputs and outputs of its layer; the head trains whole.
    let adapters: usize =
        [(192, 576), (192, 192), (192, 768), (768, 192)].iter().map(|(a, b)| 4 * (a + b)).sum();
    assert_eq!(phase.trainable(&parts_of(&model)), 12 * adapters + 193 * CLASSES);
    let mut optimizer = Optimizer::new(&recipe, model.parameters(), std::slice::from_ref(&phase)).unwrap();
    freeze(&model, &phase, &recipe);
    optimizer.begin(&phase);
    let examples: Vec<u32> = (0..BATCH as u32).collect();
    let losses: Vec<f64> = (0..2 * STEPS)
        .map(|step| {
            let x = formula::images(&format!("trajectory {}", step % 4), BATCH, 32, 32);
            let labels = formula::labels(BATCH, step % 4, CLASSES);
            let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
            let (loss, tape) =
                Tape::record(|| cross_entropy(&model.forward(&x, &pass).unwrap(), &labels, 0.0)).unwrap();
            optimizer.step(&tape.backward(&loss).unwrap(), recipe.learning_rate).unwrap();
            f64::from(loss.to_scalar::<f32>().unwrap())
        })
        .collect();
    follow("lora:4", &losses);

    // What is given away is a plain model that computes the same.
    let plain = build("vit_tiny_patch4", &spec).unwrap();
    plain.load(&model.state_dict().unwrap(), HeadPolicy::Keep).unwrap();
    let x = formula::images("trajectory 0", BATCH, 32, 32);
    let logits = |model: &Model| {
        let logits = model.forward(&x, &Pass::Evaluate).unwrap();
        logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (adapted, merged) = (logits(&model), logits(&plain));
    let furthest = adapted.iter().zip(&merged).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-3, "{furthest}");
    model.adapt(2).unwrap_err();
}

#[test]
fn an_autoencoder_is_pytorchs() {
    let spec = BuildSpec { classes: 1, height: 32, width: 32, seed: 0 };
    let model = build_autoencoder("resnet18", &spec).unwrap();
    formula::fill(&model, 0.0);
    let recipe = Recipe { learning_rate: 1e-4, ..Recipe::default() };
    let phase = Strategy::Full.phases(&parts_of(&model), 1).unwrap().remove(0);
    let mut optimizer = Optimizer::new(&recipe, model.parameters(), std::slice::from_ref(&phase)).unwrap();
    freeze(&model, &phase, &recipe);
    optimizer.begin(&phase);
    let examples: Vec<u32> = (0..BATCH as u32).collect();
    let losses = (0..2 * STEPS).map(|step| {
        let x = formula::images(&format!("trajectory {}", step % 4), BATCH, 32, 32);
        let pass = Pass::Train { streams: Streams::new(0), epoch: 1, examples: &examples };
        let (loss, tape) = Tape::record(|| {
            let decoded = model.forward_range(0..model.stages().len(), x.clone(), &pass).unwrap();
            mean_squared_error(decoded.into_map().unwrap().tensor(), x.tensor())
        })
        .unwrap();
        optimizer.step(&tape.backward(&loss).unwrap(), recipe.learning_rate).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    });
    follow("autoencoder", &losses.collect::<Vec<_>>());
}
