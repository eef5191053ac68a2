//! What speaks of some of the trials: [`Reader`]'s functions for `[[except]]`, `[[override]]` and `[[claim]]`.

use super::conditions::When;
use super::problem::Problem;
use super::read::{Entries, Reader, entries_of, number};
use super::tree::{Name, Node, Place, Value};
use super::{Assignment, ClaimEntry, Override};
use crate::trial::keys::{key, keys};

const CLAIM: [&str; 4] = ["when", "test-accuracy", "minutes", "source"];

impl Reader {
    pub(crate) fn one_override(&mut self, (place, table): (Place, Entries)) -> Option<Override> {
        let (when, rest) = self.when(&place, table, "override")?;
        let mut set = Vec::new();
        for (name, node) in rest {
            match key(&name.text) {
                Some(key) => set.extend(self.assignment(key, node)),
                None => {
                    self.unknown(&name, "[[override]]", keys().iter().map(|key| key.name).collect(), None)
                }
            }
        }
        if set.is_empty() {
            let problem = Problem::new("this override changes nothing").at(&place, "only `when`");
            self.report(problem.help("add the keys to change, for example resolution = 64"));
        }
        (!when.idle).then_some(Override { when: when.conditions, set })
    }

    /// What an `[[except]]` leaves out. A key with several values stands for each of them.
    pub(crate) fn one_except(&mut self, (place, mut table): (Place, Entries)) -> Vec<Vec<Assignment>> {
        let mut alternatives: Vec<Node> = Vec::new();
        if let Some((_, node)) = table.iter_mut().find(|(name, _)| name.text == "when") {
            alternatives = one_by_one(node);
            node.clone_from(&alternatives.remove(0));
        }
        let Some((first, rest)) = self.when(&place, table, "except") else { return Vec::new() };
        for (name, _) in rest {
            self.unknown(&name, "[[except]]", vec!["when"], None);
        }
        let mut all = vec![first];
        for node in &alternatives {
            match self.known.read(node) {
                Ok(when) => all.push(when),
                Err(problems) => self.problems.extend(problems),
            }
        }
        all.into_iter().filter(|when| !when.idle).map(|when| when.conditions).collect()
    }

    pub(crate) fn one_claim(&mut self, (place, table): (Place, Entries)) -> Option<ClaimEntry> {
        let (when, rest) = self.when(&place, table, "claim")?;
        let (mut accuracy, mut minutes, mut source) = (None, None, String::new());
        let mut bad = false;
        for (name, node) in rest {
            let ok = match name.text.as_str() {
                "test-accuracy" => {
                    accuracy = number(&node).filter(|share| (0.0..=1.0).contains(share));
                    accuracy.is_some()
                }
                "minutes" => {
                    minutes = number(&node).filter(|minutes| *minutes > 0.0 && minutes.is_finite());
                    minutes.is_some()
                }
                "source" => match &node.value {
                    Value::Text(text) => {
                        source.clone_from(text);
                        true
                    }
                    _ => false,
                },
                _ => {
                    self.unknown(&name, "[[claim]]", CLAIM.to_vec(), None);
                    true
                }
            };
            if !ok {
                bad = true;
                self.report(bad_claim(&name.text, &node));
            }
        }
        if accuracy.is_none() && minutes.is_none() && !bad {
            let problem = Problem::new("this claim claims nothing").at(&place, "here");
            self.report(problem.help("add test-accuracy, minutes or both"));
        }
        let conditions = when.conditions;
        let entry = ClaimEntry { when: conditions, test_accuracy: accuracy, minutes, source, place };
        (!when.idle).then_some(entry)
    }

    /// Takes `when` out of an override or a claim.
    fn when(&mut self, place: &Place, mut table: Entries, what: &str) -> Option<(When, Entries)> {
        let Some(index) = table.iter().position(|(name, _)| name.text == "when") else {
            let problem = Problem::new(format!("this {what} does not say `when` it holds")).at(place, "here");
            self.report(problem.help("add for example when = { model = \"alexnet\" }"));
            return None;
        };
        let (_, node) = table.remove(index);
        match self.known.read(&node) {
            Ok(when) => Some((when, table)),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// The tables of `[[except]]`, `[[override]]` or `[[claim]]`.
    pub(crate) fn tables(&mut self, header: &Name, node: Node) -> Vec<(Place, Entries)> {
        let name = &header.text;
        let Value::List(items) = node.value else {
            let problem = Problem::new(format!("`{name}` must be a list of tables, not {}", node.found()));
            self.report(
                problem.at(&header.place, "here").help(format!("write [[{name}]] with two brackets")),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            let place = item.place.clone();
            let entries = self.table(entries_of(header, item));
            if !entries.is_empty() {
                tables.push((place, entries));
            }
        }
        tables
    }
}

fn bad_claim(name: &str, node: &Node) -> Problem {
    let allowed = match name {
        "test-accuracy" => "a share from 0 to 1",
        "minutes" => "a number above 0",
        _ => "a text",
    };
    let problem =
        Problem::new(format!("`{name}` must be {allowed}, not {}", node.found())).at(&node.place, "here");
    match number(node) {
        Some(percent) if name == "test-accuracy" && (1.0..=100.0).contains(&percent) => {
            problem.help(format!("write {} for {percent} %", percent / 100.0))
        }
        _ => problem,
    }
}

/// A table with lists for some values, as tables with one of each.
fn one_by_one(node: &Node) -> Vec<Node> {
    let Value::Table(entries) = &node.value else { return vec![node.clone()] };
    let listed =
        entries.iter().position(|(_, node)| matches!(&node.value, Value::List(items) if !items.is_empty()));
    let Some((index, Value::List(items))) = listed.map(|index| (index, &entries[index].1.value)) else {
        return vec![node.clone()];
    };
    let with = |item: &Node| {
        let mut entries = entries.clone();
        entries[index].1 = item.clone();
        one_by_one(&Node { value: Value::Table(entries), place: node.place.clone() })
    };
    items.iter().flat_map(with).collect()
}
