//! Strategies that an experiment spells out: [`Reader`]'s function for `[strategy.NAME]`, whose `phases` are a list of
//! tables.

use super::problem::Problem;
use super::read::{Entries, Reader, entries_of, number};
use super::tree::{Name, Node, Place, Value};
use crate::refusal;
use crate::trial::PhaseWords;

const PHASE: [&str; 9] =
    ["name", "epochs", "share", "train", "rate", "rates", "batch-norm", "optimizer", "l2-sp"];

impl Reader {
    /// Every strategy with its phases.
    pub(crate) fn strategies(&mut self, header: &Name, node: Node) -> Vec<(String, Vec<PhaseWords>)> {
        let mut strategies = Vec::new();
        for (name, node) in self.table(entries_of(header, node)) {
            if !refusal::own_name(&name.text) {
                let problem = Problem::new(format!("`{}` cannot name a strategy of your own", name.text));
                let help = "use small letters, digits and hyphens, and no name that Frostline has";
                self.report(problem.at(&name.place, "here").help(help));
            }
            let mut phases = None;
            for (key, node) in self.table(entries_of(&name, node)) {
                match key.text.as_str() {
                    "phases" => phases = Some(self.phases(&key, node)),
                    _ => self.unknown(&key, &format!("[strategy.{}]", name.text), vec!["phases"], None),
                }
            }
            match phases {
                Some(phases) => strategies.push((name.text, phases)),
                None => {
                    let problem = Problem::new(format!("[strategy.{}] has no `phases`", name.text));
                    let help = "for example phases = [{ epochs = 2, train = [\"head\"] }, { train = [\"all\"], rate = 0.1 }]";
                    self.report(problem.at(&name.place, "here").help(help));
                }
            }
        }
        strategies
    }

    fn phases(&mut self, header: &Name, node: Node) -> Vec<PhaseWords> {
        let Value::List(items) = node.value else {
            let problem = Problem::new(format!("`phases` must be a list of tables, not {}", node.found()));
            self.report(problem.at(&node.place, "here").help("write phases = [{ … }, { … }]"));
            return Vec::new();
        };
        if items.is_empty() {
            self.report(Problem::new("a strategy has at least one phase").at(&node.place, "here"));
        }
        let mut phases = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = item.place.clone();
            let entries = self.table(entries_of(header, item));
            phases.push(self.phase(index, &place, entries));
        }
        phases
    }

    fn phase(&mut self, index: usize, place: &Place, entries: Entries) -> PhaseWords {
        let mut words = PhaseWords {
            name: format!("phase {}", index + 1),
            optimizer_state: "reset".to_owned(),
            ..PhaseWords::default()
        };
        let (mut parts, mut rate, mut rates) = (Vec::new(), 1.0, Vec::new());
        let before = self.problems.len();
        for (name, node) in entries {
            let ok = match name.text.as_str() {
                "name" => text(&node).map(|text| words.name = text).is_some(),
                "epochs" => whole(&node).map(|epochs| words.epochs = Some(epochs)).is_some(),
                "share" => number(&node).map(|share| words.share = Some(share)).is_some(),
                "train" => texts(&node).map(|list| parts = list).is_some(),
                "rate" => number(&node).map(|factor| rate = factor).is_some(),
                "rates" => table(&node).map(|list| rates = list).is_some(),
                "batch-norm" => text(&node).map(|policy| words.batch_norm = Some(policy)).is_some(),
                "optimizer" => text(&node).map(|state| words.optimizer_state = state).is_some(),
                "l2-sp" => number(&node).map(|strength| words.l2_sp = Some(strength)).is_some(),
                _ => {
                    self.unknown(&name, "a phase", PHASE.to_vec(), None);
                    true
                }
            };
            if !ok {
                let problem = Problem::new(format!("`{}` cannot be {}", name.text, node.found()));
                self.report(problem.at(&node.place, "here").help(allowed(&name.text)));
            }
        }
        words.train = parts.into_iter().map(|part| (part, rate)).collect();
        words.train.extend(rates.into_iter().map(|(part, factor)| (part, rate * factor)));
        if let (Err((_, problem)), true) = (words.spec(), before == self.problems.len()) {
            self.report(Problem::new(problem).at(place, "in this phase"));
        }
        words
    }
}

fn allowed(key: &str) -> String {
    match key {
        "epochs" => "write a whole number",
        "train" => {
            "write a list of parts: stages, all, trunk, head, norms, biases, or patterns of parameter names"
        }
        "rates" => "write a table of parts and factors, for example { head = 1.0, layer4 = 0.1 }",
        "share" | "rate" | "l2-sp" => "write a number",
        _ => "write a text in quotes",
    }
    .to_owned()
}

fn text(node: &Node) -> Option<String> {
    if let Value::Text(text) = &node.value { Some(text.clone()) } else { None }
}

fn texts(node: &Node) -> Option<Vec<String>> {
    if let Value::List(items) = &node.value { items.iter().map(text).collect() } else { None }
}

fn whole(node: &Node) -> Option<usize> {
    if let Value::Integer(digits) = &node.value { digits.parse().ok() } else { None }
}

fn table(node: &Node) -> Option<Vec<(String, f64)>> {
    let Value::Table(entries) = &node.value else { return None };
    entries.iter().map(|(name, node)| Some((name.text.clone(), number(node)?))).collect()
}
