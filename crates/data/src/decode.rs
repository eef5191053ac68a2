//! One image file in memory to pixels: [`decode`] for PNG and JPEG, [`Picture::resized`] for the resolution.
//!
//! What Pillow's `convert("RGB")` does is done here: grey becomes three equal channels, alpha is dropped, and an
//! orientation noted in EXIF is not applied. Damage is never smoothed over, as lenient JPEG decoders do.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Longest side of an image that is decoded. A few bytes can claim any size.
const MAX_SIDE: u32 = 16_384;
/// Most pixels of an image that is decoded.
const MAX_PIXELS: u64 = 1 << 26;

/// One image, `[height, width, 3]` RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Decodes a PNG or JPEG file. The error says what is wrong with the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    match bytes {
        [] => Err("is empty".to_owned()),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes),
        [0xff, 0xd8, ..] => decode_jpeg(bytes),
        _ => Err("is neither PNG nor JPEG".to_owned()),
    }
}

fn decode_png(bytes: &[u8]) -> Result<Picture, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| format!("broken PNG: {error}"))?.into_rgb8();
    Ok(Picture { height: image.height() as usize, width: image.width() as usize, pixels: image.into_raw() })
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let broken = |error| format!("broken JPEG: {error:?}");
    if !ends(bytes) {
        return Err("broken JPEG: cut, as there is no end after the image's data".to_owned());
    }
    let side = MAX_SIDE as usize;
    // Headers are read leniently, since cameras pad them; the image itself strictly, or a cut file would end in grey.
    let options = DecoderOptions::default().set_max_width(side).set_max_height(side);
    let headers = options.set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), headers);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("broken JPEG: no dimensions")?;
    if width as u64 * height as u64 > MAX_PIXELS {
        return Err(format!("{height}x{width} pixels are more than {MAX_PIXELS}"));
    }
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB));
    let pixels = decoder.decode().map_err(broken)?;
    if pixels.len() != height * width * 3 {
        return Err("broken JPEG: not three channels".to_owned());
    }
    Ok(Picture { height, width, pixels })
}

/// Whether an end-of-image marker comes after the last start of scan. A thumbnail inside has both, before the image.
fn ends(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    match (last([0xff, 0xda]), last([0xff, 0xd9])) {
        (Some(scan), Some(end)) => scan < end,
        _ => false,
    }
}

impl Picture {
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
        let source = ImageRef::new(self.width as u32, self.height as u32, &self.pixels, PixelType::U8x3)
            .map_err(|error| failed(&error))?;
        let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))?;
        Ok(Self { height, width, pixels: target.into_vec() })
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
        assert_eq!(decode(b"GIF89a").unwrap_err(), "is neither PNG nor JPEG");
        let mut huge = FILES[0].1.to_vec();
        huge[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        assert!(decode(&huge).unwrap_err().starts_with("broken PNG"));
        let mut jpeg = FILES[2].1.to_vec();
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
        assert!(decode(&jpeg).unwrap_err().contains("more than 67108864"));
    }
}
