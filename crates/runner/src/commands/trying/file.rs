//! An experiment file for images and models: [`Draft`] writes what `try` has done, or what `init` begins with.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::look::Subject;

/// What of a grid is done: a model with its weights, a strategy, and the seeds from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arm {
    pub(super) model: String,
    pub(super) weights: String,
    pub(super) strategy: String,
    pub(super) seeds: u64,
}

/// An experiment on a subject.
pub(super) struct Draft<'a> {
    pub(super) subject: &'a Subject,
    /// Lines above everything else.
    pub(super) head: Vec<String>,
    pub(super) arms: Vec<Arm>,
    pub(super) epochs: usize,
    pub(super) per_class: Option<usize>,
    /// Whether each key has a comment.
    pub(super) explained: bool,
}

impl Draft<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.head.iter().for_each(|line| text += &format!("# {line}\n"));
        let mut line = |line: &str, comment: &str| {
            let comment =
                if self.explained && !comment.is_empty() { format!("  # {comment}") } else { String::new() };
            _ = writeln!(text, "{line}{comment}");
        };
        let models = distinct(self.arms.iter().map(|arm| arm.model.as_str()));
        let side = self.subject.resolution;
        line("", "");
        line(
            "question = \"Which pretrained model tells these images apart best, and how deep should it train?\"",
            "",
        );
        line(
            "checkpoints = \"best\"",
            "the weights of each trial are kept, for `frostline export` and `frostline predict`",
        );
        line("\n[data]", "");
        line(&format!("source = {}", quoted(&self.subject.source)), "");
        line(&format!("resolution = {side}"), "more is better and slower: time grows with its square");
        line("validation = 0.15", "set aside of the training images, to choose on");
        if let Some(count) = self.per_class {
            line(&format!("per-class = {count}"), "images of each class");
        }
        if self.subject.has_duplicates() {
            line("duplicates = \"drop\"", "pictures that occur twice would be trained on and tested with");
        }
        line(
            &format!("augment = [\"flip\", \"crop:{}\"]", (side / 16).max(1)),
            "leave \"flip\" out where left and right matter",
        );
        line("\n[train]", "");
        line(&format!("epochs = {}", self.epochs), "");
        line("batch = 32", "");
        line("optimizer = \"adamw\"", "");
        line("learning-rate = 3e-4", "as an axis, [1e-3, 3e-4, 1e-4] says which strategy wants which");
        line("weight-decay = 0.01", "");
        line("schedule = \"cosine\"", "");
        if self.subject.counts_classes {
            line("validation-counts = \"classes\"", "chosen by balanced accuracy: each class counts alike");
        }
        line("\n[grid]", "every combination is a trial");
        line(&format!("model = [{}]", list(&models)), "`frostline models` lists them");
        line("weights = [\"hub\"]", "those pinned for each model; \"none\" trains from scratch");
        let strategies = distinct(self.arms.iter().map(|arm| arm.strategy.as_str()));
        line(&format!("strategy = [{}]", list(&strategies)), "what trains: docs/strategies.md");
        let seeds = self.arms.iter().map(|arm| arm.seeds).max().unwrap_or(1);
        let all: Vec<String> = (0..seeds).map(|seed| seed.to_string()).collect();
        line(
            &format!("seed = [{}]", all.join(", ")),
            "several tell luck from difference; three or more for claims",
        );
        for arm in &self.arms {
            let is_first = self.arms.iter().find(|other| other.model == arm.model) == Some(arm);
            if is_first && arm.weights != "hub" {
                line("\n[[override]]", "");
                line(&format!("when = {{ model = {} }}", quoted(&arm.model)), "");
                line(&format!("weights = {}", quoted(&arm.weights)), "");
            }
        }
        self.left_out(&models, &strategies, seeds).iter().for_each(|when| {
            line("\n[[except]]", "");
            line(&format!("when = {{ {when} }}"), "");
        });
        text
    }

    /// The cells of the grid that are no trials, by model.
    fn left_out(&self, models: &[&str], strategies: &[&str], seeds: u64) -> Vec<String> {
        let mut all = Vec::new();
        for model in models {
            let has = |strategy: &str| {
                let arm = self.arms.iter().find(|arm| arm.model == *model && arm.strategy == strategy);
                arm.map_or(0, |arm| arm.seeds)
            };
            for done in 0..seeds {
                let short: Vec<&str> =
                    strategies.iter().copied().filter(|strategy| has(strategy) == done).collect();
                if short.is_empty() {
                    continue;
                }
                let mut when = format!("model = {}, strategy = [{}]", quoted(model), list(&short));
                if done > 0 {
                    let missing: Vec<String> = (done..seeds).map(|seed| seed.to_string()).collect();
                    when += &format!(", seed = [{}]", missing.join(", "));
                }
                all.push(when);
            }
        }
        all
    }
}

/// Each once, in the order in which they come.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).collect()
}

fn list(values: &[&str]) -> String {
    values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
}

/// A string as TOML has it, which takes what JSON writes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use frostline_experiment::{Experiment, expand};
    use frostline_hub::{Hub, HubOptions, Silent};

    use super::*;
    use crate::cli::SubjectArgs;

    fn digits() -> Subject {
        let args = SubjectArgs {
            source: Some("digits".to_owned()),
            hub: None,
            models: Vec::new(),
            weights: Vec::new(),
            resolution: Some(16),
            validation_counts: "classes".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        let hub =
            Hub::new(HubOptions { offline: true, ..HubOptions::standard(folder.path().to_owned()) }).unwrap();
        Subject::look(&args, &hub, folder.path(), &Silent).unwrap()
    }

    fn arm(model: &str, weights: &str, strategy: &str, seeds: u64) -> Arm {
        let text = str::to_owned;
        Arm { model: text(model), weights: text(weights), strategy: text(strategy), seeds }
    }

    #[test]
    fn the_plan_of_a_draft_is_its_arms() {
        let subject = digits();
        let odd = "file:a \"b\"\\c.safetensors";
        for explained in [false, true] {
            let arms = vec![
                arm("resnet18", "hub", "probe:ridge", 3),
                arm("resnet34", odd, "probe:ridge", 1),
                arm("resnet34", odd, "last-1", 2),
                arm("resnet18", "hub", "full", 1),
            ];
            let head = vec!["a line".to_owned()];
            let draft = Draft { subject: &subject, head, arms, epochs: 4, per_class: Some(9), explained };
            let text = draft.text();
            let plan = expand(&Experiment::read(Path::new("x.toml"), &text, &[]).unwrap()).unwrap();
            let mut told: Vec<String> = plan
                .trials
                .iter()
                .map(|trial| format!("{} {} {} {}", trial.model, trial.weights, trial.strategy, trial.seed))
                .collect();
            told.sort();
            let mut expected = vec![
                "resnet18 hub full 0".to_owned(),
                "resnet18 hub probe:ridge 0".to_owned(),
                "resnet18 hub probe:ridge 1".to_owned(),
                "resnet18 hub probe:ridge 2".to_owned(),
                format!("resnet34 {odd} last-1 0"),
                format!("resnet34 {odd} last-1 1"),
                format!("resnet34 {odd} probe:ridge 0"),
            ];
            expected.sort();
            assert_eq!(told, expected, "{text}");
            assert!(plan.trials.iter().all(|trial| trial.train.validation_counts == "classes"));
            assert_eq!((plan.trials[0].resolution, plan.trials[0].data.per_class), (16, Some(9)));
            assert_eq!(text.contains("docs/strategies.md"), explained);
        }
    }
}
