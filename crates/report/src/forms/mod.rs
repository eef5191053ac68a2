//! The report in other forms: [`page`] for browsers; for programs [`write_data`] puts its numbers into `report.json`, whose schema is `docs/report.schema.json`, and each of its
//! tables into a CSV file.

mod fill;
mod html;
mod rows;

use std::fs;
use std::path::Path;

use frostline_results::{StoreError, write_file};
use serde::Serialize;

pub(crate) use html::page;
pub(crate) use rows::Data;

/// The folder of the CSV files.
const TABLES: &str = "csv";

/// Writes `report.json` and the CSV files into a results folder. A list that is empty has no file.
///
/// # Errors
/// A failed write.
pub(crate) fn write_data(folder: &Path, data: &Data<'_>) -> Result<(), StoreError> {
    let path = folder.join("report.json");
    let damaged = |path: &Path, reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let mut json = serde_json::to_vec_pretty(data).map_err(|error| damaged(&path, error.to_string()))?;
    json.push(b'\n');
    write_file(&path, &json)?;
    let tables = folder.join(TABLES);
    fs::create_dir_all(&tables).map_err(|error| StoreError::writing(&tables, error))?;
    let put = |name: &str, csv: Result<Vec<u8>, csv::Error>| {
        let path = tables.join(format!("{name}.csv"));
        let csv = csv.map_err(|error| damaged(&path, error.to_string()))?;
        if csv.is_empty() { Ok(()) } else { write_file(&path, &csv) }
    };
    put("arms", csv(&data.arms))?;
    put("differences", csv(&data.differences))?;
    put("disagreements", csv(&data.disagreements))?;
    put("trials", csv(&data.trials))?;
    put("candidates", csv(&data.candidates))?;
    put("times-to-accuracy", csv(&data.times_to_accuracy))?;
    put("classes", csv(&data.classes))?;
    put("confusion", csv(&data.confusion))?;
    put("calibration", csv(&data.calibration))?;
    put("pretrainings", csv(&data.pretrainings))?;
    put("claims", csv(&data.claims))
}

/// Rows as CSV with a header, after RFC 4180; nothing of no rows.
fn csv(rows: &[impl Serialize]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

#[cfg(test)]
mod tests {
    use frostline_compare::Comparison;
    use frostline_results::samples::{claim, plan, results};

    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_form() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Data<'static>)).unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
        let published = fs::read_to_string(&path).unwrap_or_default();
        if published != schema {
            fs::write(&path, &schema).unwrap();
            panic!(
                "docs/report.schema.json was not that of the form; it was written anew: look at what changed"
            );
        }
    }

    #[test]
    fn every_table_is_there_and_holds_the_numbers() {
        let mut plan = plan(&["resnet18"], &["full", "head"], 3);
        plan.claims = vec![claim()];
        let results = results(plan, |t| (if t.strategy == "full" { 0.9 } else { 0.6 }, 10.0));
        let comparison = Comparison::of(&results);
        let data = Data::of(&results, &comparison, "the answer".to_owned(), vec!["a note".to_owned()]);
        let dir = tempfile::tempdir().unwrap();
        write_data(dir.path(), &data).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["arms"][0]["test_accuracy"], 0.9);
        assert_eq!(json["arms"][1]["baseline"], 1);
        assert_eq!(json["differences"][0]["verdict"], "worse");
        assert_eq!((&json["answer"], &json["notes"][0]), (&"the answer".into(), &"a note".into()));
        let mut read = csv::Reader::from_path(dir.path().join("csv/trials.csv")).unwrap();
        let header = read.headers().unwrap().clone();
        let place = header.iter().position(|name| name == "test_accuracy").unwrap();
        let values: Vec<f64> = read.records().map(|row| row.unwrap()[place].parse().unwrap()).collect();
        assert_eq!(values, [0.9, 0.9, 0.9, 0.6, 0.6, 0.6]);
        for name in ["arms", "differences", "disagreements", "classes", "confusion", "calibration", "claims"]
        {
            assert!(dir.path().join(format!("csv/{name}.csv")).exists(), "{name}");
        }
        assert!(!dir.path().join("csv/pretrainings.csv").exists());
    }
}
