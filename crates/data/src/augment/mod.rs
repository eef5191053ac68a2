//! Random changes of a training image: what is drawn for it, and how it is carried out.
//!
//! [`Placement`] mirrors and cuts and is carried out while a batch is assembled. What an [`crate::Augment`] has besides makes another
//! picture, which a [`Painter`] does first; [`Region`] is also what is erased of normalised images, and [`Mixing`] mixes those of a batch, by
//! draws of (seed, epoch, batch). Every other draw is a function of (seed,
//! view, example) alone, and each kind of change has a stream of its own, so that none moves the others.

mod colours;
mod mix;
mod operation;
mod painter;
mod placement;
mod region;
mod resize;
#[cfg(test)]
mod tests;
mod warp;

pub(crate) use mix::Mixing;
pub(crate) use painter::Painter;
pub use placement::Placement;
pub(crate) use region::Region;
