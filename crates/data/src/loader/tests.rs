//! Holds batches to what torchvision makes of the same draws, and draws to the images that they are of.

use proptest::prelude::*;

use super::*;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn images(n: usize, height: usize, width: usize) -> Images {
    let pixels = (0..n * height * width * 3).map(|i| (i * 31 + i / 7 * 11) as u8).collect();
    Images::new(height, width, pixels, (0..n as u32).map(|i| i * 3 % 7).collect()).unwrap()
}

fn options(batch: usize) -> LoaderOptions {
    LoaderOptions { seed: 9, ..LoaderOptions::plain(batch, MEAN, STD) }
}

/// What torchvision does, step by step, for one value of the result: mirror, pad, crop, `ToTensor`, `Normalize`.
fn expected(
    image: &[u8],
    (h, w): (usize, usize),
    drawn: Placement,
    pad: usize,
    (y, x, c): (usize, usize, usize),
) -> f32 {
    let mut padded = vec![vec![[0u8; 3]; w + 2 * pad]; h + 2 * pad];
    for row in 0..h {
        for column in 0..w {
            let from = if drawn.flip { w - 1 - column } else { column };
            let at = (row * w + from) * 3;
            padded[row + pad][column + pad] = [image[at], image[at + 1], image[at + 2]];
        }
    }
    let top = (drawn.down + pad as isize) as usize;
    let left = (drawn.right + pad as isize) as usize;
    (f32::from(padded[top + y][left + x][c]) / 255.0 - MEAN[c]) / STD[c]
}

proptest! {
    #[test]
    fn a_batch_is_what_torchvision_would_make(
        n in 1usize..6, h in 1usize..9, w in 1usize..9, flip: bool, pad in 0usize..12, epoch in 0u64..50, seed: u64,
    ) {
        let images = images(n, h, w);
        let augment = Augment { flip, crop: (pad > 0).then_some(pad), ..Augment::NONE };
        let options = LoaderOptions { augment, seed, shuffle: true, ..options(4) };
        let loader = Loader::new(&images, (0..n as u32).collect(), options).unwrap();
        for batch in loader.epoch(epoch) {
            prop_assert_eq!(batch.pixels.len(), h * w * batch.len() * 3);
            for (position, &example) in batch.examples.iter().enumerate() {
                let image = images.image(example as usize);
                let drawn = Placement::draw(&augment, &Streams::new(seed), epoch, example);
                prop_assert_eq!(batch.labels[position], images.labels()[example as usize]);
                for (y, x, c) in (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..3).map(move |c| (y, x, c)))) {
                    let value = batch.pixels[((y * w + x) * batch.len() + position) * 3 + c];
                    prop_assert_eq!(value, expected(image, (h, w), drawn, pad, (y, x, c)));
                }
            }
        }
    }
}

fn sizes(n: u32, batch: usize, ragged: Ragged) -> Vec<usize> {
    let images = images(n as usize, 1, 1);
    let loader = Loader::new(&images, (0..n).collect(), LoaderOptions { ragged, ..options(batch) }).unwrap();
    let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.len()).collect();
    assert_eq!((sizes.len(), sizes.iter().sum()), (loader.batches(), loader.examples()));
    sizes
}

#[test]
fn what_does_not_fill_a_batch_is_kept_dropped_or_merged() {
    use Ragged::{Drop, Keep, Merge};
    assert_eq!(sizes(10, 4, Keep), [4, 4, 2]);
    assert_eq!(sizes(9, 4, Keep), [4, 5], "a single image joins the batch before");
    assert_eq!(sizes(9, 4, Drop), [4, 4]);
    assert_eq!(sizes(11, 4, Merge), [4, 7]);
    assert_eq!(sizes(3, 4, Merge), [3]);
    for ragged in [Keep, Drop, Merge] {
        assert_eq!(sizes(8, 4, ragged), [4, 4]);
    }
    assert_eq!(sizes(3, 4, Keep), [3]);
    assert_eq!(sizes(1, 4, Keep), [1]);
    assert_eq!(sizes(3, 1, Keep), [1, 1, 1]);
}

#[test]
fn an_epoch_is_a_function_of_seed_and_number() {
    let order = |seed, epoch| -> Vec<u32> {
        let options = LoaderOptions { seed, shuffle: true, ..options(7) };
        let loader = Loader::new(&images(50, 1, 1), (0..50).step_by(2).collect(), options).unwrap();
        let in_thread =
            std::thread::spawn(move || loader.epoch(epoch).flat_map(|batch| batch.examples).collect());
        in_thread.join().unwrap()
    };
    let first = order(1, 0);
    assert_eq!(first, order(1, 0));
    assert_ne!(first, order(1, 1));
    assert_ne!(first, order(2, 0));
    let mut sorted = first;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).step_by(2).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn a_balanced_epoch_has_as_many_of_each_class(n in 1usize..90, seed: u64, epoch in 0u64..9) {
        // Of class 0 every other image, of class 3 few.
        let labels: Vec<u32> = (0..n as u32).map(|i| match i % 16 { 0 => 3, i if i % 2 == 1 => 0, _ => 1 }).collect();
        let images = Images::new(1, 1, vec![7; 3 * n], labels).unwrap();
        let options = LoaderOptions { seed, shuffle: true, balanced: true, ..options(4) };
        let loader = Loader::new(&images, (0..n as u32).collect(), options).unwrap();
        let numbers: Vec<u32> = loader.epoch(epoch).flat_map(|batch| batch.examples).collect();
        prop_assert_eq!(numbers.len(), n);
        prop_assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), n, "each look has a number");
        let mut looks = vec![0usize; n];
        numbers.iter().for_each(|number| looks[images.place(*number)] += 1);
        let of = |class: u32| looks.iter().zip(images.labels()).filter(|(_, label)| **label == class).map(|(looks, _)| *looks).collect::<Vec<_>>();
        let counts: Vec<usize> = [0, 1, 3].into_iter().map(|class| of(class).iter().sum()).filter(|count| *count > 0).collect();
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
        for class in [0, 1, 3] {
            let looks = of(class);
            let spread = looks.iter().max().unwrap_or(&0) - looks.iter().min().unwrap_or(&0);
            prop_assert!(spread <= 1, "none comes again before all have come: {:?}", looks);
        }
        let again: Vec<u32> = loader.epoch(epoch).flat_map(|batch| batch.examples).collect();
        prop_assert_eq!(&numbers, &again);
    }
}

#[test]
fn each_look_at_an_image_is_changed_by_itself() {
    let images =
        Images::new(6, 6, (0..3 * 36 * 3).map(|i| (i * 37 % 251) as u8).collect(), vec![0, 1, 1]).unwrap();
    let augment = Augment { flip: true, crop: Some(3), ..Augment::NONE };
    let options = LoaderOptions { augment, balanced: true, shuffle: true, views: Some(1), ..options(8) };
    let loader = Loader::new(&images, vec![0, 1, 2], options).unwrap();
    assert!(!loader.repeats(), "its looks are not kept apart where features are");
    let look = |number: u32| loader.batch(1, &[number]);
    assert_eq!((look(0).labels, look(3).labels, look(4).labels), (vec![0], vec![0], vec![1]));
    assert!((0..5).any(|by| look(3 * by).pixels != look(3 * (by + 1)).pixels));
    let plain = Loader::new(
        &images,
        vec![0, 1, 2],
        LoaderOptions { balanced: true, ..LoaderOptions::plain(8, MEAN, STD) },
    );
    let plain = plain.unwrap();
    assert!(plain.repeats() && plain.batch(1, &[0]).pixels == plain.batch(1, &[3]).pixels);
}

#[test]
fn an_image_is_changed_alike_in_any_subset() {
    let images = images(20, 4, 5);
    let augment = Augment { flip: true, crop: Some(2), ..Augment::NONE };
    let pixels_of_12 = |indices: Vec<u32>| -> Vec<f32> {
        let loader = Loader::new(&images, indices, LoaderOptions { augment, ..options(1) }).unwrap();
        loader.epoch(3).find(|batch| batch.examples == [12]).unwrap().pixels
    };
    assert_eq!(pixels_of_12((0..20).collect()), pixels_of_12(vec![12, 3]));
}

/// Some bits of all numbers.
fn digest(pixels: &[f32]) -> u64 {
    let mix = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    pixels.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[test]
fn pictures_mirrored_and_cut_stay_what_they_are() {
    // Stored trials have seen these.
    let images = images(40, 16, 16);
    let made = [(true, None), (false, Some(3)), (true, Some(4))].map(|(flip, crop)| {
        let augment = Augment { flip, crop, ..Augment::default() };
        let options = LoaderOptions { augment, shuffle: true, ..options(16) };
        let loader = Loader::new(&images, (0..40).collect(), options).unwrap();
        let pixels: Vec<f32> = loader.epoch(3).flat_map(|batch| batch.pixels).collect();
        digest(&pixels)
    });
    assert_eq!(made, [11_643_435_731_440_596_893, 8_337_335_486_403_704_247, 16_717_298_201_619_803_562]);
}

/// Each way of changing pictures, and all together.
fn every_way() -> Vec<Augment> {
    let lists: [&[&str]; 8] = [
        &["flip"],
        &["crop:2"],
        &["resized-crop:0.3"],
        &["jitter:0.4", "flip"],
        &["trivial"],
        &["rand-augment:3,20"],
        &["erase:0.9"],
        &["flip", "resized-crop", "jitter:0.8", "rand-augment", "erase"],
    ];
    lists.iter().map(|strings| Augment::parse_all(strings).unwrap()).collect()
}

#[test]
fn an_image_is_changed_alike_in_any_batch() {
    let images = images(12, 9, 9);
    for augment in every_way() {
        let loader = |batch, indices| {
            Loader::new(&images, indices, LoaderOptions { augment, shuffle: true, ..options(batch) }).unwrap()
        };
        let all = loader(5, (0..12).collect());
        for batch in all.epoch(2) {
            for (position, &example) in batch.examples.iter().enumerate() {
                let own: Vec<f32> = batch
                    .pixels
                    .as_chunks::<3>()
                    .0
                    .iter()
                    .skip(position)
                    .step_by(batch.len())
                    .flatten()
                    .copied()
                    .collect();
                let alone = loader(1, vec![example]).batch(2, &[example]).pixels;
                assert_eq!(own, alone, "{augment}: image {example}");
            }
        }
        let pixels = |epoch| all.batch(epoch, &[0, 1, 2, 3]).pixels;
        assert_ne!(pixels(1), pixels(2), "{augment}");
        let views = LoaderOptions { augment, views: Some(2), ..options(5) };
        let views = Loader::new(&images, (0..12).collect(), views).unwrap();
        assert_eq!(views.batch(3, &[0, 1]).pixels, all.batch(1, &[0, 1]).pixels, "{augment}");
    }
}

#[test]
fn erasing_covers_rectangles_and_moves_nothing_else() {
    let (n, side) = (1000, 32);
    let images = images(n, side, side);
    let pixels = |strings: &[&str]| {
        let augment = Augment::parse_all(strings).unwrap();
        let options = LoaderOptions { augment, mean: [-1.0; 3], ..options(n) };
        Loader::new(&images, (0..n as u32).collect(), options).unwrap().epoch(1).next().unwrap().pixels
    };
    let (with, without) = (pixels(&["flip", "crop:4", "erase"]), pixels(&["flip", "crop:4"]));
    let mut erased = vec![0usize; n];
    for (place, (with, without)) in with.as_chunks::<3>().0.iter().zip(without.as_chunks::<3>().0).enumerate()
    {
        // Nothing else is 0, as the mean is below black.
        assert!(with == without || *with == [0.0; 3]);
        erased[place % n] += usize::from(*with == [0.0; 3]);
    }
    let changed = erased.iter().filter(|area| **area > 0).count();
    // Of a thousand coins the standard deviation is 16; of the mean of 500 areas 91 / sqrt(500) = 4 pixels (0.0890 of 1024 each).
    assert!(changed.abs_diff(500) < 64, "{changed}");
    let mean = erased.iter().sum::<usize>() as f64 / changed as f64;
    assert!((mean - 0.1738 * 1024.0).abs() < 16.4, "{mean}");
}

#[test]
fn images_of_a_batch_are_mixed_by_epoch_and_batch() {
    let images = images(12, 9, 9);
    let loader = |strings: &[&str], views| {
        let augment = Augment::parse_all(strings).unwrap();
        let options = LoaderOptions { augment, views, shuffle: true, ..options(4) };
        Loader::new(&images, (0..12).collect(), options).unwrap()
    };
    let (mixed, single) = (loader(&["flip", "mixup:0.7", "cutmix"], None), loader(&["flip"], None));
    let mut shares = Vec::new();
    for (index, (mixed_batch, batch)) in mixed.epoch(2).zip(single.epoch(2)).enumerate() {
        let (n, share) = (batch.len(), mixed_batch.own_share.unwrap());
        assert_eq!((&mixed_batch.labels, batch.own_share), (&batch.labels, None));
        assert_eq!(mixed_batch.other_labels()[1..], batch.labels[..n - 1]);
        assert_eq!(mixed_batch.other_labels()[0], batch.labels[n - 1]);
        assert_eq!(mixed.mixed(2, index, &mixed_batch.examples), mixed_batch, "alone as among others");
        assert_ne!(mixed.mixed(3, index, &mixed_batch.examples).own_share, Some(share));
        let mut alike = 0.0;
        let places = mixed_batch.pixels.chunks(n * 3).zip(batch.pixels.chunks(n * 3));
        for (mixed, single) in places {
            for (image, pixel) in mixed.as_chunks::<3>().0.iter().enumerate() {
                let own = &single[image * 3..][..3];
                let other = &single[(image + n - 1) % n * 3..][..3];
                let mix = own
                    .iter()
                    .zip(other)
                    .map(|(own, other)| share as f32 * own + (1.0 - share) as f32 * other);
                let is_mix = mix.zip(pixel).all(|(mix, value)| (mix - value).abs() < 1e-5);
                assert!(is_mix || pixel == own || pixel == other);
                alike += f64::from(u8::from(pixel == own));
            }
        }
        shares.push((share, alike / (81 * n) as f64));
    }
    assert!(
        shares.iter().any(|(share, own)| (share - own).abs() < 0.05)
            && shares.iter().any(|(_, own)| *own < 0.1),
        "{shares:?}"
    );
    assert!(!loader(&["mixup"], Some(2)).repeats() && loader(&["flip"], Some(2)).repeats());
    assert_eq!(loader(&["cutmix"], None).batch(1, &[3]).own_share, None);
}

#[test]
fn views_come_again_and_an_order_is_an_epochs_own() {
    let images = images(20, 4, 5);
    let augment = Augment { flip: true, crop: Some(2), ..Augment::NONE };
    let loader = |views| {
        let options = LoaderOptions { augment, views, shuffle: true, ..options(6) };
        Loader::new(&images, (0..20).collect(), options).unwrap()
    };
    let (anew, two) = (loader(None), loader(Some(2)));
    let picture = |loader: &Loader, epoch| loader.batch(epoch, &[3, 8, 12]).pixels;
    assert_eq!(picture(&two, 1), picture(&anew, 1));
    assert_eq!(picture(&two, 2), picture(&anew, 2));
    assert_eq!(picture(&two, 5), picture(&anew, 1));
    assert_ne!(picture(&anew, 5), picture(&anew, 1));
    assert_ne!(two.order(5), two.order(1), "the order is drawn anew");
    let whole: Vec<Vec<u32>> = two.epoch(5).map(|batch| batch.examples).collect();
    assert_eq!(two.order(5), whole);
    assert_eq!(two.epoch(5).nth(2).unwrap().examples, whole[2]);
    assert!(two.repeats() && !anew.repeats() && loader(Some(1)).view(7) == Some(1));
}

#[test]
fn options_that_make_no_batches_are_errors() {
    let images = images(3, 1, 1);
    let message =
        |indices: Vec<u32>, options| Loader::new(&images, indices, options).unwrap_err().to_string();
    assert!(message(vec![0], options(0)).contains("batch = 0"));
    assert!(message(vec![], options(1)).contains("no images are left"));
    assert!(message(vec![0, 3], options(1)).contains("index 3 is beyond the 3 images"));
    let drop_last = LoaderOptions { ragged: Ragged::Drop, ..options(4) };
    assert!(message(vec![0, 1, 2], drop_last).contains("3 images do not fill one batch of 4"));
    let flat = LoaderOptions { std: [1.0, 0.0, 1.0], ..options(1) };
    assert!(message(vec![0], flat).contains("greater than 0"));
}
