//! Decoded images in memory: [`Images`], 8-bit RGB in NHWC with a label each. It never changes after it is made.

use crate::DataError;
use std::sync::Arc;

/// Images of one size with their labels. Clones share the pixels.
#[derive(Clone, Debug)]
pub struct Images {
    height: usize,
    width: usize,
    pixels: Arc<Vec<u8>>,
    labels: Arc<Vec<u32>>,
    /// What tells whether two images are of the same picture at its native size; empty where that is not known.
    pictures: Arc<Vec<[u8; 32]>>,
}

impl Images {
    /// Takes `pixels`, `[N, height, width, 3]` row-major RGB in 0..=255, and `labels`, `[N]`.
    ///
    /// # Errors
    /// The two lengths do not belong together, or the images have no pixels.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>, labels: Vec<u32>) -> Result<Self, DataError> {
        let size = height * width * 3;
        if size == 0 || pixels.len() != size * labels.len() {
            let what = format!(
                "{} bytes of pixels are not {} images of {height}x{width}x3",
                pixels.len(),
                labels.len()
            );
            return Err(DataError::malformed("images", what));
        }
        let pictures = Arc::default();
        Ok(Self { height, width, pixels: Arc::new(pixels), labels: Arc::new(labels), pictures })
    }

    /// The same images with the SHA-256 of the picture that each was made of, `[N]`.
    pub(crate) fn of_pictures(self, pictures: Vec<[u8; 32]>) -> Self {
        debug_assert_eq!(pictures.len(), self.len());
        Self { pictures: Arc::new(pictures), ..self }
    }

    /// The SHA-256 of the picture that each was made of, `[N]`; empty where that is not known.
    pub(crate) fn pictures(&self) -> &[[u8; 32]] {
        &self.pictures
    }

    /// Whether both are the same pixels in memory.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pixels, &other.pixels)
    }

    /// How many of the images at `indices` show a picture that one of `others` shows too.
    pub fn also_in(&self, indices: &[u32], others: &Self) -> usize {
        let theirs: std::collections::BTreeSet<&[u8; 32]> = others.pictures.iter().collect();
        let ours = indices.iter().filter_map(|&index| self.pictures.get(index as usize));
        ours.filter(|picture| theirs.contains(picture)).count()
    }

    /// Where the image stands that a number is of. Numbers beyond the last image go round again: they are further looks at an image in
    /// one epoch, for each of which changes are drawn by themselves.
    pub fn place(&self, number: u32) -> usize {
        number as usize % self.len().max(1)
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All pixels, `[N, height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, `[N]`.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The pixels of image `i`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If there is no image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.height * self.width * 3;
        &self.pixels[i * size..(i + 1) * size]
    }

    /// The images at `indices`, in that order.
    pub(crate) fn select(&self, indices: &[u32]) -> Self {
        let pixels = indices.iter().flat_map(|&i| self.image(i as usize)).copied().collect();
        let labels = indices.iter().map(|&i| self.labels[i as usize]).collect();
        let pictures = indices.iter().filter_map(|&i| self.pictures.get(i as usize).copied()).collect();
        let (pixels, labels, pictures) = (Arc::new(pixels), Arc::new(labels), Arc::new(pictures));
        Self { pixels, labels, pictures, ..*self }
    }

    /// The images of several, which are of one size, one behind the other.
    pub(crate) fn joined(first: &Self, others: &[&Self]) -> Self {
        let all = || std::iter::once(first).chain(others.iter().copied());
        debug_assert!(all().all(|images| (images.height, images.width) == (first.height, first.width)));
        let pixels = all().flat_map(|images| images.pixels.iter().copied()).collect();
        let labels = all().flat_map(|images| images.labels.iter().copied()).collect();
        let pictures = all().flat_map(|images| images.pictures.iter().copied()).collect();
        let (pixels, labels, pictures) = (Arc::new(pixels), Arc::new(labels), Arc::new(pictures));
        Self { pixels, labels, pictures, ..*first }
    }

    /// The same images with other labels, one each.
    pub(crate) fn labelled(self, labels: Vec<u32>) -> Self {
        debug_assert_eq!(labels.len(), self.len());
        Self { labels: Arc::new(labels), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_its_slice() {
        let images = Images::new(1, 2, (0..18).collect(), vec![2, 0, 2]).unwrap();
        assert_eq!(images.image(1), [6, 7, 8, 9, 10, 11]);
        let chosen = images.select(&[2, 0]);
        assert_eq!((chosen.image(0)[0], chosen.labels()), (12, &[2, 2][..]));
    }

    #[test]
    fn lengths_must_belong_together() {
        let message = Images::new(2, 2, vec![0; 13], vec![0]).unwrap_err().to_string();
        assert_eq!(message, "images: 13 bytes of pixels are not 1 images of 2x2x3");
    }
}
