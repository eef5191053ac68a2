//! A second oracle for inference: candle-transformers' ResNet, which computes in NCHW with candle's own operations.

use candle_core::{DType, Device};
use candle_nn::{Module, VarBuilder};
use candle_transformers::models::resnet;
use frostline_kernels::Hwnc;
use frostline_models::{BuildSpec, Pass, build};

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
        let values = (0..height * width * 2 * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
        let x = Hwnc::from_vec(values, (height, width, 2, 3), &Device::Cpu).unwrap();
        let ours =
            model.forward(&x, &Pass::Evaluate).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let tensors = model.state_dict().unwrap().iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let oracle = match name {
            "resnet18" => resnet::resnet18(11, builder),
            "resnet34" => resnet::resnet34(11, builder),
            _ => resnet::resnet50(11, builder),
        };
        let theirs = oracle.unwrap().forward(&x.to_nchw().unwrap().contiguous().unwrap()).unwrap();
        let theirs = theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let scale = theirs.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
        println!("{name} {height}x{width}: {worst:.1e} from candle-transformers");
        assert!(worst < 2e-5, "{name}: {worst}");
    }
}
