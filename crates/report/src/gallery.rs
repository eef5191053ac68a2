//! The gallery: [`galleries`] draws the test images that no arm gets, and those that one alone does, with what they show and what they were
//! taken for. The pictures are those that a sweep has stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frostline_compare::{Arm, Comparison};
use frostline_results::{StoreError, gallery_picture, predicted};
use frostline_text::{escaped, plural};

use crate::depth::class_names;
use crate::plots::{WIDTH, fitted};

/// Across and down, in pixels; the picture is a square in it.
const CELL: (f64, f64) = (150.0, 150.0);
const SIDE: f64 = 96.0;
const COLUMNS: usize = 4;
/// Arms from which on their answers are not read again.
const MOST_ARMS: usize = 200;

/// A gallery: its title, the name of its file, and the file, an SVG.
pub(super) type Drawn = (String, String, String);

/// Draws the galleries that there are pictures for.
///
/// # Errors
/// Predictions or pictures that cannot be read.
pub(super) fn galleries(folder: &Path, comparison: &Comparison<'_>) -> Result<Vec<Drawn>, StoreError> {
    let gallery = comparison.gallery();
    let images = gallery.images();
    let Some(names) = class_names(comparison).filter(|_| !images.is_empty()) else { return Ok(Vec::new()) };
    let mut digests: Vec<&str> = Vec::new();
    for (_, run) in comparison.runs() {
        let digest = run.finished().and_then(|outcome| Some(outcome.data.as_ref()?.digest.as_str()));
        digests.extend(digest.filter(|digest| !digests.contains(digest)));
    }
    let answers = Answers::of(folder, comparison, &images)?;
    let cell = |image: usize, arm: Option<&Arm<'_>>| -> Result<Option<Cell>, StoreError> {
        let path =
            digests.iter().map(|digest| gallery_picture(folder, digest, image)).find(|path| path.exists());
        let Some(path) = path else { return Ok(None) };
        let png = fs::read(&path).map_err(|error| StoreError::reading(&path, error))?;
        let (label, taken) = answers.of_image(image);
        let name = |class: u32| names.get(class as usize).map_or("?", String::as_str);
        let taken = taken.map_or_else(String::new, |(class, votes, all)| {
            format!("seen as {}, {votes}/{all}", name(class))
        });
        let by = arm.map_or(taken.clone(), |arm| format!("told by {}", arm.label));
        let shows = label.map_or_else(String::new, |label| format!("shows {}", name(label)));
        Ok(Some(Cell { image, png, lines: [shows, by], taken }))
    };
    let mut drawn = Vec::new();
    let missed: Result<Vec<_>, _> = gallery.missed.iter().map(|&image| cell(image, None)).collect();
    let only: Result<Vec<_>, _> =
        gallery.only.iter().map(|&(image, arm)| cell(image, comparison.arms.get(arm))).collect();
    for (cells, count, what, file) in [
        (missed?, gallery.counts.0, "that no arm tells in most seeds", "missed-by-all.svg"),
        (only?, gallery.counts.1, "that one arm alone tells in most seeds", "told-by-one.svg"),
    ] {
        let cells: Vec<Cell> = cells.into_iter().flatten().collect();
        if !cells.is_empty() {
            let title = format!("{} {what}", plural(count, "test image"));
            let title =
                if count > cells.len() { format!("{title}; here are {}", cells.len()) } else { title };
            drawn.push((title.clone(), file.to_owned(), svg(&title, &cells)));
        }
    }
    Ok(drawn)
}

/// What arms said of some images, each by the first of its seeds.
struct Answers {
    /// By image, its label and how many arms took it for which class.
    by_image: BTreeMap<usize, (u32, BTreeMap<u32, usize>)>,
}

impl Answers {
    fn of(folder: &Path, comparison: &Comparison<'_>, images: &[usize]) -> Result<Self, StoreError> {
        let mut by_image: BTreeMap<usize, (u32, BTreeMap<u32, usize>)> = BTreeMap::new();
        for arm in comparison.measured().into_iter().take(MOST_ARMS) {
            let Some(stored) = arm.answered().next() else { continue };
            for (&image, (label, class)) in images.iter().zip(predicted(folder, &stored.trial.id, images)?) {
                let (known, votes) = by_image.entry(image).or_insert((label, BTreeMap::new()));
                *known = label;
                *votes.entry(class).or_default() += 1;
            }
        }
        Ok(Self { by_image })
    }

    /// What an image shows, and the wrong class that most arms took it for, with their number and that of all.
    fn of_image(&self, image: usize) -> (Option<u32>, Option<(u32, usize, usize)>) {
        let Some((label, votes)) = self.by_image.get(&image) else { return (None, None) };
        let all = votes.values().sum();
        let wrong = votes.iter().filter(|(class, _)| *class != label);
        let most = wrong.max_by_key(|(class, votes)| (**votes, std::cmp::Reverse(**class)));
        (Some(*label), most.map(|(class, votes)| (*class, *votes, all)))
    }
}

struct Cell {
    image: usize,
    png: Vec<u8>,
    lines: [String; 2],
    taken: String,
}

fn svg(title: &str, cells: &[Cell]) -> String {
    let rows = cells.len().div_ceil(COLUMNS) as f64;
    let height = 40.0 + rows * CELL.1;
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <title>{}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n<g font-family=\"Helvetica, Arial, 'DejaVu Sans', \
         sans-serif\" font-size=\"12\" fill=\"#222\">\n<text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        escaped(title),
        escaped(&fitted(title, 16.5, WIDTH - 32.0)),
    );
    for (index, cell) in cells.iter().enumerate() {
        let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
        let (x, y) = (16.0 + column * (CELL.0 + 4.0), 44.0 + row * CELL.1);
        let [shows, by] = &cell.lines;
        let hint = format!("test image {}: {shows}, {}", cell.image, cell.taken);
        let data = STANDARD.encode(&cell.png);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<g class=\"hint\"><title>{}</title><image x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" \
             style=\"image-rendering: pixelated\" href=\"data:image/png;base64,{data}\"/>\n\
             <text x=\"{x}\" y=\"{}\">{}</text><text x=\"{x}\" y=\"{}\" fill=\"#606060\" font-size=\"11\">{}</text></g>\n",
            escaped(&hint),
            y + SIDE + 16.0,
            escaped(&fitted(shows, 12.0, CELL.0)),
            y + SIDE + 31.0,
            escaped(&fitted(by, 11.0, CELL.0)),
        );
    }
    svg + "</g>\n</svg>\n"
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{environment, plan, result};
    use frostline_results::{Invocation, Results, Store};

    use super::*;

    #[test]
    fn pictures_that_are_there_are_shown_with_what_they_show_and_were_taken_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let plan = plan(&["resnet18"], &["full", "head"], 1);
        store.record_plan(&plan, "", &Invocation::default()).unwrap();
        store.record_environment(&environment()).unwrap();
        for trial in &plan.trials {
            let accuracy = if trial.strategy == "full" { 0.995 } else { 0.99 };
            store.save(trial, &result(trial, accuracy, 1.0), false).unwrap();
        }
        drop(store);
        let results = Results::read(dir.path()).unwrap();
        let comparison = Comparison::of(&results);
        assert!(galleries(dir.path(), &comparison).unwrap().is_empty(), "no picture is there");
        let digest = &results.trials[0].outcome.data.as_ref().unwrap().digest;
        for image in [991, 996] {
            let path = gallery_picture(dir.path(), digest, image);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [137, 80]).unwrap();
        }
        let drawn = galleries(dir.path(), &comparison).unwrap();
        // Images from 995 on are wrong in both, those from 990 to 994 in `head` alone; what is wrong is taken for the next class.
        let [(missed, _, none), (only, _, one)] = drawn.as_slice() else { panic!("{drawn:?}") };
        assert_eq!(missed, "5 test images that no arm tells in most seeds; here are 1");
        assert!(none.contains("shows 6") && none.contains("seen as 7, 2/2"), "{none}");
        assert_eq!(only, "5 test images that one arm alone tells in most seeds; here are 1");
        assert!(one.contains("shows 1") && one.contains("told by resnet18 · full"), "{one}");
    }
}
