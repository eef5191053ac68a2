//! Vision transformers besides their numbers: what they refuse, how they drop, what a frozen prefix leaves on the tape.

use candle_core::{Device, Tensor};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{
    Activation, BuildSpec, HeadPolicy, Model, ModelError, Pass, Role, StateDict, ZooError, build,
    build_autoencoder, build_unshrunk, card,
};
use frostline_streams::Streams;

const BATCH: usize = 3;

fn model(name: &str, height: usize, width: usize) -> Model {
    build(name, &BuildSpec { classes: 4, height, width, seed: 5 }).unwrap()
}

fn images(height: usize, width: usize) -> Hwnc {
    let values = (0..height * width * BATCH * 3).map(|i| ((i * 53 % 97) as f32 - 48.0) / 30.0).collect();
    Hwnc::from_vec(values, (height, width, BATCH, 3), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn train<'a>(epoch: u64, examples: &'a [u32]) -> Pass<'a> {
    Pass::Train { streams: Streams::new(2), epoch, examples }
}

#[test]
fn resolutions_that_are_no_multiples_of_the_patch_are_refused_with_the_nearest() {
    let message = |name: &str, height, width| {
        let error = build(name, &BuildSpec { classes: 4, height, width, seed: 0 }).unwrap_err();
        assert!(matches!(error, ModelError::Zoo(ZooError::Patches { .. })));
        assert_eq!(card(name).unwrap().summary(4, height, width).unwrap_err().to_string(), error.to_string());
        error.to_string()
    };
    assert_eq!(
        message("vit_tiny_patch16", 50, 32),
        "ViT-Ti/16 cannot take images of 50x32: it cuts them into patches of 16x16 pixels, so both sides are multiples of \
         16; the nearest sizes are 48x32 and 64x32"
    );
    assert!(message("vit_base_patch32", 28, 28).ends_with("the nearest size is 32x32"));
    assert!(message("vit_tiny_patch4", 0, 30).ends_with("the nearest sizes are 4x28 and 4x32"));
    assert_eq!(card("deit_small_patch16").unwrap().smallest_side(), Some(16));
}

#[test]
fn positions_and_tokens_have_roles_of_their_own_and_no_norm_has_statistics() {
    let model = model("vit_tiny_patch16", 32, 48);
    assert!(model.norms().is_empty());
    let names = |role: Role| -> Vec<&str> {
        let of_role = model.parameters().iter().filter(|parameter| parameter.role() == role);
        of_role.map(|parameter| parameter.name()).collect()
    };
    assert_eq!(names(Role::Embedding), ["cls_token", "pos_embed"]);
    assert_eq!(names(Role::NormWeight).len(), 25);
    assert!(names(Role::NormBias).iter().all(|name| name.contains("norm")));
    let last = model.parameters().iter().rev().find(|parameter| parameter.stage() != model.head()).unwrap();
    assert_eq!((last.name(), last.stage()), ("norm.bias", 12));
    assert_eq!(model.summary()[3].output, (1, 7, 192));
    assert_eq!(model.summary()[12].output, (1, 1, 192));
}

#[test]
fn every_pixel_of_a_patch_is_live() {
    let spec = BuildSpec { classes: 4, height: 16, width: 32, seed: 5 };
    let (shrunk, whole) =
        (build("vit_tiny_patch16", &spec).unwrap(), build_unshrunk("vit_tiny_patch16", &spec).unwrap());
    for (a, b) in shrunk.parameters().iter().zip(whole.parameters()) {
        assert_eq!(a.var().dims(), b.var().dims(), "{}", a.name());
    }
}

#[test]
fn a_file_of_no_square_grid_is_refused_with_its_shape() {
    let model = model("vit_tiny_patch16", 32, 48);
    let mut dict: StateDict = model.state_dict().unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    for shape in [&[1, 9, 192][..], &[1, 10, 191], &[10, 192], &[1, 1, 192]] {
        dict.insert("pos_embed", zeros(shape));
        let error = model.load(&dict, HeadPolicy::Keep).unwrap_err().to_string();
        assert!(error.contains(&format!("pos_embed is {shape:?} for [1, 7, 192]")), "{error}");
    }
    dict.insert("pos_embed", zeros(&[1, 10, 192]));
    model.load(&dict, HeadPolicy::Keep).unwrap();
}

#[test]
fn an_autoencoder_has_the_positions_of_its_resolution() {
    let spec = BuildSpec { classes: 4, height: 32, width: 48, seed: 5 };
    let encoder = build_autoencoder("vit_tiny_patch16", &spec).unwrap();
    let all = 0..encoder.stages().len();
    let pictures = encoder.forward_range(all, images(32, 48), &Pass::Evaluate).unwrap();
    assert_eq!(pictures.tensor().dims(), [32, 48, BATCH, 3]);
    let trunk = encoder.trunk_state_dict().unwrap();
    assert_eq!(trunk.get("pos_embed").unwrap().dims(), [1, 7, 192]);
    assert!(model("vit_tiny_patch16", 32, 48).load(&trunk, HeadPolicy::Redraw).unwrap().head_redrawn);
    assert!(build_autoencoder("vit_tiny_patch16", &BuildSpec { width: 40, ..spec }).is_err());
}

#[test]
fn stages_one_by_one_are_the_whole() {
    let model = model("vit_tiny_patch4", 12, 8);
    let x = images(12, 8);
    let mut flowing = Activation::from(x.clone());
    for stage in 0..model.stages().len() {
        flowing = model.forward_range(stage..stage + 1, flowing, &Pass::Evaluate).unwrap();
        let expected: &[usize] = match stage {
            0..12 => &[1, 7, BATCH, 192],
            12 => &[BATCH, 192],
            _ => &[BATCH, 4],
        };
        assert_eq!(flowing.tensor().dims(), expected);
    }
    let whole = model.forward(&x, &Pass::Evaluate).unwrap();
    assert_eq!(numbers(flowing.tensor()), numbers(&whole));
}

#[test]
fn a_frozen_prefix_leaves_nothing_on_the_tape() {
    let model = model("vit_tiny_patch16", 32, 32);
    for parameter in model.parameters() {
        parameter.set_trainable(parameter.stage() == model.head());
    }
    let examples = [0, 1, 2];
    let forward = || {
        let logits = model.forward(&images(32, 32), &train(1, &examples))?;
        Ok::<_, ModelError>(cross_entropy(&logits, &[0, 1, 2], 0.0)?)
    };
    let (loss, tape) = Tape::record(forward).unwrap();
    assert_eq!(tape.len(), 2, "the head and the loss");
    let gradients = tape.backward(&loss).unwrap();
    let found = model.parameters().iter().filter(|p| gradients.get(p.var()).is_some()).count();
    assert_eq!(found, 2);
}

#[test]
fn dropout_and_stochastic_depth_follow_the_example_alone() {
    let model = model("vit_tiny_patch4", 8, 8);
    // Layers other than the initial ones, whose branches are small.
    for parameter in model.parameters() {
        parameter.set(&(parameter.detached() * 4.0).unwrap()).unwrap();
    }
    let x = images(8, 8);
    let run = |pass: &Pass<'_>| numbers(&model.forward(&x, pass).unwrap());
    let plain = run(&train(1, &[7, 8, 9]));
    assert_eq!(plain, run(&Pass::Evaluate));

    let settings: [&dyn Fn(f32) -> Result<(), ModelError>; 2] =
        [&|rate| model.set_dropout(rate), &|rate| model.set_stochastic_depth(rate)];
    for set in settings {
        set(0.4).unwrap();
        let dropped = run(&train(1, &[7, 8, 9]));
        assert_ne!(dropped, plain);
        assert_eq!(dropped, run(&train(1, &[7, 8, 9])));
        assert_ne!(dropped, run(&train(2, &[7, 8, 9])));
        // The second example alone changes.
        let other = run(&train(1, &[7, 3, 9]));
        assert_eq!((&dropped[..4], &dropped[8..]), (&other[..4], &other[8..]));
        assert_ne!(dropped[4..8], other[4..8]);
        assert_eq!(plain, run(&Pass::Evaluate));
        set(0.0).unwrap();
        assert_eq!(plain, run(&train(1, &[7, 8, 9])));
        for wrong in [-0.1, 1.0, f32::NAN] {
            assert!(matches!(set(wrong), Err(ModelError::Input(_))));
        }
    }
    model.set_stochastic_depth(0.2).unwrap();
    let error = model.forward(&x, &train(1, &[7, 8])).unwrap_err().to_string();
    assert!(error.contains("stage block2") && error.contains("2 images"), "{error}");
}
