//! The bytes of a batch in HWNC: [`Rows`] mirrors and crops images and turns them from image by image to pixel by pixel.
//!
//! Images are read some rows at a time, each in one run of memory, and written as one word a pixel between margins of
//! black; so a cropped row is a window of fixed length, and no loop's length or direction changes from image to image.

use crate::augment::Placement;

/// Words that the rows read at a time may have: enough to fit beside the batch in the second cache.
const WORDS: usize = 16 * 1024;

/// The rows of a batch, one after the other.
pub(crate) struct Rows<'a> {
    /// Pixels `[height, width, 3]` of each image, and its changes.
    images: &'a [(&'a [u8], Placement)],
    height: usize,
    width: usize,
    /// Black columns on each side.
    margin: usize,
    /// How many rows are read at a time.
    band: usize,
    /// `[N, band, margin + width + margin]`, N rounded up to fours; each word holds red, green and blue from its low end.
    words: Vec<u32>,
    /// `[width, N, 3]`, N rounded up to fours.
    bytes: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(images: &'a [(&'a [u8], Placement)], height: usize, width: usize) -> Self {
        let n = images.len().next_multiple_of(4);
        let margin = images.iter().map(|(_, placement)| placement.right.unsigned_abs()).max();
        let margin = margin.unwrap_or(0).min(width);
        let line = margin + width + margin;
        let band = (WORDS / (n * line).max(1)).clamp(1, height.max(1));
        Self {
            images,
            height,
            width,
            margin,
            band,
            words: vec![0; n * band * line],
            bytes: vec![0; width * n * 3],
        }
    }

    /// Bytes a pixel: those of all images, and up to three black ones more.
    pub(crate) fn stride(&self) -> usize {
        self.images.len().next_multiple_of(4) * 3
    }

    /// Calls `take` with each row, `[width, stride]`, from the top.
    pub(crate) fn for_each(&mut self, mut take: impl FnMut(&[u8])) {
        for top in (0..self.height).step_by(self.band) {
            self.read(top);
            for row in 0..self.band.min(self.height - top) {
                self.turn(row);
                take(&self.bytes);
            }
        }
    }

    /// Reads the band of rows from `top` on.
    fn read(&mut self, top: usize) {
        let (margin, width) = (self.margin, self.width);
        let line = margin + width + margin;
        for ((image, placement), words) in
            self.images.iter().zip(self.words.chunks_exact_mut(self.band * line))
        {
            pulp::Arch::new().dispatch(Read {
                image,
                placement,
                top,
                height: self.height,
                width,
                margin,
                words,
            });
        }
    }

    /// Turns one row of the band into bytes, four images at a time.
    fn turn(&mut self, row: usize) {
        let (width, stride) = (self.width, self.stride());
        let line = self.margin + width + self.margin;
        for (group, four) in self.words.chunks_exact(4 * self.band * line).enumerate() {
            let window = |i: usize| {
                let right = self.images.get(group * 4 + i).map_or(0, |(_, placement)| placement.right);
                let start = self.margin.saturating_add_signed(right).min(2 * self.margin);
                &four[(i * self.band + row) * line + start..][..width]
            };
            let pixels = window(0).iter().zip(window(1)).zip(window(2)).zip(window(3));
            for ((((a, b), c), d), bytes) in pixels.zip(self.bytes.chunks_exact_mut(stride)) {
                let bytes = &mut bytes[group * 12..][..12];
                let low = u64::from(*a) | u64::from(*b) << 24 | u64::from(*c) << 48;
                let high = c >> 16 | d << 8;
                bytes[..8].copy_from_slice(&low.to_le_bytes());
                bytes[8..].copy_from_slice(&high.to_le_bytes());
            }
        }
    }
}

/// Writes some rows of an image as words.
struct Read<'a> {
    image: &'a [u8],
    placement: &'a Placement,
    top: usize,
    height: usize,
    width: usize,
    margin: usize,
    words: &'a mut [u32],
}

impl pulp::NullaryFnOnce for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { image, placement, top, height, width, margin, words } = self;
        for (y, words) in (top..height).zip(words.chunks_exact_mut(margin + width + margin)) {
            let words = &mut words[margin..][..width];
            match y.checked_add_signed(placement.down).filter(|&y| y < height) {
                Some(y) => spread(&image[y * width * 3..][..width * 3], placement.flip, words),
                None => words.fill(0),
            }
        }
    }
}

/// Writes a row of pixels as words, from the right if it is to be mirrored.
#[inline(always)]
fn spread(pixels: &[u8], flip: bool, words: &mut [u32]) {
    let (fours, last) = pixels.as_chunks::<12>();
    let last = last.as_chunks::<3>().0;
    let word = |&[red, green, blue]: &[u8; 3]| u32::from_le_bytes([red, green, blue, 0]);
    if flip {
        let (left, right) = words.split_at_mut(last.len());
        right.as_chunks_mut().0.iter_mut().rev().zip(fours).for_each(|(words, pixels)| {
            *words = apart(pixels);
            words.reverse();
        });
        left.iter_mut().rev().zip(last).for_each(|(words, pixel)| *words = word(pixel));
    } else {
        let (left, right) = words.split_at_mut(fours.len() * 4);
        left.as_chunks_mut().0.iter_mut().zip(fours).for_each(|(words, pixels)| *words = apart(pixels));
        right.iter_mut().zip(last).for_each(|(words, pixel)| *words = word(pixel));
    }
}

/// Four pixels as a word each.
#[inline(always)]
fn apart(pixels: &[u8; 12]) -> [u32; 4] {
    const PIXEL: u32 = 0x00ff_ffff;
    let word = |i: usize| u32::from_le_bytes([pixels[i], pixels[i + 1], pixels[i + 2], pixels[i + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    [a & PIXEL, (a >> 24 | b << 8) & PIXEL, (b >> 16 | c << 16) & PIXEL, c >> 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_many_bands_hold_each_image_in_its_place() {
        let (n, height, width) = (57, 19, 30);
        let pixels: Vec<u8> = (0..n * height * width * 3).map(|i| (i * 31 + i / 7 * 11) as u8).collect();
        let placement = |i: isize| Placement { flip: i % 3 == 1, down: i * 5 % 9 - 4, right: i * 7 % 11 - 5 };
        let images: Vec<(&[u8], Placement)> =
            pixels.chunks(height * width * 3).zip((0..).map(placement)).collect();
        let mut rows = Rows::new(&images, height, width);
        assert!(rows.band > 1 && rows.band * 2 < height && height % rows.band > 0, "{}", rows.band);
        let (stride, mut y) = (rows.stride(), 0);
        rows.for_each(|row| {
            for (x, bytes) in row.chunks(stride).enumerate() {
                for ((image, placement), found) in images.iter().zip(bytes.chunks(3)) {
                    let from = |at: usize, by, end| at.checked_add_signed(by).filter(|&at| at < end);
                    let place = from(y, placement.down, height).zip(from(x, placement.right, width));
                    let expected = place.map_or(&[0; 3][..], |(y, x)| {
                        let x = if placement.flip { width - 1 - x } else { x };
                        &image[(y * width + x) * 3..][..3]
                    });
                    assert_eq!(found, expected, "{y} {x} {placement:?}");
                }
            }
            y += 1;
        });
        assert_eq!(y, height);
    }
}
