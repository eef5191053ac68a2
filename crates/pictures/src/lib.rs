//! Image files to pixels and back: [`decode`] and [`size`] read what cameras and the web write, a [`Picture`] is brought to a resolution
//! and becomes a PNG, [`picture_rows`] sets many side by side.
//!
//! A crate of its own since decoders and filters are generic: whatever calls them compiles them.

mod decode;
mod picture;
mod sheet;

pub use decode::{EXTENSIONS, decode, size};
pub use picture::{Picture, Resizer};
pub use sheet::picture_rows;
