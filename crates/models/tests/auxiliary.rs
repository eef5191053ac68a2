//! Auxiliary heads: they are there when a model is trained from scratch, take part in training alone, and are no part of
//! pretrained weights.

use candle_core::{Device, Tensor};
use frostline_kernels::{Hwnc, Tape};
use frostline_models::{
    BuildSpec, HeadPolicy, Model, ModelError, Pass, build, build_autoencoder, build_with_auxiliary,
};
use frostline_streams::Streams;

const SPEC: BuildSpec = BuildSpec { classes: 7, height: 40, width: 33, seed: 5 };
const EXAMPLES: [u32; 3] = [4, 2, 9];

fn images() -> Hwnc {
    let values = (0..40 * 33 * 3 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
    Hwnc::from_vec(values, (40, 33, 3, 3), &Device::Cpu).unwrap()
}

fn training() -> Pass<'static> {
    Pass::Train { streams: Streams::new(1), epoch: 1, examples: &EXAMPLES }
}

fn auxiliary(model: &Model, pass: &Pass<'_>) -> Vec<(f64, Vec<usize>)> {
    let all = 0..model.stages().len();
    let (_, heads) = model.forward_range_with_auxiliary(all, images(), pass).unwrap();
    heads.iter().map(|head| (head.weight, head.logits.dims().to_vec())).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn only_training_from_scratch_has_them() {
    let (with, without) =
        (build_with_auxiliary("googlenet", &SPEC).unwrap(), build("googlenet", &SPEC).unwrap());
    assert_eq!(auxiliary(&with, &training()), [(0.3, vec![3, 7]), (0.3, vec![3, 7])]);
    assert_eq!(auxiliary(&with, &Pass::Evaluate), []);
    assert_eq!(auxiliary(&without, &training()), []);
    let resnet = build_with_auxiliary("resnet18", &SPEC).unwrap();
    assert_eq!(auxiliary(&resnet, &training()), []);
}

#[test]
fn the_network_beside_them_is_the_same() {
    let (with, without) =
        (build_with_auxiliary("googlenet", &SPEC).unwrap(), build("googlenet", &SPEC).unwrap());
    let heads = with.parameters().len() - without.parameters().len();
    assert_eq!(heads, 2 * 7, "a convolution, its norm and two linear layers each");
    for (a, b) in with.parameters().iter().zip(without.parameters()) {
        assert_eq!((a.name(), a.stage()), (b.name(), b.stage()));
        assert_eq!(numbers(&a.detached()), numbers(&b.detached()), "{}", a.name());
    }
    let stages = with.stages();
    for parameter in &with.parameters()[without.parameters().len()..] {
        assert!(parameter.name().starts_with("aux"), "{}", parameter.name());
        assert_eq!(stages[parameter.stage()].name, "inception4");
    }
    let logits = |model: &Model| numbers(&model.forward(&images(), &Pass::Evaluate).unwrap());
    assert_eq!(logits(&with), logits(&without));
}

#[test]
fn a_frozen_prefix_takes_its_heads_with_it() {
    let model = build_with_auxiliary("googlenet", &SPEC).unwrap();
    let features = model.forward_range(0..3, images(), &Pass::Evaluate).unwrap();
    let forward = || model.forward_range_with_auxiliary(3..5, features.clone(), &training());
    let ((logits, heads), tape) = Tape::record(forward).unwrap();
    assert!(heads.is_empty());
    let gradients = tape.backward_from(logits.tensor(), logits.tensor()).unwrap();
    for parameter in model.parameters() {
        let found = gradients.get(parameter.var()).is_some();
        assert_eq!(found, parameter.stage() >= 3, "{}", parameter.name());
    }
}

#[test]
fn they_keep_their_dropout_unless_there_is_none() {
    let model = build_with_auxiliary("googlenet", &SPEC).unwrap();
    let passed = || {
        let all = 0..model.stages().len();
        let (logits, heads) = model.forward_range_with_auxiliary(all, images(), &training()).unwrap();
        (numbers(logits.tensor()), heads.iter().map(|head| numbers(&head.logits)).collect::<Vec<_>>())
    };
    let own = passed();
    model.set_dropout(0.2).unwrap(); // what GoogLeNet has before its own head
    assert_eq!(passed(), own);
    model.set_dropout(0.6).unwrap();
    assert_ne!(passed().0, own.0);
    assert_eq!(passed().1, own.1);
    model.set_dropout(0.0).unwrap();
    assert_ne!(passed().1, own.1);
}

#[test]
fn weights_with_them_fit_a_model_without() {
    let (with, without) =
        (build_with_auxiliary("googlenet", &SPEC).unwrap(), build("googlenet", &SPEC).unwrap());
    let mut weights = with.state_dict().unwrap();
    assert_eq!(without.load(&weights, HeadPolicy::Keep).unwrap().parameters, without.parameters().len());
    with.load(&weights, HeadPolicy::Keep).unwrap();
    let plain = without.state_dict().unwrap();
    assert!(plain.iter().all(|(name, _)| !name.starts_with("aux")), "as torchvision without aux_logits");
    let Err(ModelError::Mismatch(mismatch)) = with.load(&plain, HeadPolicy::Keep) else { panic!() };
    assert!(mismatch.missing.contains(&"aux1.fc2.bias".to_owned()));
    weights.insert("auxiliary.weight", Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap());
    let Err(ModelError::Mismatch(mismatch)) = without.load(&weights, HeadPolicy::Keep) else { panic!() };
    assert_eq!(mismatch.unexpected, ["auxiliary.weight"]);
}

#[test]
fn inception_v3_has_its_head_where_the_map_is_large_enough() {
    for (side, parameters) in [(298, 0), (299, 8)] {
        let spec = BuildSpec { classes: 2, height: side, width: 320, seed: 0 };
        let model = build_with_auxiliary("inception-v3", &spec).unwrap();
        let found = model.parameters().iter().filter(|p| p.name().starts_with("AuxLogits.")).count();
        assert_eq!(found, parameters, "{side}");
    }
    assert!(build_with_auxiliary("googlenet", &BuildSpec { classes: 0, ..SPEC }).is_err());
}

#[test]
fn an_autoencoder_has_none() {
    let model = build_autoencoder("googlenet", &SPEC).unwrap();
    assert!(model.parameters().iter().all(|p| !p.name().starts_with("aux")));
    let all = 0..model.stages().len();
    let (output, heads) = model.forward_range_with_auxiliary(all, images(), &training()).unwrap();
    assert_eq!(output.into_map().unwrap().dims(), (40, 33, 3, 3));
    assert!(heads.is_empty());
}
