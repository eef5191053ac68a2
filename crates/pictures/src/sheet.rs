//! [`picture_rows`]: images in rows with a name before each.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::Picture;

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

/// Rows of images of one size (height, width), each row with its name before it, in capitals and cut after fourteen characters. An
/// image with too few pixels for that size is left out.
#[must_use]
pub fn picture_rows(rows: &[(String, Vec<Picture>)], size: (usize, usize)) -> Picture {
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
        for (position, image) in images.iter().enumerate() {
            if let Some(image) = RgbImage::from_raw(native_width, native_height, image.pixels.clone()) {
                let cell = imageops::resize(&image, width, height, filter);
                imageops::replace(&mut sheet, &cell, (margin + position as u32 * column).into(), top.into());
            }
        }
    }
    Picture { height: sheet.height() as usize, width: sheet.width() as usize, pixels: sheet.into_raw() }
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
