//! Weights as other people's scripts leave them: wrappers before the names, heads of other names, counters of other types; and that
//! another model's weights are not taken for these.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_models::{
    BuildSpec, HeadPolicy, Model, ModelError, Resolved, StateDict, WeightsSource, build, card,
    read_safetensors, resolve_file,
};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

fn model(name: &str, seed: u64) -> Model {
    build(name, &BuildSpec { classes: 5, height: 32, width: 32, seed }).unwrap()
}

/// Tensors of a model as bytes, by name.
type Stored = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn stored(model: &Model) -> Stored {
    let dict = model.state_dict().unwrap();
    let one = |(name, tensor): (&str, &candle_core::Tensor)| {
        let (dtype, bytes) = if name.ends_with("tracked") {
            (Dtype::I64, tensor.to_scalar::<i64>().unwrap().to_le_bytes().to_vec())
        } else {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        };
        (name.to_owned(), (dtype, tensor.dims().to_vec(), bytes))
    };
    dict.iter().map(one).collect()
}

fn write(folder: &Path, tensors: &Stored) -> PathBuf {
    let path = folder.join("weights.safetensors");
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(&path, serialize(views, None).unwrap()).unwrap();
    path
}

fn resolved(name: &str, path: &Path) -> Result<Resolved, ModelError> {
    resolve_file(card(name).unwrap(), &WeightsSource::File(path.to_owned()), path)
}

fn trunk(model: &Model) -> Vec<(String, Vec<f32>)> {
    let dict: StateDict = model.trunk_state_dict().unwrap();
    let floats = dict.iter().filter(|(name, _)| !name.ends_with("tracked"));
    floats.map(|(name, t)| (name.to_owned(), t.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

fn renamed(tensors: &Stored, to: impl Fn(&str) -> String) -> Stored {
    tensors.iter().map(|(name, stored)| (to(name), stored.clone())).collect()
}

#[test]
fn what_wrappers_put_before_names_is_taken_off_and_told() {
    let (folder, from) = (TempDir::new().unwrap(), model("resnet18", 1));
    let plain = stored(&from);
    for prefix in
        ["module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "state_dict.model.module."]
    {
        let path = write(folder.path(), &renamed(&plain, |name| format!("{prefix}{name}")));
        let found = resolved("resnet18", &path).unwrap();
        assert_eq!(found.lineage.notes, [format!("`{prefix}` was taken off the names of its tensors")]);
        assert_eq!(found.head_classes, Some(5));
        let to = model("resnet18", 2);
        to.load(&read_safetensors(&path).unwrap(), HeadPolicy::Keep).unwrap();
        assert_eq!(trunk(&to), trunk(&from), "{prefix}");
    }
    let path = write(folder.path(), &plain);
    assert_eq!(resolved("resnet18", &path).unwrap().lineage.notes, [] as [String; 0]);
    let path = write(folder.path(), &renamed(&plain, |name| format!("student.{name}")));
    let error = resolved("resnet18", &path).unwrap_err().to_string();
    assert!(error.contains("missing: conv1.weight"), "{error}");
}

#[test]
fn a_head_of_another_name_is_passed_over_and_told() {
    let (folder, from) = (TempDir::new().unwrap(), model("resnet18", 1));
    let heads = |name: &str| match name {
        "fc.weight" => "classifier.1.weight".to_owned(),
        "fc.bias" => "fc.0.bias".to_owned(),
        name => format!("backbone.{name}"),
    };
    let path = write(folder.path(), &renamed(&stored(&from), heads));
    let found = resolved("resnet18", &path).unwrap();
    assert_eq!(found.head_classes, None);
    let expected = [
        "`backbone.` was taken off the names of its tensors",
        "passed over, as they are no part of its trunk: classifier.1.weight, fc.0.bias",
    ];
    assert_eq!(found.lineage.notes, expected);
    let (to, weights) = (model("resnet18", 2), read_safetensors(&path).unwrap());
    let report = to.load(&weights, HeadPolicy::Redraw).unwrap();
    assert_eq!((report.parameters, report.head_redrawn), (60, true));
    assert_eq!(trunk(&to), trunk(&from));
    assert!(to.load(&weights, HeadPolicy::Keep).is_err(), "a checkpoint is whole or refused");
}

#[test]
fn another_models_weights_are_refused() {
    let folder = TempDir::new().unwrap();
    for (theirs, ours, says) in [
        ("resnet34", "resnet18", "unexpected: layer1.2."),
        ("resnet18", "resnet34", "missing: layer1.2."),
        ("resnet18", "vgg11", "missing: features.0."),
        ("vgg13", "vgg11", "unexpected: features."),
        ("vgg11_bn", "vgg11", "features."),
    ] {
        let path = write(folder.path(), &stored(&model(theirs, 1)));
        let error = resolved(ours, &path).unwrap_err().to_string();
        assert!(error.contains(says), "{theirs} for {ours}: {error}");
    }
}

#[test]
fn a_count_of_batches_may_be_of_any_type_of_number() {
    let (folder, from) = (TempDir::new().unwrap(), model("resnet18", 1));
    let types: [(Dtype, Vec<u8>); 8] = [
        (Dtype::I32, (-7i32).to_le_bytes().to_vec()),
        (Dtype::F32, 7f32.to_le_bytes().to_vec()),
        (Dtype::F64, 7f64.to_le_bytes().to_vec()),
        (Dtype::F16, 0x4700u16.to_le_bytes().to_vec()),
        (Dtype::BF16, 0x40E0u16.to_le_bytes().to_vec()),
        (Dtype::U8, vec![7]),
        (Dtype::I16, 7i16.to_le_bytes().to_vec()),
        (Dtype::U64, 7u64.to_le_bytes().to_vec()),
    ];
    for (dtype, bytes) in types {
        for shape in [vec![], vec![1]] {
            let mut tensors = stored(&from);
            for (name, stored) in &mut tensors {
                if name.ends_with("tracked") {
                    *stored = (dtype, shape.clone(), bytes.clone());
                }
            }
            let path = write(folder.path(), &tensors);
            assert!(resolved("resnet18", &path).is_ok(), "{dtype:?} {shape:?}");
            let to = model("resnet18", 2);
            to.load(&read_safetensors(&path).unwrap(), HeadPolicy::Keep).unwrap();
            let expected = if dtype == Dtype::I32 { -7 } else { 7 };
            assert!(to.norms().iter().all(|norm| norm.batches_tracked() == expected), "{dtype:?}");
        }
    }
}
