//! Cards of made-up trials: the metadata is YAML with the trial's numbers, and the text has them too.

use frostline_experiment::Checkpoints;
use frostline_results::samples::{environment, plan, results};
use frostline_results::{CheckpointRecord, Invocation, Results, Sidecar, WeightsRecord};
use yaml_rust2::{Yaml, YamlLoader};

use super::*;

/// Six trials, the last of which kept its weights and began with some of the Hub's.
fn made(change: impl Fn(&mut StoredTrial)) -> (Results, StoredTrial, Sidecar) {
    let mut results = results(plan(&["resnet18"], &["full", "head"], 3), |trial| {
        (if trial.strategy == "full" { 0.9 + trial.seed as f64 / 100.0 } else { 0.6 }, 12.0)
    });
    let stored = results.trials.iter_mut().find(|t| t.trial.strategy == "full" && t.trial.seed == 2).unwrap();
    let (mean, std) = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]);
    let record = CheckpointRecord {
        kept: Checkpoints::Best,
        epoch: 6,
        sha256: "ab".repeat(32),
        size: 7 << 20,
        mean,
        std,
    };
    stored.outcome.checkpoint = Some(record);
    stored.outcome.weights = Some(WeightsRecord {
        source: "hub".to_owned(),
        repo: Some("timm/resnet18.tv_in1k".to_owned()),
        revision: Some("0123abcd".to_owned()),
        file: "model.safetensors".to_owned(),
        sha256: "cd".repeat(32),
        size: 1,
        licence: Some("BSD-3-Clause".to_owned()),
        mean,
        std,
        notes: Vec::new(),
    });
    change(stored);
    let stored = stored.clone();
    let sidecar = Sidecar::of(&stored, Some(&environment()), &Invocation::default()).unwrap();
    (results, stored, sidecar)
}

fn markdown((results, stored, sidecar): &(Results, StoredTrial, Sidecar), onnx: Option<&str>) -> String {
    Card { sidecar, stored, results, weights: "m.safetensors", json: "m.json", onnx }.markdown()
}

fn metadata(text: &str) -> Yaml {
    let (front, _) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    YamlLoader::load_from_str(front).unwrap().remove(0)
}

#[test]
fn the_metadata_is_yaml_with_the_trials_numbers() {
    let made =
        made(|stored| stored.outcome.data.as_mut().unwrap().source = "hub:uoft-cs/cifar10@main".to_owned());
    let text = markdown(&made, Some("m.onnx"));
    let yaml = metadata(&text);
    let (_, stored, _) = &made;
    assert_eq!(yaml["pipeline_tag"].as_str(), Some("image-classification"));
    assert_eq!(
        (yaml["library_name"].as_str(), yaml["license"].as_str()),
        (Some("frostline"), Some("unknown"))
    );
    assert_eq!(
        (yaml["datasets"][0].as_str(), yaml["base_model"][0].as_str()),
        (Some("uoft-cs/cifar10"), Some("timm/resnet18.tv_in1k"))
    );
    let tags: Vec<_> = yaml["tags"].as_vec().unwrap().iter().filter_map(Yaml::as_str).collect();
    assert_eq!(tags, ["image-classification", "frostline", "safetensors", "resnet18", "onnx"]);
    let result = &yaml["model-index"][0]["results"][0];
    assert_eq!(
        (result["dataset"]["type"].as_str(), result["dataset"]["split"].as_str()),
        (Some("uoft-cs/cifar10"), Some("test"))
    );
    assert_eq!(result["metrics"][0]["value"].as_f64(), stored.outcome.test_accuracy);
    assert_eq!(result["metrics"][1]["value"].as_f64(), stored.outcome.test_loss);
    assert!(text.contains("first weights: BSD-3-Clause"), "{text}");
}

#[test]
fn the_text_says_what_was_measured_and_what_was_not() {
    let text = markdown(&made(|_| {}), None);
    assert_eq!(card_is_of(&text), Some("m.safetensors"));
    assert_eq!(card_is_of("# My model\n"), None);
    for part in [
        "| test accuracy  ",
        "92.00\u{a0}%",
        "90.15\u{a0}%\u{a0}to\u{a0}93.53\u{a0}%", // Wilson's interval for 920 of 1000, by hand
        "91.00\u{a0}±\u{a0}1.00\u{a0}%",
        "3 seeds with the same settings",
        "one of 6 trials of an experiment, and the best of them",
        "It started from `model.safetensors` of `timm/resnet18.tv_in1k`",
        "`timm/resnet18.tv_in1k` at `0123abcd`",
        "torchvision.models.resnet18(num_classes=10)",
        "frostline predict m.safetensors PHOTOS",
        "subtract (0.1, 0.2, 0.3), divide by (0.4, 0.5, 0.6)",
        "| learning-rate",
        "| full  | 1 to 6 | 1e-3 ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("onnx"), "{text}");
}

#[test]
fn numbers_of_another_epoch_are_no_result_of_these_weights() {
    let text = markdown(&made(|stored| stored.outcome.checkpoint.as_mut().unwrap().epoch = 4), None);
    assert!(
        text.contains("The weights are those after epoch 4; what follows was measured with those of epoch 6"),
        "{text}"
    );
    assert!(metadata(&text)["model-index"].is_badvalue());
}

#[test]
fn names_that_yaml_would_take_apart_are_quoted_and_folders_tell_no_path() {
    let made = made(|stored| {
        let data = stored.outcome.data.as_mut().unwrap();
        data.source = "folder:/home/me/yes: \"plants\" #1".to_owned();
        data.licence = Some("CC BY 4.0\nsee there".to_owned());
    });
    let text = markdown(&made, None);
    let yaml = metadata(&text);
    let data = &yaml["model-index"][0]["results"][0]["dataset"];
    assert_eq!(
        (data["name"].as_str(), data["type"].as_str()),
        (Some("yes: \"plants\" #1 (a folder)"), Some("imagefolder"))
    );
    assert!(!text.contains("/home/me") && yaml["datasets"].is_badvalue(), "{text}");
}

#[test]
fn every_model_is_built_as_its_library_builds_it() {
    let (_, _, sidecar) = made(|_| {});
    let built = |name: &str| {
        let sidecar = Sidecar { architecture: name.to_owned(), resolution: 64, ..sidecar.clone() };
        usage::constructor(&sidecar).1
    };
    assert_eq!(
        built("vit_base_patch16_clip"),
        "timm.create_model(\"vit_base_patch16_clip_quickgelu_224\", num_classes=10, img_size=64)"
    );
    assert_eq!(
        built("vit_small_patch14_dinov2"),
        "timm.create_model(\"vit_small_patch14_dinov2\", num_classes=10, img_size=64)"
    );
    assert_eq!(built("regnety_008"), "timm.create_model(\"regnety_008_tv\", num_classes=10)");
    assert_eq!(
        built("swin_tiny_patch4_window7"),
        "timm.create_model(\"swin_tiny_patch4_window7_224\", num_classes=10, img_size=64)"
    );
    assert!(
        built("inception-v3")
            .starts_with("torchvision.models.inception_v3(num_classes=10, init_weights=False")
    );
    assert!(built("resnet18-cifar").starts_with("torchvision.models.resnet18(num_classes=10)\nmodel.conv1"));
}

#[test]
fn places_are_counted_in_words() {
    assert_eq!(
        [1, 2, 3, 4, 11, 12, 13, 21, 22, 111].map(ordinal).join(" "),
        "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 111th"
    );
}
