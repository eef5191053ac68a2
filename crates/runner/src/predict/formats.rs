//! Predictions as text: [`written`], as a table for people, as CSV or as JSON lines.

use serde_json::{Value, json};

use super::Row;
use crate::terminal::Columns;

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values under a header, as in RFC 4180: a line an image and rank.
    Csv,
    /// A JSON object a line, an image each.
    Jsonl,
}

/// The rows as text, each line ended.
pub fn written(rows: &[Row], format: Format) -> String {
    match format {
        Format::Table => table(rows),
        Format::Csv => csv(rows),
        Format::Jsonl => rows.iter().map(|row| format!("{}\n", object(row))).collect(),
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Columns::new(&["image", "class", ">probability"]);
    for row in rows {
        match &row.outcome {
            Ok(guesses) => {
                for (rank, guess) in guesses.iter().enumerate() {
                    let image = if rank == 0 { row.image.display().to_string() } else { String::new() };
                    let probability = format!("{:.1} %", 100.0 * guess.probability);
                    table.row(vec![image, guess.class.clone(), probability]);
                }
            }
            Err(what) => table.row(vec![row.image.display().to_string(), what.clone(), "–".to_owned()]),
        }
    }
    table.lines()
}

fn csv(rows: &[Row]) -> String {
    let mut text = "image,rank,class,probability,error\n".to_owned();
    for row in rows {
        let image = field(&row.image.display().to_string());
        match &row.outcome {
            Ok(guesses) => {
                for (rank, guess) in guesses.iter().enumerate() {
                    text += &format!("{image},{},{},{},\n", rank + 1, field(&guess.class), guess.probability);
                }
            }
            Err(what) => text += &format!("{image},,,,{}\n", field(what)),
        }
    }
    text
}

/// A value as a field of CSV, in quotes where it needs them.
fn field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

fn object(row: &Row) -> Value {
    let image = row.image.display().to_string();
    match &row.outcome {
        Ok(guesses) => {
            let guess =
                |guess: &super::Guess| json!({ "class": guess.class, "probability": guess.probability });
            json!({ "image": image, "predictions": guesses.iter().map(guess).collect::<Vec<_>>() })
        }
        Err(what) => json!({ "image": image, "error": what }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Guess;
    use super::*;

    fn rows() -> Vec<Row> {
        let guess = |class: &str, probability| Guess { class: class.to_owned(), probability };
        vec![
            Row {
                image: "a, b.png".into(),
                outcome: Ok(vec![guess("oak \"big\"", 0.75), guess("elm", 0.25)]),
            },
            Row { image: "c.png".into(), outcome: Err("is empty".to_owned()) },
        ]
    }

    #[test]
    fn every_format_has_every_image() {
        let table = written(&rows(), Format::Table);
        let expected = "image     class      probability\na, b.png  oak \"big\"       75.0 %\n          elm             25.0 %\n\
                        c.png     is empty             –\n";
        assert_eq!(table, expected);
        let csv = written(&rows(), Format::Csv);
        let expected = "image,rank,class,probability,error\n\"a, b.png\",1,\"oak \"\"big\"\"\",0.75,\n\"a, b.png\",2,elm,0.25,\n\
                        c.png,,,,is empty\n";
        assert_eq!(csv, expected);
        let lines: Vec<Value> =
            written(&rows(), Format::Jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["predictions"][1], json!({ "class": "elm", "probability": 0.25 }));
        assert_eq!(lines[1], json!({ "image": "c.png", "error": "is empty" }));
    }
}
