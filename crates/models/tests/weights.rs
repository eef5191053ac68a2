//! Where weights come from: the texts of an experiment file, a loopback Hub, a local file; and that weights which do
//! not fit are refused before any trial.

use std::path::PathBuf;

use frostline_hub::loopback::{Fault, LoopbackHub, Times};
use frostline_hub::{Hub, HubOptions, RepoKind, Silent};
use frostline_models::{
    BuildSpec, HeadPolicy, Lineage, ModelError, WeightsSource, build, card, read_safetensors, resolve, zoo,
};
use frostline_zoo::PinnedWeights;
use tempfile::TempDir;

const REPO: &str = "someone/resnet18-small";
const FILE: &str = "model.safetensors";

#[test]
fn texts_round_trip() {
    for (text, source) in [
        ("none", WeightsSource::None),
        ("hub", WeightsSource::Pinned),
        (
            "hub:owner/name/model.safetensors",
            WeightsSource::Hub { repo: "owner/name".into(), file: FILE.into(), revision: None },
        ),
        (
            "hub:own.er/na_me/deep/w.safetensors@refs/pr/1",
            WeightsSource::Hub {
                repo: "own.er/na_me".into(),
                file: "deep/w.safetensors".into(),
                revision: Some("refs/pr/1".into()),
            },
        ),
        ("file:/a b/c:d.safetensors", WeightsSource::File(PathBuf::from("/a b/c:d.safetensors"))),
    ] {
        assert_eq!(text.parse::<WeightsSource>().unwrap(), source);
        assert_eq!(source.to_string(), text);
    }
}

#[test]
fn texts_that_name_nothing_are_errors_that_say_what_to_write() {
    for (text, says) in [
        ("imagenet", "write none, hub, hub:OWNER/NAME/FILE[@REV] or file:PATH"),
        ("Hub", "write none, hub"),
        ("http://somewhere", "write none, hub"),
        ("hub:owner/name", "a file belongs after the repository"),
        ("hub:owner/name/model.safetensors@", "belongs after `@`"),
        ("hub:ow ner/name/model.safetensors", "owner and name"),
        ("hub:owner/name/../model.safetensors", "`..`"),
        ("hub:owner/name//model.safetensors", "an empty part"),
        ("hub:owner/name/pytorch_model.bin", "must be a .safetensors file"),
        ("file:", "a path belongs after `file:`"),
        ("file:model.pth", "safetensors.torch.save_file"),
    ] {
        let error = text.parse::<WeightsSource>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}`")) && error.contains(says), "{error}");
    }
}

#[test]
fn pinned_entries_are_whole() {
    for card in zoo() {
        let Some(pinned) = card.pinned else {
            let unpinned = ["resnet18-cifar", "vit_tiny_patch4"];
            assert!(unpinned.contains(&card.name), "{}", card.name);
            continue;
        };
        let text = format!("hub:{}/{}", pinned.repo, pinned.file);
        assert!(text.parse::<WeightsSource>().is_ok(), "{text}");
        let hex = |text: &str, length| text.len() == length && text.chars().all(|c| c.is_ascii_hexdigit());
        assert!(pinned.revision.is_none_or(|revision| hex(revision, 40)), "{}", card.name);
        assert!(pinned.sha256.is_none_or(|sha256| hex(sha256, 64)), "{}", card.name);
    }
}

/// A Hub that holds a ResNet-18 of 6 classes, the cache of a client, and the client.
struct Setting {
    server: LoopbackHub,
    cache: TempDir,
    sha256: String,
}

impl Setting {
    fn new() -> Self {
        let (server, cache) = (LoopbackHub::start().unwrap(), TempDir::new().unwrap());
        let model = build("resnet18", &BuildSpec { classes: 6, height: 32, width: 32, seed: 1 }).unwrap();
        let path = cache.path().join("made.safetensors");
        model.state_dict().unwrap().save_safetensors(&path).unwrap();
        let sha256 = server.add_file(RepoKind::Model, REPO, FILE, std::fs::read(&path).unwrap());
        Self { server, cache, sha256 }
    }

    fn hub(&self, offline: bool) -> Hub {
        let options = HubOptions { offline, ..self.server.options(self.cache.path().join("hub")) };
        Hub::new(options).unwrap().with_patience(LoopbackHub::patience())
    }
}

#[test]
fn weights_come_from_the_hub_with_their_lineage() {
    let setting = Setting::new();
    let card = card("resnet18").unwrap();
    let source: WeightsSource = format!("hub:{REPO}/{FILE}").parse().unwrap();
    let resolved = resolve(card, &source, &setting.hub(false), &Silent).unwrap().unwrap();
    let lineage = resolved.lineage.clone();
    assert_eq!((lineage.source, lineage.repo.as_deref()), (source.to_string(), Some(REPO)));
    assert_eq!(lineage.sha256, setting.sha256);
    assert_eq!(lineage.revision, Some(setting.server.commit(RepoKind::Model, REPO)));
    assert_eq!(
        (lineage.mean, lineage.size),
        ([0.485, 0.456, 0.406], std::fs::metadata(&resolved.path).unwrap().len())
    );
    let text = serde_json::to_string(&resolved.lineage).unwrap();
    assert_eq!(serde_json::from_str::<Lineage>(&text).unwrap(), resolved.lineage);

    // The same file again, from the cache alone, and as a local file.
    let offline = resolve(card, &source, &setting.hub(true), &Silent).unwrap().unwrap();
    assert_eq!(offline.lineage, resolved.lineage);
    let local = WeightsSource::File(setting.cache.path().join("made.safetensors"));
    let local = resolve(card, &local, &setting.hub(true), &Silent).unwrap().unwrap();
    assert_eq!((local.lineage.sha256, local.lineage.repo), (setting.sha256.clone(), None));

    let model = build("resnet18", &BuildSpec { classes: 3, height: 32, width: 32, seed: 5 }).unwrap();
    let report = model.load(&read_safetensors(&resolved.path).unwrap(), HeadPolicy::KeepIfFits).unwrap();
    assert_eq!((report.head_redrawn, report.head_classes), (true, Some(6)));
    assert!(resolve(card, &WeightsSource::None, &setting.hub(true), &Silent).unwrap().is_none());
}

/// Another library's names for a model's tensors, and shapes where they differ.
type Style = fn(&str, &[usize]) -> (String, Vec<usize>);

fn as_it_is(name: &str, shape: &[usize]) -> (String, Vec<usize>) {
    (name.to_owned(), shape.to_vec())
}

/// timm's VGG has its classifier as convolutions.
fn timms_vgg(name: &str, shape: &[usize]) -> (String, Vec<usize>) {
    let name =
        [("classifier.0", "pre_logits.fc1"), ("classifier.3", "pre_logits.fc2"), ("classifier.6", "head.fc")]
            .into_iter()
            .find_map(|(ours, theirs)| name.strip_prefix(ours).map(|rest| format!("{theirs}{rest}")))
            .unwrap_or_else(|| name.to_owned());
    let shape = match shape {
        &[outputs, 25_088] => vec![outputs, 512, 7, 7],
        &[outputs, from] if name.starts_with("pre_logits") => vec![outputs, from, 1, 1],
        other => other.to_vec(),
    };
    (name, shape)
}

#[test]
fn weights_of_each_family_come_from_the_hub_under_their_names() {
    let (server, cache) = (LoopbackHub::start().unwrap(), TempDir::new().unwrap());
    let options = HubOptions { offline: false, ..server.options(cache.path().join("hub")) };
    let hub = Hub::new(options).unwrap().with_patience(LoopbackHub::patience());
    let styles: [(&str, usize, Style, &str); 5] = [
        ("resnet34", 32, as_it_is, "layer4.2.bn2.running_var"),
        ("googlenet", 32, as_it_is, "inception3a.branch2.0.conv.weight"),
        ("vgg11", 32, timms_vgg, "pre_logits.fc1.weight"),
        ("inception-v3", 75, as_it_is, "Conv2d_1a_3x3.conv.weight"),
        ("vit_tiny_patch16", 224, as_it_is, "blocks.0.attn.qkv.weight"),
    ];
    for (name, side, style, key) in styles {
        let spec = BuildSpec { classes: 4, height: side, width: side, seed: 1 };
        let from = build(name, &spec).unwrap();
        let dict = from.state_dict().unwrap();
        let tensors = dict.iter().map(|(name, tensor)| {
            let (name, shape) = style(name, tensor.dims());
            (name, tensor.reshape(shape).unwrap())
        });
        let tensors: std::collections::HashMap<String, candle_core::Tensor> = tensors.collect();
        assert!(tensors.contains_key(key), "{name}");
        let path = cache.path().join("made.safetensors");
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let repo = format!("someone/{name}");
        server.add_file(RepoKind::Model, &repo, FILE, std::fs::read(&path).unwrap());

        let source: WeightsSource = format!("hub:{repo}/{FILE}").parse().unwrap();
        let resolved = resolve(card(name).unwrap(), &source, &hub, &Silent).unwrap().unwrap();
        let to = build(name, &BuildSpec { seed: 2, ..spec }).unwrap();
        to.load(&read_safetensors(&resolved.path).unwrap(), HeadPolicy::Keep).unwrap();
        let loaded = to.state_dict().unwrap();
        for ((name, ours), (_, theirs)) in loaded.iter().zip(dict.iter()) {
            let same = ours.eq(theirs).unwrap().min_all().unwrap().to_scalar::<u8>().unwrap();
            assert_eq!(same, 1, "{name}");
        }
    }
}

#[test]
fn another_models_weights_are_refused_before_any_trial() {
    let setting = Setting::new();
    let source: WeightsSource = format!("hub:{REPO}/{FILE}").parse().unwrap();
    for name in ["alexnet", "resnet34"] {
        let error = resolve(card(name).unwrap(), &source, &setting.hub(false), &Silent).unwrap_err();
        assert!(matches!(error, ModelError::Mismatch(_)), "{error}");
        assert!(error.to_string().contains("someone/resnet18-small"), "{error}");
    }
    let absent: WeightsSource = "file:/no/such/model.safetensors".parse().unwrap();
    let error = resolve(card("resnet18").unwrap(), &absent, &setting.hub(true), &Silent).unwrap_err();
    assert!(error.to_string().contains("/no/such/model.safetensors: cannot be read"), "{error}");
}

#[test]
fn a_pinned_file_with_other_bytes_is_refused() {
    let setting = Setting::new();
    let mut card = *card("resnet18").unwrap();
    let pinned = PinnedWeights { repo: REPO, revision: None, ..card.pinned.unwrap() };
    card.pinned = Some(pinned);
    let error = resolve(&card, &WeightsSource::Pinned, &setting.hub(false), &Silent).unwrap_err();
    assert!(matches!(error, ModelError::Hub(_)), "{error}");

    card.pinned = Some(PinnedWeights { sha256: None, ..pinned });
    let resolved = resolve(&card, &WeightsSource::Pinned, &setting.hub(false), &Silent).unwrap().unwrap();
    assert_eq!(resolved.lineage.licence.as_deref(), Some("BSD-3-Clause"));
    card.pinned = None;
    let error = resolve(&card, &WeightsSource::Pinned, &setting.hub(false), &Silent).unwrap_err().to_string();
    assert!(error.contains("no weights are pinned for ResNet-18"), "{error}");

    setting.server.fail(RepoKind::Model, REPO, FILE, Fault::WrongBody, Times::Always);
    let setting = Setting { cache: TempDir::new().unwrap(), ..setting };
    let source: WeightsSource = format!("hub:{REPO}/{FILE}").parse().unwrap();
    let error = resolve(&card, &source, &setting.hub(false), &Silent).unwrap_err();
    assert!(matches!(error, ModelError::Hub(_)), "{error}");
}
