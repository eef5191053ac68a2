//! The logits that onnxruntime from PyPI computes, held to the forward pass; skipped, with a message, where Python has it not.
//!
//! `FROSTLINE_PYTHON` names the Python to ask, `python3` otherwise. `FROSTLINE_ONNX=all` takes all models of the zoo,
//! and parts of names with commas between those models.

use std::fs;
use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use frostline_allocator as _;
use frostline_kernels::Hwnc;
use frostline_models::{BuildSpec, HeadPolicy, Model, Pass, StateDict, build_blank_on};
use frostline_onnx::{Subject, model};
use frostline_zoo::{card, zoo};

use super::resolution;

/// The largest difference of logits, by the largest logit.
const CLOSE: f64 = 1e-4;

/// A model of each family, small, and the layouts that only some resolutions have.
const SOME: [(&str, Option<(usize, usize)>); 21] = [
    ("resnet18", None),
    ("resnet50", None),
    ("resnet18-cifar", None),
    ("alexnet", Some((415, 224))), // an adaptive pool of whole windows
    ("vgg11", Some((64, 96))),     // one of windows that overlap
    ("densenet121", None),
    ("googlenet", None),
    ("inception-v3", None),
    ("vit_tiny_patch16", None),
    ("deit_tiny_patch16", None),
    ("deit3_small_patch16", None),
    ("vit_small_patch14_dinov2", None),
    ("vit_small_patch14_reg4_dinov2", None),
    ("vit_base_patch32_clip", None),
    ("convnext_atto", None),
    ("convnext_tiny", None),
    ("convnextv2_atto", None),
    ("efficientnet_b0", None),
    ("mobilenetv3_small", None),
    ("regnety_004", None),
    ("swin_tiny_patch4_window7", Some((64, 96))), // windows that move, and maps that they reach beyond
];

/// A number in [-1, 1) for a place of a tensor: bits that are mixed, as drawing those of large models would take longer than all else.
fn noise(salt: u32, index: usize) -> f32 {
    let mut bits = (index as u32).wrapping_mul(0x9e37_79b1) ^ salt.wrapping_mul(0x85eb_ca6b);
    for shift in [16, 13, 16] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(0x7feb_352d);
    }
    (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// Numbers with which every part of a model counts: initial values leave some branches without effect.
fn stirred(model: &Model) -> StateDict {
    let mut stirred = StateDict::new("a test");
    for (name, tensor) in model.state_dict().unwrap().iter() {
        if tensor.dtype() != DType::F32 {
            stirred.insert(name, tensor.clone());
            continue;
        }
        let fan_in: usize = tensor.dims().iter().skip(1).product();
        let (middle, spread) = match tensor.dims() {
            _ if name.ends_with("gamma") || name.contains(".grn.") => (0.5, 0.3),
            _ if name.ends_with("running_var") => (1.0, 0.3),
            [_] if name.ends_with("weight") => (1.0, 0.3),
            [_] => (0.0, 0.1),
            _ => (0.0, (6.0 / fan_in as f32).sqrt()),
        };
        let salt = name.bytes().fold(7u32, |salt, byte| salt.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let values: Vec<f32> =
            (0..tensor.elem_count()).map(|index| middle + spread * noise(salt, index)).collect();
        stirred.insert(name, Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap());
    }
    stirred
}

fn raw(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes the graph of a model, images in [0, 1] as `[N, 3, H, W]`, and their logits.
fn write(folder: &Path, name: &str, (height, width): (usize, usize)) {
    let card = card(name).unwrap();
    let (classes, images) = (7, 3);
    let built = build_blank_on(name, &BuildSpec { classes, height, width, seed: 1 }, &Device::Cpu).unwrap();
    let weights = stirred(&built);
    built.load(&weights, HeadPolicy::Keep).unwrap();
    let normalisation = card.normalisation;

    let pixels: Vec<f32> =
        (0..images * 3 * height * width).map(|index| 0.5 + 0.5 * noise(5, index)).collect();
    let [mean, std] = [normalisation.mean, normalisation.std]
        .map(|values| Tensor::new(&values, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap());
    let image = Tensor::from_slice(&pixels, (images, 3, height, width), &Device::Cpu).unwrap();
    let image = image.broadcast_sub(&mean).unwrap().broadcast_div(&std).unwrap();
    let image = Hwnc::new(image.permute((2, 3, 0, 1)).unwrap().contiguous().unwrap()).unwrap();
    let logits = built.forward(&image, &Pass::Evaluate).unwrap();
    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();

    let subject = Subject {
        card,
        classes,
        resolution: (height, width),
        normalisation,
        notes: &[("frostline.model".to_owned(), name.to_owned())],
        version: "0",
    };
    let numbers = |name: &str| weights.get(name)?.flatten_all().ok()?.to_vec1().ok();
    let at = |end: &str| folder.join(format!("{name}_{height}x{width}.{end}"));
    fs::write(at("onnx"), model(&subject, &numbers).unwrap()).unwrap();
    fs::write(at("images"), raw(&pixels)).unwrap();
    fs::write(at("logits"), raw(&logits)).unwrap();
}

const SCRIPT: &str = r#"
import pathlib, sys
import numpy, onnx, onnxruntime
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, logits.name) == ("image", "logits"), (image.name, logits.name)
    images = numpy.fromfile(path.with_suffix(".images"), "<f4").reshape(-1, *image.shape[1:])
    expected = numpy.fromfile(path.with_suffix(".logits"), "<f4").reshape(len(images), -1)
    found = session.run(None, {"image": images})[0]
    one = session.run(None, {"image": images[1:2]})[0]
    spread = numpy.abs(expected - expected[0]).max() / numpy.abs(expected).max()
    errors = [numpy.abs(a - b).max() / numpy.abs(expected).max() for a, b in [(found, expected), (one, expected[1:2])]]
    print(path.stem, float(max(errors)), float(spread))
"#;

#[test]
fn onnxruntime_computes_the_same_logits() {
    let python = option_env!("FROSTLINE_PYTHON").unwrap_or("python3");
    let there = Command::new(python).args(["-c", "import onnxruntime, onnx, numpy"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no onnxruntime and onnx");
        return;
    }
    let words: Option<Vec<&str>> = option_env!("FROSTLINE_ONNX").map(|words| words.split(',').collect());
    let asked = |name: &str| {
        words.as_ref().is_some_and(|words| words.iter().any(|word| *word == "all" || name.contains(word)))
    };
    let some = SOME.map(|(name, size)| (name, size.unwrap_or_else(|| resolution(card(name).unwrap()))));
    let more = zoo().iter().filter(|card| asked(card.name)).map(|card| (card.name, resolution(card)));
    let models: Vec<(&str, (usize, usize))> =
        some.into_iter().filter(|(name, _)| words.is_none() || asked(name)).chain(more).collect();
    let mut wrong = Vec::new();
    for (name, size) in models {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, size);
        let output = Command::new(python).args(["-c", SCRIPT]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<f64> =
            text.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
        println!("{}", text.trim_end());
        if numbers[0] >= CLOSE || numbers[1] < 1e-3 {
            wrong.push(text);
        }
    }
    // A name, the difference from our logits, and that of the images' logits from each other.
    assert!(wrong.is_empty(), "logits differ, or all images have the same: {}", wrong.concat());
}
