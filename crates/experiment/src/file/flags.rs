//! `--set`: [`apply`] puts one flag's value into the tree of the file, so that it is checked as the file is.
//!
//! `SECTION.KEY=VALUE` replaces what the file says of the key, also where the file has it as an axis; the section may be
//! left out. `KEY[AXIS=VALUE,…]=VALUE` adds an override for the trials that have those values. A value is TOML, or plain
//! text where it is not: `--set data.source=digits`, `--set 'grid.seed=[0, 1]'`,
//! `--set 'weights[model=alexnet]=none'`.

use std::path::Path;
use std::sync::Arc;

use super::problem::Problem;
use super::suggest::did_you_mean;
use super::tree::{Name, Node, Place, Text, Value, read_value, text};
use crate::trial::keys::{FOLDS, Section, key, keys};

/// The sections whose keys a flag may set.
const SECTIONS: [&str; 5] = ["data", "train", "run", "grid", "tune"];

/// The keys outside of the sections, likewise.
const ROOT: [&str; 2] = ["question", "checkpoints"];

/// Values of the file that a flag took away; conditions may still speak of them.
pub(crate) type Replaced = Vec<(Name, Node)>;

/// Puts `flag` into the file's tree, and what it takes away into `replaced`.
///
/// # Errors
/// Where the flag is not `KEY=VALUE`, or names no section or key.
pub(crate) fn apply(root: &mut Node, flag: &str, replaced: &mut Replaced) -> Result<(), Problem> {
    let flag = text(Path::new("--set"), flag);
    let Flag { key, conditions, value } = parse(&flag)?;
    let Value::Table(root) = &mut root.value else { return Ok(()) };
    let (section, name) = match key.text.split_once('.') {
        Some((section, name)) => (Some(section.to_owned()), rest(&key, name)),
        None => (None, key.clone()),
    };
    if let Some(section) = section.as_deref().filter(|section| !SECTIONS.contains(section)) {
        let help = did_you_mean(section, SECTIONS, "sections are data, train, run, grid, tune");
        return Err(Problem::new(format!("unknown section `{section}`")).at(&key.place, "here").help(help));
    }
    if let Some(conditions) = conditions {
        return add_override(root, name, conditions, value);
    }
    let section = match section {
        Some(section) => section,
        None if ROOT.contains(&name.text.as_str()) => {
            take(root, &name.text);
            root.push((name, value));
            return Ok(());
        }
        None => home(root, &name, &value)?,
    };
    for other in SECTIONS {
        if let Some((_, Node { value: Value::Table(entries), .. })) = find(root, other) {
            replaced.extend(take(entries, &name.text));
        }
    }
    let table = table_of(root, &section, &key.place);
    table.push((name, value));
    Ok(())
}

/// The section that a key without one belongs in: `[grid]`, or `[tune]` where the key is tuned, for a list, or where the key has no
/// other.
fn home(root: &mut [(Name, Node)], name: &Name, value: &Node) -> Result<String, Problem> {
    if name.text == FOLDS {
        return Ok(Section::Data.to_string());
    }
    let Some(known) = key(&name.text) else {
        let names = keys().iter().map(|key| key.name).chain(ROOT);
        let help = did_you_mean(&name.text, names, "keys are listed by `frostline plan --help`");
        let problem = Problem::new(format!("unknown key `{}`", name.text));
        return Err(problem.at(&name.place, "here").help(help));
    };
    let mut has = |section: &str| match find(root, section) {
        Some((_, Node { value: Value::Table(axes), .. })) => find(axes, &name.text).is_some(),
        _ => false,
    };
    let (axis, tuned) = (has("grid"), has("tune"));
    let list = matches!(value.value, Value::List(_)) && known.form() != crate::trial::keys::Form::Texts;
    Ok(match () {
        () if tuned && list => "tune".to_owned(),
        () if axis || list => "grid".to_owned(),
        () => known.section.to_string(),
    })
}

fn add_override(
    root: &mut Vec<(Name, Node)>,
    name: Name,
    conditions: Vec<(Name, Node)>,
    value: Node,
) -> Result<(), Problem> {
    let place = name.place.to(&value.place);
    let when = Name { text: "when".to_owned(), place: name.place.clone() };
    let conditions = Node { value: Value::Table(conditions), place: place.clone() };
    let table = Node { value: Value::Table(vec![(when, conditions), (name, value)]), place: place.clone() };
    match find(root, "override") {
        Some((_, Node { value: Value::List(overrides), .. })) => overrides.push(table),
        Some(_) => {} // The file's own mistake, which the reader reports.
        None => {
            let name = Name { text: "override".to_owned(), place: place.clone() };
            root.push((name, Node { value: Value::List(vec![table]), place }));
        }
    }
    Ok(())
}

fn find<'a>(table: &'a mut [(Name, Node)], name: &str) -> Option<&'a mut (Name, Node)> {
    table.iter_mut().find(|(entry, _)| entry.text == name)
}

fn take(table: &mut Vec<(Name, Node)>, name: &str) -> Option<(Name, Node)> {
    let index = table.iter().position(|(entry, _)| entry.text == name)?;
    Some(table.remove(index))
}

/// The entries of a section, which is added where the file has none.
fn table_of<'a>(root: &'a mut Vec<(Name, Node)>, section: &str, place: &Place) -> &'a mut Vec<(Name, Node)> {
    let index = root.iter().position(|(name, _)| name.text == section).unwrap_or_else(|| {
        let name = Name { text: section.to_owned(), place: place.clone() };
        root.push((name, Node { value: Value::Table(Vec::new()), place: place.clone() }));
        root.len() - 1
    });
    let node = &mut root[index].1;
    if !matches!(node.value, Value::Table(_)) {
        node.value = Value::Table(Vec::new());
    }
    let Value::Table(entries) = &mut node.value else { unreachable!("it was just made a table") };
    entries
}

/// A flag taken apart: `key[conditions]=value`.
struct Flag {
    key: Name,
    conditions: Option<Vec<(Name, Node)>>,
    value: Node,
}

fn parse(flag: &Text) -> Result<Flag, Problem> {
    let all = flag.inner();
    let malformed = |why: &str| {
        let place = Place { text: Arc::clone(flag), span: 0..all.len() };
        Problem::new(format!("`--set {all}` {why}"))
            .at(&place, "here")
            .help("write KEY=VALUE, SECTION.KEY=VALUE or KEY[AXIS=VALUE]=VALUE")
    };
    let open = all.find('[').filter(|open| all.find('=').is_none_or(|equals| *open < equals));
    let (key_end, conditions, equals) = match open {
        None => {
            let equals = all.find('=').ok_or_else(|| malformed("has no `=`"))?;
            (equals, None, equals)
        }
        Some(open) => {
            let close = all.find("]=").ok_or_else(|| malformed("has no `]=` after its `[`"))?;
            let mut conditions = Vec::new();
            let mut start = open + 1;
            for condition in all[start..close].split(',') {
                let (name, _) =
                    condition.split_once('=').ok_or_else(|| malformed("has a condition without `=`"))?;
                let equals = start + name.len();
                let end = start + condition.len();
                conditions.push((part(flag, start, equals), value(flag, equals + 1, end)?));
                start = end + 1;
            }
            (open, Some(conditions), close + 1)
        }
    };
    let key = part(flag, 0, key_end);
    if key.text.is_empty() {
        return Err(malformed("names no key"));
    }
    Ok(Flag { key, conditions, value: value(flag, equals + 1, all.len())? })
}

/// The name in a stretch of the flag, without the spaces around it.
fn part(flag: &Text, start: usize, end: usize) -> Name {
    let text = &flag.inner()[start..end];
    let (lead, name) = (text.len() - text.trim_start().len(), text.trim());
    let span = start + lead..start + lead + name.len();
    Name { text: name.to_owned(), place: Place { text: Arc::clone(flag), span } }
}

/// What follows `section.` in a dotted name.
fn rest(dotted: &Name, name: &str) -> Name {
    let span = dotted.place.span.end - name.len()..dotted.place.span.end;
    Name { text: name.to_owned(), place: Place { text: Arc::clone(&dotted.place.text), span } }
}

/// A value: TOML where it is TOML, plain text where it is not and does not look as if it was meant to be.
fn value(flag: &Text, start: usize, end: usize) -> Result<Node, Problem> {
    let Name { text: raw, place } = part(flag, start, end);
    match read_value(flag, place.span.clone()) {
        Ok(node) => Ok(node),
        Err(errors) if raw.starts_with(['[', '{', '"', '\'']) => {
            let message = errors.first().map(|error| error.message.clone()).unwrap_or_default();
            let problem =
                Problem::new(format!("the value of `--set {}` is not TOML: {message}", flag.inner()));
            Err(problem.at(&place, "here"))
        }
        Err(_) => Ok(Node { value: Value::Text(raw), place }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Experiment;
    use super::*;
    use crate::checkpoints::Checkpoints;
    use crate::plan::{Plan, expand};

    const FILE: &str = r#"question = "which?"
[data]
source = "digits"
[train]
epochs = 10
[grid]
model = ["resnet18", "alexnet"]
strategy = ["full", "head"]
batch = [32, 64]
[[override]]
when = { model = "alexnet" }
resolution = 64
[[override]]
when = { strategy = "head", batch = 32 }
learning-rate = 0.01
[[claim]]
when = { model = "alexnet", strategy = "head" }
minutes = 15
"#;

    fn read(flags: &[&str]) -> Result<Plan, Vec<String>> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let experiment = Experiment::read(Path::new("x.toml"), FILE, &flags).map_err(|p| p.lines())?;
        expand(&experiment).map_err(|problems| problems.lines())
    }

    /// The values that the trials have of a key, sorted and each once.
    fn values(key: &str, flags: &[&str]) -> Vec<String> {
        let plan = read(flags).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut values: Vec<String> = plan.trials.iter().filter_map(|trial| trial.value_of(key)).collect();
        values.sort();
        values.dedup();
        values
    }

    #[test]
    fn a_flag_replaces_what_the_file_says_wherever_it_says_it() {
        assert_eq!(values("epochs", &[]), ["10"]);
        for flag in ["train.epochs=3", "epochs=3", "grid.epochs=3", " epochs = 3 "] {
            assert_eq!(values("epochs", &[flag]), ["3"], "{flag}");
        }
        assert_eq!(values("epochs", &["epochs=[3, 4]"]), ["3", "4"]);
        assert_eq!(values("epochs", &["grid.epochs=[3, 4]"]), ["3", "4"]);
        assert_eq!(values("batch", &["train.batch=128"]), ["128"]);
        assert_eq!(values("seed", &["seed=[0, 1]", "seed=5"]), ["5"]);
        assert_eq!(
            values("source", &["data.source=hub:frostline-lab/cifar10-jpeg"]),
            ["hub:frostline-lab/cifar10-jpeg"]
        );
        assert_eq!(values("per-class", &["data.per-class=500"]), ["500"]);
        assert_eq!(values("augment", &["augment=[\"flip\", \"crop:4\"]"]), ["flip+crop:4"]);
        assert_eq!(read(&["question=Is it so?"]).unwrap().question, "Is it so?");
        let kept = read(&["checkpoints=best"]).unwrap();
        assert_eq!(kept.checkpoints, Checkpoints::Best);
        let without = Plan { checkpoints: Checkpoints::None, ..kept };
        assert_eq!(without, read(&[]).unwrap(), "no trial's id has it in it");
    }

    #[test]
    fn a_conditional_flag_is_an_override_that_comes_last() {
        let flags =
            ["weights[model=alexnet]=file:a.safetensors", "data.resolution[model=alexnet, strategy=head]=96"];
        assert_eq!(values("weights", &flags), ["file:a.safetensors", "none"]);
        assert_eq!(values("resolution", &flags), ["32", "64", "96"]);
        let plan = read(&flags).unwrap();
        for trial in &plan.trials {
            let special = trial.model == "alexnet" && trial.strategy == "head";
            assert_eq!(trial.resolution == 96, special);
            assert_eq!(trial.weights != "none", trial.model == "alexnet");
        }
    }

    #[test]
    fn overrides_and_claims_of_what_a_flag_took_away_are_idle() {
        let plan = read(&["grid.model=resnet18", "grid.batch=64"]).unwrap();
        assert_eq!((plan.trials.len(), plan.claims.len()), (2, 0));
    }

    #[test]
    fn what_is_wrong_with_a_flag_is_shown_in_the_flag() {
        for (flag, expected) in [
            (
                "epochs",
                "--set:1:1: `--set epochs` has no `=` (write KEY=VALUE, SECTION.KEY=VALUE or KEY[AXIS=VALUE]=VALUE)",
            ),
            (
                "=3",
                "--set:1:1: `--set =3` names no key (write KEY=VALUE, SECTION.KEY=VALUE or KEY[AXIS=VALUE]=VALUE)",
            ),
            ("train.epocs=3", "--set:1:7: unknown key `epocs` in [train] (did you mean `epochs`?)"),
            (
                "trian.epochs=3",
                "--set:1:1: unknown section `trian` (did you mean `train`? sections are data, train, run, grid, tune)",
            ),
            (
                "epocs=3",
                "--set:1:1: unknown key `epocs` (did you mean `epochs`? keys are listed by `frostline plan --help`)",
            ),
            (
                "train.epochs=ten",
                "--set:1:14: `epochs` must be a whole number from 1 to 100000, not the text \"ten\"",
            ),
            (
                "checkpoints=bset",
                "--set:1:13: `checkpoints` must be none, best or last, not the text \"bset\" (did you mean `best`?)",
            ),
            ("data.epochs=3", "--set:1:6: unknown key `epochs` in [data] (`epochs` belongs in [train])"),
            (
                "weights[model=alexnt]=none",
                "--set:1:15: no trial has model `alexnt` (did you mean `alexnet`? trials have resnet18, alexnet)",
            ),
            (
                "weights[model]=none",
                "--set:1:1: `--set weights[model]=none` has a condition without `=` (write KEY=VALUE, SECTION.KEY=VALUE or KEY[AXIS=VALUE]=VALUE)",
            ),
            (
                "weights[model=alexnet",
                "--set:1:1: `--set weights[model=alexnet` has no `]=` after its `[` (write KEY=VALUE, SECTION.KEY=VALUE or KEY[AXIS=VALUE]=VALUE)",
            ),
        ] {
            assert_eq!(read(&[flag]).unwrap_err(), [expected], "{flag}");
        }
        let unclosed = read(&["grid.seed=[0, 1"]).unwrap_err();
        assert!(unclosed[0].contains("the value of `--set grid.seed=[0, 1` is not TOML"), "{unclosed:?}");
    }
}
