//! What there is to know of images before anything is trained: [`Subject`], how many, how large, how even, and the resolution that they
//! ask for.

use std::path::{Path, PathBuf};

use frostline_data::{Dataset, Reading, Source, image_sizes, open_kept, prepare};
use frostline_hub::{Hub, Progress};
use frostline_text::{grouped, plural};

use crate::cli::SubjectArgs;
use crate::error::Error;

/// Resolutions that are chosen from.
const SIDES: [usize; 6] = [32, 64, 96, 128, 160, 224];
/// Files whose sizes are looked at.
const LOOKED_AT: usize = 200;

/// Images, and what was seen of them.
pub(super) struct Subject {
    /// As experiment files write it.
    pub(super) source: String,
    /// What results are called by.
    pub(super) name: String,
    pub(super) dataset: Dataset,
    pub(super) resolution: usize,
    /// Whether each class counts alike where something is chosen, or each image.
    pub(super) counts_classes: bool,
    /// What a reader should know, a sentence each.
    pub(super) facts: Vec<String>,
}

/// The source that the arguments name.
pub(super) fn source(args: &SubjectArgs) -> Result<Source, Error> {
    let text = match (&args.hub, &args.source) {
        (Some(repo), _) => format!("hub:{repo}"),
        (None, Some(text)) => text.clone(),
        (None, None) => {
            return Err(Error::usage("no images were named", "give a folder, or --hub OWNER/NAME"));
        }
    };
    if Path::new(&text).is_dir() {
        return Ok(Source::Folder(PathBuf::from(text)));
    }
    text.parse::<Source>().map_err(|error| match text.contains(':') {
        true => error.into(),
        false => {
            let help = "give a folder that has a folder of images for each class, or hub:OWNER/NAME";
            Error::usage(format!("{text} is no folder"), help)
        }
    })
}

impl Subject {
    /// Fetches and decodes the images, at the resolution that they ask for where none is given.
    pub(super) fn look(
        args: &SubjectArgs,
        hub: &Hub,
        kept: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let source = source(args)?;
        let prepared = prepare(&source, &Reading::default(), hub, progress)?;
        let resolution = match (args.resolution, &source) {
            (Some(side), _) => side,
            (None, Source::Folder(folder)) => suited(&image_sizes(folder, LOOKED_AT)?),
            (None, _) => {
                let native = open_kept(&prepared, (SIDES[0], SIDES[0]), Some(kept))?.dataset.native;
                suited(&[native.smallest, native.largest])
            }
        };
        let dataset = open_kept(&prepared, (resolution, resolution), Some(kept))?.dataset;
        let counts_classes = args.validation_counts == "classes";
        let facts = facts(&dataset, (resolution, args.resolution.is_some()), counts_classes);
        let name = match &source {
            Source::Folder(path) => {
                path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()))
            }
            other => Some(other.to_string()),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = name.unwrap_or_default().chars().map(plain).collect();
        let name = name.trim_matches('-').trim_start_matches("hub-").to_owned();
        let name = if name.is_empty() { "images".to_owned() } else { name };
        Ok(Self { source: source.to_string(), name, dataset, resolution, counts_classes, facts })
    }

    /// Whether pictures occur twice.
    pub(super) fn has_duplicates(&self) -> bool {
        !self.dataset.duplicates.sentences().is_empty()
    }

    pub(super) fn classes(&self) -> usize {
        self.dataset.classes.len()
    }
}

/// The largest resolution that the shorter sides, by their median, still fill; small pictures are enlarged to twice their size at most.
fn suited(sizes: &[(usize, usize)]) -> usize {
    let mut sides: Vec<usize> = sizes.iter().map(|(height, width)| *height.min(width)).collect();
    sides.sort_unstable();
    let median = sides.get(sides.len() / 2).copied().unwrap_or(SIDES[5]);
    if median < 2 * SIDES[0] {
        return if median <= 16 { SIDES[0] } else { SIDES[1] };
    }
    SIDES.into_iter().rev().find(|side| *side <= median).unwrap_or(SIDES[1])
}

fn facts(dataset: &Dataset, (resolution, given): (usize, bool), counts_classes: bool) -> Vec<String> {
    let counts = dataset.class_counts();
    let all = |of: fn(&frostline_data::ClassCount) -> usize| counts.iter().map(of).sum::<usize>();
    let (train, test) = (all(|class| class.train + class.validation), all(|class| class.test));
    let mut facts = vec![format!(
        "{} of {} classes to train on, {} to test on",
        plural(train, "image"),
        counts.len(),
        grouped(test as u64)
    )];
    facts.extend(dataset.taken.iter().map(|taken| format!("taken as {}: {}", taken.what, taken.from)));
    let (small, large) = (dataset.native.smallest, dataset.native.largest);
    let from = if small == large {
        format!("all are {}x{} pixels (height x width)", small.0, small.1)
    } else {
        format!("they are {}x{} to {}x{} pixels (height x width)", small.0, small.1, large.0, large.1)
    };
    let why = if given { "as asked" } else { "by their size" };
    facts.push(format!("{from}, and are resized to {resolution}x{resolution}, {why}"));
    let most = counts.iter().min_by_key(|class| std::cmp::Reverse(class.train));
    let least = counts.iter().min_by_key(|class| class.train);
    if let (Some(most), Some(least)) = (most, least)
        && most.train >= 3 * least.train.max(1)
    {
        let counted = match counts_classes {
            true => "what is chosen is chosen for all alike, while test accuracy counts images",
            false => {
                "accuracy counts images, so that the rare ones hardly show in it; `--validation-counts classes` chooses for all alike"
            }
        };
        facts.push(format!(
            "classes are uneven: {} of `{}`, {} of `{}`; {counted}",
            grouped(most.train as u64),
            most.name,
            grouped(least.train as u64),
            least.name
        ));
    }
    if test < 100 {
        facts.push(format!(
            "with {} to test on, accuracies are known to within {:.0} points or so",
            plural(test, "image"),
            100.0 / (test.max(1) as f64).sqrt()
        ));
    }
    facts.extend(dataset.duplicates.sentences());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolution_is_one_that_the_pictures_fill() {
        let of = |height, width| suited(&[(height, width)]);
        assert_eq!([of(8, 8), of(28, 28), of(32, 32), of(64, 80)], [32, 64, 64, 64]);
        assert_eq!([of(100, 300), of(480, 640), of(4000, 200)], [96, 224, 160]);
        assert_eq!(suited(&[(32, 32), (500, 500), (600, 500)]), 224, "the median");
    }

    #[test]
    fn a_source_is_a_folder_or_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let args = |source: Option<&str>, hub: Option<&str>| SubjectArgs {
            source: source.map(str::to_owned),
            hub: hub.map(str::to_owned),
            models: Vec::new(),
            weights: Vec::new(),
            resolution: None,
            validation_counts: "images".to_owned(),
        };
        let path = folder.path().to_str().unwrap();
        assert_eq!(source(&args(Some(path), None)).unwrap(), Source::Folder(folder.path().to_owned()));
        assert_eq!(source(&args(None, Some("a/b"))).unwrap().to_string(), "hub:a/b");
        assert_eq!(source(&args(Some("digits"), None)).unwrap(), Source::Digits);
        let missing = source(&args(Some("no/such/folder"), None)).unwrap_err();
        assert!(missing.to_string().contains("no/such/folder is no folder") && missing.exit_code() == 2);
    }
}
