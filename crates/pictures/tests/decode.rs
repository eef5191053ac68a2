//! Decoding and resizing against Pillow's (`golden/images.py`), every format, what is broken, and what cameras add.

use std::io::Cursor;

use frostline_pictures::{Picture, Resizer, decode, picture_rows, size};
use image::{DynamicImage, ImageFormat, RgbImage};

/// The formula image of `golden/images.py`.
fn formula(height: usize, width: usize) -> Picture {
    let value = |y: usize, x: usize, c: usize| (y * 37 + x * 59 + c * 83 + x * y * 7) as u8;
    let places = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| (y, x, c))));
    Picture { height, width, pixels: places.map(|(y, x, c)| value(y, x, c)).collect() }
}

fn greatest_difference(ours: &[u8], theirs: &[u8]) -> u8 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn resizing_is_pillows_within_one_step() {
    let mut golden = &include_bytes!("golden/resize.bin")[..];
    let cases = [
        ((9, 13), (32, 20)),
        ((32, 32), (64, 64)),
        ((64, 48), (8, 10)),
        ((50, 75), (32, 32)),
        ((8, 8), (32, 32)),
        ((7, 90), (40, 31)),
    ];
    for (source, target) in cases {
        let ours = formula(source.0, source.1).resized(target, &mut Resizer::default()).unwrap();
        let theirs = golden.split_off(..target.0 * target.1 * 3).unwrap();
        assert!(greatest_difference(&ours.pixels, theirs) <= 1, "{source:?} to {target:?}");
    }
    assert!(golden.is_empty());
}

const FILES: [(&str, &[u8]); 5] = [
    ("grey.png", include_bytes!("golden/grey.png")),
    ("alpha.png", include_bytes!("golden/alpha.png")),
    ("colour.jpg", include_bytes!("golden/colour.jpg")),
    ("grey.jpg", include_bytes!("golden/grey.jpg")),
    ("progressive.jpg", include_bytes!("golden/progressive.jpg")),
];

#[test]
fn decoding_is_pillows() {
    let golden = include_bytes!("golden/decoded.bin").chunks_exact(11 * 14 * 3);
    // PNG is exact; JPEG decoders differ in how they round, and in how they interpolate colour (progressive.jpg).
    let tolerances = [0, 0, 2, 2, 8];
    for (((name, bytes), theirs), tolerance) in FILES.iter().zip(golden).zip(tolerances) {
        let ours = decode(bytes).unwrap();
        assert_eq!((ours.height, ours.width), (11, 14), "{name}");
        let difference = greatest_difference(&ours.pixels, theirs);
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    for (name, bytes) in FILES {
        // Without the end marker that stands for the last 12 or 2 bytes, every pixel is still there.
        let marker = if name.ends_with("png") { 12 } else { 2 };
        for length in 0..bytes.len() - marker {
            assert!(decode(&bytes[..length]).is_err(), "{name} cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn other_bytes_and_absurd_sizes_are_errors() {
    assert_eq!(decode(b"").unwrap_err(), "is empty");
    assert_eq!(decode(b"%PDF-1.7").unwrap_err(), "is no PNG, JPEG, WebP, BMP, GIF or TIFF file");
    assert!(decode(b"GIF89a").unwrap_err().starts_with("broken GIF"));
    let mut huge = FILES[0].1.to_vec();
    huge[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    assert!(decode(&huge).unwrap_err().starts_with("broken PNG"));
    let mut jpeg = FILES[2].1.to_vec();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
    assert!(decode(&jpeg).unwrap_err().contains("more than 67108864"));
}

#[test]
fn every_format_is_read_by_what_is_in_it_and_cut_files_are_errors() {
    let picture = formula(9, 7);
    let image = RgbImage::from_raw(7, 9, picture.pixels.clone()).unwrap();
    for format in [ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Png, ImageFormat::Gif]
    {
        let mut file = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(image.clone()).write_to(&mut file, format).unwrap();
        let bytes = file.into_inner();
        let read = decode(&bytes).unwrap();
        assert_eq!((read.height, read.width), (9, 7), "{format:?}");
        // A GIF has 256 colours, and this image fewer.
        assert_eq!(read.pixels, picture.pixels, "{format:?}");
        for length in 0..bytes.len() / 2 {
            assert!(decode(&bytes[..length]).is_err(), "{format:?} cut to {length} of {}", bytes.len());
        }
    }
}

#[test]
fn what_follows_a_jpeg_is_nothing_to_it() {
    for (name, bytes) in FILES.iter().filter(|(name, _)| name.ends_with("jpg")) {
        let alone = decode(bytes).unwrap();
        // The beginning of a scan, a whole other image, the head of a video.
        for tail in [&[0xff, 0xda][..], FILES[2].1, b"\0\0\0\x18ftypmp42\xff\xda\xff"] {
            assert_eq!(decode(&[bytes, tail].concat()).unwrap(), alone, "{name}");
        }
    }
}

/// A JPEG with an EXIF segment that holds nothing but an orientation, in either order of bytes.
fn oriented(jpeg: &[u8], orientation: u8, little: bool) -> Vec<u8> {
    let tiff: Vec<u8> = match little {
        true => [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0, 0, 0, 0, 0][..]]
            .concat(),
        false => [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01", &[0, orientation, 0, 0, 0, 0, 0, 0][..]]
            .concat(),
    };
    let exif = [b"Exif\0\0", &tiff[..]].concat();
    let length = ((exif.len() + 2) as u16).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn an_orientation_is_applied_as_viewers_do() {
    let jpeg = FILES[2].1;
    let upright = decode(jpeg).unwrap();
    let (height, width) = (upright.height, upright.width);
    let at = |picture: &Picture, y: usize, x: usize| picture.pixels[(y * picture.width + x) * 3];
    for little in [true, false] {
        assert_eq!(decode(&oriented(jpeg, 1, little)).unwrap(), upright);
        // 3: upside down. 6: the camera's right side was up, so the first column becomes the top row, mirrored.
        let turned = decode(&oriented(jpeg, 3, little)).unwrap();
        assert_eq!(at(&turned, 0, 0), at(&upright, height - 1, width - 1));
        let turned = decode(&oriented(jpeg, 6, little)).unwrap();
        assert_eq!((turned.height, turned.width), (width, height));
        assert_eq!(at(&turned, 2, 3), at(&upright, height - 1 - 3, 2));
    }
}

#[test]
fn a_size_is_that_of_what_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("an image");
    let turned: Vec<Vec<u8>> = (1..=8).map(|orientation| oriented(FILES[2].1, orientation, true)).collect();
    for bytes in FILES.iter().map(|(_, bytes)| *bytes).chain(turned.iter().map(Vec::as_slice)) {
        std::fs::write(&path, bytes).unwrap();
        let picture = decode(bytes).unwrap();
        assert_eq!(size(&path).unwrap(), (picture.height, picture.width));
    }
    std::fs::write(&path, "no image").unwrap();
    assert!(size(&path).is_err() && size(&folder.path().join("none")).is_err());
}

#[test]
fn a_picture_comes_back_from_its_png() {
    let picture = formula(9, 7);
    assert_eq!(decode(&picture.png().unwrap()).unwrap(), picture);
    assert!(Picture { height: 0, width: 0, pixels: Vec::new() }.png().is_err());
    assert!(Picture { height: 9, width: 8, ..picture.clone() }.png().unwrap_err().contains("9x8"));
    // One row: a margin of 14 glyphs, then images of six times the size; what has too few pixels leaves its place empty.
    let rows = [("a".to_owned(), vec![picture.clone(), formula(2, 2), picture.clone()])];
    let sheet = picture_rows(&rows, (9, 7));
    assert_eq!((sheet.height, sheet.width), (4 + 9 * 6 + 4, 118 + 3 * (7 * 6 + 4)));
    let at = |y: usize, x: usize| &sheet.pixels[(y * sheet.width + x) * 3..][..3];
    let of = |y: usize, x: usize| &picture.pixels[(y * 7 + x) * 3..][..3];
    for (y, x) in [(0, 0), (8, 6), (3, 5)] {
        assert_eq!(at(4 + y * 6 + 1, 118 + x * 6 + 2), of(y, x));
        assert_eq!(at(4 + y * 6 + 1, 118 + 46 + x * 6 + 2), [255; 3]);
        assert_eq!(at(4 + y * 6 + 1, 118 + 92 + x * 6 + 2), of(y, x));
    }
}
