//! Which files a folder's layout makes training, validation and test images of which classes.

use image::{Rgb, RgbImage};

use super::*;

/// Writes a PNG of 2x3 for each path; its first pixel's red is the position in the list.
fn folder(paths: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (position, path) in paths.iter().enumerate() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([position as u8, x as u8, y as u8]));
        image.save_with_format(path, image::ImageFormat::Png).unwrap();
    }
    folder
}

fn load(folder: &Path) -> Result<Dataset, DataError> {
    open(&scan(folder, None)?, None)
}

fn reds(images: &crate::Images) -> Vec<(u8, u32)> {
    (0..images.len()).map(|i| (images.image(i)[0], images.labels()[i])).collect()
}

fn taken(data: &Dataset) -> Vec<String> {
    data.taken.iter().map(|taken| format!("{}: {}", taken.what, taken.from)).collect()
}

#[test]
fn folders_are_the_splits_that_they_are_called() {
    let folder = folder(&[
        "train/b/2.png",
        "train/b/1.PNG",
        "train/a/x.png",
        "test/b/z.png",
        "val/a/y.png",
        "more/a/q.png",
    ]);
    let data = load(folder.path()).unwrap();
    assert_eq!((&data.classes[..], data.train.width()), (&["a".to_owned(), "b".to_owned()][..], 3));
    assert_eq!(reds(&data.train), [(2, 0), (1, 1), (0, 1), (4, 0)]);
    assert_eq!((reds(&data.test), data.validation), (vec![(3, 1)], 1));
    let expected =
        ["training images: train/", "validation images: val/", "test images: test/", "not used: more/"];
    assert_eq!(taken(&data), expected);
    let splits = crate::split(&data, 0.1, None, None, 0).unwrap();
    assert_eq!((splits.train, splits.validation), (vec![0, 1, 2], vec![3]), "its own images validate");
    assert_eq!(crate::split(&data, 0.0, None, None, 0).unwrap().validation, [] as [u32; 0]);

    fs::remove_dir_all(folder.path().join("test")).unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!((reds(&data.test), data.validation), (vec![(4, 0)], 0));
    assert_eq!(taken(&data)[1], "test images: val/");
    let own: SplitNames = "train=train+more,validation=val".parse().unwrap();
    let data = open(&scan(folder.path(), Some(&own)).unwrap(), None);
    assert!(data.unwrap_err().to_string().contains("too few to set every fifth aside"));
    let own: SplitNames = "train=more,test=val".parse().unwrap();
    let data = open(&scan(folder.path(), Some(&own)).unwrap(), None).unwrap();
    assert_eq!((reds(&data.train), reds(&data.test)), (vec![(5, 0)], vec![(4, 0)]));
    let wrong: SplitNames = "train=train,test=exam".parse().unwrap();
    let message = scan(folder.path(), Some(&wrong)).unwrap_err().to_string();
    assert!(
        message.ends_with("has no folder `exam`, which splits names; its folders are more, train, val"),
        "{message}"
    );
}

#[test]
fn splits_have_many_names_and_a_class_may_have_one_of_them() {
    for (train, test) in [("Train", "Test"), ("training", "testing"), ("TRAIN", "valid"), ("train", "dev")] {
        let paths = [format!("{train}/a/1.png"), format!("{train}/b/1.png"), format!("{test}/a/2.png")];
        let folder = folder(&paths.each_ref().map(String::as_str));
        assert_eq!(reds(&load(folder.path()).unwrap().test), [(2, 0)], "{train} {test}");
    }
    let names: Vec<String> =
        (0..10).map(|i| format!("{}/{i}.png", if i < 5 { "valid" } else { "invalid" })).collect();
    let classes = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(load(classes.path()).unwrap().classes, ["invalid", "valid"]);
    let folder = folder(&["val/a/1.png", "test/a/1.png"]);
    let message = load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("has test, val and no `train`; add it"), "{message}");
    fs::rename(folder.path().join("test"), folder.path().join("train")).unwrap();
    fs::create_dir(folder.path().join("validation")).unwrap();
    let message = load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("has val and validation, which are all names of a"), "{message}");
}

#[test]
fn what_lies_in_another_place_than_expected_is_told_and_never_left_out() {
    let message = |paths: &[&str]| load(folder(paths).path()).unwrap_err().to_string();
    let deeper = message(&["set/cats/1.png", "set/dogs/1.png"]);
    assert!(
        deeper.contains("holds folders of folders (set/…)") && deeper.contains("name the source folder:"),
        "{deeper}"
    );
    let deeper = message(&["train/set/cats/1.png", "train/set/dogs/1.png", "test/set/cats/1.png"]);
    assert!(deeper.contains("train: holds folders of folders (set/…)"), "{deeper}");
    let beside = message(&["cats/1.png", "dogs/1.png", "mouse.jpg", "rat.jpg"]);
    assert!(beside.contains("beside them, 2 images (mouse.jpg, …), of no class; move each"), "{beside}");
    let beside = message(&["train/cats/1.png", "train/2.png", "test/cats/1.png"]);
    assert!(beside.contains("train: has class folders and, beside them, 1 image (2.png"), "{beside}");
    let flat = message(&["1.png", "2.png"]);
    assert!(flat.contains("has no class folders, and 2 images that lie right in it"), "{flat}");
    let mixed = message(&["cats/1.png", "dogs/brown/1.png"]);
    assert!(mixed.contains("brown: is a folder inside a class folder"), "{mixed}");
}

#[test]
fn pictures_that_occur_twice_are_found_by_their_pixels() {
    let folder = folder(&[
        "train/a/1.png",
        "train/a/2.png",
        "train/b/3.png",
        "train/b/4.png",
        "test/a/5.png",
        "test/b/6.png",
    ]);
    let copy = |from: &str, to: &str| {
        let image = image::open(folder.path().join(from)).unwrap();
        image.save(folder.path().join(to)).unwrap();
    };
    copy("test/a/5.png", "train/a/7.bmp");
    copy("train/b/3.png", "train/a/8.tif");
    copy("train/b/4.png", "train/b/9.webp");
    let data = load(folder.path()).unwrap();
    assert_eq!((data.train.len(), data.duplicates.len()), (7, 3));
    assert!(data.duplicates.sentences()[0].contains("train/a/7.bmp (training) = test/a/5.png (test)"));
    let dropped = data.without_duplicates().unwrap();
    assert_eq!(reds(&dropped.train), [(0, 0), (1, 0), (3, 1)]);
    assert_eq!((reds(&dropped.test), dropped.duplicates.len()), (vec![(4, 0), (5, 1)], 0));
    assert_ne!(dropped.digest, data.digest);
    let only_b = data.of_classes(&["b".to_owned()]).unwrap();
    assert_eq!(only_b.duplicates.sentences().len(), 1, "{:?}", only_b.duplicates);
    assert_eq!(reds(&only_b.without_duplicates().unwrap().train), [(2, 0), (3, 0)]);
}

#[test]
fn without_test_images_every_fifth_is_one_and_hidden_names_are_skipped() {
    let names: Vec<String> = (0..11).map(|i| format!("class/{i:02}.png")).collect();
    let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir(folder.path().join(".cache")).unwrap();
    fs::write(folder.path().join("class/.DS_Store"), "x").unwrap();
    fs::write(folder.path().join("README.md"), "x").unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!(data.classes, ["class"]);
    assert_eq!(reds(&data.test), [(4, 0), (9, 0)]);
    assert_eq!(data.train.len(), 9);
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(
        load(folder.path())
            .unwrap_err()
            .to_string()
            .ends_with("empty: holds no images; add some or remove the folder")
    );
}

#[test]
fn what_is_no_image_is_named() {
    let folder = folder(&["train/a/1.png", "train/b/1.png", "test/a/1.png"]);
    let message = || load(folder.path()).unwrap_err().to_string();
    let at = |path: &str| folder.path().join(path);
    fs::rename(at("train/a/1.png"), at("train/a/an image without a name of its own")).unwrap();
    assert_eq!(load(folder.path()).unwrap().train.len(), 2);
    fs::write(at("train/a/notes.txt"), "x").unwrap();
    fs::write(at("test/a/cut.png"), &fs::read(at("test/a/1.png")).unwrap()[..40]).unwrap();
    fs::write(at("train/b/2.jpg"), "").unwrap();
    let what = message();
    assert!(
        what.contains("3 of 6 images in folder:") && what.contains("notes.txt: is no PNG, JPEG, WebP"),
        "{what}"
    );
    assert!(what.contains("2.jpg: is empty") && what.contains("cut.png: broken PNG"), "{what}");
    fs::create_dir(at("test/c")).unwrap();
    assert!(message().contains("is a class without training images"));
    fs::create_dir(at("train/a/deeper")).unwrap();
    assert!(message().contains("deeper: is a folder inside a class folder"));
}

#[test]
fn empty_and_missing_folders_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("has no class folders"));
    fs::create_dir_all(folder.path().join("train")).unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("train: has no class folders"));
    assert!(load(&folder.path().join("none")).unwrap_err().to_string().contains("none: "));
}

#[test]
fn mixed_sizes_need_a_resolution() {
    let folder = folder(&["train/a/1.png", "train/b/1.png", "test/a/1.png"]);
    RgbImage::new(5, 1).save(folder.path().join("train/b/2.png")).unwrap();
    let tree = scan(folder.path(), None).unwrap();
    let message = open(&tree, None).unwrap_err().to_string();
    assert!(message.contains("differ in size, from 1x3 to 2x5 (height x width)"), "{message}");
    let data = open(&tree, Some((4, 6))).unwrap();
    assert_eq!((data.train.height(), data.train.width(), data.native.largest), (4, 6, (2, 5)));
}
