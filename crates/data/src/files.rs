//! Single image files, without labels: [`image_files`] lists those of a folder, [`image_sizes`] tells how large some are, [`decode_files`] brings them to one
//! resolution as the images of a data set are. A file that is broken is told, and the others go on.

use crate::folder::{is_image, visible};
use crate::{DataError, Images};
use frostline_pictures::{Resizer, decode, size};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What became of a list of files.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The images that could be decoded, in the order of the list. All labels are 0.
    pub images: Images,
    /// Where each of them stands in the list, `[N]`.
    pub places: Vec<usize>,
    /// Where each of the others stands in the list, and what is wrong with it.
    pub broken: Vec<(usize, String)>,
}

/// Decodes image files on the current rayon pool and resizes them to (height, width), as [`crate::open`] does:
/// RGB without alpha, turned as EXIF says, bilinear with antialiasing.
///
/// # Errors
/// A side of 0. A file that cannot be read or decoded is no error, but is listed in [`Decoded::broken`].
pub fn decode_files(paths: &[PathBuf], (height, width): (usize, usize)) -> Result<Decoded, DataError> {
    let read = |resizer: &mut Resizer, path: &PathBuf| {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        decode(&bytes)?.resized((height, width), resizer)
    };
    let pictures: Vec<_> = paths.par_iter().map_init(Resizer::default, read).collect();
    let (mut pixels, mut places, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for (place, picture) in pictures.into_iter().enumerate() {
        match picture {
            Ok(picture) => {
                pixels.extend_from_slice(&picture.pixels);
                places.push(place);
            }
            Err(what) => broken.push((place, what)),
        }
    }
    let images = Images::new(height, width, pixels, vec![0; places.len()])?;
    Ok(Decoded { images, places, broken })
}

/// The files in a folder that are called as images are, and those in the folders in it, sorted by name folder by folder. Names that begin
/// with a dot are skipped, and so is everything else. Symbolic links are followed, to each folder once.
///
/// # Errors
/// A folder that cannot be listed.
pub fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    walk(folder, &mut BTreeSet::new(), &mut files)?;
    Ok(files)
}

/// Height and width of as many image files of a folder as `most`, evenly chosen, as their first bytes say, turned as EXIF says; those
/// that say nothing are left out.
///
/// # Errors
/// As [`image_files`].
pub fn image_sizes(folder: &Path, most: usize) -> Result<Vec<(usize, usize)>, DataError> {
    let files = image_files(folder)?;
    let step = files.len().div_ceil(most.max(1)).max(1);
    let some: Vec<&PathBuf> = files.iter().step_by(step).collect();
    Ok(some.par_iter().filter_map(|path| size(path).ok()).collect())
}

fn walk(folder: &Path, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let real = folder.canonicalize().map_err(|error| DataError::io(folder, error))?;
    if !seen.insert(real) {
        return Ok(());
    }
    for path in visible(folder)? {
        if path.is_dir() {
            walk(&path, seen, files)?;
        } else if is_image(&path) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    fn names(folder: &Path) -> Vec<String> {
        let files = image_files(folder).unwrap();
        files.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn folders_are_searched_in_order_for_images_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a/2.JPG", "a/1.jpeg", "a/deep/x.png", "notes.txt", ".hidden.png", ".git/y.png"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/deep/round")).unwrap();
        assert_eq!(names(folder.path()), ["a/1.jpeg", "a/2.JPG", "a/deep/x.png", "b.png"]);
        RgbImage::new(30, 20).save(folder.path().join("z.png")).unwrap();
        assert_eq!(image_sizes(folder.path(), 100).unwrap(), [(20, 30)], "the others are no images");
        assert!(image_files(&folder.path().join("none")).unwrap_err().to_string().contains("none: "));
    }

    #[test]
    fn files_come_as_the_data_set_has_them_and_broken_ones_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("class")).unwrap();
        let colour = |x: u32, y: u32| [(x * 31) as u8, (y * 17) as u8, (x * y) as u8];
        for index in 0..5 {
            let image = RgbImage::from_fn(13 + index, 9, |x, y| Rgb(colour(x + index, y)));
            image.save(at("class").join(format!("{index}.png"))).unwrap();
        }
        let hub = frostline_hub::Hub::new(frostline_hub::HubOptions::standard(at("hub"))).unwrap();
        let source = crate::Source::Folder(folder.path().to_owned());
        let prepared =
            crate::prepare(&source, &frostline_sources::Reading::default(), &hub, &frostline_hub::Silent)
                .unwrap();
        let set = crate::open(&prepared, Some((6, 8))).unwrap();

        RgbaImage::from_pixel(4, 4, Rgba([9, 8, 7, 0])).save(at("alpha.png")).unwrap();
        fs::write(at("text.png"), "no image").unwrap();
        let paths: Vec<PathBuf> =
            ["text.png", "class/0.png", "missing.png", "class/3.png", "alpha.png"].map(at).to_vec();
        let decoded = decode_files(&paths, (6, 8)).unwrap();
        assert_eq!(decoded.places, [1, 3, 4]);
        assert_eq!(decoded.images.image(0), set.train.image(0));
        assert_eq!(decoded.images.image(1), set.train.image(3));
        assert_eq!(decoded.images.image(2)[..3], [9, 8, 7]);
        assert_eq!(decoded.broken[0], (0, "is no PNG, JPEG, WebP, BMP, GIF or TIFF file".to_owned()));
        assert_eq!((decoded.broken[1].0, decoded.broken.len()), (2, 2));
        assert!(decode_files(&[], (6, 8)).unwrap().images.is_empty());
    }
}
