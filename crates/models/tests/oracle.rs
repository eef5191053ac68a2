//! A second oracle for inference: candle-transformers' ResNet and VGG, which compute in NCHW with candle's own
//! operations.

use candle_core::{DType, Device};
use candle_nn::{Module, ModuleT, VarBuilder};
use candle_transformers::models::{resnet, vgg};
use frostline_kernels::Hwnc;
use frostline_models::{BuildSpec, Pass, build};

#[test]
fn resnets_agree_with_candle_transformers() {
    for (name, height, width) in [("resnet18", 40, 75), ("resnet34", 65, 32)] {
        let model = build(name, &BuildSpec { classes: 11, height, width, seed: 9 }).unwrap();
        // Statistics other than the initial ones, so that each is seen to be used.
        for norm in model.norms() {
            let mean = (norm.weight().detached() * 0.05).unwrap();
            let variance = (norm.running_variance() * 1.5).unwrap();
            norm.set_statistics(&mean, &variance).unwrap();
        }
        let values = (0..height * width * 2 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
        let x = Hwnc::from_vec(values, (height, width, 2, 3), &Device::Cpu).unwrap();
        let ours =
            model.forward(&x, &Pass::Evaluate).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let tensors = model.state_dict().unwrap().iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let oracle =
            if name == "resnet18" { resnet::resnet18(11, builder) } else { resnet::resnet34(11, builder) };
        let theirs = oracle.unwrap().forward(&x.to_nchw().unwrap().contiguous().unwrap()).unwrap();
        let theirs = theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap();

        close(&format!("{name} {height}x{width}"), &ours, &theirs);
    }
}

/// candle-transformers puts a ReLU behind the logits, and reads timm's keys.
#[test]
fn a_vgg_agrees_with_candle_transformers() {
    let model = build("vgg19", &BuildSpec { classes: 1000, height: 224, width: 224, seed: 9 }).unwrap();
    let values = (0..224 * 224 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
    let x = Hwnc::from_vec(values, (224, 224, 1, 3), &Device::Cpu).unwrap();
    let ours = model.forward(&x, &Pass::Evaluate).unwrap().relu().unwrap();
    let ours = ours.flatten_all().unwrap().to_vec1::<f32>().unwrap();

    let timms = |name: &str, tensor: &candle_core::Tensor| {
        let (module, part) = name.rsplit_once('.').unwrap();
        let (module, shape) = match module {
            "classifier.0" => ("pre_logits.fc1", vec![4096, 512, 7, 7]),
            "classifier.3" => ("pre_logits.fc2", vec![4096, 4096, 1, 1]),
            "classifier.6" => ("head.fc", vec![1000, 4096]),
            other => (other, tensor.dims().to_vec()),
        };
        let shape = if part == "bias" { tensor.dims().to_vec() } else { shape };
        (format!("{module}.{part}"), tensor.reshape(shape).unwrap())
    };
    let tensors = model.state_dict().unwrap().iter().map(|(n, t)| timms(n, t)).collect();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let image = x.to_nchw().unwrap().squeeze(0).unwrap().contiguous().unwrap();
    let theirs = vgg::Vgg::new(builder, vgg::Models::Vgg19).unwrap().forward_t(&image, false).unwrap();
    close("vgg19", &ours, &theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap());
}

fn close(name: &str, ours: &[f32], theirs: &[f32]) {
    let scale = theirs.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
    println!("{name}: {worst:.1e} from candle-transformers");
    assert!(worst < 2e-5, "{name}: {worst}");
}
