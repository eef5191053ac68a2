//! The JSON schema of experiment files, with which editors complete and check them: [`schema`].

use frostline_recipe::{BatchNormPolicy, Strategy};
use frostline_zoo::zoo;
use serde_json::{Map, Value, json};

use crate::checkpoints::Checkpoints;
use crate::refusal::METHODS;
use crate::trial::keys::{FOLDS, Key, Section, keys};

/// The schema (draft 7). It allows every file that is read; names of sources and weights, and what does not go together, are checked where
/// a plan is made.
pub fn schema() -> Value {
    let of = |sections: &[Section]| table(keys().iter().filter(|key| sections.contains(&key.section)), once);
    let when = || table(keys().iter(), several);
    let with_when = |mut table: Value| {
        table["properties"]["when"] = when();
        table["required"] = json!(["when"]);
        table
    };
    let all = [Section::Grid, Section::Data, Section::Train, Section::Run];
    let mut pretraining = of(&[Section::Data, Section::Train]);
    let own = [
        ("method", json!({"enum": METHODS, "description": "what the trunk learns"})),
        (
            "denoise",
            json!({"type": "number", "minimum": 0, "description": "deviation of the noise that an autoencoder takes away"}),
        ),
        (
            "seed",
            json!({"type": "integer", "minimum": 0, "description": "of all trials; else each trial's own"}),
        ),
    ];
    for (name, schema) in own {
        pretraining["properties"][name] = schema;
    }
    let mut data = of(&[Section::Data]);
    data["properties"][FOLDS] = json!({
        "anyOf": [{"type": "integer", "minimum": 2, "maximum": 100}, {"const": "none"}], "default": "none",
        "description": "cross-validation: each of so many parts of the images tests what trained on the others",
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Frostline experiment",
        "type": "object",
        "additionalProperties": false,
        "required": ["question", "grid"],
        "properties": {
            "question": {"type": "string", "minLength": 1, "description": "what the experiment answers"},
            "checkpoints": {"enum": Checkpoints::NAMES, "default": "none", "description": "which weights of a trial are kept"},
            "baseline": {
                "anyOf": [{"type": "string"}, when()], "default": "full",
                "description": "what arms are held against: a strategy, or keys and values",
            },
            "margin": {
                "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100, "default": 1,
                "description": "points of accuracy within which arms are as good as equal",
            },
            "data": data,
            "train": of(&[Section::Train]),
            "run": of(&[Section::Run]),
            "grid": table(keys().iter(), several),
            "tune": table(keys().iter().filter(|key| key.can_be_tuned()), at_least_two),
            "halving": object(json!({
                "first": {"type": "integer", "minimum": 1, "default": 1, "description": "epochs before the first comparison"},
                "factor": {"type": "integer", "minimum": 2, "default": 2, "description": "one arm in so many goes on"},
                "asynchronous": {"type": "boolean", "default": false, "description": "arms go on before all others have come as far"},
            })),
            "strategy": {"type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": false, "required": ["phases"],
                "properties": {"phases": {"type": "array", "minItems": 1, "items": phase()}},
            }},
            "pretrain": {"type": "object", "additionalProperties": pretraining},
            "override": {"type": "array", "items": with_when(of(&all))},
            "except": {"type": "array", "items": with_when(object(json!({})))},
            "claim": {"type": "array", "items": with_when(object(json!({
                "test-accuracy": {"type": "number", "minimum": 0, "maximum": 1},
                "minutes": {"type": "number", "exclusiveMinimum": 0},
                "source": {"type": "string", "description": "who claims it"},
            })))},
        },
    })
}

/// A table of nothing else.
fn object(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn table<'k>(keys: impl Iterator<Item = &'k Key>, of: impl Fn(Value) -> Value) -> Value {
    let entries: Map<String, Value> = keys.map(|key| (key.name.to_owned(), of(offered(key)))).collect();
    object(Value::Object(entries))
}

/// The key's schema with the names that an editor may offer.
fn offered(key: &Key) -> Value {
    let mut schema = key.schema();
    match key.name {
        "model" => schema["enum"] = zoo().iter().map(|card| json!(card.name)).collect(),
        "strategy" => schema["examples"] = json!(Strategy::NAMES),
        "weights" => {
            schema["examples"] = json!(["none", "hub", "hub:OWNER/NAME/FILE", "file:PATH", "pretrain:NAME"])
        }
        "source" => schema["examples"] = json!(["digits", "hub:OWNER/NAME", "cifar:PATH", "folder:DIR"]),
        _ => {}
    }
    schema
}

fn once(schema: Value) -> Value {
    schema
}

/// A value, or a list of some.
fn several(schema: Value) -> Value {
    let description = schema["description"].clone();
    json!({"anyOf": [schema, {"type": "array", "minItems": 1, "items": schema}], "description": description})
}

fn at_least_two(schema: Value) -> Value {
    let description = schema["description"].clone();
    json!({"type": "array", "minItems": 2, "items": schema, "description": description})
}

fn phase() -> Value {
    object(json!({
        "name": {"type": "string"},
        "epochs": {"type": "integer", "minimum": 1},
        "share": {"type": "number", "exclusiveMinimum": 0, "description": "of the epochs that phases of fixed length leave"},
        "train": {"type": "array", "items": {"type": "string"}, "description": "all, trunk, head, norms, biases, a stage, or a pattern of names"},
        "rate": {"type": "number", "exclusiveMinimum": 0, "description": "times the scheduled learning rate"},
        "rates": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}, "description": "factors of single parts"},
        "batch-norm": {"enum": BatchNormPolicy::NAMES},
        "optimizer": {"enum": ["keep", "reset"], "description": "what becomes of its state where the phase begins"},
        "l2-sp": {"type": "number", "exclusiveMinimum": 0, "description": "decay towards the first weights"},
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::Experiment;

    /// Whether a schema of the words that are used here allows a value.
    fn allows(schema: &Value, value: &Value) -> bool {
        let is = |kind: &str| match kind {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        };
        schema.as_object().unwrap().iter().all(|(word, said)| match word.as_str() {
            "type" => match said {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
                kind => is(kind.as_str().unwrap()),
            },
            "enum" => said.as_array().unwrap().contains(value),
            "const" => said == value,
            "anyOf" => said.as_array().unwrap().iter().any(|schema| allows(schema, value)),
            "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > said.as_f64().unwrap()),
            "exclusiveMaximum" => value.as_f64().is_none_or(|number| number < said.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= said.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= said.as_u64().unwrap()),
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| allows(said, item))),
            "required" => value.as_object().is_none_or(|table| {
                said.as_array().unwrap().iter().all(|key| table.contains_key(key.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|table| {
                table.iter().all(|(key, value)| said.get(key).is_none_or(|schema| allows(schema, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|table| {
                let known =
                    |key: &String| schema.get("properties").is_some_and(|known| known.get(key).is_some());
                table.iter().filter(|(key, _)| !known(key)).all(|(_, value)| match said {
                    Value::Bool(allowed) => *allowed,
                    schema => allows(schema, value),
                })
            }),
            "$schema" | "title" | "description" | "default" | "examples" => true,
            other => panic!("{other}"),
        })
    }

    fn read(text: &str) -> Result<(), String> {
        let told =
            |problems: crate::Problems| problems.list.iter().map(ToString::to_string).collect::<String>();
        Experiment::read(Path::new("x.toml"), text, &[]).map(|_| ()).map_err(told)
    }

    #[test]
    fn the_published_schema_is_this_one() {
        let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/experiment.schema.json");
        if fs::read_to_string(&path).unwrap_or_default() != schema {
            fs::write(&path, &schema).unwrap();
            panic!("docs/experiment.schema.json was not this one; it was written anew: look at what changed");
        }
    }

    #[test]
    fn the_experiments_that_come_along_are_allowed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut count = 0;
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "toml")) {
            let text = fs::read_to_string(&file).unwrap();
            let value: Value = toml::from_str(&text).unwrap();
            assert!(allows(&schema(), &value), "{}", file.display());
            count += 1;
        }
        assert!(count >= 5);
    }

    /// What the schema refuses is refused by the reader too, and what is of another kind by both.
    #[test]
    fn what_is_read_is_allowed() {
        let values = [
            "\"head\"",
            "\"none\"",
            "\"all\"",
            "\"best\"",
            "\"bf16\"",
            "\"\"",
            "true",
            "0",
            "1",
            "3",
            "-1",
            "0.5",
            "1.5",
            "1e30",
            "[]",
            "[\"flip\"]",
            "[\"a\", \"b\"]",
            "[1, 2]",
            "[0.1, 0.2]",
            "[true, false]",
            "{ train = \"a\" }",
            "[[\"flip\"], []]",
        ];
        let schema = schema();
        let (mut read_ones, mut refused_ones) = (0, 0);
        for key in keys() {
            let home = key.section.to_string();
            let sections =
                if home == "grid" { vec!["grid", "tune"] } else { vec![home.as_str(), "grid", "tune"] };
            for (section, value) in
                sections.iter().flat_map(|section| values.iter().map(move |value| (section, value)))
            {
                let line = format!("{} = {value}\n", key.name);
                let mut text = "question = \"q\"\n".to_owned();
                for (name, own) in [
                    ("data", "source = \"digits\"\n"),
                    ("grid", "model = [\"resnet18\"]\n"),
                    ("train", ""),
                    ("run", ""),
                    ("tune", ""),
                ] {
                    let more = if name == *section { line.as_str() } else { "" };
                    let own = if own.starts_with(key.name) && (name == *section || key.name == "model") {
                        ""
                    } else {
                        own
                    };
                    text += &format!("[{name}]\n{own}{more}");
                }
                let allowed = allows(&schema, &toml::from_str(&text).unwrap());
                match read(&text) {
                    Ok(()) => {
                        assert!(allowed, "{text}");
                        read_ones += 1;
                    }
                    Err(_) if !allowed => refused_ones += 1,
                    Err(_) => {}
                }
            }
        }
        assert!(read_ones > 100 && refused_ones > 500, "{read_ones} {refused_ones}");
    }
}
