//! `when`: [`Known`], the values that each key has somewhere in the grid, against which conditions are read, so that an
//! override or a claim that could never speak of a trial is an error.

use super::Assignment;
use super::problem::Problem;
use super::spell::spell;
use super::suggest::did_you_mean;
use super::tree::{Name, Node, Value};
use crate::trial::Trial;
use crate::trial::keys::{Key, key, keys};

/// The values that occur, by key.
#[derive(Default)]
pub(crate) struct Known {
    /// Values of the cells of this sweep.
    current: Vec<(&'static Key, String)>,
    /// Values that the file has and a flag took away.
    replaced: Vec<(&'static Key, String)>,
}

/// A `when` that was read.
#[derive(Default)]
pub(crate) struct When {
    pub(crate) conditions: Vec<Assignment>,
    /// Whether it speaks of a value that a flag took away, and so of no trial of this sweep.
    pub(crate) idle: bool,
}

impl Known {
    /// Notes a value that trials have.
    pub(crate) fn add(&mut self, key: &'static Key, value: &str) {
        self.current.push((key, value.to_owned()));
    }

    /// Notes a value that trials would have without `--set`.
    pub(crate) fn add_replaced(&mut self, key: &'static Key, value: &str) {
        self.replaced.push((key, value.to_owned()));
    }

    /// The values that a key has in this sweep: those noted, or its default.
    fn values(&self, key: &'static Key) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for (_, value) in self.current.iter().filter(|(noted, _)| *noted == key) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        if values.is_empty() { vec![key.show(&Trial::default())] } else { values }
    }

    /// Reads the value of a `when`.
    ///
    /// # Errors
    /// Not a table, an empty one, unknown keys, and values that no trial has.
    pub(crate) fn read(&self, node: &Node) -> Result<When, Vec<Problem>> {
        let table = match &node.value {
            Value::Table(table) if !table.is_empty() => table,
            Value::Table(_) => return Err(vec![misshapen(node, "an empty one")]),
            _ => return Err(vec![misshapen(node, &node.found())]),
        };
        let (mut when, mut problems) = (When::default(), Vec::new());
        for (name, node) in table {
            match self.condition(name, node) {
                Ok((condition, idle)) => {
                    when.conditions.push(condition);
                    when.idle |= idle;
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(when) } else { Err(problems) }
    }

    /// One condition, and whether a flag took its value away.
    fn condition(&self, name: &Name, node: &Node) -> Result<(Assignment, bool), Problem> {
        let Some(key) = key(&name.text) else {
            let help =
                did_you_mean(&name.text, keys().iter().map(|key| key.name), "`when` takes keys of trials");
            let problem = Problem::new(format!("unknown key `{}` in `when`", name.text));
            return Err(problem.at(&name.place, "no trial has this key").help(help));
        };
        let values = self.values(key);
        let value = match spell(key, node) {
            Ok(value) => {
                let idle = self.replaced.contains(&(key, value.clone()));
                if idle || values.contains(&value) {
                    let idle = !values.contains(&value);
                    return Ok((Assignment { key, value, place: node.place.clone() }, idle));
                }
                value
            }
            Err(_) => match &node.value {
                Value::Text(text) => text.clone(),
                _ => node.found(),
            },
        };
        let help = did_you_mean(
            &value,
            values.iter().map(String::as_str),
            &format!("trials have {}", values.join(", ")),
        );
        Err(Problem::new(format!("no trial has {} `{value}`", key.name))
            .at(&node.place, "matches no trial")
            .help(help))
    }
}

fn misshapen(node: &Node, found: &str) -> Problem {
    let problem = Problem::new(format!("`when` must be a table of keys and values, not {found}"));
    problem.at(&node.place, "here").help("for example when = { model = \"alexnet\" }")
}
