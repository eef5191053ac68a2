//! A second oracle for inference: candle-transformers' ResNet, VGG and vision transformer, which compute with candle's own
//! operations, in NCHW.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, ModuleT, VarBuilder};
use candle_transformers::models::{resnet, vgg, vit};
use frostline_kernels::Hwnc;
use frostline_models::{BuildSpec, Model, Pass, build};

#[test]
fn resnets_agree_with_candle_transformers() {
    for (name, height, width) in [("resnet18", 40, 75), ("resnet34", 65, 32), ("resnet50", 40, 43)] {
        let model = build(name, &BuildSpec { classes: 11, height, width, seed: 9 }).unwrap();
        // Statistics other than the initial ones, so that each is seen to be used.
        for norm in model.norms() {
            let mean = (norm.weight().detached() * 0.05).unwrap();
            let variance = (norm.running_variance() * 1.5).unwrap();
            norm.set_statistics(&mean, &variance).unwrap();
        }
        let x = images(height, width);
        let tensors = model.state_dict().unwrap().iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let oracle = match name {
            "resnet18" => resnet::resnet18(11, builder),
            "resnet34" => resnet::resnet34(11, builder),
            _ => resnet::resnet50(11, builder),
        };
        agree(&model, &x, &oracle.unwrap().forward(&x.to_nchw().unwrap()).unwrap());
    }
}

/// The names of Hugging Face's transformers for a parameter of timm's; queries, keys and values are apart there.
fn transformers_names(name: &str) -> Vec<String> {
    let name = name
        .replace("cls_token", "vit.embeddings.cls_token")
        .replace("pos_embed", "vit.embeddings.position_embeddings")
        .replace("patch_embed.proj", "vit.embeddings.patch_embeddings.projection")
        .replace("blocks.", "vit.encoder.layer.")
        .replace("attn.proj", "attention.output.dense")
        .replace("norm1", "layernorm_before")
        .replace("norm2", "layernorm_after")
        .replace("mlp.fc1", "intermediate.dense")
        .replace("mlp.fc2", "output.dense")
        .replace("head.", "classifier.");
    if name.contains("attn.qkv") {
        return ["query", "key", "value"]
            .map(|part| name.replace("attn.qkv", &format!("attention.attention.{part}")))
            .into();
    }
    vec![if name.starts_with("norm.") {
        format!("vit.{}", name.replace("norm.", "layernorm."))
    } else {
        name
    }]
}

#[test]
fn vision_transformers_agree_with_candle_transformers() {
    for (name, patch, width, heads) in [("vit_tiny_patch4", 4, 192, 3), ("deit_small_patch16", 16, 384, 6)] {
        let model = build(name, &BuildSpec { classes: 11, height: 48, width: 48, seed: 9 }).unwrap();
        let mut tensors = std::collections::HashMap::new();
        for parameter in model.parameters() {
            // Larger than the initial values, so that attention is not even and each bias is seen to be used.
            let count = parameter.elements();
            let noise: Vec<f32> =
                (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 0.1).collect();
            let noise = Tensor::from_vec(noise, parameter.var().shape(), &Device::Cpu).unwrap();
            parameter.set(&(parameter.detached() + noise).unwrap()).unwrap();
            let names = transformers_names(parameter.name());
            let parts = parameter.torch_values().unwrap().chunk(names.len(), 0).unwrap();
            tensors.extend(names.into_iter().zip(parts));
        }
        let config = vit::Config {
            hidden_size: width,
            num_attention_heads: heads,
            intermediate_size: 4 * width,
            image_size: 48,
            patch_size: patch,
            layer_norm_eps: 1e-6,
            ..vit::Config::vit_base_patch16_224()
        };
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let oracle = vit::Model::new(&config, 11, builder).unwrap();
        let x = images(48, 48);
        agree(&model, &x, &oracle.forward(&x.to_nchw().unwrap()).unwrap());
    }
}

/// candle-transformers puts a ReLU behind the logits, and reads timm's keys.
#[test]
fn a_vgg_agrees_with_candle_transformers() {
    let model = build("vgg19", &BuildSpec { classes: 1000, height: 224, width: 224, seed: 9 }).unwrap();
    let values = (0..224 * 224 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
    let x = Hwnc::from_vec(values, (224, 224, 1, 3), &Device::Cpu).unwrap();

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
    let ours = model.forward(&x, &Pass::Evaluate).unwrap().relu().unwrap();
    close("vgg19 224x224", &ours, &theirs);
}

fn images(height: usize, width: usize) -> Hwnc {
    let values = (0..height * width * 2 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
    Hwnc::from_vec(values, (height, width, 2, 3), &Device::Cpu).unwrap()
}

fn agree(model: &Model, x: &Hwnc, theirs: &Tensor) {
    let name = format!("{} {}x{}", model.name(), x.height(), x.width());
    close(&name, &model.forward(x, &Pass::Evaluate).unwrap(), theirs);
}

fn close(name: &str, ours: &Tensor, theirs: &Tensor) {
    let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (ours, theirs) = (numbers(ours), numbers(theirs));
    let scale = theirs.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
    println!("{name}: {worst:.1e} from candle-transformers");
    assert!(worst < 2e-5, "{name}: {worst}");
}
