//! Pictures to look at: [`contact_sheet`] of a data set, one row a class, with its name and some training images;
//! [`picture_rows`] of any images.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use image::{ImageResult, Rgb, RgbImage};

use crate::{DataError, Dataset, Images};

/// Images of each class.
const COLUMNS: usize = 10;
/// Most classes that are drawn.
const ROWS: usize = 100;
/// Smaller images are enlarged by a whole factor, without smoothing, to at least this side.
const LEAST: u32 = 48;
/// Larger images are shrunk to this side.
const MOST: u32 = 96;
/// Pixels between images.
const GAP: u32 = 4;
/// Side of a glyph's dot.
const DOT: u32 = 2;
/// Most characters of a class name that are drawn.
const NAME: usize = 14;

/// One of the images as PNG.
///
/// # Errors
/// None that is known: there is room in memory.
///
/// # Panics
/// If there is no image `index`.
pub fn picture(images: &Images, index: usize) -> Result<Vec<u8>, DataError> {
    let (width, height) = (images.width() as u32, images.height() as u32);
    let failed = |why: String| DataError::malformed("a picture", why);
    let picture = RgbImage::from_raw(width, height, images.image(index).to_vec())
        .ok_or_else(|| failed(format!("its pixels are not {width}x{height}")))?;
    png(&picture).map_err(|error| failed(error.to_string()))
}

/// Writes a PNG with a row for each of the first hundred classes: its name, then its first ten training images.
///
/// # Errors
/// The file cannot be written.
pub fn contact_sheet(dataset: &Dataset, path: &Path) -> Result<(), DataError> {
    let images = &dataset.train;
    let row = |(class, name): (usize, &String)| {
        let members = (0..images.len()).filter(|&i| images.labels()[i] as usize == class);
        (name.clone(), members.take(COLUMNS).map(|i| images.image(i).to_vec()).collect())
    };
    let rows: Vec<_> = dataset.classes.iter().take(ROWS).enumerate().map(row).collect();
    let png = picture_rows(&rows, (images.height(), images.width()))?;
    std::fs::write(path, png).map_err(|error| DataError::io(path, error))
}

/// A PNG file of rows of images of one size (height, width), each row with its name before it; an image is
/// `[height, width, 3]`. Names are drawn in capitals and cut after fourteen characters.
///
/// # Errors
/// The picture cannot be encoded.
pub fn picture_rows(rows: &[(String, Vec<Vec<u8>>)], size: (usize, usize)) -> Result<Vec<u8>, DataError> {
    png(&draw(rows, size)).map_err(|error| DataError::malformed("the picture", error))
}

/// A picture as a PNG file.
fn png(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(PngEncoder::new(&mut bytes))?;
    Ok(bytes)
}

fn draw(rows: &[(String, Vec<Vec<u8>>)], size: (usize, usize)) -> RgbImage {
    let (native_height, native_width) = (size.0 as u32, size.1 as u32);
    let side = native_height.max(native_width).max(1);
    let (scale, divisor) = if side > MOST { (MOST, side) } else { (LEAST.div_ceil(side), 1) };
    let sized = |pixels: u32| (pixels * scale / divisor).max(1);
    let (height, width) = (sized(native_height), sized(native_width));
    let filter = if side > MOST { FilterType::Triangle } else { FilterType::Nearest };
    let margin = (NAME as u32 * 4 + 1) * DOT + GAP;
    let (row, column) = (height + GAP, width + GAP);
    let columns = rows.iter().map(|(_, images)| images.len()).max().unwrap_or(0) as u32;
    let size = (margin + columns * column, GAP + rows.len() as u32 * row);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
    for (index, (name, images)) in rows.iter().enumerate() {
        let top = GAP + index as u32 * row;
        write_name(&mut sheet, name, GAP, top + height.saturating_sub(5 * DOT) / 2);
        for (position, pixels) in images.iter().enumerate() {
            if let Some(image) = RgbImage::from_raw(native_width, native_height, pixels.clone()) {
                let cell = imageops::resize(&image, width, height, filter);
                imageops::replace(&mut sheet, &cell, (margin + position as u32 * column).into(), top.into());
            }
        }
    }
    sheet
}

fn write_name(sheet: &mut RgbImage, name: &str, left: u32, top: u32) {
    for (position, character) in name.chars().take(NAME).enumerate() {
        let rows = glyph(character);
        for (y, x) in (0..5).flat_map(|y| (0..3).map(move |x| (y, x))) {
            if (rows >> (14 - (y * 3 + x))) & 1 == 1 {
                let (x0, y0) = (left + (position as u32 * 4 + x) * DOT, top + y * DOT);
                for (dx, dy) in (0..DOT).flat_map(|dx| (0..DOT).map(move |dy| (dx, dy))) {
                    if let Some(pixel) = sheet.get_pixel_mut_checked(x0 + dx, y0 + dy) {
                        *pixel = Rgb([0; 3]);
                    }
                }
            }
        }
    }
}

/// Three dots by five, row by row from the top, the first dot in bit 14. Letters have one case.
fn glyph(character: char) -> u16 {
    match character.to_ascii_uppercase() {
        '0' => 0b111_101_101_101_111,
        '1' => 0b010_110_010_010_111,
        '2' => 0b111_001_111_100_111,
        '3' => 0b111_001_111_001_111,
        '4' => 0b101_101_111_001_001,
        '5' => 0b111_100_111_001_111,
        '6' => 0b111_100_111_101_111,
        '7' => 0b111_001_001_010_010,
        '8' => 0b111_101_111_101_111,
        '9' => 0b111_101_111_001_111,
        'A' => 0b010_101_111_101_101,
        'B' => 0b110_101_110_101_110,
        'C' => 0b011_100_100_100_011,
        'D' => 0b110_101_101_101_110,
        'E' => 0b111_100_110_100_111,
        'F' => 0b111_100_110_100_100,
        'G' => 0b011_100_101_101_011,
        'H' => 0b101_101_111_101_101,
        'I' => 0b111_010_010_010_111,
        'J' => 0b001_001_001_101_010,
        'K' => 0b101_101_110_101_101,
        'L' => 0b100_100_100_100_111,
        'M' => 0b101_111_111_101_101,
        'N' => 0b110_101_101_101_101,
        'O' => 0b010_101_101_101_010,
        'P' => 0b110_101_110_100_100,
        'Q' => 0b010_101_101_110_011,
        'R' => 0b110_101_110_101_101,
        'S' => 0b011_100_010_001_110,
        'T' => 0b111_010_010_010_010,
        'U' => 0b101_101_101_101_111,
        'V' => 0b101_101_101_101_010,
        'W' => 0b101_101_111_111_101,
        'X' => 0b101_101_010_101_101,
        'Y' => 0b101_101_010_010_010,
        'Z' => 0b111_001_010_100_111,
        ' ' => 0,
        '-' => 0b000_000_111_000_000,
        '_' => 0b000_000_000_000_111,
        '.' | ',' => 0b000_000_000_000_010,
        _ => 0b111_101_101_101_111,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits;

    #[test]
    fn a_sheet_shows_names_and_images() {
        let digits = digits::open(Some((8, 12))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        contact_sheet(&digits, &path).unwrap();
        let sheet = image::open(&path).unwrap().into_rgb8();
        // Ten rows of 8 * 4 + 4 pixels; a margin of 14 glyphs, ten columns of 12 * 4 + 4 pixels.
        assert_eq!(sheet.dimensions(), (118 + 520, 364));
        let first = digits.train.image(0);
        for (x, y) in [(0, 0), (5, 3), (11, 7)] {
            let at = (y * 12 + x) * 3;
            assert_eq!(sheet.get_pixel(118 + x as u32 * 4 + 2, 4 + y as u32 * 4 + 1).0, first[at..at + 3]);
        }
        let ink = (0..118)
            .flat_map(|x| (0..36).map(move |y| (x, y)))
            .filter(|&(x, y)| sheet.get_pixel(x, y).0 == [0; 3]);
        assert_eq!(ink.count(), 12 * 4, "the glyph 0 has twelve dots");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let digits = digits::open(None).unwrap();
        let message = contact_sheet(&digits, Path::new("/nowhere/at/all.png")).unwrap_err().to_string();
        assert!(message.starts_with("/nowhere/at/all.png: "), "{message}");
    }
}
