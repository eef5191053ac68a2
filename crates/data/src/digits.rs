//! The source `digits`: 1,797 handwritten digits of 8x8, embedded. Licence and citation: `assets/digits/LICENCE.md`.
//!
//! Every fifth image of each class is a test image, as for any source without a test split: 1,442 to train, 355 to test.

use std::io::Read;

use flate2::read::ZlibDecoder;
use frostline_pictures::Picture;
use frostline_sources::Source;

use crate::DataError;
use crate::dataset::{Dataset, FileLineage};
use crate::duplicates::Part;
use crate::gather::Gatherer;

const PACKED: &[u8] = include_bytes!("../assets/digits/digits.zlib");
const IMAGES: usize = 1797;
const SIDE: usize = 8;
const LICENCE: &str = "CC BY 4.0; E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, \
                       UCI Machine Learning Repository, 1998, doi:10.24432/C50P49";

pub(crate) fn open(resolution: Option<(usize, usize)>) -> Result<Dataset, DataError> {
    let plain = unpack()?;
    let (labels, pixels) = plain.split_at(IMAGES);
    let items: Vec<(&u8, &[u8])> = labels.iter().zip(pixels.chunks_exact(SIDE * SIDE)).collect();
    let read = |(label, levels): &(&u8, &[u8])| {
        // 0..=16 becomes 0..=255, rounded.
        let grey = levels.iter().map(|&level| ((u32::from(level) * 255 + 8) / 16) as u8);
        Ok((Picture::from_grey(SIDE, SIDE, grey), u32::from(**label)))
    };
    let numbered: Vec<(usize, (&u8, &[u8]))> = items.into_iter().enumerate().collect();
    let mut gatherer = Gatherer::new(Source::Digits.to_string(), resolution);
    gatherer.add(Part::Train, &numbered, |(_, item)| read(item), |(number, _)| format!("digit {number}"));
    let mut dataset = gatherer.finish((0..10).map(|digit| digit.to_string()).collect(), Vec::new())?;
    let (name, sha256) = ("digits.zlib".to_owned(), frostline_text::sha256(PACKED));
    dataset.files.push(FileLineage { name, revision: None, sha256, size: PACKED.len() as u64 });
    dataset.licence = Some(LICENCE.to_owned());
    Ok(dataset)
}

/// 1,797 labels, then as many images of 64 bytes in 0..=16.
fn unpack() -> Result<Vec<u8>, DataError> {
    let mut plain = Vec::with_capacity(IMAGES * 65);
    match ZlibDecoder::new(PACKED).read_to_end(&mut plain) {
        Ok(bytes) if bytes == IMAGES * (1 + SIDE * SIDE) => Ok(plain),
        outcome => {
            Err(DataError::malformed("the embedded digits", format!("cannot be unpacked: {outcome:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bytes_are_those_that_the_script_packed() {
        let sum = frostline_text::sha256(&unpack().unwrap());
        assert_eq!(sum, "e1d88a0854e29e01d16358d2cd026aa8fc20dfc4cdb3fce004300857ea82aa70");
    }

    #[test]
    fn the_first_digit_is_a_zero() {
        let digits = open(None).unwrap();
        let first: Vec<u8> = digits.train.image(0).chunks(3).map(|pixel| pixel[0]).collect();
        let row = |levels: [u32; 8]| levels.map(|level| ((level * 255 + 8) / 16) as u8);
        assert_eq!(first[8..16], row([0, 0, 13, 15, 10, 15, 5, 0]));
        assert_eq!((digits.train.labels()[0], digits.train.image(0)[9..12] == [207; 3]), (0, true));
    }

    #[test]
    fn the_split_is_fixed_and_stratified() {
        let digits = open(Some((12, 20))).unwrap();
        assert_eq!((digits.train.height(), digits.train.width()), (12, 20));
        let counts = digits.class_counts();
        let total = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
        for (count, total) in counts.iter().zip(total) {
            assert_eq!((count.train + count.test, count.test), (total, total / 5), "{}", count.name);
        }
        assert_eq!(digits.digest, open(None).unwrap().digest);
        assert_eq!(digits.digest, GOLDEN);
    }
    const GOLDEN: &str = "069d036f4018d27f87fb5b83372058099b79e6677412eac5bbce384a68ea784f";
}
