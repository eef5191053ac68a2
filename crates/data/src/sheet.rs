//! Pictures of a data set to look at: [`contact_sheet`] has one row a class, with its name and some training images.

use std::path::Path;

use frostline_pictures::{Picture, picture_rows};

use crate::{DataError, Dataset, Images};

/// Images of each class.
const COLUMNS: usize = 10;
/// Most classes that are drawn.
const ROWS: usize = 100;

/// One of the images as PNG.
///
/// # Errors
/// It has no pixel.
///
/// # Panics
/// If there is no image `index`.
pub fn picture(images: &Images, index: usize) -> Result<Vec<u8>, DataError> {
    one(images, index).png().map_err(|why| DataError::malformed("a picture", why))
}

fn one(images: &Images, index: usize) -> Picture {
    Picture { height: images.height(), width: images.width(), pixels: images.image(index).to_vec() }
}

/// Writes a PNG with a row for each of the first hundred classes: its name, then its first ten training images.
///
/// # Errors
/// The file cannot be written.
pub fn contact_sheet(dataset: &Dataset, path: &Path) -> Result<(), DataError> {
    let images = &dataset.train;
    let row = |(class, name): (usize, &String)| {
        let members = (0..images.len()).filter(|&i| images.labels()[i] as usize == class);
        (name.clone(), members.take(COLUMNS).map(|i| one(images, i)).collect())
    };
    let rows: Vec<_> = dataset.classes.iter().take(ROWS).enumerate().map(row).collect();
    let sheet = picture_rows(&rows, (images.height(), images.width()));
    let sheet = sheet.png().map_err(|why| DataError::malformed("the picture", why))?;
    std::fs::write(path, sheet).map_err(|error| DataError::io(path, error))
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
