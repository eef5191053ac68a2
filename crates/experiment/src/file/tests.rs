//! What a wrong experiment file is answered with: each message, its place, and what it suggests.

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{Experiment, Problems};

const GOOD: &str = r#"question = "which?"
[data]
source = "digits"
[train]
epochs = 2
[grid]
model = ["resnet18", "alexnet"]
strategy = ["full", "head"]
seed = [0, 1]
[[override]]
when = { model = "alexnet" }
resolution = 64
[[claim]]
when = { model = "resnet18", strategy = "full" }
test-accuracy = 0.852
minutes = 10
source = "the tutorial"
"#;

fn read(text: &str, flags: &[&str]) -> Result<Experiment, Problems> {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Experiment::read(Path::new("dir/x.toml"), text, &flags)
}

fn lines(text: &str, flags: &[&str]) -> Vec<String> {
    read(text, flags).err().map(|problems| problems.lines()).unwrap_or_default()
}

/// The one line that `GOOD` gives with `from` replaced by `to`.
fn line(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let lines = lines(&GOOD.replacen(from, to, 1), &[]);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

fn graphical(problems: &Problems) -> String {
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut shown, problems).unwrap();
    shown
}

#[test]
fn a_good_file_is_read() {
    let experiment = read(GOOD, &[]).unwrap();
    assert_eq!((experiment.name.as_str(), experiment.question.as_str()), ("x", "which?"));
    let axes: Vec<(&str, usize)> =
        experiment.axes.iter().map(|axis| (axis.key.name, axis.values.len())).collect();
    assert_eq!(axes, [("model", 2), ("strategy", 2), ("seed", 2)]);
    assert_eq!((experiment.overrides.len(), experiment.claims.len()), (1, 1));
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    for (from, to, expected) in [
        ("epochs", "epocs", "dir/x.toml:5:1: unknown key `epocs` in [train] (did you mean `epochs`?)"),
        ("epochs", "lr", "dir/x.toml:5:1: unknown key `lr` in [train] (did you mean `learning-rate`?)"),
        (
            "epochs",
            "augment",
            "dir/x.toml:5:1: unknown key `augment` in [train] (`augment` belongs in [data])",
        ),
        (
            "[train]\nepochs",
            "[trian]\nepochs",
            "dir/x.toml:4:2: unknown key `trian` in an experiment file (did you mean `train`?)",
        ),
        (
            "[data]",
            "epochs = 3\n[data]",
            "dir/x.toml:2:1: unknown key `epochs` in an experiment file (`epochs` belongs in [train])",
        ),
        (
            "strategy = [\"full\"",
            "stratgy = [\"full\"",
            "dir/x.toml:8:1: unknown key `stratgy` in [grid] (did you mean `strategy`?)",
        ),
        (
            "resolution",
            "resoluton",
            "dir/x.toml:12:1: unknown key `resoluton` in [[override]] (did you mean `resolution`?)",
        ),
        ("minutes", "minuts", "dir/x.toml:16:1: unknown key `minuts` in [[claim]] (did you mean `minutes`?)"),
        (
            "when = { model = \"alexnet\" }",
            "when = { modl = \"alexnet\" }",
            "dir/x.toml:11:10: unknown key `modl` in `when` (did you mean `model`? `when` takes keys of trials)",
        ),
    ] {
        let lines = lines(&GOOD.replacen(from, to, 1), &[]);
        assert!(lines.iter().any(|line| line == expected), "{to}: {lines:#?}");
    }
}

#[test]
fn wrong_values_say_what_was_found_and_what_is_allowed() {
    for (from, to, expected) in [
        (
            "[data]",
            "[data]\nclasses = [\"cat\", \"a+b\"]",
            "3:19: `a+b` cannot be named in `classes` (names are items of their own; a class that has `+` in its name must be renamed)",
        ),
        (
            "epochs = 2",
            "epochs = 0",
            "5:10: `epochs` must be a whole number from 1 to 100000, not the number 0",
        ),
        (
            "epochs = 2",
            "epochs = \"2\"",
            "5:10: `epochs` must be a whole number from 1 to 100000, not the text \"2\" (write it without quotes)",
        ),
        (
            "epochs = 2",
            "epochs = 2.5",
            "5:10: `epochs` must be a whole number from 1 to 100000, not the number 2.5",
        ),
        (
            "epochs = 2",
            "epochs = [1, 2]",
            "5:10: `epochs` must be a whole number from 1 to 100000, not a list (to compare several, write `epochs` under [grid])",
        ),
        ("epochs = 2", "batch = 1", "5:9: `batch` must be a whole number from 2 to 65536, not the number 1"),
        (
            "epochs = 2",
            "learning-rate = -1e-3",
            "5:17: `learning-rate` must be a number above 0, not the number -1e-3",
        ),
        (
            "epochs = 2",
            "learning-rate = nan",
            "5:17: `learning-rate` must be a number above 0, not the number nan",
        ),
        (
            "epochs = 2",
            "optimizer = \"adm\"",
            "5:13: `optimizer` must be one of sgd, adam, adamw, not the text \"adm\" (did you mean `adam`?)",
        ),
        ("epochs = 2", "nesterov = \"yes\"", "5:12: `nesterov` must be true or false, not the text \"yes\""),
        (
            "source = \"digits\"",
            "source = \"digits\"\nvalidation = 1.0",
            "4:14: `validation` must be a number from 0 to below 1, not the number 1.0",
        ),
        (
            "source = \"digits\"",
            "source = \"digits\"\nper-class = 0",
            "4:13: `per-class` must be a whole number from 1 to 100000000, or \"all\", not the number 0",
        ),
        (
            "source = \"digits\"",
            "source = \"digits\"\naugment = [4]",
            "4:11: `augment` must be a list of texts, not a list",
        ),
        ("[0, 1]", "[0, -1]", "9:12: `seed` must be a whole number of 0 or more, not the number -1"),
        ("\"alexnet\"]", "\"alexnt\"]", "7:22: there is no model `alexnt` (did you mean `alexnet`?"),
        ("\"which?\"", "3", "1:12: `question` must be a sentence in quotes, not the number 3"),
        (
            "0.852",
            "85.2",
            "15:17: `test-accuracy` must be a share from 0 to 1, not the number 85.2 (write 0.852 for 85.2 %)",
        ),
        ("minutes = 10", "minutes = 0", "16:11: `minutes` must be a number above 0, not the number 0"),
    ] {
        let lines = lines(&GOOD.replacen(from, to, 1), &[]);
        let found = lines.first().and_then(|line| line.strip_prefix("dir/x.toml:"));
        assert!(found.is_some_and(|line| line.starts_with(expected)), "{to}: {lines:#?}");
    }
}

#[test]
fn axes_overrides_and_claims_that_cannot_be_meant_are_refused() {
    for (from, to, expected) in [
        ("[0, 1]", "[]", "9:8: the axis `seed` has no values (give at least one value, or remove the axis)"),
        ("[0, 1]", "[0, 0x0]", "9:12: `seed` has the value 0 twice (remove one)"),
        (
            "[0, 1]",
            "[0, 1]\nepochs = [1, 2]",
            "10:1: `epochs` is given in [train] and in [grid] (keep one of them)",
        ),
        (
            "when = { model = \"alexnet\" }",
            "when = {}",
            "11:8: `when` must be a table of keys and values, not an empty one (for example when = { model = \"alexnet\" })",
        ),
        (
            "when = { model = \"alexnet\" }",
            "when = { model = \"alexnt\" }",
            "11:18: no trial has model `alexnt` (did you mean `alexnet`? trials have resnet18, alexnet)",
        ),
        (
            "when = { model = \"alexnet\" }",
            "when = { seed = 7 }",
            "11:17: no trial has seed `7` (trials have 0, 1)",
        ),
        (
            "when = { model = \"alexnet\" }",
            "when = { batch = 32 }",
            "11:18: no trial has batch `32` (trials have 64)",
        ),
        (
            "when = { model = \"alexnet\" }\n",
            "",
            "10:1: this override does not say `when` it holds (add for example when = { model = \"alexnet\" })",
        ),
        (
            "resolution = 64\n",
            "",
            "10:1: this override changes nothing (add the keys to change, for example resolution = 64)",
        ),
        (
            "[[override]]",
            "[override]",
            "10:2: `override` must be a list of tables, not a table (write [[override]] with two brackets)",
        ),
        (
            "test-accuracy = 0.852\nminutes = 10\n",
            "",
            "13:1: this claim claims nothing (add test-accuracy, minutes or both)",
        ),
        (
            "[train]\nepochs = 2",
            "train = 2",
            "3:9: `train` must be a table, not the number 2 (write [train] on a line of its own, and its keys below)",
        ),
    ] {
        let changed = if to == "train = 2" {
            GOOD.replacen(from, "", 1).replacen("[data]", "train = 2\n[data]", 1)
        } else {
            GOOD.replacen(from, to, 1)
        };
        let expected =
            if to == "train = 2" { expected.replacen("3:9", "2:9", 1) } else { expected.to_owned() };
        assert_eq!(lines(&changed, &[]), [format!("dir/x.toml:{expected}")], "{to}");
    }
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        lines("", &[]),
        [
            "dir/x.toml:1:1: `question` is missing (write the question that the experiment answers, in quotes)",
            "dir/x.toml:1:1: `source` in [data] is missing (for example source = \"digits\")",
            "dir/x.toml:1:1: `model` in [grid] is missing (for example model = [\"resnet18\"]; see `frostline models`)",
        ]
    );
}

#[test]
fn all_problems_are_shown_at_once() {
    let text = GOOD.replacen("epochs = 2", "epocs = 2\nbatch = 0", 1).replacen("[0, 1]", "[0, 0]", 1);
    let problems = read(&text, &["train.momentum=2"]).unwrap_err();
    assert_eq!(problems.list.len(), 4, "{:#?}", problems.lines());
    assert_eq!(problems.to_string(), "dir/x.toml cannot be used as it is; 4 problems");
}

#[test]
fn text_that_is_not_toml_has_a_place() {
    let line = line("epochs = 2", "epochs = ");
    assert!(line.starts_with("dir/x.toml:5:"), "{line}");
    assert!(line.contains("not TOML"), "{line}");
}

#[test]
fn a_problem_is_shown_with_the_line_it_stands_in() {
    let problems = read(&GOOD.replacen("epochs", "epocs", 1), &[]).unwrap_err();
    let expected = "
  × dir/x.toml cannot be used as it is

Error: 
  × unknown key `epocs` in [train]
   ╭─[dir/x.toml:5:1]
 4 │ [train]
 5 │ epocs = 2
   · ──┬──
   ·   ╰── unknown
 6 │ [grid]
   ╰────
  help: did you mean `epochs`?
";
    assert_eq!(graphical(&problems).trim(), expected.trim());
}
