//! Sets in parquet from a Hub on loopback: what is read, and what is refused in which words.

use frostline_data::{DataError, Dataset, Prepared, Reading, Source, open, prepare};
use frostline_hub::loopback::{Fault, LoopbackHub, Times};
use frostline_hub::{Hub, HubError, RepoKind, Silent};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use polars::prelude::*;
use std::io::Cursor;

const REPO: &str = "zoo/tiny";

/// A flat image of 3x4 whose red is `red`.
fn encoded(red: u8, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_pixel(4, 3, Rgb([red, 128, 128]));
    DynamicImage::from(image).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(red: u8) -> Vec<u8> {
    encoded(red, ImageFormat::Png)
}

/// A parquet file in the schema of `datasets`, with class names in its metadata if there are any.
fn parquet(rows: &[(Vec<u8>, i64)], names: Option<&[&str]>) -> Vec<u8> {
    let bytes: Vec<&[u8]> = rows.iter().map(|(bytes, _)| &bytes[..]).collect();
    let columns =
        [Series::new("bytes".into(), bytes), Series::new("path".into(), vec![None::<&str>; rows.len()])];
    let image = StructChunked::from_series("img".into(), rows.len(), columns.iter()).unwrap();
    let label = Series::new("label".into(), rows.iter().map(|(_, label)| *label).collect::<Vec<_>>());
    let mut frame = DataFrame::new(rows.len(), vec![image.into_series().into(), label.into()]).unwrap();
    let mut bytes = Vec::new();
    let features = names.map(|names| {
        let label = serde_json::json!({"_type": "ClassLabel", "names": names});
        let info = serde_json::json!({"info": {"features": {"img": {"_type": "Image"}, "label": label}}});
        KeyValueMetadata::from_static(vec![("huggingface".to_owned(), info.to_string())])
    });
    ParquetWriter::new(&mut bytes).with_key_value_metadata(features).finish(&mut frame).unwrap();
    bytes
}

/// A server with the files, a client whose cache is in the folder, and the folder.
fn hub(files: &[(&str, Vec<u8>)]) -> (LoopbackHub, Hub, tempfile::TempDir) {
    let (server, folder) = (LoopbackHub::start().unwrap(), tempfile::tempdir().unwrap());
    for (path, bytes) in files {
        server.add_file(RepoKind::Dataset, REPO, path, bytes.clone());
    }
    let hub = Hub::new(server.options(folder.path())).unwrap().with_patience(LoopbackHub::patience());
    (server, hub, folder)
}

fn prepared(hub: &Hub) -> Result<Prepared, DataError> {
    prepare(&format!("hub:{REPO}").parse::<Source>().unwrap(), &Reading::default(), hub, &Silent)
}

fn load(files: &[(&str, Vec<u8>)]) -> Result<Dataset, DataError> {
    let (_server, hub, _folder) = hub(files);
    open(&prepared(&hub)?, None)
}

fn message(files: &[(&str, Vec<u8>)]) -> String {
    load(files).unwrap_err().to_string()
}

fn reds(images: &frostline_data::Images) -> Vec<(u8, u32)> {
    (0..images.len()).map(|i| (images.image(i)[0], images.labels()[i])).collect()
}

#[test]
fn files_become_splits_and_the_cache_serves_offline() {
    let names = Some(&["ant", "bee"][..]);
    let jpeg = encoded(200, ImageFormat::Jpeg);
    let files = [
        ("README.md", b"# tiny".to_vec()),
        ("data/test-00000-of-00001.parquet", parquet(&[(png(9), 1)], names)),
        ("data/train-00000-of-00002.parquet", parquet(&[(png(1), 0), (png(2), 1)], names)),
        ("data/train-00001-of-00002.parquet", parquet(&[(jpeg, 1)], names)),
    ];
    let (server, hub, _folder) = hub(&files);
    let data = open(&prepared(&hub).unwrap(), None).unwrap();
    assert_eq!(
        (&data.source[..], &data.classes[..]),
        ("hub:zoo/tiny", &["ant", "bee"].map(String::from)[..])
    );
    assert_eq!((data.train.height(), data.train.width()), (3, 4));
    assert_eq!(reds(&data.test), [(9, 1)]);
    let train = reds(&data.train);
    assert_eq!(train[..2], [(1, 0), (2, 1)]);
    assert!(train[2].0.abs_diff(200) <= 3 && train[2].1 == 1, "JPEG is decoded too: {train:?}");
    let files: Vec<&str> = data.files.iter().map(|file| &file.name[..]).collect();
    assert_eq!(
        files,
        ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]
            .map(|f| format!("zoo/tiny/data/{f}.parquet"))
    );
    assert_eq!(data.files[0].revision.as_deref(), Some(&server.commit(RepoKind::Dataset, REPO)[..]));

    let mut options = hub.options().clone();
    options.offline = true;
    drop(server);
    let offline = Hub::new(options).unwrap();
    let again = open(&prepared(&offline).unwrap(), Some((8, 8))).unwrap();
    assert_eq!((again.digest, again.train.height()), (data.digest, 8));
}

#[test]
fn classes_without_names_are_numbered_and_every_fifth_image_tests() {
    let rows: Vec<(Vec<u8>, i64)> = (0..10).map(|i| (png(i), i64::from(i % 2) * 2)).collect();
    let data = load(&[("train.parquet", parquet(&rows, None))]).unwrap();
    assert_eq!(data.classes, ["0", "1", "2"]);
    assert_eq!(reds(&data.test), [(8, 0), (9, 2)]);
    let few = message(&[("train.parquet", parquet(&rows[..8], None))]);
    assert!(few.contains("hub:zoo/tiny comes without a test split, and class `0` has 4 images"), "{few}");
}

#[test]
fn broken_images_and_labels_are_counted_and_named() {
    let mut cut = encoded(7, ImageFormat::Jpeg);
    cut.truncate(cut.len() - 20);
    let rows = [(png(1), 0), (cut, 1), (png(2), 5), (b"%PDF-1.7".to_vec(), 0), (png(3), -1), (png(4), 1)];
    let names = Some(&["ant", "bee"][..]);
    let files = [
        ("train.parquet", parquet(&rows, names)),
        ("test.parquet", parquet(&[(png(1)[..50].to_vec(), 0)], names)),
    ];
    let what = message(&files);
    assert!(what.starts_with("5 of 7 images in hub:zoo/tiny cannot be used: "), "{what}");
    for part in [
        "train.parquet row 1: broken JPEG",
        "train.parquet row 2: has label 5, which is not one of 2 classes",
        "train.parquet row 3: is no PNG, JPEG, WebP, BMP, GIF or TIFF file",
        "train.parquet row 4: has label -1",
        "test.parquet row 0: broken PNG",
    ] {
        assert!(what.contains(part), "{what}");
    }
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let whole = parquet(&[(png(1), 0), (png(2), 0)], None);
    for bytes in
        [whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), b"<html>".to_vec(), Vec::new()]
    {
        let what = message(&[("data/train.parquet", bytes)]);
        assert!(
            what.starts_with("data/train.parquet of hub:zoo/tiny: is damaged or no parquet file"),
            "{what}"
        );
    }
    let names = message(&[
        ("test.parquet", parquet(&[(png(1), 0)], Some(&["bee"]))),
        ("train.parquet", parquet(&[(png(1), 0)], Some(&["ant"]))),
    ]);
    assert_eq!(names, "test.parquet of hub:zoo/tiny: has other class names than the first file");
    assert!(
        message(&[("train.zip", vec![1])]).starts_with("hub:zoo/tiny: has no parquet files of a train split")
    );
    let empty = message(&[("train.parquet", parquet(&[], None))]);
    assert_eq!(empty, "hub:zoo/tiny: there are no training images");
}

#[test]
fn a_hub_that_fails_is_the_hubs_error() {
    let (server, hub, _folder) = hub(&[("train.parquet", parquet(&[(png(1), 0)], None))]);
    server.fail(RepoKind::Dataset, REPO, "train.parquet", Fault::WrongBody, Times::Always);
    assert!(matches!(prepared(&hub), Err(DataError::Hub(_))));

    // Another client, since one that has seen the repository's commit does not ask again.
    let (server, hub, _folder) = self::hub(&[("train.parquet", parquet(&[(png(1), 0)], None))]);
    server.fail_repo(RepoKind::Dataset, REPO, Fault::NotFound, Times::Always);
    let error: HubError = match prepared(&hub) {
        Err(DataError::Hub(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(error.to_string().contains(REPO), "{error}");
    assert!(prepare(&Source::Digits, &Reading::default(), &hub, &Silent).is_ok());
}

#[test]
fn the_pinned_set_is_refused_if_its_bytes_are_others() {
    let server = LoopbackHub::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        let path = format!("plain_text/{split}-00000-of-00001.parquet");
        server.add_file(RepoKind::Dataset, "uoft-cs/cifar10", &path, parquet(&[(png(1), 0)], None));
    }
    let hub = Hub::new(server.options(folder.path())).unwrap().with_patience(LoopbackHub::patience());
    let error =
        prepare(&"hub:uoft-cs/cifar10".parse().unwrap(), &Reading::default(), &hub, &Silent).unwrap_err();
    assert!(matches!(error, DataError::Hub(_)), "{error}");
}

/// A file with columns `width`, `image` and one of labels, without metadata.
fn table(column: &str, labels: Series, reds: &[u8]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = reds.iter().map(|red| png(*red)).collect();
    let rows = reds.len();
    let columns = [Series::new("bytes".into(), bytes), Series::new("path".into(), vec![None::<&str>; rows])];
    let image = StructChunked::from_series("image".into(), rows, columns.iter()).unwrap();
    let width = Series::new("width".into(), reds.iter().map(|red| 100 + i64::from(*red)).collect::<Vec<_>>());
    let labels = labels.with_name(column.into());
    let mut frame =
        DataFrame::new(rows, vec![width.into(), image.into_series().into(), labels.into()]).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes
}

fn taken(data: &Dataset) -> Vec<String> {
    data.taken.iter().map(|taken| format!("{}: {}", taken.what, taken.from)).collect()
}

#[test]
fn labels_are_words_truths_or_numbers_and_widths_are_none() {
    let words = |words: &[&str]| Series::new("".into(), words);
    let files = [
        ("train.parquet", table("category", words(&["ox", "cow", "ox"]), &[1, 2, 3])),
        ("test.parquet", table("category", words(&["cow"]), &[4])),
    ];
    let data = load(&files).unwrap();
    assert_eq!(data.classes, ["cow", "ox"]);
    assert_eq!((reds(&data.train), reds(&data.test)), (vec![(1, 1), (2, 0), (3, 1)], vec![(4, 0)]));
    let expected = [
        "training images: train.parquet",
        "test images: test.parquet",
        "image column: image",
        "label column: category",
    ];
    assert_eq!(taken(&data), expected);
    let unknown = [files[0].clone(), ("test.parquet", table("category", words(&["hen"]), &[4]))];
    let what = message(&unknown);
    assert!(what.contains("test.parquet row 0: has label `hen`, which no training image has"), "{what}");
    let truth = |truth: &[bool]| Series::new("".into(), truth);
    let files = [
        ("train.parquet", table("is_ox", truth(&[true, false, true]), &[1, 2, 3])),
        ("test.parquet", table("is_ox", truth(&[false]), &[4])),
    ];
    let unclear = message(&files);
    assert!(unclear.contains("could have its labels in width or is_ox"), "{unclear}");
    let named = |column: &str| {
        let (_server, hub, _folder) = hub(&files);
        let reading = Reading { label_column: Some(column.to_owned()), ..Reading::default() };
        open(&prepare(&format!("hub:{REPO}").parse::<Source>().unwrap(), &reading, &hub, &Silent)?, None)
    };
    let data = named("is_ox").unwrap();
    assert_eq!(
        (data.classes.clone(), reds(&data.train)),
        (vec!["false".to_owned(), "true".to_owned()], vec![(1, 1), (2, 0), (3, 1)])
    );
    assert_eq!(named("width").unwrap().classes.len(), 105, "if it is asked for");
    assert!(
        named("size").unwrap_err().to_string().contains("has no column `size`, which label-column names")
    );
}

#[test]
fn a_validation_split_validates_where_there_is_a_test_split_too() {
    let names = Some(&["ant", "bee"][..]);
    let of = |from: u8, count: u8| {
        let rows: Vec<(Vec<u8>, i64)> =
            (from..from + count).map(|red| (png(red), i64::from(red % 2))).collect();
        parquet(&rows, names)
    };
    let files = [("train.parquet", of(0, 6)), ("validation.parquet", of(10, 4)), ("test.parquet", of(20, 2))];
    let data = load(&files).unwrap();
    assert_eq!((data.train.len(), data.validation, data.test.len()), (10, 4, 2));
    let splits = frostline_data::split(&data, 0.5, Some(1), None, 3).unwrap();
    assert_eq!((splits.train.len(), splits.validation), (2, vec![6, 7, 8, 9]));
    let without = load(&[files[0].clone(), files[2].clone()]).unwrap();
    assert_ne!(without.digest, data.digest, "the validation images are covered");
    assert_eq!(taken(&data)[1], "validation images: validation.parquet");
}
