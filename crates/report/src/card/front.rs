//! The metadata in front of a card, in the YAML that the Hugging Face Hub reads. Texts are quoted as JSON quotes them, which YAML takes.

use std::fmt::Write as _;

use serde_json::json;

use super::Card;

/// The metadata between its two lines of dashes.
pub(super) fn metadata(card: &Card<'_>) -> String {
    let (sidecar, lineage) = (card.sidecar, &card.sidecar.lineage);
    let quoted = |text: &str| json!(text).to_string();
    let mut text = String::from("---\n");
    let stated = |what: &str, licence: &Option<String>| {
        format!("{what}: {}", licence.as_deref().unwrap_or("not stated").replace(['\n', '\r'], " "))
    };
    let mut sources = vec![stated("images", &lineage.data.licence)];
    if let Some(weights) = &lineage.weights {
        sources.push(stated("first weights", &weights.licence));
    }
    _ = writeln!(text, "# Yours to choose, within what it was made of ({}).", sources.join("; "));
    text += "license: unknown\nlibrary_name: frostline\npipeline_tag: image-classification\n";
    let mut tags = vec!["image-classification", "frostline", "safetensors", sidecar.architecture.as_str()];
    tags.extend(card.onnx.map(|_| "onnx"));
    _ = write!(text, "tags:\n{}", list(tags.into_iter().map(quoted)));
    let data = hub_name(&lineage.data.source);
    if let Some(name) = data {
        _ = write!(text, "datasets:\n{}", list([quoted(name)]));
    }
    if let Some(repo) = lineage.weights.as_ref().and_then(|weights| weights.repo.as_deref()) {
        _ = write!(text, "base_model:\n{}", list([quoted(repo)]));
    }
    text += "metrics:\n- accuracy\n";
    if let (Some(accuracy), true) = (sidecar.results.test_accuracy, card.measured()) {
        let kind = data.unwrap_or(match lineage.data.source.split_once(':') {
            Some(("folder", _)) => "imagefolder",
            Some((kind, _)) => kind,
            None => &lineage.data.source,
        });
        let name = super::plain(&lineage.data.source).replace('`', "");
        _ = write!(
            text,
            "model-index:\n- name: {}\n  results:\n  - task:\n      type: image-classification\n    dataset:\n      name: {}\n      \
             type: {}\n      split: test\n    metrics:\n    - type: accuracy\n      name: Test accuracy\n      value: {accuracy}\n",
            quoted(&card.title().replace('`', "")),
            quoted(&name),
            quoted(kind),
        );
        if let Some(loss) = sidecar.results.test_loss {
            _ = write!(text, "    - type: loss\n      name: Test cross-entropy\n      value: {loss:?}\n");
        }
    }
    text + "---\n"
}

/// Lines of a list.
fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| format!("- {item}\n")).collect()
}

/// The name of a data set on the Hub, where a source is one.
fn hub_name(source: &str) -> Option<&str> {
    let name = source.strip_prefix("hub:")?;
    name.split('@').next()
}
