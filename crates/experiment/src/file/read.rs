//! From the tree to an [`Experiment`]: [`Reader`] reads the sections, one function each. Problems are collected, so that
//! one run shows them all; what depends on a piece that could not be read is left unchecked.

use std::path::Path;

use frostline_sources::Fold;

use super::conditions::Known;
use super::flags::{self, Replaced};
use super::problem::Problem;
use super::spell::spell;
use super::suggest::did_you_mean;
use super::tree::{self, Name, Node, Place, Value};
use super::{Assignment, Experiment, GridAxis};
use crate::checkpoints::Checkpoints;
use crate::comparing::{full, one_point};
use crate::trial::keys::{FOLDS, Key, Section, key, keys};

pub(crate) type Entries = Vec<(Name, Node)>;

const ROOT: [&str; 15] = [
    "question",
    "checkpoints",
    "baseline",
    "margin",
    "halving",
    "tune",
    "data",
    "train",
    "run",
    "grid",
    "strategy",
    "pretrain",
    "except",
    "override",
    "claim",
];

/// Reads a file's text with flags on top; see [`Experiment::read`].
pub(crate) fn experiment(path: &Path, text: &str, flags: &[String]) -> Result<Experiment, Vec<Problem>> {
    let file = tree::text(path, text);
    let mut root =
        tree::read_document(&file).map_err(|errors| errors.into_iter().map(syntax).collect::<Vec<_>>())?;
    let (mut problems, mut replaced) = (Vec::new(), Replaced::new());
    for flag in flags {
        problems.extend(flags::apply(&mut root, flag, &mut replaced).err());
    }
    let start = Place { text: file, span: 0..0 };
    let mut reader = Reader { problems, known: Known::default(), given: Vec::new(), start, folds: None };
    let mut experiment = reader.root(root, &replaced);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    experiment.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    experiment.path = path.display().to_string();
    experiment.text = text.to_owned();
    experiment.changed = !flags.is_empty();
    Ok(experiment)
}

fn syntax(error: tree::SyntaxError) -> Problem {
    Problem::new(format!("not TOML: {}", error.message)).at(&error.place, "here")
}

pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
    pub(crate) known: Known,
    /// The keys that were given, readable or not.
    given: Vec<&'static str>,
    /// The start of the file, where what is missing is reported.
    start: Place,
    /// What `folds = K` comes to.
    folds: Option<GridAxis>,
}

impl Reader {
    fn root(&mut self, root: Node, replaced: &Replaced) -> Experiment {
        let mut experiment = Experiment {
            name: String::new(),
            question: String::new(),
            text: String::new(),
            path: String::new(),
            changed: false,
            checkpoints: Checkpoints::None,
            baseline: full(),
            margin: one_point(),
            halving: None,
            fixed: Vec::new(),
            axes: Vec::new(),
            tuned: Vec::new(),
            strategies: Vec::new(),
            pretrainings: Vec::new(),
            overrides: Vec::new(),
            excepted: Vec::new(),
            claims: Vec::new(),
        };
        let (mut overrides, mut claims, mut excepted, mut baseline) =
            (Vec::new(), Vec::new(), Vec::new(), None);
        for (name, node) in self.table(node_entries(root)) {
            match name.text.as_str() {
                "question" => experiment.question = self.question(&node).unwrap_or_default(),
                "checkpoints" => experiment.checkpoints = self.checkpoints(&node).unwrap_or_default(),
                "baseline" => baseline = Some(node),
                "margin" => experiment.margin = self.margin(&node).unwrap_or_else(one_point),
                "halving" => experiment.halving = self.halving(&name, node),
                "data" => experiment.fixed.extend(self.section(&name, node, Section::Data)),
                "train" => experiment.fixed.extend(self.section(&name, node, Section::Train)),
                "run" => experiment.fixed.extend(self.section(&name, node, Section::Run)),
                "grid" => experiment.axes = self.grid(&name, node),
                "tune" => experiment.tuned = self.tune(&name, node),
                "strategy" => experiment.strategies = self.strategies(&name, node),
                "pretrain" => experiment.pretrainings = self.pretrainings(&name, node),
                "except" => excepted = self.tables(&name, node),
                "override" => overrides = self.tables(&name, node),
                "claim" => claims = self.tables(&name, node),
                _ => self.unknown_root(&name),
            }
        }
        self.required();
        self.add_folds(&mut experiment);
        self.given_twice(&experiment);
        for axis in experiment.all_axes() {
            axis.values.iter().for_each(|(value, _)| self.known.add(axis.key, value));
        }
        experiment.fixed.iter().for_each(|fixed| self.known.add(fixed.key, &fixed.value));
        self.note_replaced(replaced);
        experiment.excepted = excepted.into_iter().flat_map(|table| self.one_except(table)).collect();
        experiment.overrides = overrides.into_iter().filter_map(|table| self.one_override(table)).collect();
        for set in experiment.overrides.iter().flat_map(|overriding| &overriding.set) {
            self.known.add(set.key, &set.value);
        }
        if let Some(node) = baseline {
            experiment.baseline = self.baseline(node).unwrap_or_default();
        }
        experiment.claims = claims.into_iter().filter_map(|table| self.one_claim(table)).collect();
        experiment
    }

    pub(crate) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The entries of a table, or none and a report.
    pub(crate) fn table(&mut self, entries: Result<Entries, Problem>) -> Entries {
        entries.unwrap_or_else(|problem| {
            self.report(problem);
            Vec::new()
        })
    }

    fn question(&mut self, node: &Node) -> Option<String> {
        self.given.push("question");
        match &node.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                let message = format!("`question` must be a sentence in quotes, not {}", node.found());
                self.report(Problem::new(message).at(&node.place, "here"));
                None
            }
        }
    }

    fn checkpoints(&mut self, node: &Node) -> Option<Checkpoints> {
        let policy = if let Value::Text(text) = &node.value { text.parse().ok() } else { None };
        if policy.is_none() {
            let message = format!("`checkpoints` must be none, best or last, not {}", node.found());
            let help = match &node.value {
                Value::Text(text) => did_you_mean(text, Checkpoints::NAMES, ""),
                _ => String::new(),
            };
            let problem = Problem::new(message).at(&node.place, "here");
            self.report(if help.is_empty() { problem } else { problem.help(help) });
        }
        policy
    }

    fn section(&mut self, header: &Name, node: Node, section: Section) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        for (name, node) in self.table(entries_of(header, node)) {
            match key(&name.text) {
                None if section == Section::Data && name.text == FOLDS => {
                    self.folds = self.all_folds(name.place, &node)
                }
                Some(key) if key.section == section => {
                    self.given.push(key.name);
                    assignments.extend(self.assignment(key, node));
                }
                found => {
                    let own = keys().iter().filter(|key| key.section == section).map(|key| key.name);
                    let folds = (section == Section::Data).then_some(FOLDS);
                    self.unknown(&name, &format!("[{section}]"), own.chain(folds).collect(), found);
                }
            }
        }
        assignments
    }

    pub(crate) fn assignment(&mut self, key: &'static Key, node: Node) -> Option<Assignment> {
        match spell(key, &node) {
            Ok(value) => Some(Assignment { key, value, place: node.place }),
            Err(problem) => {
                self.report(problem);
                None
            }
        }
    }

    fn grid(&mut self, header: &Name, node: Node) -> Vec<GridAxis> {
        let mut axes = Vec::new();
        for (name, node) in self.table(entries_of(header, node)) {
            match key(&name.text) {
                Some(key) => axes.extend(self.axis(key, name.place, node)),
                None => self.unknown(&name, "[grid]", keys().iter().map(|key| key.name).collect(), None),
            }
        }
        axes
    }

    /// One axis; a single value is a list of one.
    pub(crate) fn axis(&mut self, key: &'static Key, name: Place, node: Node) -> Option<GridAxis> {
        self.given.push(key.name);
        let items = match node.value {
            Value::List(items) if items.is_empty() => {
                let problem =
                    Problem::new(format!("the axis `{}` has no values", key.name)).at(&node.place, "here");
                self.report(problem.help("give at least one value, or remove the axis"));
                return None;
            }
            Value::List(items) => items,
            value => vec![Node { value, place: node.place }],
        };
        let mut values: Vec<(String, Place)> = Vec::new();
        for item in items {
            match spell(key, &item) {
                Err(problem) => self.report(problem),
                Ok(value) => match values.iter().find(|(known, _)| *known == value) {
                    None => values.push((value, item.place)),
                    Some((_, first)) => {
                        let problem = Problem::new(format!("`{}` has the value {value} twice", key.name));
                        self.report(problem.at(&item.place, "again").at(first, "first").help("remove one"));
                    }
                },
            }
        }
        (!values.is_empty()).then_some(GridAxis { key, name, values })
    }

    /// The axis that `folds = K` stands for: every fold of K.
    fn all_folds(&mut self, name: Place, node: &Node) -> Option<GridAxis> {
        let key = key("fold")?;
        let count = match &node.value {
            Value::Integer(count) => {
                count.parse().ok().filter(|of| Fold { index: 1, of: *of }.to_string().parse::<Fold>().is_ok())
            }
            Value::Text(none) if none == "none" => return None,
            _ => None,
        };
        let Some(of) = count else {
            let problem =
                Problem::new(format!("`folds` must be a whole number from 2 to 100, not {}", node.found()));
            self.report(
                problem
                    .at(&node.place, "here")
                    .help("each of so many parts of the images tests what trained on the others"),
            );
            return None;
        };
        let value = |index| (Fold { index, of }.to_string(), node.place.clone());
        Some(GridAxis { key, name, values: (1..=of).map(value).collect() })
    }

    fn add_folds(&mut self, experiment: &mut Experiment) {
        let Some(folds) = self.folds.take() else { return };
        let fixed = experiment.fixed.iter().find(|fixed| fixed.key == folds.key).map(|fixed| &fixed.place);
        let axis = experiment.axes.iter().find(|axis| axis.key == folds.key).map(|axis| &axis.name);
        match fixed.or(axis) {
            Some(place) => {
                let problem = Problem::new("`folds` gives all folds, and `fold` some".to_owned());
                self.report(problem.at(&folds.name, "all").at(place, "some").help("keep one of them"));
            }
            None => experiment.axes.push(folds),
        }
    }

    fn note_replaced(&mut self, replaced: &Replaced) {
        for (name, node) in replaced {
            let Some(key) = key(&name.text) else { continue };
            let items = if let Value::List(items) = &node.value { items.as_slice() } else { &[] };
            for value in items.iter().chain([node]).filter_map(|node| spell(key, node).ok()) {
                self.known.add_replaced(key, &value);
            }
        }
    }

    fn required(&mut self) {
        for (key, what, help) in [
            ("question", "`question`", "write the question that the experiment answers, in quotes"),
            ("source", "`source` in [data]", "for example source = \"digits\""),
            ("model", "`model` in [grid]", "for example model = [\"resnet18\"]; see `frostline models`"),
        ] {
            if !self.given.contains(&key) {
                let problem = Problem::new(format!("{what} is missing")).at(&self.start, "in this file");
                self.report(problem.help(help));
            }
        }
    }

    fn given_twice(&mut self, experiment: &Experiment) {
        let axes = experiment.axes.iter().map(|axis| (axis, "grid"));
        for (axis, section) in axes.chain(experiment.tuned.iter().map(|axis| (axis, "tune"))) {
            let name = axis.key.name;
            let mut twice = |other: &str, place: &Place| {
                let problem = Problem::new(format!("`{name}` is given in [{other}] and in [{section}]"));
                let problem = problem.at(&axis.name, "several values here").at(place, "and here");
                self.report(problem.help("keep one of them"));
            };
            if let Some(fixed) = experiment.fixed.iter().find(|fixed| fixed.key == axis.key) {
                twice(&axis.key.section.to_string(), &fixed.place);
            }
            if section == "tune"
                && let Some(other) = experiment.axes.iter().find(|other| other.key == axis.key)
            {
                twice("grid", &other.name);
            }
        }
    }

    fn unknown_root(&mut self, name: &Name) {
        self.unknown(name, "an experiment file", ROOT.to_vec(), key(&name.text));
    }

    /// Reports a key that `place` does not have; `elsewhere` is the key of that name of another section.
    pub(crate) fn unknown(
        &mut self,
        name: &Name,
        place: &str,
        own: Vec<&'static str>,
        elsewhere: Option<&Key>,
    ) {
        let problem =
            Problem::new(format!("unknown key `{}` in {place}", name.text)).at(&name.place, "unknown");
        let help = match elsewhere {
            Some(key) => format!("`{}` belongs in [{}]", key.name, key.section),
            None => {
                let everywhere = own.iter().copied().chain(keys().iter().map(|key| key.name));
                let help = did_you_mean(&name.text, everywhere, "");
                match super::suggest::nearest(&name.text, own.iter().copied()) {
                    None if help.is_empty() => format!("its keys are {}", own.join(", ")),
                    _ => help,
                }
            }
        };
        self.report(problem.help(help));
    }
}

pub(crate) fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Integer(number) | Value::Float(number) => number.parse().ok(),
        _ => None,
    }
}

fn node_entries(node: Node) -> Result<Entries, Problem> {
    if let Value::Table(entries) = node.value { Ok(entries) } else { Ok(Vec::new()) }
}

pub(crate) fn entries_of(header: &Name, node: Node) -> Result<Entries, Problem> {
    let found = node.found();
    match node.value {
        Value::Table(entries) => Ok(entries),
        _ => {
            let name = &header.text;
            let problem =
                Problem::new(format!("`{name}` must be a table, not {found}")).at(&node.place, "here");
            Err(problem.help(format!("write [{name}] on a line of its own, and its keys below")))
        }
    }
}
