//! The bytes of a batch in HWNC: [`Rows`] turns images, mirrored and cropped, from one by one to pixel by pixel.
//!
//! On x86-64, four pixels of four images are turned in registers: 16 bytes of each image's row are loaded, and a byte
//! shuffle takes from them what [`Windows`] says, so mirroring and black margins cost nothing. Elsewhere, and in images
//! too narrow for that, pixels are copied one by one.

use std::hint::black_box;

use crate::augment::Placement;
use crate::windows::{Tile, Windows, column};

/// Bytes of all images that are brought near at a time: a part of the second cache.
const NEAR: usize = 256 * 1024;

/// The images of a batch, to be read row by row.
pub(crate) struct Rows<'a> {
    images: Vec<Image<'a>>,
    height: usize,
    width: usize,
    /// A row of black.
    black: Vec<u8>,
}

struct Image<'a> {
    /// `[height, width, 3]`.
    pixels: &'a [u8],
    placement: Placement,
    /// The window's columns, four at a time; none where there is no room for shuffles.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "shuffles are for x86-64"))]
    tiles: &'a [Tile],
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        images: impl Iterator<Item = (&'a [u8], Placement)>,
        windows: &'a Windows,
        height: usize,
    ) -> Self {
        let images = images.map(|(pixels, placement)| {
            let tiles = windows.tiles(&placement);
            Image { pixels, placement, tiles }
        });
        Self { images: images.collect(), height, width: windows.width(), black: vec![0; windows.width() * 3] }
    }

    /// Calls `take` with each row, `[width, N, 3]`, from the top.
    pub(crate) fn for_each(&self, mut take: impl FnMut(&[u8])) {
        let stride = self.images.len() * 3;
        let mut bytes = vec![0; self.width.next_multiple_of(4) * stride];
        let band = (NEAR / (self.width * stride).max(1)).max(1);
        for y in 0..self.height {
            if y % band == 0 {
                self.bring_near(y, band);
            }
            self.turn(y, &mut bytes);
            take(&bytes[..self.width * stride]);
        }
    }

    /// Loads one byte of each cache line of rows `y..y + rows`. Many such loads are under way at a time, where the
    /// shuffles would wait for one line after the other.
    fn bring_near(&self, y: usize, rows: usize) {
        let line = self.width * 3;
        for image in &self.images {
            let pixels = &image.pixels[y * line..self.height.min(y + rows) * line];
            black_box(pixels.iter().step_by(64).fold(0, |sum, byte| sum ^ byte));
        }
    }

    /// Writes row `y`. `bytes` has room for whole fours of columns.
    fn turn(&self, y: usize, bytes: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if self.width >= Tile::NARROWEST
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            pulp::Simd::vectorize(simd, shuffle::Turn { simd, rows: self, y, bytes });
            return;
        }
        self.turn_one_by_one(y, bytes);
    }

    /// The row of an image that its window shows at `y`.
    #[inline(always)]
    fn source(&self, image: &Image<'a>, y: usize) -> &[u8] {
        match y.checked_add_signed(image.placement.down).filter(|&y| y < self.height) {
            Some(y) => &image.pixels[y * self.width * 3..][..self.width * 3],
            None => &self.black,
        }
    }

    fn turn_one_by_one(&self, y: usize, bytes: &mut [u8]) {
        for (position, image) in self.images.iter().enumerate() {
            let source = self.source(image, y).as_chunks::<3>().0;
            for (x, bytes) in bytes.chunks_exact_mut(self.images.len() * 3).take(self.width).enumerate() {
                let pixel = column(&image.placement, self.width, x).map_or([0; 3], |column| source[column]);
                bytes[position * 3..][..3].copy_from_slice(&pixel);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod shuffle {
    use std::arch::x86_64::__m128i;

    use pulp::cast;
    use pulp::x86::V3;

    use super::{Image, Rows};

    /// Of four pixels with a black byte after each, those without it.
    const DENSE: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0x80, 0x80, 0x80, 0x80];

    /// Turns row `y`.
    pub(super) struct Turn<'a> {
        pub(super) simd: V3,
        pub(super) rows: &'a Rows<'a>,
        pub(super) y: usize,
        pub(super) bytes: &'a mut [u8],
    }

    impl pulp::NullaryFnOnce for Turn<'_> {
        type Output = ();

        #[inline(always)]
        fn call(mut self) {
            let (fours, last) = self.rows.images.as_chunks::<4>();
            for (group, images) in fours.iter().enumerate() {
                self.group::<12>(group, images);
            }
            match last {
                [] => (),
                [_] => self.group::<3>(fours.len(), last),
                [_, _] => self.group::<6>(fours.len(), last),
                _ => self.group::<9>(fours.len(), last),
            }
        }
    }

    impl Turn<'_> {
        /// Turns up to four images, which have `BYTES` of each pixel.
        #[inline(always)]
        fn group<const BYTES: usize>(&mut self, group: usize, images: &[Image<'_>]) {
            let Self { simd, rows, y, bytes } = self;
            let stride = rows.images.len() * 3;
            let mut sources = [&rows.black[..]; 4];
            let mut tiles = [images[0].tiles; 4];
            for ((source, tiles), image) in sources.iter_mut().zip(&mut tiles).zip(images) {
                *source = rows.source(image, *y);
                *tiles = image.tiles;
            }
            let tiles = tiles[0].iter().zip(tiles[1]).zip(tiles[2]).zip(tiles[3]);
            for ((((a, b), c), d), bytes) in tiles.zip(bytes.chunks_exact_mut(stride * 4)) {
                let mut pixels = [cast(a.pick), cast(b.pick), cast(c.pick), cast(d.pick)];
                for ((pixels, source), tile) in pixels.iter_mut().zip(sources).zip([a, b, c, d]) {
                    let bytes = source[tile.start as usize..][..16].as_chunks::<16>().0[0];
                    *pixels = simd.ssse3._mm_shuffle_epi8(cast(bytes), *pixels);
                }
                for (column, bytes) in
                    transpose(*simd, pixels).into_iter().zip(bytes.chunks_exact_mut(stride))
                {
                    let column: [u8; 16] = cast(simd.ssse3._mm_shuffle_epi8(column, cast(DENSE)));
                    bytes[group * 12..][..BYTES].copy_from_slice(&column[..BYTES]);
                }
            }
        }
    }

    /// The transpose of four by four words.
    #[inline(always)]
    fn transpose(simd: V3, [a, b, c, d]: [__m128i; 4]) -> [__m128i; 4] {
        let simd = simd.sse2;
        let (ab, cd) = (simd._mm_unpacklo_epi32(a, b), simd._mm_unpacklo_epi32(c, d));
        let (right_ab, right_cd) = (simd._mm_unpackhi_epi32(a, b), simd._mm_unpackhi_epi32(c, d));
        [
            simd._mm_unpacklo_epi64(ab, cd),
            simd._mm_unpackhi_epi64(ab, cd),
            simd._mm_unpacklo_epi64(right_ab, right_cd),
            simd._mm_unpackhi_epi64(right_ab, right_cd),
        ]
    }
}

#[cfg(test)]
mod tests {
    use frostline_sources::Augment;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_way_puts_each_image_in_its_place(
            n in 1usize..10, height in 1usize..6, width in 1usize..40, pad in 0usize..50,
        ) {
            let pixels: Vec<u8> = (0..n * height * width * 3).map(|i| (i * 31 + i / 7 * 11) as u8).collect();
            let offset = |i: usize| (i * 37 % (2 * pad + 1)) as isize - pad as isize;
            let placement = |i| Placement { flip: i % 3 == 1, down: offset(i * 3 + 1) % 4, right: offset(i) };
            let images: Vec<(&[u8], Placement)> =
                pixels.chunks(height * width * 3).zip((0..).map(placement)).collect();
            let augment = Augment { flip: true, crop: Some(pad), ..Augment::NONE };
            let windows = Windows::new(width, augment);
            let rows = Rows::new(images.iter().copied(), &windows, height);
            let mut bytes = vec![0; width.next_multiple_of(4) * n * 3];
            for y in 0..height {
                let mut expected = Vec::new();
                let places = (0..width).flat_map(|x| images.iter().map(move |image| (x, image)));
                for (x, (image, placement)) in places {
                    let from = |at: usize, by, end| at.checked_add_signed(by).filter(|&at| at < end);
                    let place = from(y, placement.down, height).zip(from(x, placement.right, width));
                    expected.extend(place.map_or([0; 3], |(y, x)| {
                        let x = if placement.flip { width - 1 - x } else { x };
                        [0, 1, 2].map(|channel| image[(y * width + x) * 3 + channel])
                    }));
                }
                rows.turn(y, &mut bytes);
                prop_assert_eq!(&bytes[..width * n * 3], &expected);
                bytes.fill(77);
                rows.turn_one_by_one(y, &mut bytes);
                prop_assert_eq!(&bytes[..width * n * 3], &expected);
            }
        }
    }
}
