//! Strict loading, and safetensors files that are broken in every way a download or a disk breaks them.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use frostline_models::{
    BuildSpec, HeadPolicy, Model, ModelError, StateDict, build, build_blank_on, read_header, read_safetensors,
};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

fn model(classes: usize, seed: u64) -> Model {
    build("resnet18", &BuildSpec { classes, height: 32, width: 32, seed }).unwrap()
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    let values =
        |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    a.dims() == b.dims() && values(a) == values(b)
}

fn all_same(a: &Model, b: &Model) -> bool {
    let (a, b) = (a.state_dict().unwrap(), b.state_dict().unwrap());
    a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn weights_survive_a_file_in_torchvisions_names_and_shapes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let (from, to) = (model(5, 1), model(5, 2));
    let mean = from.norms()[3].running_mean().affine(0.0, 0.25).unwrap();
    from.norms()[3]
        .set_statistics(&mean, &from.norms()[3].running_variance().affine(2.0, 0.0).unwrap())
        .unwrap();
    from.state_dict().unwrap().save_safetensors(&path).unwrap();

    let dict = read_safetensors(&path).unwrap();
    assert_eq!(dict.len(), 122);
    assert_eq!(dict.get("conv1.weight").unwrap().dims(), [64, 3, 7, 7]);
    assert_eq!(dict.get("layer4.0.downsample.0.weight").unwrap().dims(), [512, 256, 1, 1]);
    assert_eq!(dict.get("fc.weight").unwrap().dims(), [5, 512]);
    assert_eq!(dict.get("bn1.num_batches_tracked").unwrap().dtype(), DType::I64);
    assert!(!all_same(&from, &to));
    let report = to.load(&dict, HeadPolicy::Keep).unwrap();
    assert_eq!((report.parameters, report.head_redrawn, report.head_classes), (62, false, Some(5)));
    assert!(all_same(&from, &to));
    assert_eq!(read_header(&path).unwrap().len(), 122);
}

#[test]
fn a_blank_model_with_weights_is_one_that_was_drawn_before() {
    for (name, side, head) in [
        ("resnet18", 32, HeadPolicy::Redraw),
        ("alexnet", 64, HeadPolicy::Keep),
        ("vit_tiny_patch4", 32, HeadPolicy::Redraw),
    ] {
        let spec = |seed| BuildSpec { classes: 5, height: side, width: side, seed };
        let weights = build(name, &spec(1)).unwrap().state_dict().unwrap();
        let (drawn, blank) =
            (build(name, &spec(2)).unwrap(), build_blank_on(name, &spec(2), &Device::Cpu).unwrap());
        drawn.load(&weights, head).unwrap();
        blank.load(&weights, head).unwrap();
        assert!(all_same(&drawn, &blank), "{name}");
    }
}

#[test]
fn only_the_head_may_differ_and_is_then_drawn_anew() {
    let weights = model(200, 1).state_dict().unwrap();
    let (to, fresh) = (model(5, 2), model(5, 2));
    let fc = |model: &Model| model.state_dict().unwrap().get("fc.weight").unwrap().clone();

    let error = to.load(&weights, HeadPolicy::Keep).unwrap_err().to_string();
    assert!(error.contains("fc.weight is [200, 512] for [5, 512]") && error.contains("fc.bias"), "{error}");
    assert!(all_same(&to, &fresh), "an error changes nothing");

    for policy in [HeadPolicy::KeepIfFits, HeadPolicy::Redraw] {
        to.parameters()[60].set(&to.parameters()[60].detached().affine(3.0, 1.0).unwrap()).unwrap();
        let report = to.load(&weights, policy).unwrap();
        assert_eq!((report.parameters, report.head_redrawn, report.head_classes), (60, true, Some(200)));
        assert!(same(&fc(&to), &fc(&fresh)), "the head is that of the seed");
        assert!(same(
            to.state_dict().unwrap().get("conv1.weight").unwrap(),
            weights.get("conv1.weight").unwrap()
        ));
    }

    // A head that fits is kept or drawn anew, as asked; one that is missing is drawn anew.
    let mut weights = model(5, 1).state_dict().unwrap();
    assert!(!to.load(&weights, HeadPolicy::KeepIfFits).unwrap().head_redrawn);
    assert!(same(&fc(&to), weights.get("fc.weight").unwrap()));
    assert!(to.load(&weights, HeadPolicy::Redraw).unwrap().head_redrawn);
    assert!(same(&fc(&to), &fc(&fresh)));
    weights.remove("fc.weight");
    let report = to.load(&weights, HeadPolicy::KeepIfFits).unwrap();
    assert_eq!((report.parameters, report.head_redrawn), (60, true));
}

#[test]
fn one_error_lists_all_that_is_wrong() {
    let to = model(5, 2);
    let mut weights = model(5, 1).state_dict().unwrap();
    weights.remove("layer1.0.conv1.weight");
    weights.remove("bn1.running_mean");
    weights.insert("conv1.weight", zeros(&[64, 3, 3, 3]));
    for i in 0..9 {
        weights.insert(format!("layer1.9.{i}"), zeros(&[1]));
    }
    let error = to.load(&weights, HeadPolicy::Redraw).unwrap_err();
    let ModelError::Mismatch(mismatch) = &error else { panic!("{error}") };
    assert_eq!(mismatch.missing, ["layer1.0.conv1.weight", "bn1.running_mean"]);
    assert_eq!(mismatch.unexpected.len(), 9);
    assert_eq!(mismatch.misshapen.len(), 1);
    assert_eq!(
        error.to_string(),
        "the weights in resnet18 are not those of ResNet-18; missing: layer1.0.conv1.weight, bn1.running_mean; \
         unexpected: layer1.9.0, layer1.9.1, layer1.9.2, layer1.9.3, layer1.9.4, layer1.9.5 and 3 more; of another shape: conv1.weight is \
         [64, 3, 3, 3] for [64, 3, 7, 7]; check that the file was made for this model"
    );

    let mut weights = model(5, 1).state_dict().unwrap();
    weights.insert("bn1.weight", (zeros(&[64]) + f64::NAN).unwrap());
    let error = to.load(&weights, HeadPolicy::Redraw).unwrap_err().to_string();
    assert!(error.contains("not finite numbers: bn1.weight"), "{error}");

    // The counter of batches has no part in any result, so old files may lack it.
    let mut weights = model(5, 1).state_dict().unwrap();
    weights.remove("bn1.num_batches_tracked");
    to.load(&weights, HeadPolicy::Keep).unwrap();
}

/// A file of one tensor `x` of shape [2, 2].
fn small(folder: &Path, dtype: Dtype, bytes: &[u8]) -> PathBuf {
    let path = folder.join("small.safetensors");
    let view = TensorView::new(dtype, vec![2, 2], bytes).unwrap();
    fs::write(&path, serialize([("x", view)], None).unwrap()).unwrap();
    path
}

#[test]
fn half_precision_becomes_single() {
    let folder = TempDir::new().unwrap();
    let expected = [1.0, -2.0, 0.5, 65_504.0];
    let f16 = [0x3C00u16, 0xC000, 0x3800, 0x7BFF];
    let bf16 = [0x3F80u16, 0xC000, 0x3F00, 0x477F];
    for (dtype, bits, last) in [(Dtype::F16, f16, 65_504.0), (Dtype::BF16, bf16, 65_280.0)] {
        let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
        let dict = read_safetensors(&small(folder.path(), dtype, &bytes)).unwrap();
        let values = dict.get("x").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((&values[..3], values[3]), (&expected[..3], last));
    }
    let double: Vec<u8> = [1.0f64, -2.0, 0.5, 0.1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let dict = read_safetensors(&small(folder.path(), Dtype::F64, &double)).unwrap();
    assert_eq!(
        dict.get("x").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        [1.0, -2.0, 0.5, 0.1]
    );
    let path = small(folder.path(), Dtype::I32, &[0; 16]);
    let error = read_header(&path).unwrap_err().to_string();
    assert!(error.contains("has x in I32; store tensors as F32, F64, F16 or BF16"), "{error}");
}

#[test]
fn broken_files_are_errors_that_name_the_file_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = small(folder.path(), Dtype::F32, &[0; 16]);
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8], says: &str, advice: &str| {
        fs::write(&path, bytes).unwrap();
        for error in [read_safetensors(&path).unwrap_err(), read_header(&path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert!(error.contains(says) && error.contains(advice), "{error}");
        }
    };
    let again = "delete it, then fetch or export it again";
    check(&whole[..whole.len() - 5], "is cut short", again);
    check(&whole[..20], "is cut short", again);
    check(&whole[..3], "has 3 bytes", again);
    check(&[], "has 0 bytes", again);
    check(&[&whole[..], b"more"].concat(), "is too long", again);
    let mut corrupt = whole.clone();
    corrupt[12] = b'}';
    check(&corrupt, "has a corrupt header", again);
    let text = String::from_utf8_lossy(&whole).replace("[0,16]", "[0,12]");
    check(text.as_bytes(), "has a corrupt header", again);
    check(b"<!DOCTYPE html><html>not here</html>", "is not a safetensors file", "convert");
    check(b"PK\x03\x04archive/data.pkl", "is a PyTorch pickle", "safetensors.torch.save_file");

    let error = read_safetensors(&folder.path().join("absent.safetensors")).unwrap_err().to_string();
    assert!(
        error.contains("absent.safetensors: cannot be read") && error.contains("check the path"),
        "{error}"
    );
    let nowhere = folder.path().join("no/such/folder/model.safetensors");
    let error = StateDict::new("x").save_safetensors(&nowhere).unwrap_err().to_string();
    assert!(error.contains("cannot be written"), "{error}");
}
