//! [`Picture`]: an image's pixels, from any source, to the resolution.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage};

/// One image, `[height, width, 3]` RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// What resizing keeps between images, for one thread.
#[derive(Debug, Default)]
pub struct Resizer(fast_image_resize::Resizer);

impl Picture {
    /// An image turned and mirrored as its metadata says.
    pub(crate) fn turned(image: RgbImage, orientation: Orientation) -> Self {
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        Self { height: image.height() as usize, width: image.width() as usize, pixels: image.into_raw() }
    }

    /// A grey image, `[height, width]` in rows, with three equal channels.
    pub fn from_grey(height: usize, width: usize, grey: impl Iterator<Item = u8>) -> Self {
        Self { height, width, pixels: grey.flat_map(|value| [value; 3]).collect() }
    }

    /// A colour image stored as `[3, height, width]`.
    ///
    /// # Panics
    /// If `planes` is shorter.
    pub fn from_planes(height: usize, width: usize, planes: &[u8]) -> Self {
        let plane = height * width;
        let pixels = (0..plane).flat_map(|i| [planes[i], planes[plane + i], planes[2 * plane + i]]);
        Self { height, width, pixels: pixels.collect() }
    }

    /// The image stretched or shrunk to (height, width) as torchvision's `Resize((height, width))` does: bilinear,
    /// with the filter widened when it shrinks (antialiasing), in 8 bits.
    ///
    /// # Errors
    /// An image or a size without a pixel.
    pub fn resized(self, (height, width): (usize, usize), resizer: &mut Resizer) -> Result<Self, String> {
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
        resizer.0.resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
        Ok(Self { height, width, pixels })
    }

    /// The image as a PNG file.
    ///
    /// # Errors
    /// No pixel, or other pixels than `[height, width, 3]`.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let Self { height, width, pixels } = self;
        if pixels.len() != height * width * 3 {
            return Err(format!("{} bytes are not {height}x{width} pixels", pixels.len()));
        }
        let mut bytes = Vec::new();
        let size = (*width as u32, *height as u32);
        let written =
            PngEncoder::new(&mut bytes).write_image(pixels, size.0, size.1, ExtendedColorType::Rgb8);
        written.map_err(|error| format!("{height}x{width} pixels cannot be a PNG: {error}"))?;
        Ok(bytes)
    }
}
