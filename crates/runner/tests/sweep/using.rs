//! What else is done with a winner: its graph, its card, what its head is given, and where it looks.

use std::fs;
use std::path::Path;

use polars::prelude::*;
use serde_json::Value;

use super::winner::{EXPERIMENT, only_trial, pictures, predictions};
use super::{folder, frostline, sweep, text};

/// A trained trial's folder and id.
fn trained(experiment: &str) -> (tempfile::TempDir, String) {
    let folder = folder(experiment);
    let swept = sweep(folder.path(), &[]);
    assert!(swept.status.success(), "{}", text(&swept.stderr));
    let id = only_trial(folder.path());
    (folder, id)
}

/// What a command says that is refused.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = frostline(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "")
}

#[test]
fn an_export_has_a_graph_and_a_card_and_leaves_other_files_alone() {
    let (folder, id) = trained(EXPERIMENT);
    let at = |name: &str| folder.path().join(name);
    let arguments = ["export", &id, "--output", "out/digits.safetensors", "--onnx"];
    let output = frostline(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("out/digits.onnx  43 MiB, opset 17\nout/README.md  model card\n"), "{said}");
    let graph = fs::read(at("out/digits.onnx")).unwrap();
    let has = |part: &str| graph.windows(part.len()).any(|window| window == part.as_bytes());
    for part in
        ["frostline.classes", "[\"0\",\"1\",", "image [N, 3, 16, 16]", "bilinear with antialiasing", "logits"]
    {
        assert!(has(part), "{part}");
    }
    let card = fs::read_to_string(at("out/README.md")).unwrap();
    let outcome = super::winner::outcome(folder.path(), &id);
    let accuracy = outcome["test-accuracy"].as_f64().unwrap();
    assert!(card.contains(&format!("value: {accuracy}\n")), "{card}");
    assert!(card.contains("session = onnxruntime.InferenceSession(\"digits.onnx\")"), "{card}");
    assert!(!card.contains(folder.path().to_str().unwrap()), "a path of this machine: {card}");

    // The same again replaces its own; what people wrote stays.
    fs::write(at("out/README.md"), card.replace("# ", "## ")).unwrap();
    assert!(frostline(folder.path(), &arguments).status.success());
    assert_eq!(fs::read_to_string(at("out/README.md")).unwrap(), card);
    fs::write(at("out/README.md"), "Mine.\n").unwrap();
    let output = frostline(folder.path(), &arguments);
    assert!(
        text(&output.stdout).contains("out/digits.md  model card, as out/README.md is not of these weights")
    );
    assert_eq!(fs::read_to_string(at("out/README.md")).unwrap(), "Mine.\n");
    assert!(fs::read_to_string(at("out/digits.md")).unwrap().starts_with("---\n"));

    // A votes' trial has no weights, and nothing is written.
    let votes = EXPERIMENT.replace("[\"full\"]", "[\"knn:3\"]");
    let (folder, id) = trained(&votes);
    let message = refused(folder.path(), &["export", &id, "--output", "m.safetensors", "--onnx"]);
    assert!(message.contains("is a vote of training images"), "{message}");
    assert!(!folder.path().join("m.onnx").exists());
}

/// The rows of the column of features.
fn features(path: &Path) -> (DataFrame, Vec<Option<Vec<f32>>>) {
    let table = ParquetReader::new(fs::File::open(path).unwrap()).finish().unwrap();
    let lists = table.column("features").unwrap().list().unwrap().clone();
    let row = |index| Some(lists.get_as_series(index)?.f32().unwrap().into_no_null_iter().collect());
    let rows = (0..table.height()).map(row).collect();
    (table, rows)
}

/// The likeliest class and its probability, by the head's weights.
struct Head {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let tensor = |name: &str| {
            let place =
                |end: usize| 8 + length + header[name]["data_offsets"][end].as_u64().unwrap() as usize;
            let numbers = bytes[place(0)..place(1)].chunks_exact(4);
            numbers.map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect::<Vec<f32>>()
        };
        Self { weight: tensor("fc.weight"), bias: tensor("fc.bias") }
    }

    fn says(&self, features: &[f32]) -> (u32, f32) {
        let rows = self.weight.chunks_exact(features.len()).zip(&self.bias);
        let logit = |(row, bias): (&[f32], &f32)| {
            f64::from(*bias)
                + row.iter().zip(features).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>()
        };
        let logits: Vec<f64> = rows.map(logit).collect();
        let best =
            (0..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
        let sum: f64 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
        (best as u32, (1.0 / sum) as f32)
    }
}

#[test]
fn the_head_on_the_features_says_what_predict_says() {
    let (folder, id) = trained(EXPERIMENT);
    let at = |name: &str| folder.path().join(name);
    let digits = pictures(folder.path());
    assert!(frostline(folder.path(), &["export", &id, "--output", "d.safetensors"]).status.success());
    let head = Head::read(&at("d.safetensors"));
    let close = |found: (u32, f32), told: (u32, f32)| found.0 == told.0 && (found.1 - told.1).abs() < 1e-5;

    let output =
        frostline(folder.path(), &["features", &id, "--split", "test,validation", "--output", "f.parquet"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with(", 512 features each\n"), "{}", text(&output.stdout));
    let (table, rows) = features(&at("f.parquet"));
    let column =
        |name: &str| table.column(name).unwrap().u32().unwrap().into_no_null_iter().collect::<Vec<_>>();
    let (labels, indices) = (column("label"), column("index"));
    let count = digits.len();
    let told = predictions(folder.path(), &id);
    for (image, told) in told.iter().enumerate() {
        let found = head.says(rows[image].as_ref().unwrap());
        assert!(close(found, *told), "{image}: {found:?} {told:?}");
    }
    assert_eq!(labels[..count], *digits.labels());
    assert_eq!(indices[..count], (0..count as u32).collect::<Vec<_>>());
    let splits = table.column("split").unwrap().str().unwrap();
    assert_eq!(
        splits.iter().flatten().filter(|split| *split == "validation").count(),
        table.height() - count
    );

    // Files have the same features, bit by bit, on any number of threads; a broken one says why.
    fs::write(at("pictures/broken.png"), "no image").unwrap();
    let arguments = ["features", "d.safetensors", "pictures", "--output", "p.parquet", "--threads", "1"];
    let output = frostline(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let (files, of_files) = features(&at("p.parquet"));
    assert_eq!(of_files[..count], rows[..count]);
    let errors: Vec<Option<String>> =
        files.column("error").unwrap().str().unwrap().iter().map(|error| error.map(str::to_owned)).collect();
    assert!(
        of_files[count].is_none() && errors[count].as_ref().is_some_and(|error| error.contains("is no PNG"))
    );

    let says = |arguments: &[&str]| refused(folder.path(), arguments);
    assert!(says(&["features", &id, "--split", "test", "--output", "f.csv"]).contains("ends in .parquet"));
    assert!(
        says(&["features", &id, "--split", "test", "--output", "x.toml/f.parquet"])
            .contains("x.toml is no folder")
    );
    assert!(says(&["features", &id, "--output", "f.parquet"]).contains("required"));
}

#[test]
fn an_explanation_is_a_picture_beside_each_image() {
    let (folder, id) = trained(EXPERIMENT);
    let at = |name: &str| folder.path().join(name);
    pictures(folder.path());
    fs::write(at("pictures/broken.png"), "no image").unwrap();
    let arguments = ["predict", &id, "pictures/000?.png", "pictures/broken.png", "--explain", "why"];
    let output = frostline(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("10 pictures in why: Grad-CAM on the map of layer1, 4 x 4"), "{said}");
    let mut names: Vec<String> = fs::read_dir(at("why"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!((names.len(), names[0].as_str()), (10, "0000-explained.png"));
    let picture = image::open(at("why/0003-explained.png")).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (2 * 224 + 8, 224));
    let again = frostline(
        folder.path(),
        &["predict", &id, "pictures/0003.png", "--explain", "again", "--threads", "1"],
    );
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(
        fs::read(at("again/0003-explained.png")).unwrap(),
        fs::read(at("why/0003-explained.png")).unwrap()
    );
    let message = refused(folder.path(), &["predict", &id, "pictures/0000.png", "--explain", "x.toml"]);
    assert!(message.contains("cannot be made a folder"), "{message}");
}
