//! An image file to pixels: [`decode`] by what is in the file, whatever its name is; [`size`] tells its shape alone.
//!
//! What Pillow's `ImageOps.exif_transpose` and `convert("RGB")` do is done here: an orientation noted in EXIF is applied, as
//! every viewer does, grey becomes three equal channels, and alpha is dropped. Of an animation the first frame is taken.
//! Damage is never smoothed over, as lenient JPEG decoders do.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::Picture;

/// Longest side of an image that is decoded. A few bytes can claim any size.
const MAX_SIDE: u32 = 16_384;
/// Most pixels of an image that is decoded.
const MAX_PIXELS: u64 = 1 << 26;
/// The formats that are read.
const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";
/// What files of these formats are mostly called.
pub const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jfif", "webp", "bmp", "gif", "tif", "tiff"];

/// Bytes of a file. The decoders are generic in what they read from; by this one type they are compiled once.
trait Stream: BufRead + Seek {}

impl<T: BufRead + Seek> Stream for T {}

/// Height and width of an image file, turned as EXIF says, as its first bytes have it; its pixels may still be broken.
///
/// # Errors
/// The file cannot be read, or begins as no image does.
pub fn size(path: &Path) -> ImageResult<(usize, usize)> {
    let mut file = BufReader::new(File::open(path)?);
    let reader = ImageReader::new(&mut file as &mut dyn Stream).with_guessed_format()?;
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        orientation(&mut decoder),
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Ok(if turned { (width as usize, height as usize) } else { (height as usize, width as usize) })
}

/// Decodes an image file that is in memory.
///
/// # Errors
/// What is wrong with the bytes, in words that go behind the file's name: they are no image, damaged or cut, or claim more than 2^26 pixels.
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
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
    let mut bytes = Cursor::new(bytes);
    let mut reader = ImageReader::with_format(&mut bytes as &mut dyn Stream, format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let orientation = orientation(&mut decoder);
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    Ok(Picture::turned(image.into_rgb8(), orientation))
}

/// Metadata that is damaged turns no image.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
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
