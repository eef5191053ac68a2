//! One image file in memory to pixels: [`decode`] by what is in the file, whatever its name is; [`Picture::resized`] for the
//! resolution.
//!
//! What Pillow's `ImageOps.exif_transpose` and `convert("RGB")` do is done here: an orientation noted in EXIF is applied, as
//! every viewer does, grey becomes three equal channels, and alpha is dropped. Of an animation the first frame is taken.
//! Damage is never smoothed over, as lenient JPEG decoders do.

use std::io::Cursor;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Longest side of an image that is decoded. A few bytes can claim any size.
const MAX_SIDE: u32 = 16_384;
/// Most pixels of an image that is decoded.
const MAX_PIXELS: u64 = 1 << 26;
/// The formats that are read, and what their files are mostly called.
pub(crate) const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";
pub(crate) const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jfif", "webp", "bmp", "gif", "tif", "tiff"];

/// One image, `[height, width, 3]` RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Decodes an image file. The error says what is wrong with the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    match bytes {
        [] => Err("is empty".to_owned()),
        [0x89, b'P', b'N', b'G', ..] => decode_with("PNG", ImageFormat::Png, bytes),
        [0xff, 0xd8, ..] => decode_jpeg(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            whole_riff(bytes)?;
            decode_with("WebP", ImageFormat::WebP, bytes)
        }
        [b'B', b'M', ..] => decode_with("BMP", ImageFormat::Bmp, bytes),
        [b'G', b'I', b'F', b'8', ..] => decode_with("GIF", ImageFormat::Gif, bytes),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
            decode_with("TIFF", ImageFormat::Tiff, bytes)
        }
        _ => Err(format!("is no {FORMATS} file")),
    }
}

fn decode_with(name: &str, format: ImageFormat, bytes: &[u8]) -> Result<Picture, String> {
    let broken = |error: image::ImageError| format!("broken {name}: {error}");
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    // Metadata that is damaged turns no image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    Ok(Picture::turned(image.into_rgb8(), orientation))
}

/// A RIFF file states its length; what is cut is shorter.
fn whole_riff(bytes: &[u8]) -> Result<(), String> {
    let stated = bytes[4..8].iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    if (bytes.len() as u64) < stated + 8 { Err("broken WebP: cut".to_owned()) } else { Ok(()) }
}

fn check_size(width: u64, height: u64) -> Result<(), String> {
    if width * height > MAX_PIXELS {
        return Err(format!("{height}x{width} pixels are more than {MAX_PIXELS}"));
    }
    Ok(())
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let broken = |error| format!("broken JPEG: {error:?}");
    // What comes behind the image, such as the video of a motion photo, is nothing to it.
    let end = jpeg_end(bytes).ok_or("broken JPEG: cut, as there is no end after the image's data")?;
    let bytes = &bytes[..end];
    let side = MAX_SIDE as usize;
    // Headers are read leniently, since cameras pad them; the image itself strictly, or a cut file would end in grey.
    let options = DecoderOptions::default().set_max_width(side).set_max_height(side);
    let headers = options.set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), headers);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("broken JPEG: no dimensions")?;
    check_size(width as u64, height as u64)?;
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB));
    let pixels = decoder.decode().map_err(broken)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let image = RgbImage::from_raw(width as u32, height as u32, pixels);
    let image = image.ok_or("broken JPEG: not three channels")?;
    Ok(Picture::turned(image, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// Where the JPEG stream ends, by its markers; none where it is cut. A thumbnail inside a segment is passed over with it.
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        // To the next marker: 0xff and a byte that is neither a fill byte nor a stuffed zero.
        while *bytes.get(at)? != 0xff || matches!(*bytes.get(at + 1)?, 0x00 | 0xff) {
            at += 1;
        }
        match bytes[at + 1] {
            0xd9 => return Some(at + 2),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let length = usize::from(*bytes.get(at + 2)?) << 8 | usize::from(*bytes.get(at + 3)?);
                at += 2 + length.max(2); // Behind a start of scan, its data: on to the marker that ends it.
            }
        }
    }
}

impl Picture {
    /// An image turned and mirrored as its metadata says.
    fn turned(image: RgbImage, orientation: Orientation) -> Self {
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        Self { height: image.height() as usize, width: image.width() as usize, pixels: image.into_raw() }
    }

    /// A grey image `[height, width]`, with three equal channels.
    pub(crate) fn from_grey(height: usize, width: usize, grey: impl Iterator<Item = u8>) -> Self {
        Self { height, width, pixels: grey.flat_map(|value| [value; 3]).collect() }
    }

    /// A colour image stored as `[3, height, width]`.
    pub(crate) fn from_planes(height: usize, width: usize, planes: &[u8]) -> Self {
        let plane = height * width;
        let pixels = (0..plane).flat_map(|i| [planes[i], planes[plane + i], planes[2 * plane + i]]);
        Self { height, width, pixels: pixels.collect() }
    }

    /// The image stretched or shrunk to (height, width) as torchvision's `Resize((height, width))` does: bilinear,
    /// with the filter widened when it shrinks (antialiasing), in 8 bits.
    pub(crate) fn resized(
        self,
        (height, width): (usize, usize),
        resizer: &mut Resizer,
    ) -> Result<Self, String> {
        if (self.height, self.width) == (height, width) {
            return Ok(self);
        }
        let failed =
            |error: &dyn std::fmt::Display| format!("cannot be resized to {height}x{width}: {error}");
        let source = TypedImageRef::<U8x3>::from_buffer(self.width as u32, self.height as u32, &self.pixels)
            .map_err(|error| failed(&error))?;
        let mut pixels = vec![0; height * width * 3];
        let mut target = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut pixels)
            .map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // By its type, or every kind of pixel would be compiled, which takes minutes.
        resizer.resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
        Ok(Self { height, width, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula image of `tests/golden/images.py`.
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
        let mut golden = &include_bytes!("../tests/golden/resize.bin")[..];
        let cases = [
            ((9, 13), (32, 20)),
            ((32, 32), (64, 64)),
            ((64, 48), (8, 10)),
            ((50, 75), (32, 32)),
            ((8, 8), (32, 32)),
            ((7, 90), (40, 31)),
        ];
        for (source, target) in cases {
            let ours = formula(source.0, source.1).resized(target, &mut Resizer::new()).unwrap();
            let theirs = golden.split_off(..target.0 * target.1 * 3).unwrap();
            assert!(greatest_difference(&ours.pixels, theirs) <= 1, "{source:?} to {target:?}");
        }
        assert!(golden.is_empty());
    }

    const FILES: [(&str, &[u8]); 5] = [
        ("grey.png", include_bytes!("../tests/golden/grey.png")),
        ("alpha.png", include_bytes!("../tests/golden/alpha.png")),
        ("colour.jpg", include_bytes!("../tests/golden/colour.jpg")),
        ("grey.jpg", include_bytes!("../tests/golden/grey.jpg")),
        ("progressive.jpg", include_bytes!("../tests/golden/progressive.jpg")),
    ];

    #[test]
    fn decoding_is_pillows() {
        let golden = include_bytes!("../tests/golden/decoded.bin").chunks_exact(11 * 14 * 3);
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
        for format in
            [ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Png, ImageFormat::Gif]
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
            true => {
                [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0, 0, 0, 0, 0][..]]
                    .concat()
            }
            false => {
                [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01", &[0, orientation, 0, 0, 0, 0, 0, 0][..]]
                    .concat()
            }
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
}
