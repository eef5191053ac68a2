//! From the words of the command line to image files: [`image_paths`]. It opens none.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use frostline_data::image_files;

use crate::error::Error;

/// The files that words name, in the order of the words and each once. A word is a file, a folder (all images in it and in
/// the folders in it), a glob pattern, or `-` for the files that the lines of `pipe` name. A file that is not there is listed all the same: it is one that cannot be read.
///
/// # Errors
/// A pattern that is none or matches nothing, a folder without images, or that cannot be listed; a pipe without a line.
pub fn image_paths(words: &[String], pipe: &mut dyn BufRead) -> Result<Vec<PathBuf>, Error> {
    let (mut paths, mut seen) = (Vec::new(), BTreeSet::new());
    for word in words {
        let named = if word == "-" { piped(pipe)? } else { named(word)? };
        for path in named {
            if seen.insert(path.clone()) {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

/// The files that lines name; empty lines name none.
fn piped(pipe: &mut dyn BufRead) -> Result<Vec<PathBuf>, Error> {
    let lines = pipe.lines().collect::<Result<Vec<String>, _>>();
    let lines = lines.map_err(|error| Error::reading(Path::new("standard input"), error, None))?;
    let paths: Vec<PathBuf> = lines.iter().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    if paths.is_empty() {
        return Err(Error::usage(
            "no line came through the pipe",
            "for example: find photos -name '*.jpg' | frostline predict ID -",
        ));
    }
    Ok(paths)
}

fn named(word: &str) -> Result<Vec<PathBuf>, Error> {
    let path = Path::new(word);
    if path.is_dir() {
        return in_folder(path);
    }
    if path.exists() || !word.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let pattern = glob::glob(word).map_err(|error| {
        Error::usage(format!("`{word}` is no pattern: {error}"), "see the examples of --help")
    })?;
    let mut paths = Vec::new();
    for path in pattern {
        let path = path.map_err(|error| {
            let place = error.path().to_owned();
            Error::reading(&place, error.into(), None)
        })?;
        if path.is_dir() { paths.extend(in_folder(&path)?) } else { paths.push(path) }
    }
    if paths.is_empty() {
        return Err(Error::usage(format!("`{word}` matches no file"), "check the pattern and the folder"));
    }
    Ok(paths)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let files = image_files(folder)?;
    if files.is_empty() {
        let message = format!("{} has no images in it", folder.display());
        return Err(Error::usage(message, "images are PNG, JPEG, WebP, BMP, GIF and TIFF files"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_are_found_each_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.jpg", "sub/c.png", "sub/notes.txt", "odd[1].png", "none/readme.md"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let word = |name: &str| folder.path().join(name).display().to_string();
        let found = |names: &[&str]| -> Result<Vec<String>, String> {
            let words: Vec<String> = names.iter().map(|name| word(name)).collect();
            let paths = image_paths(&words, &mut std::io::empty()).map_err(|error| error.to_string())?;
            let short = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            Ok(paths.into_iter().map(short).collect())
        };
        assert_eq!(found(&["sub", "b.png", "sub/c.png"]).unwrap(), ["sub/c.png", "b.png"]);
        assert_eq!(found(&["*.png"]).unwrap(), ["b.png", "odd[1].png"]);
        assert_eq!(found(&["odd[1].png", "gone.png"]).unwrap(), ["odd[1].png", "gone.png"]);
        assert_eq!(found(&["s*"]).unwrap(), ["sub/c.png"]);
        assert!(found(&["*.gif"]).unwrap_err().contains("matches no file"));
        assert!(found(&["none"]).unwrap_err().contains("has no images in it"));
        assert!(found(&["[.png"]).unwrap_err().contains("is no pattern"));
        let mut pipe = "a b.jpg\n\nsub/c.png\na b.jpg\n".as_bytes();
        let piped = image_paths(&["d.png".to_owned(), "-".to_owned()], &mut pipe).unwrap();
        assert_eq!(piped, ["d.png", "a b.jpg", "sub/c.png"].map(PathBuf::from));
        let error = image_paths(&["-".to_owned()], &mut "\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("no line came"), "{error}");
    }
}
