//! How rows of images are seen through the windows that can be drawn: [`Windows`], made once for a loader.

use frostline_sources::Augment;

use crate::augment::Placement;

/// In [`Tile::pick`]: black.
const BLACK: u8 = 0x80;

/// Which column of an image stands in column `x` of its window, if any.
#[inline]
pub(crate) fn column(placement: &Placement, width: usize, x: usize) -> Option<usize> {
    let x = x.checked_add_signed(placement.right).filter(|&x| x < width)?;
    Some(if placement.flip { width - 1 - x } else { x })
}

/// Four columns of a window, as what a byte shuffle takes from 16 bytes of an image's row.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "shuffles are for x86-64"))]
pub(crate) struct Tile {
    /// Where the bytes begin.
    pub(crate) start: u32,
    /// The place of red, green and blue among them, then a black byte, for each column.
    pub(crate) pick: [u8; 16],
}

impl Tile {
    /// Pixels that a row has at least to have tiles.
    pub(crate) const NARROWEST: usize = 6;

    fn new(placement: &Placement, width: usize, first: usize) -> Self {
        let columns = [0, 1, 2, 3].map(|x| {
            let inside = Some(first + x).filter(|&x| x < width);
            inside.and_then(|x| column(placement, width, x)).map(|column| column * 3)
        });
        let start = columns.into_iter().flatten().min().unwrap_or(0).min(width * 3 - 16);
        let mut pick = [BLACK; 16];
        for (pick, column) in pick.as_chunks_mut::<4>().0.iter_mut().zip(columns) {
            if let Some(column) = column {
                let red = (column - start) as u8;
                *pick = [red, red + 1, red + 2, BLACK];
            }
        }
        Self { start: start as u32, pick }
    }
}

/// The tiles of all windows.
#[derive(Debug)]
pub(crate) struct Windows {
    width: usize,
    /// How far to the side a window may lie.
    reach: isize,
    /// `[flip, 2 * reach + 1, width / 4]`, rounded up; none where a row is narrower than [`Tile::NARROWEST`].
    tiles: Vec<Tile>,
}

impl Windows {
    pub(crate) fn new(width: usize, augment: Augment) -> Self {
        // A window further away is as black as one that lies just beside the image.
        let reach = augment.crop.unwrap_or(0).min(width) as isize;
        let flips: &[bool] = if augment.flip { &[false, true] } else { &[false] };
        let mut tiles = Vec::new();
        if width >= Tile::NARROWEST {
            for (&flip, right) in
                flips.iter().flat_map(|flip| (-reach..=reach).map(move |right| (flip, right)))
            {
                let placement = Placement { flip, down: 0, right };
                tiles.extend((0..width).step_by(4).map(|first| Tile::new(&placement, width, first)));
            }
        }
        Self { width, reach, tiles }
    }

    /// Pixels in a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The tiles of one window from left to right. `down` plays no part.
    pub(crate) fn tiles(&self, placement: &Placement) -> &[Tile] {
        let right = placement.right.clamp(-self.reach, self.reach) + self.reach;
        let window = usize::from(placement.flip) * (2 * self.reach as usize + 1) + right as usize;
        let mut tiles = self.tiles.chunks_exact(self.width.div_ceil(4));
        tiles.nth(window).unwrap_or_default()
    }
}
