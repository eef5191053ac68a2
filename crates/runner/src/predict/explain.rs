//! Pictures of where a model finds what it says of image files: [`Pictures`] has their places, [`Predictor::draw`] fills them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use frostline_data::{Decoded, decode_files};
use frostline_engine::explain;
use frostline_models::{Explanation, Method};
use frostline_pictures::size;
use frostline_results::write_file;
use frostline_text::plural;

use super::Predictor;
use super::heat::{Heat, beside};
use crate::error::Error;

/// Pixels of the longer side of a picture: small images are drawn larger, large ones smaller.
const SIDES: (usize, usize) = (224, 448);
/// Images that are explained at a time.
const CHUNK: usize = 64;

/// Where the pictures of some image files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictures {
    folder: PathBuf,
    /// One for each image.
    paths: Vec<PathBuf>,
}

impl Pictures {
    /// A place in `folder` for each image: its name with `-explained.png`, and a number where several have the same.
    ///
    /// # Errors
    /// Something else than a folder is there, or it cannot be made; an image would be overwritten.
    pub fn of(images: &[PathBuf], folder: &Path) -> Result<Self, Error> {
        let given: BTreeSet<PathBuf> = images.iter().filter_map(|image| image.canonicalize().ok()).collect();
        let (mut taken, mut paths) = (BTreeSet::new(), Vec::with_capacity(images.len()));
        for image in images {
            let stem = image.file_stem().unwrap_or_default().to_string_lossy();
            let name = |number: usize| match number {
                1 => format!("{stem}-explained.png"),
                number => format!("{stem}-{number}-explained.png"),
            };
            let mut number = 1;
            while !taken.insert(name(number).to_lowercase()) {
                number += 1;
            }
            let path = folder.join(name(number));
            if path.canonicalize().is_ok_and(|path| given.contains(&path)) {
                let message =
                    format!("the picture of {} would overwrite {}", image.display(), path.display());
                return Err(Error::usage(message, "give --explain a folder of its own"));
            }
            paths.push(path);
        }
        std::fs::create_dir_all(folder).map_err(|error| {
            let message = format!("--explain {} cannot be made a folder: {error}", folder.display());
            Error::usage(message, "name another")
        })?;
        Ok(Self { folder: folder.to_owned(), paths })
    }
}

impl Predictor<'_> {
    /// Draws where the likeliest class of each image was found; a sentence on how. Images that are broken have no picture.
    ///
    /// # Errors
    /// The model has no map with pixels enough; a picture cannot be written; a tensor operation fails.
    pub fn draw(&self, images: &[PathBuf], pictures: &Pictures) -> Result<String, Error> {
        let side = self.sidecar.resolution;
        let (mut drawn, mut blank, mut how) = (0, 0, None);
        for (images, places) in images.chunks(CHUNK).zip(pictures.paths.chunks(CHUNK)) {
            let decoded = decode_files(images, (side, side))?;
            if decoded.images.is_empty() {
                continue;
            }
            let (mean, std) = (self.sidecar.weights.mean, self.sidecar.weights.std);
            let found = explain(&self.model, &decoded.images, mean, std)?;
            let heats = found.iter().flat_map(|explanation| {
                let size = explanation.height * explanation.width;
                explanation.weights.chunks_exact(size).map(move |weights| (explanation, weights))
            });
            for ((explanation, weights), place) in heats.zip(&decoded.places) {
                let weights = spread(explanation.method, weights);
                blank += usize::from(weights.iter().all(|weight| *weight == 0.0));
                let heat = Heat { height: explanation.height, width: explanation.width, weights: &weights };
                picture(&images[*place], heat, &places[*place])?;
                drawn += 1;
            }
            how = found.first().map(described);
        }
        let Some(how) = how else { return Ok("no image could be explained".to_owned()) };
        let blank = match blank {
            0 => String::new(),
            blank => format!("; in {} nothing speaks for the class", plural(blank, "image")),
        };
        Ok(format!("{} in {}: {how}{blank}", plural(drawn, "picture"), pictures.folder.display()))
    }
}

/// What was looked at.
fn described(explanation: &Explanation) -> String {
    let Explanation { method, stage, height, width, .. } = explanation;
    match method {
        Method::GradCam => format!("Grad-CAM on the map of {stage}, {height} x {width}"),
        Method::Rollout => format!("attention rollout to {stage}, {height} x {width} patches"),
    }
}

/// Weights in [0, 1]. What a rollout gives every place is taken off, since tokens keep some of themselves.
fn spread(method: Method, weights: &[f32]) -> Vec<f32> {
    let highest = weights.iter().copied().fold(0.0, f32::max);
    let lowest = match method {
        Method::GradCam => 0.0,
        Method::Rollout => weights.iter().copied().fold(highest, f32::min),
    };
    let range = highest - lowest;
    weights.iter().map(|weight| if range > 0.0 { (weight - lowest) / range } else { 0.0 }).collect()
}

/// Writes the picture of an image.
fn picture(image: &PathBuf, heat: Heat<'_>, place: &Path) -> Result<(), Error> {
    let failed = |what: String| Error::reading(image, std::io::Error::other(what), None);
    let size = shown(size(image).map_err(|error| failed(error.to_string()))?);
    let Decoded { images, broken, .. } = decode_files(std::slice::from_ref(image), size)?;
    if let Some((_, what)) = broken.into_iter().next() {
        return Err(failed(what));
    }
    let picture = beside(images.image(0), size, heat).png().map_err(failed)?;
    Ok(write_file(place, &picture)?)
}

/// The size that an image is drawn at.
fn shown((height, width): (usize, usize)) -> (usize, usize) {
    let longer = height.max(width).max(1);
    let side = longer.clamp(SIDES.0, SIDES.1);
    let scaled = |size: usize| (size * side / longer).max(1);
    (scaled(height), scaled(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_place_of_its_own_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let images: Vec<PathBuf> = ["a.png", "x/a.jpg", "b.png"].map(at).to_vec();
        let pictures = Pictures::of(&images, &at("why")).unwrap();
        let names = pictures.paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["a-explained.png", "a-2-explained.png", "b-explained.png"]);
        assert!(at("why").is_dir());
        for name in ["c.png", "c-explained.png"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let images: Vec<PathBuf> = ["c.png", "c-explained.png"].map(at).to_vec();
        let error = Pictures::of(&images, folder.path()).unwrap_err().to_string();
        assert!(error.contains("would overwrite") && error.contains("c-explained.png"), "{error}");
        let error = Pictures::of(&images, &at("c.png")).unwrap_err().to_string();
        assert!(error.contains("cannot be made a folder"), "{error}");
    }

    #[test]
    fn pictures_keep_the_images_shape() {
        assert_eq!(
            [(32, 32), (3000, 4000), (300, 150), (1, 1000)].map(shown),
            [(224, 224), (336, 448), (300, 150), (1, 448)]
        );
        assert_eq!(spread(Method::GradCam, &[0.0, 2.0, 1.0]), [0.0, 1.0, 0.5]);
        assert_eq!(spread(Method::Rollout, &[0.25, 0.75, 0.5]), [0.0, 1.0, 0.5]);
        assert_eq!(spread(Method::GradCam, &[0.0; 2]), [0.0; 2]);
    }
}
