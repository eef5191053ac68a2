//! What a stored trial was made of, held to what is here now: images that are added, weights that are overwritten.

use std::fs;
use std::path::Path;

use super::{folder, stored, sweep, text, trials};

const IMAGES: &str = r#"question = "Does it see that its images changed?"
[data]
source = "folder:set"
resolution = 32
validation = 0.0
[train]
epochs = 1
batch = 4
keep = "last"
[grid]
model = ["mobilenetv3_small"]
strategy = ["head"]
seed = [0, 1]
"#;

/// Writes grey images of a shade each; classes `a` and `b`, ten of each from number `from` on.
fn images(folder: &Path, from: u8) {
    for class in ["a", "b"] {
        let place = folder.join("set").join(class);
        fs::create_dir_all(&place).unwrap();
        for number in from..from + 10 {
            let shade = number * 2 + u8::from(class == "b");
            let image = image::RgbImage::from_pixel(4, 4, image::Rgb([shade, 255 - shade, 7]));
            image.save(place.join(format!("{number:03}.png"))).unwrap();
        }
    }
}

fn tested(folder: &Path) -> Vec<usize> {
    let of = |id: String| {
        let text = fs::read_to_string(trials(folder).join(id).join("outcome.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["outcome"]["data"]["test"].as_u64().unwrap_or_default() as usize
    };
    stored(folder).into_keys().map(of).collect()
}

/// A message without the lines and the frame that it is broken into.
fn plain(bytes: &[u8]) -> String {
    text(bytes).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[test]
fn images_that_were_added_make_stored_trials_due_again_and_lose_none() {
    let folder = folder(IMAGES);
    images(folder.path(), 0);
    assert!(sweep(folder.path(), &[]).status.success());
    let ids: Vec<String> = stored(folder.path()).into_keys().collect();
    let same = sweep(folder.path(), &[]);
    assert!(text(&same.stdout).contains("trials: 2 stored before"), "{}", text(&same.stdout));

    images(folder.path(), 10);
    let one = sweep(folder.path(), &["--only", "seed=1"]);
    let (out, told) = (text(&one.stdout), text(&one.stderr));
    assert!(one.status.success() && out.contains("trials: 1 trained"), "{out}{told}");
    assert!(told.contains("2 stored trials were made of other images (") && told.contains(&ids[0]), "{told}");
    assert_eq!(tested(folder.path()), [8], "the trial on fewer images is in no arm");
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(report.contains("2 trials of earlier sweeps had other images or weights"), "{report}");
    let all = sweep(folder.path(), &[]);
    assert!(text(&all.stdout).contains("trials: 1 trained, 1 stored before"), "{}", text(&all.stdout));
    assert_eq!(tested(folder.path()), [8, 8]);

    // As they were: so are the trials, and nothing is run.
    for class in ["a", "b"] {
        for number in 10..20 {
            fs::remove_file(folder.path().join(format!("set/{class}/{number:03}.png"))).unwrap();
        }
    }
    let back = sweep(folder.path(), &[]);
    assert!(text(&back.stdout).contains("trials: 2 stored before"), "{}", text(&back.stdout));
    assert!(text(&back.stderr).contains("2 trials made of these images and weights before"));
    assert_eq!(tested(folder.path()), [4, 4]);
}

#[test]
fn images_that_are_gone_leave_finished_trials_as_they_are() {
    let folder = folder(IMAGES);
    images(folder.path(), 0);
    assert!(sweep(folder.path(), &[]).status.success());
    fs::rename(folder.path().join("set"), folder.path().join("elsewhere")).unwrap();
    let again = sweep(folder.path(), &[]);
    assert!(text(&again.stdout).contains("trials: 2 stored before"), "{}", text(&again.stdout));
    let told = text(&again.stderr);
    assert!(told.contains("2 stored trials taken as stored, without a look"), "{told}");
    let more = sweep(folder.path(), &["--set", "seed=[0, 1, 2]"]);
    assert!(!more.status.success(), "the third cannot be run");
    assert_eq!(stored(folder.path()).len(), 2);
}

#[test]
fn weights_that_were_overwritten_make_the_trials_due_again_that_started_from_them() {
    let plain = IMAGES.replace("seed = [0, 1]", "seed = [0]");
    let folder = folder(&format!("checkpoints = \"last\"\n{plain}"));
    images(folder.path(), 0);
    assert!(sweep(folder.path(), &[]).status.success());
    let keep = |place: &str| {
        let id = stored(folder.path()).into_keys().next().unwrap();
        fs::copy(trials(folder.path()).join(id).join("model.safetensors"), folder.path().join(place))
            .unwrap();
    };
    keep("w.safetensors");
    let from_file = plain.replace("[grid]", "[grid]\nweights = [\"none\", \"file:w.safetensors\"]");
    fs::write(folder.path().join("x.toml"), from_file).unwrap();
    assert!(text(&sweep(folder.path(), &[]).stdout).contains("trials: 1 trained, 1 stored before"));
    let other = sweep(folder.path(), &["--set", "epochs=2", "--results", "other", "--only", "weights=none"]);
    assert!(other.status.success());
    let trained = fs::read_dir(folder.path().join("results/x/trials")).unwrap().count();
    assert_eq!(trained, 2);

    let mut bytes = fs::read(folder.path().join("w.safetensors")).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&1.25f32.to_le_bytes());
    fs::write(folder.path().join("w.safetensors"), bytes).unwrap();
    let again = sweep(folder.path(), &[]);
    let (out, told) = (text(&again.stdout), text(&again.stderr));
    assert!(out.contains("trials: 1 trained, 1 stored before"), "{out}{told}");
    assert!(told.contains("1 stored trial was made of other weights ("), "{told}");
}

#[test]
fn a_pretraining_without_one_full_batch_is_refused_before_the_first_trial() {
    let own = "\n[pretrain.p]\nmethod = \"rotation\"\nepochs = 1\nbatch = 64\nragged = \"drop\"\nvalidation = 0.0\n";
    let grid = "[grid]\nweights = [\"none\", \"pretrain:p\"]";
    let folder = folder(&(IMAGES.replace("[grid]", grid).replace("seed = [0, 1]", "seed = [0]") + own));
    images(folder.path(), 0);
    let refused = sweep(folder.path(), &[]);
    let told = plain(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(
        told.contains("[pretrain.p]: ragged = \"drop\" leaves nothing of ")
            && told.contains("training images in batches of 64; lower batch"),
        "{told}"
    );
}

#[test]
fn a_pretraining_that_has_seen_the_test_images_of_another_source_is_told() {
    let own = "\n[pretrain.all]\nmethod = \"rotation\"\nepochs = 1\nbatch = 4\nsource = \"folder:more\"\nvalidation = 0.0\n";
    let grid = "[grid]\nweights = [\"pretrain:all\"]";
    let folder = folder(&(IMAGES.replace("[grid]", grid).replace("seed = [0, 1]", "seed = [0]") + own));
    images(folder.path(), 0);
    for class in ["a", "b"] {
        let (from, to) = (folder.path().join("set").join(class), folder.path().join("more/train/all"));
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(format!("{class}-{}", path.file_name().unwrap().to_string_lossy())))
                .unwrap();
        }
    }
    fs::create_dir_all(folder.path().join("more/test/all")).unwrap();
    image::RgbImage::new(4, 4).save(folder.path().join("more/test/all/1.png")).unwrap();
    let refused = sweep(folder.path(), &["--set", "duplicates=error"]);
    let told = plain(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("4 images of [pretrain.all] show pictures that the trials are"), "{told}");
    let swept = sweep(folder.path(), &[]);
    let told = text(&swept.stderr);
    assert!(
        swept.status.success() && told.contains("note: 4 images of [pretrain.all] show pictures"),
        "{told}"
    );
    let report = fs::read_to_string(folder.path().join("results/x/report.md")).unwrap();
    assert!(
        report.contains(
            "Of `folder:set`, 4 images of [pretrain.all] show pictures that the trials are tested with"
        ),
        "{report}"
    );
}
