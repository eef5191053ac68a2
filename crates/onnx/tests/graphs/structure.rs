//! The structure of graphs, and what keeps one from being written.

use std::collections::{BTreeMap, BTreeSet};

use frostline_onnx::{INPUT, OPSET, OUTPUT, OnnxError, Subject, model};
use frostline_zoo::{ModelCard, card, lay_out, zoo};

use super::read::{Read, read};
use super::resolution;

/// The sizes of a state dict's tensors.
fn sizes(card: &'static ModelCard, (height, width): (usize, usize)) -> BTreeMap<String, Vec<usize>> {
    let (architecture, _) = lay_out(card, 10, height, width).unwrap();
    let parameters = architecture.parameters.iter().map(|one| (one.name.clone(), one.shape.clone()));
    let statistics = architecture.norms.iter().flat_map(|norm| {
        ["running_mean", "running_var"].map(|part| (format!("{}.{part}", norm.name), vec![norm.channels]))
    });
    parameters.chain(statistics).collect()
}

fn written(card: &'static ModelCard) -> Result<Vec<u8>, OnnxError> {
    let resolution = resolution(card);
    let sizes = sizes(card, resolution);
    let notes = [("frostline.model".to_owned(), card.name.to_owned())];
    let subject = Subject {
        card,
        classes: 10,
        resolution,
        normalisation: card.normalisation,
        notes: &notes,
        version: "1.2.3",
    };
    model(&subject, &|name| sizes.get(name).map(|shape| vec![0.5; shape.iter().product()]))
}

/// That what a node takes is there before it, and each thing once.
fn check_order(read: &Read) {
    let mut known: BTreeSet<&str> = read.tensors.keys().map(String::as_str).collect();
    assert!(known.insert(INPUT));
    let mut used = BTreeSet::new();
    for node in &read.nodes {
        for input in &node.inputs {
            assert!(known.contains(&**input), "{} takes {input}, which is not there yet", node.operator);
            used.insert(input.as_str());
        }
        assert!(node.outputs.iter().all(|output| known.insert(output)), "{:?} twice", node.outputs);
    }
    let idle: Vec<_> = known.iter().filter(|name| !used.contains(*name) && **name != OUTPUT).collect();
    assert!(known.contains(OUTPUT) && idle.is_empty(), "nothing takes {idle:?}");
}

/// Numbers of a model that is left out: the zoo has a smaller one that is made of the same layers.
const MANY: usize = 45_000_000;

/// Those of them that have none.
const ALL_THE_SAME: [&str; 3] = ["alexnet", "vgg11", "vit_base_patch32_clip"];

#[test]
fn every_model_is_a_whole_graph_from_images_to_logits() {
    let count = |card| {
        sizes(card, resolution(card)).values().map(|shape| shape.iter().product::<usize>()).sum::<usize>()
    };
    let small = |card: &&'static ModelCard| count(card) < MANY || ALL_THE_SAME.contains(&card.name);
    for card in zoo().iter().filter(small) {
        let (height, width) = resolution(card);
        let bytes = written(card).unwrap_or_else(|error| panic!("{}: {error}", card.name));
        let read = read(&bytes);
        drop(bytes);
        assert_eq!((read.ir, read.opset, read.producer.as_str()), (8, OPSET as u64, "frostline"));
        assert_eq!(read.notes["frostline.model"], card.name);
        let axes = |sizes: &[usize]| -> Vec<String> {
            ["batch".to_owned()].into_iter().chain(sizes.iter().map(usize::to_string)).collect()
        };
        assert_eq!(read.inputs, [(INPUT.to_owned(), axes(&[3, height, width]))]);
        assert_eq!(read.outputs, [(OUTPUT.to_owned(), axes(&[10]))]);
        check_order(&read);
        for (name, (sizes, length)) in &read.tensors {
            let width = if name.starts_with("integers/") || name.starts_with("index/") { 8 } else { 4 };
            assert_eq!(sizes.iter().product::<u64>() as usize * width, *length, "{}: {name}", card.name);
        }
        // Every tensor of the state dict is in it, if not as it was then in another order.
        for name in sizes(card, (height, width)).keys() {
            let there = ["", "/transposed", "/gathered"]
                .map(|end| read.tensors.contains_key(&format!("{name}{end}")));
            assert!(there.contains(&true), "{}: {name}", card.name);
        }
    }
}

#[test]
fn what_a_layer_becomes_can_be_read_off_the_operators() {
    let count = |name: &str| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in read(&written(card(name).unwrap()).unwrap()).nodes {
            *counts.entry(node.operator).or_default() += 1;
        }
        counts
    };
    let resnet = count("resnet18");
    assert_eq!((resnet["Conv"], resnet["BatchNormalization"], resnet["Relu"]), (20, 20, 17));
    assert_eq!((resnet["Add"], resnet["MaxPool"], resnet["GlobalAveragePool"], resnet["Gemm"]), (8, 1, 1, 1));
    let vit = count("vit_tiny_patch16");
    assert_eq!((vit["Softmax"], vit["LayerNormalization"], vit["Erf"], vit["Gemm"]), (12, 25, 12, 1));
    assert_eq!(count("vgg11")["MatMul"], 2, "an adaptive pool of one map to seven by seven");
    assert_eq!(count("convnextv2_atto")["ReduceL2"], 12);
}

#[test]
fn what_is_missing_or_of_another_size_is_named() {
    let card = card("resnet18").unwrap();
    let subject = Subject {
        card,
        classes: 3,
        resolution: (32, 32),
        normalisation: card.normalisation,
        notes: &[],
        version: "0",
    };
    let all = sizes(card, (32, 32));
    let numbers = |name: &str| all.get(name).map(|shape| vec![0.0; shape.iter().product()]);
    let error = model(&subject, &|name| numbers(name).filter(|_| name != "layer1.0.bn1.running_var"));
    let missing = OnnxError::Missing { name: "layer1.0.bn1.running_var".to_owned() };
    assert_eq!(error, Err(missing));
    let error = model(&subject, &numbers).unwrap_err().to_string();
    assert!(error.starts_with("fc.bias has 10 numbers, and 3 were expected"), "{error}");
    let small = frostline_zoo::card("alexnet").unwrap();
    let error = model(&Subject { card: small, ..subject }, &numbers).unwrap_err().to_string();
    assert!(error.contains("cannot take images of 32x32"), "{error}");
}
