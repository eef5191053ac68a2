//! The model card of exported weights, as the Hugging Face Hub reads it: [`Card`] becomes a `README.md` with metadata in front, then what
//! the model is, how well it does and on what, how it was trained, how to use it, and what nobody measured. Every number is a stored one.

mod front;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt::Write as _;

use frostline_compare::{deviation, mean, wilson};
use frostline_experiment::keys::{Section, keys};
use frostline_results::{EpochRecord, Results, Sidecar, StoredTrial};
use frostline_text::{bytes, duration, grouped};
use frostline_zoo::card;

use super::table::Table;

/// How a card says which file it is of, and whose it is.
const MARK: &str = "<!-- Written by `frostline export` for ";
/// Classes that are listed one by one.
const LISTED: usize = 100;

/// What a card is made from.
#[derive(Clone, Copy, Debug)]
pub struct Card<'a> {
    /// What goes with the weights.
    pub sidecar: &'a Sidecar,
    /// The trial.
    pub stored: &'a StoredTrial,
    /// All of its experiment.
    pub results: &'a Results,
    /// The name of the safetensors file.
    pub weights: &'a str,
    /// The name of the JSON file.
    pub json: &'a str,
    /// The name of the ONNX file, where there is one.
    pub onnx: Option<&'a str>,
}

/// The name of the weights that a card is of; none where Frostline did not write the text.
pub fn card_is_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(MARK)?;
    rest.split_once(" -->").map(|(name, _)| name)
}

impl Card<'_> {
    /// The card as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = front::metadata(self);
        let Self { sidecar, weights, .. } = self;
        _ = write!(
            text,
            "\n{MARK}{weights} -->\n\n# {}\n\nA {} that sorts images of {side} x {side} pixels into {} classes. Trained with Frostline {}.\n",
            self.title(),
            self.model(),
            sidecar.classes.len(),
            sidecar.frostline,
            side = sidecar.resolution,
        );
        for (heading, section) in [
            ("How well it does", self.accuracy()),
            ("How it was trained", self.training()),
            ("Classes", self.classes()),
            ("Preprocessing", usage::preprocessing(self)),
            ("How to use it", usage::usage(self)),
            ("What this does not say", self.limits()),
            ("Where it came from", self.lineage()),
        ] {
            _ = write!(text, "\n## {heading}\n\n{}\n", section.trim_end());
        }
        text
    }

    /// What the model is called.
    fn title(&self) -> String {
        let Sidecar { trial, .. } = self.sidecar;
        let title = card(&trial.model).map_or(trial.model.as_str(), |card| card.title);
        format!("{title} on {}, trained by `{}`", plain(&trial.data.source), trial.strategy)
    }

    /// A word on the architecture.
    fn model(&self) -> String {
        let name = &self.sidecar.architecture;
        let paper = card(name).map_or(String::new(), |card| format!(" ({})", card.paper));
        format!("`{name}`{paper}")
    }

    /// Whether what was measured was measured with these very weights.
    fn measured(&self) -> bool {
        self.sidecar.results.chosen_epoch.is_none_or(|epoch| epoch == self.sidecar.weights.epoch)
    }

    fn accuracy(&self) -> String {
        let (results, data) = (&self.sidecar.results, &self.sidecar.lineage.data);
        let mut text = String::new();
        if !self.measured() {
            _ = writeln!(
                text,
                "The weights are those after epoch {}; what follows was measured with those of epoch {}, and not with these.\n",
                self.sidecar.weights.epoch,
                results.chosen_epoch.unwrap_or_default()
            );
        }
        let mut table = Table::new(&["measured", "value>", "on"]);
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let test = format!("{} test images of {}", grouped(data.test as u64), plain(&data.source));
        if let Some(accuracy) = results.test_accuracy {
            table.row(["test accuracy".to_owned(), percent(accuracy), test.clone()]);
            if let Some((low, high)) = wilson(accuracy, data.test) {
                let value = format!("{} to {}", percent(low), percent(high));
                table.row([
                    "its 95 % interval (Wilson)".to_owned(),
                    value,
                    "by the choice of test images alone".to_owned(),
                ]);
            }
        }
        if let Some(loss) = results.test_loss {
            table.row(["test loss (cross-entropy)".to_owned(), format!("{loss:.4}"), test]);
        }
        if let Some(accuracy) = results.validation_accuracy {
            let chose = self.stored.trial.train.keep == "best" && !self.stored.trial.fits();
            let role = if chose { ", by which the epoch was chosen" } else { "" };
            let on = format!("{} images{role}", grouped(data.validation as u64));
            let of_classes = self.stored.trial.train.validation_counts == "classes";
            let name = if of_classes { "validation accuracy, classes alike" } else { "validation accuracy" };
            table.row([name.to_owned(), percent(accuracy), on]);
        }
        let seeds = self.seeds();
        if let (Some(mean), true) = (mean(&seeds), seeds.len() > 1) {
            let spread = deviation(&seeds).map_or(String::new(), |sd| format!(" ± {:.2}", 100.0 * sd));
            let value = format!("{:.2}{spread} %", 100.0 * mean);
            let on = format!("{} seeds with the same settings, mean and standard deviation", seeds.len());
            table.row(["test accuracy of such trials".to_owned(), value, on]);
        }
        text + &table.markdown()
    }

    /// Test accuracies of the trials that differ from it in the seed alone, itself among them.
    fn seeds(&self) -> Vec<f64> {
        let kind = |stored: &StoredTrial| (stored.trial.arm(), stored.trial.data.fold.clone());
        let alike = self.results.trials.iter().filter(|stored| kind(stored) == kind(self.stored));
        alike.filter_map(|stored| stored.outcome.test_accuracy).collect()
    }

    fn training(&self) -> String {
        let (trial, outcome) = (&self.sidecar.trial, &self.stored.outcome);
        let start = match &self.sidecar.lineage.weights {
            Some(weights) => {
                let of = weights.repo.as_ref().map_or(String::new(), |repo| format!(" of `{repo}`"));
                format!("It started from `{}`{of}.", last_name(&weights.file))
            }
            None => "It started from values drawn from the seed.".to_owned(),
        };
        let data = &self.sidecar.lineage.data;
        let mut text = format!(
            "{start} {} images were trained on, {} were set aside for choosing. It took {} on {} threads.\n\n",
            grouped(data.train as u64),
            grouped(data.validation as u64),
            duration(outcome.seconds.wall),
            outcome.threads,
        );
        let mut phases = Table::new(&["phase", "epochs", "learning rate", "what trained, and how fast"]);
        for phase in self.stored.epochs.chunk_by(|one, next| one.phase == next.phase) {
            phases.row(row_of(phase));
        }
        if !phases.is_empty() {
            _ = writeln!(text, "{}", phases.without_empty_columns().markdown());
        }
        let mut recipe = Table::new(&["setting", "value"]);
        for key in keys().iter().filter(|key| key.section != Section::Run && trial.shows(key.name)) {
            let value = match key.show(trial) {
                path if path.starts_with("file:")
                    || path.starts_with("folder:")
                    || path.starts_with("cifar:") =>
                {
                    plain(&path)
                }
                value => format!("`{value}`"),
            };
            recipe.row([key.name.to_owned(), value]);
        }
        text + &recipe.markdown()
    }

    fn classes(&self) -> String {
        let classes = &self.sidecar.classes;
        let named: Vec<String> = classes.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
        let rest = match classes.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!(", and {more} more in `{}`", self.json),
        };
        format!("In the order of the logits: {}{rest}.\n", named.join(", "))
    }

    fn limits(&self) -> String {
        let data = &self.sidecar.lineage.data;
        let trials = self.results.plan.trials.len();
        let mut lines = vec![
            format!(
                "- It was measured on the test images of {} alone: not on images from elsewhere, of other cameras, or with no class of these in them.",
                plain(&data.source)
            ),
            "- Probabilities were not calibrated, and nothing was measured of single groups of images, of fairness, or of images made to mislead."
                .to_owned(),
        ];
        if trials > 1 {
            lines.push(format!(
                "- It is one of {trials} trials of an experiment{}. Where it was taken because it is the best of them, expect a little less of \
                 new images: the best of many is partly lucky.",
                self.place().map_or(String::new(), |place| format!(", and {place} of them by test accuracy"))
            ));
        }
        if self.seeds().len() < 2 {
            lines.push(
                "- Another seed was not tried: how much it would differ by chance is not known.".to_owned(),
            );
        }
        lines
            .extend(data.duplicates.iter().map(|what| format!("- Images that occur more than once: {what}")));
        lines.join("\n")
    }

    /// Its place among the finished trials: "the 2nd of 24".
    fn place(&self) -> Option<String> {
        let own = self.stored.outcome.test_accuracy?;
        let accuracies = self.results.trials.iter().filter_map(|stored| stored.outcome.test_accuracy);
        let better = accuracies.filter(|accuracy| *accuracy > own).count();
        Some(if better == 0 { "the best".to_owned() } else { format!("the {}", ordinal(better + 1)) })
    }

    fn lineage(&self) -> String {
        let Sidecar { weights, lineage, trial, environment, .. } = self.sidecar;
        let mut lines = vec![
            format!("- trial `{}` of experiment `{}`", trial.id, self.results.plan.experiment),
            format!("- `{}`: {}, SHA-256 `{}`", self.weights, bytes(weights.size), weights.sha256),
            format!(
                "- images: {}, digest of pixels, labels and class names `{}`{}",
                plain(&lineage.data.source),
                lineage.data.digest,
                licence(&lineage.data.licence)
            ),
        ];
        for file in &lineage.data.files {
            let revision =
                file.revision.as_ref().map_or(String::new(), |revision| format!(" at `{revision}`"));
            lines.push(format!("  - `{}`{revision}, SHA-256 `{}`", file.name, file.sha256));
        }
        if let Some(from) = &lineage.weights {
            let place = match (&from.repo, &from.revision) {
                (Some(repo), Some(revision)) => format!("`{repo}` at `{revision}`, "),
                (Some(repo), None) => format!("`{repo}`, "),
                _ => String::new(),
            };
            let (file, licence) = (last_name(&from.file), licence(&from.licence));
            lines.push(format!("- first weights: {place}`{file}`, SHA-256 `{}`{licence}", from.sha256));
        }
        if let Some(pretraining) = &lineage.pretraining {
            lines.push(format!("- pretrained by the experiment itself, trunk `{}`", pretraining.trunk));
        }
        if let Some(environment) = environment {
            lines.push(format!(
                "- computed on {} ({}), {}, by Frostline {}{}",
                environment.processor,
                environment.device,
                environment.system,
                environment.build.frostline,
                environment
                    .build
                    .revision
                    .as_ref()
                    .map_or(String::new(), |revision| format!(" at `{revision}`"))
            ));
        }
        lines.join("\n")
    }
}

/// A phase: its name, its epochs, its rates, and what trained.
fn row_of(epochs: &[EpochRecord]) -> [String; 4] {
    let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else { return Default::default() };
    let counted = match first.epoch == last.epoch {
        true => first.epoch.to_string(),
        false => format!("{} to {}", first.epoch, last.epoch),
    };
    let of_part = |name: &str| {
        let rates = epochs.iter().flat_map(|epoch| &epoch.rates);
        span(rates.filter(|(part, _)| part == name).map(|(_, rate)| *rate))
    };
    let parts = first.rates.iter().map(|(name, _)| format!("{name} at {}", of_part(name)));
    let rates = span(epochs.iter().map(|epoch| epoch.learning_rate));
    [first.phase.clone(), counted, rates, parts.collect::<Vec<_>>().join(", ")]
}

/// The least and the largest of some rates.
fn span(rates: impl Iterator<Item = f64>) -> String {
    let (low, high) = rates.fold((f64::INFINITY, 0.0f64), |(low, high), r| (low.min(r), high.max(r)));
    if low >= high { rate(high) } else { format!("{} to {}", rate(low), rate(high)) }
}

fn rate(value: f64) -> String {
    let text = format!("{value:.3e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if value == 0.0 { "0".to_owned() } else { format!("{digits}e{exponent}") }
}

fn licence(stated: &Option<String>) -> String {
    stated.as_ref().map_or_else(|| ", licence not stated".to_owned(), |stated| format!(", {stated}"))
}

/// A source as readers know it: a folder by its last name, which tells nothing of the machine.
fn plain(source: &str) -> String {
    match source.split_once(':') {
        Some(("hub", name)) => format!("`{}`", name.split('@').next().unwrap_or(name)),
        Some((kind, path)) => {
            let kind = if kind == "cifar" { "set of CIFAR's form" } else { kind };
            format!("`{}` (a {kind})", last_name(path))
        }
        None => format!("`{source}`"),
    }
}

/// The last name of a path.
fn last_name(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(path)
}

fn ordinal(number: usize) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}
