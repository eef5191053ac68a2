//! From a results folder to `report.md`: [`write_report`] makes it, its plots and the tables from what is stored there and
//! nothing else, so that it can be made again at any time.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_results::{Results, StoreError, gather, trunk_pictures, write_file};
use frostline_text::plural;

use crate::plots::PlotError;
use crate::{
    answer, arms, claims, comparisons, depth, forms, gallery, halved, notes, plots, pretraining, provenance,
    tuned,
};
use frostline_compare::Comparison;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The results cannot be read, or the report cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A plot could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// A report that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `report.md`.
    pub path: PathBuf,
    /// Its first paragraph, as plain text.
    pub answer: String,
    /// Its table of arms, as Markdown.
    pub arms: String,
}

/// Makes the report of a results folder again. Where its trials have no folders of their own, as in a checkout of a repository
/// that keeps reports alone, they are made of what stands beside the report.
///
/// # Errors
/// As [`write_report`]; another process that writes to the folder.
pub fn rewrite_report(folder: &Path) -> Result<Report, ReportError> {
    write(folder, Results::read_back(folder)?)
}

/// Reads a results folder and writes its tables, plots and `report.md`, each whole or not at all.
///
/// # Errors
/// The folder holds no plan or a damaged one, or a write fails.
pub fn write_report(folder: &Path) -> Result<Report, ReportError> {
    write(folder, Results::read(folder)?)
}

fn write(folder: &Path, results: Results) -> Result<Report, ReportError> {
    gather(folder, &results)?;
    let results = results.pooled();
    let comparison = Comparison::of(&results);
    let mut plots = write_plots(folder, &comparison, &results)?;
    if results.folds.is_none() {
        plots.extend(write_galleries(folder, &comparison)?);
    }
    plots.extend(copy_pictures(folder, &results)?);
    let path = folder.join("report.md");
    let markdown = render(&results, &comparison, &plots);
    write_file(&path, markdown.as_bytes())?;
    let page = forms::page(folder, &results.plan.question, &markdown)?;
    write_file(&folder.join("report.html"), page.as_bytes())?;
    let answer = answer::answer(&comparison).replace("**", "");
    let notes = notes::notes(&results, &comparison);
    forms::write_data(folder, &forms::Data::of(&results, &comparison, answer.clone(), notes))?;
    let arms = arms::arms(&comparison).without_empty_columns();
    Ok(Report { path, answer, arms: arms.markdown() })
}

/// A plot in the report: what it shows, and its file.
type Plot = (String, String);

/// Writes those plots that there are data for. What else is in the folder stays.
fn write_plots(
    folder: &Path,
    comparison: &Comparison<'_>,
    results: &Results,
) -> Result<Vec<Plot>, ReportError> {
    let drawn = [
        ("Test accuracy by strategy", "accuracy-by-strategy.svg", plots::accuracy_by_strategy(comparison)?),
        (
            "Test accuracy against total time",
            "accuracy-against-time.svg",
            plots::accuracy_against_time(comparison)?,
        ),
        ("Accuracy over epochs", "learning-curves.svg", plots::learning_curves(comparison)?),
        ("Accuracy by confidence", "reliability.svg", plots::reliability(comparison)?),
        ("What the most accurate arm takes for what", "confusion.svg", plots::confusion(comparison)?),
        (
            "Loss of the pretrainings over epochs",
            "pretraining-curves.svg",
            plots::pretraining_curves(&pretraining::groups(results))?,
        ),
    ];
    let plots = folder.join("plots");
    fs::create_dir_all(&plots).map_err(|error| StoreError::writing(&plots, error))?;
    let mut written = Vec::new();
    for (title, name, svg) in drawn {
        let path = plots.join(name);
        if let Some(svg) = svg {
            write_file(&path, svg.as_bytes())?;
            written.push((title.to_owned(), name.to_owned()));
        }
    }
    Ok(written)
}

/// Writes the galleries that there are pictures for.
fn write_galleries(folder: &Path, comparison: &Comparison<'_>) -> Result<Vec<Plot>, ReportError> {
    let drawn = gallery::galleries(folder, comparison)?;
    let write = |(title, name, svg): (String, String, String)| {
        write_file(&folder.join("plots").join(&name), svg.as_bytes())?;
        Ok((title, name))
    };
    drawn.into_iter().map(write).collect()
}

/// How the files of autoencoders' pictures begin.
const PICTURES: &str = "reconstructions-";

/// Copies what each autoencoder gives back to the plots: one picture for each pretraining and model, of its first seed.
fn copy_pictures(folder: &Path, results: &Results) -> Result<Vec<Plot>, ReportError> {
    let mut copied = Vec::new();
    for group in pretraining::groups(results) {
        // The first seed with a picture, here or, where the trunks themselves are gone, among the plots.
        let picture = group.finished().find_map(|stored| {
            let name = format!("{PICTURES}{}-{}-{}.png", group.name, group.model, stored.trunk.id);
            let copy = folder.join("plots").join(&name);
            let made = trunk_pictures(folder, &stored.trunk.id);
            (made.is_some() || copy.exists()).then_some((made, copy, name, stored))
        });
        let Some((made, copy, name, stored)) = picture else { continue };
        if let Some(made) = made {
            let bytes = fs::read(&made).map_err(|error| StoreError::reading(&made, error))?;
            write_file(&copy, &bytes)?;
        }
        let title = format!(
            "Images of the {} split as {} of {} gives them back (seed {})",
            if stored.outcome.data.as_ref().is_some_and(|data| data.validation > 0) {
                "validation"
            } else {
                "training"
            },
            group.name,
            group.model,
            stored.trunk.seed
        );
        copied.push((title, name));
    }
    Ok(copied)
}

/// Columns that the line on shared settings says where they are the same in all.
const CONSTANT: &[&str] = &["pixels", "weights", "parameters"];

/// The whole text of `report.md`.
pub(crate) fn render(results: &Results, comparison: &Comparison<'_>, plots: &[Plot]) -> String {
    let mut text = format!(
        "# {}\n\n{}\n\n{}\n",
        results.plan.question,
        answer::answer(comparison),
        progress(results, comparison)
    );
    section(&mut text, "Arms", &arms_section(results, comparison));
    section(&mut text, "Differences", &comparisons::comparisons(comparison));
    section(&mut text, "Cost", &costs(comparison));
    section(&mut text, "Tuned", &tuned::tuned(results, comparison));
    section(&mut text, "Beyond accuracy", &depth::depth(comparison));
    section(&mut text, "Time to accuracy", &pretraining::reaching(comparison));
    section(&mut text, "Pretraining", &pretraining::pretraining(results));
    let pictures = plots.iter().map(|(title, name)| format!("![{title}](plots/{name})\n"));
    section(&mut text, "Plots", &pictures.collect::<Vec<_>>().join("\n"));
    let claims = claims::claims(comparison);
    if !claims.is_empty() {
        let note = "Claims come from other code on other machines, and their settings may differ in what they do not say: a \
                    difference is a reason to look, not a refutation.";
        section(&mut text, "Claims", &format!("{}\n{note}\n", claims.markdown()));
    }
    let notes = notes::notes(results, comparison).into_iter().map(|note| format!("- {note}\n"));
    section(&mut text, "Read with care", &notes.collect::<String>());
    section(&mut text, "Stopped early", &halved::stopped(results, comparison));
    let unfinished = arms::unfinished(comparison, results);
    if !unfinished.is_empty() {
        section(&mut text, "Trials without a result", &unfinished.without_empty_columns().markdown());
    }
    section(&mut text, "Data", &provenance::data(comparison));
    section(&mut text, "Weights", &provenance::weights(comparison));
    section(&mut text, "Environment", &provenance::environments(results, comparison));
    section(&mut text, "Again", &provenance::commands(results));
    text
}

/// Adds a section, unless it says nothing.
fn section(text: &mut String, title: &str, content: &str) {
    if !content.trim().is_empty() {
        let _ = write!(text, "\n## {title}\n\n{}\n", content.trim()); // writing to a string cannot fail
    }
}

fn progress(results: &Results, comparison: &Comparison<'_>) -> String {
    let total = comparison.runs().count();
    let finished = comparison.runs().filter(|(_, run)| run.finished().is_some()).count();
    let failed = comparison.runs().filter(|(_, run)| run.failure().is_some()).count();
    let stopped = halved::stopped_trials(results, comparison);
    let left = total - finished - failed - stopped;
    let mut parts = vec![format!("{finished} of {} finished", plural(total, "trial"))];
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if stopped > 0 {
        parts.push(format!("{stopped} stopped early"));
    }
    if left > 0 {
        parts.push(format!("{left} not run yet, so all of this is provisional"));
    }
    format!("*{}.*", parts.join(", "))
}

fn arms_section(results: &Results, comparison: &Comparison<'_>) -> String {
    if comparison.arms.is_empty() {
        return String::new();
    }
    let baseline = arms::baseline_name(comparison);
    let tuned = comparison.arms.iter().any(|arm| arm.tuning.is_some());
    let tuning = if tuned { ", and the values that were tried for its arm" } else { "" };
    let mut text = format!(
        "The most accurate first. Accuracy is over the whole test split, mean ± standard deviation over seeds; *by images* is where the \
         mean may lie by the choice of the test images alone (Wilson's 95 % interval). *Rank* and *best* say in which places, and how \
         often in the first, an arm comes out of experiments made up of the same seeds and images, drawn anew. Total time is a trial by \
         the clock, with the pretraining that it starts from in full{tuning}. The ratio to {baseline} is of training alone, within seeds; \
         *trained* are the numbers that take part at the resolution.\n\n"
    );
    text += &arms::arms(comparison).without_empty_columns().markdown();
    let floors = arms::floors(comparison);
    if !floors.is_empty() {
        text += &format!("\n{floors}");
    }
    let shared = notes::shared_settings(&results.plan.trials);
    if !shared.is_empty() {
        text += &format!("\nThe same in all trials: {}.\n", shared.join(", "));
    }
    let trials = arms::trials(comparison);
    if !trials.is_empty() {
        let table = trials.without_empty_columns().markdown();
        text += &format!("\n<details>\n<summary>Every seed</summary>\n\n{table}\n</details>\n");
    }
    text
}

fn costs(comparison: &Comparison<'_>) -> String {
    if comparison.measured().is_empty() {
        return String::new();
    }
    let baseline = arms::baseline_name(comparison);
    let table = arms::costs(comparison).without_empty_columns().without_constant(CONSTANT).markdown();
    let pretrained = comparison.arms.iter().any(|arm| arm.pretraining().is_some());
    let three = if pretrained {
        " A pretraining is counted in full in *total*, by its part for each of the trials that start from it in *total, shared*, and \
         not at all in *wall*."
    } else {
        ""
    };
    let tuned = if comparison.arms.iter().any(|arm| arm.tuning.is_some()) {
        " *Tuning* is the time of the candidates that were not chosen: in full in *total*, by its part for each seed in *total, shared*."
    } else {
        ""
    };
    format!(
        "By the clock, means over seeds (± standard deviation). Wall time is a trial's training and evaluation, which with many test \
         images hides what freezing saves; training is its forward, backward and optimizer steps.{three}{tuned} The ratio to {baseline} is \
         within seeds. *Trained* are numbers that take part at the resolution, *nominal* those that the strategy names.\n\n{table}"
    )
}
