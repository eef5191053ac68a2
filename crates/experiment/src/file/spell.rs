//! From a TOML value to a key's one spelling: [`spell`]. It checks kind, range and names of a single value, and says
//! what was found and what is allowed.

use super::problem::Problem;
use super::suggest::{did_you_mean, nearest};
use super::tree::{Name, Node, Value};
use crate::refusal;
use crate::trial::Trial;
use crate::trial::keys::{Form, Key};

/// The one spelling of `node` as a value of `key`.
///
/// # Errors
/// Wrong kind, out of range, or a name that nothing has.
pub(crate) fn spell(key: &'static Key, node: &Node) -> Result<String, Problem> {
    if let Some((item, node)) = divided(key.form(), node) {
        let problem = Problem::new(format!("`{item}` cannot be named in `{}`", key.name));
        return Err(problem
            .at(&node.place, "here")
            .help("names are items of their own; a class that has `+` in its name must be renamed"));
    }
    let text = raw(key.form(), node).ok_or_else(|| refused(key, node))?;
    let mut scratch = Trial::default();
    key.set(&mut scratch, &text).map_err(|_| refused(key, node))?;
    refusal::canonical(key.name, &key.show(&scratch)).map_err(|refusal| {
        let problem = Problem::new(refusal.message).at(&node.place, "here");
        if refusal.help.is_empty() { problem } else { problem.help(refusal.help) }
    })
}

/// The text of a value of the right kind.
fn raw(form: Form, node: &Node) -> Option<String> {
    match (form, &node.value) {
        (Form::Text | Form::TextOr(_) | Form::Texts, Value::Text(text)) => Some(text.clone()),
        (Form::TextOr(_), Value::Table(entries)) => {
            let part = |(name, node): &(Name, Node)| Some(format!("{}={}", name.text, plain(node)?));
            let parts: Option<Vec<String>> = entries.iter().map(part).collect();
            parts.map(|parts| parts.join(","))
        }
        (Form::Texts, Value::List(items)) => {
            let items: Option<Vec<&str>> = items.iter().map(plain).collect();
            items.map(|items| items.join("+"))
        }
        (Form::Flag, Value::Flag(flag)) => Some(flag.to_string()),
        (Form::Integer | Form::IntegerOr(_), Value::Integer(digits)) => Some(digits.clone()),
        (Form::Number | Form::NumberOr(_), Value::Integer(number) | Value::Float(number)) => {
            Some(number.clone())
        }
        (Form::IntegerOr(absent) | Form::NumberOr(absent), Value::Text(text)) if text == absent => {
            Some(text.clone())
        }
        _ => None,
    }
}

/// The first item of a list that its one spelling would take for several.
fn divided(form: Form, node: &Node) -> Option<(&str, &Node)> {
    let (Form::Texts, Value::List(items)) = (form, &node.value) else { return None };
    items.iter().find_map(|item| plain(item).filter(|text| text.contains('+')).map(|text| (text, item)))
}

fn plain(node: &Node) -> Option<&str> {
    if let Value::Text(text) = &node.value { Some(text) } else { None }
}

fn refused(key: &'static Key, node: &Node) -> Problem {
    let problem = Problem::new(format!("`{}` must be {}, not {}", key.name, key.allowed(), node.found()));
    let fitting = |text: &str| {
        !matches!(key.form(), Form::Text | Form::TextOr(_)) && key.set(&mut Trial::default(), text).is_ok()
    };
    let help = match &node.value {
        Value::Text(text) if !key.choices().is_empty() => {
            did_you_mean(text, key.choices().iter().copied(), "")
        }
        Value::Text(text) if fitting(text) => "write it without quotes".to_owned(),
        Value::Text(text) => match key.form() {
            Form::IntegerOr(absent) | Form::NumberOr(absent) => did_you_mean(text, [absent], ""),
            Form::Flag => {
                nearest(text, ["true", "false"]).map(|word| format!("write {word}")).unwrap_or_default()
            }
            _ => String::new(),
        },
        Value::List(items) if key.form() != Form::Texts && items.len() > 1 => {
            format!("to compare several, write `{}` under [grid]", key.name)
        }
        _ => String::new(),
    };
    let problem = problem.at(&node.place, "here");
    if help.is_empty() { problem } else { problem.help(help) }
}
