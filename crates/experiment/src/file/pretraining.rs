//! Pretrainings that an experiment spells out: [`Reader`]'s function for `[pretrain.NAME]`, and what one comes to for a cell.

use super::problem::Problem;
use super::read::{Reader, entries_of, number};
use super::tree::{Name, Node, Place, Value};
use super::{Assignment, did_you_mean};
use crate::refusal::{METHODS, plain_name};
use crate::trial::keys::{Key, Section, key, keys};
use crate::trial::{DataSpec, Pretraining, TrainSpec, Trial};

/// The keys that a pretraining has of its own.
const OWN: [&str; 3] = ["method", "denoise", "seed"];

/// A `[pretrain.NAME]`.
#[derive(Clone, Debug)]
pub(crate) struct PretrainingEntry {
    pub(crate) name: String,
    method: String,
    denoise: f64,
    seed: Option<u64>,
    /// Keys of `[data]` and `[train]`.
    settings: Vec<Assignment>,
}

impl PretrainingEntry {
    /// What it is for a cell: images are the trials' own where it names no others, and the recipe has its own defaults,
    /// of which the last epoch counts.
    pub(crate) fn resolved(&self, cell: &Trial) -> Pretraining {
        let has = |name: &str| self.settings.iter().any(|setting| setting.key.name == name);
        let mut data = cell.data.clone();
        if has("source") {
            // What is said of the trials' images is not true of others.
            let DataSpec { source, validation, per_class, augment, .. } = data;
            data = DataSpec { source, validation, per_class, augment, ..DataSpec::default() };
        }
        let train = TrainSpec { keep: "last".to_owned(), ..TrainSpec::default() };
        let (model, resolution) = (cell.model.clone(), cell.resolution);
        let mut scratch = Trial { model, resolution, data, train, ..Trial::default() };
        for setting in &self.settings {
            setting
                .key
                .set(&mut scratch, &setting.value)
                .expect("the experiment holds values that were read with the same key");
        }
        let Trial { mut data, train, .. } = scratch.sealed();
        if !data.same_images(&cell.data) {
            let defaults = DataSpec::default();
            data.validation = if has("validation") { data.validation } else { defaults.validation };
            data.per_class = if has("per-class") { data.per_class } else { defaults.per_class };
        }
        Pretraining { method: self.method.clone(), denoise: self.denoise, seed: self.seed, data, train }
    }
}

impl Reader {
    /// Every pretraining.
    pub(crate) fn pretrainings(&mut self, header: &Name, node: Node) -> Vec<PretrainingEntry> {
        let mut pretrainings = Vec::new();
        for (name, node) in self.table(entries_of(header, node)) {
            if !plain_name(&name.text) {
                let problem = Problem::new(format!("`{}` cannot name a pretraining", name.text));
                self.report(problem.at(&name.place, "here").help("use small letters, digits and hyphens"));
            }
            pretrainings.extend(self.pretraining(name, node));
        }
        pretrainings
    }

    fn pretraining(&mut self, name: Name, node: Node) -> Option<PretrainingEntry> {
        let (mut method, mut denoise, mut seed, mut settings) = (None, None, None, Vec::new());
        let before = self.problems.len();
        for (entry, node) in self.table(entries_of(&name, node)) {
            match entry.text.as_str() {
                "method" => method = self.method(&node),
                "denoise" => denoise = self.denoise(&node).map(|value| (value, entry.place)),
                "seed" => {
                    let key = key("seed")?;
                    seed = self.assignment(key, node).and_then(|seed| seed.value.parse().ok());
                }
                other => {
                    // Its resolution and its device are those of the trials, and it does not test.
                    let may_have = |key: &&'static Key| {
                        matches!(key.section, Section::Data | Section::Train)
                            && !["resolution", "fold"].contains(&key.name)
                    };
                    match key(other).filter(may_have) {
                        Some(key) => settings.extend(self.assignment(key, node)),
                        None => {
                            let known = keys().iter().filter(may_have);
                            let own = OWN.into_iter().chain(known.map(|key| key.name)).collect();
                            self.unknown(&entry, &format!("[pretrain.{}]", name.text), own, None);
                        }
                    }
                }
            }
        }
        self.complete(&name, method.as_deref(), denoise.as_ref(), &settings, before);
        let denoise = denoise.map_or(0.0, |(value, _)| value);
        Some(PretrainingEntry { name: name.text, method: method?, denoise, seed, settings })
    }

    /// Reports what is missing, and keys that do not go together.
    fn complete(
        &mut self,
        name: &Name,
        method: Option<&str>,
        denoise: Option<&(f64, Place)>,
        settings: &[Assignment],
        before: usize,
    ) {
        if self.problems.len() > before {
            return;
        }
        let Some(method) = method else {
            let problem = Problem::new(format!("[pretrain.{}] has no `method`", name.text));
            self.report(problem.at(&name.place, "here").help(format!("one of {}", METHODS.join(", "))));
            return;
        };
        if !settings.iter().any(|setting| setting.key.name == "epochs") {
            let problem = Problem::new(format!("[pretrain.{}] has no `epochs`", name.text));
            self.report(
                problem.at(&name.place, "here").help("for example epochs = 10; [train] is for the trials"),
            );
        }
        if let (Some((_, place)), true) = (denoise, method != "autoencoder") {
            let problem = Problem::new(format!("`denoise` has no meaning for the method `{method}`"));
            self.report(problem.at(place, "here").help("remove it, or set method = \"autoencoder\""));
        }
    }

    fn method(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if METHODS.contains(&text.as_str()) => Some(text.clone()),
            Value::Text(text) => {
                let rest = format!("methods are {}", METHODS.join(", "));
                let problem = Problem::new(format!("unknown method `{text}`")).at(&node.place, "here");
                self.report(problem.help(did_you_mean(text, METHODS, &rest)));
                None
            }
            _ => {
                let problem = Problem::new(format!("`method` must be a text, not {}", node.found()));
                self.report(problem.at(&node.place, "here").help(format!("one of {}", METHODS.join(", "))));
                None
            }
        }
    }

    fn denoise(&mut self, node: &Node) -> Option<f64> {
        let value = number(node).filter(|deviation| *deviation > 0.0 && deviation.is_finite());
        if value.is_none() {
            let problem = Problem::new(format!("`denoise` must be a number above 0, not {}", node.found()));
            let help = "the standard deviation of noise on normalised pixels, for example 0.3; leave it out for none";
            self.report(problem.at(&node.place, "here").help(help));
        }
        value
    }
}
