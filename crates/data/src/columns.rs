//! Which columns of a table hold the images and the labels: [`choose`], by what an experiment says, else by the schema's
//! features and by usual names.
//!
//! Column types are those of Hugging Face `datasets`: an image is `struct<bytes: binary, path: utf8>` (or `binary`, if the
//! metadata calls it an image), a label a whole number, a text, or true and false. The file's `huggingface` metadata tells classes
//! by name.

use frostline_sources::Reading;
use polars::prelude::ArrowDataType;
use serde_json::Value;

/// What columns of images are usually called, the likeliest first.
const IMAGES: [&str; 7] = ["image", "img", "picture", "photo", "images", "pixel_values", "file"];
/// Likewise of labels: CIFAR-100 has two, of which the fine one is the task.
const LABELS: [&str; 17] = [
    "fine_label",
    "label",
    "labels",
    "class",
    "classes",
    "category",
    "target",
    "targets",
    "y",
    "species",
    "class_id",
    "class_name",
    "category_id",
    "label_id",
    "label_name",
    "diagnosis",
    "answer",
];

/// Names of the image column and the label column.
///
/// # Errors
/// No column, or none that was asked for, can be that; several could be the label and none is called as labels are.
pub(crate) fn choose(
    fields: &[(&str, &ArrowDataType)],
    features: &Value,
    reading: &Reading,
) -> Result<(String, String), String> {
    let typed = |name: &str| features[name]["_type"].as_str().unwrap_or_default();
    let could_be_image = |name: &str, dtype: &ArrowDataType| match dtype {
        ArrowDataType::Struct(inner) => {
            inner.iter().any(|field| field.name == "bytes" && is_binary(field.dtype()))
        }
        other => {
            is_binary(other) && (typed(name) == "Image" || reading.image_column.as_deref() == Some(name))
        }
    };
    let found = |fits: &dyn Fn(&str, &ArrowDataType) -> bool| -> Vec<&str> {
        fields.iter().filter(|(name, dtype)| fits(name, dtype)).map(|(name, _)| *name).collect()
    };
    let images = found(&could_be_image);
    let image = match &reading.image_column {
        Some(wanted) => asked("image-column", wanted, &images, fields)?,
        None => usual(&images, &IMAGES).or_else(|| images.first().copied()).ok_or_else(|| {
            format!("has no image column (a struct of bytes and path); {}", listed(fields, "image-column"))
        })?,
    };
    let labels: Vec<&str> = found(&|name, dtype| name != image && could_be_label(dtype));
    let classed: Vec<&str> = labels.iter().copied().filter(|name| typed(name) == "ClassLabel").collect();
    let label = match &reading.label_column {
        Some(wanted) => asked("label-column", wanted, &labels, fields)?,
        None => usual(&classed, &LABELS)
            .or(classed.first().copied())
            .or_else(|| usual(&labels, &LABELS))
            .or(if let [only] = labels.as_slice() { Some(only) } else { None })
            .ok_or_else(|| match labels.as_slice() {
                [] => format!(
                    "has no label column (whole numbers, texts, or true and false); {}",
                    listed(fields, "label-column")
                ),
                several => format!(
                    "could have its labels in {}, and none is called as labels are; {}",
                    several.join(" or "),
                    listed(fields, "label-column")
                ),
            })?,
    };
    Ok((image.to_owned(), label.to_owned()))
}

/// The column that was asked for, if it can be that.
fn asked<'a>(
    key: &str,
    wanted: &str,
    fitting: &[&'a str],
    fields: &[(&str, &ArrowDataType)],
) -> Result<&'a str, String> {
    fitting.iter().find(|name| **name == wanted).copied().ok_or_else(|| {
        match fields.iter().find(|(name, _)| *name == wanted) {
            Some((_, dtype)) => {
                format!("has {} in `{wanted}`, which {key} names; {}", type_name(dtype), listed(fields, key))
            }
            None => format!("has no column `{wanted}`, which {key} names; {}", listed(fields, key)),
        }
    })
}

/// The first of the usual names that a column has, whatever its case.
fn usual<'a>(columns: &[&'a str], names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| columns.iter().find(|column| column.eq_ignore_ascii_case(name)).copied())
}

/// All columns with their types, and how to name one.
fn listed(fields: &[(&str, &ArrowDataType)], key: &str) -> String {
    let columns: Vec<String> =
        fields.iter().map(|(name, dtype)| format!("{name} ({})", type_name(dtype))).collect();
    format!("its columns are {}: name one with {key}", columns.join(", "))
}

/// A column's type in a reader's words.
fn type_name(dtype: &ArrowDataType) -> String {
    use ArrowDataType as T;
    match dtype {
        T::Struct(inner) => {
            let names: Vec<&str> = inner.iter().map(|field| field.name.as_str()).collect();
            format!("a struct of {}", names.join(" and "))
        }
        dtype if is_binary(dtype) => "bytes".to_owned(),
        dtype if is_text(dtype) => "texts".to_owned(),
        dtype if is_integer(dtype) => "whole numbers".to_owned(),
        T::Float16 | T::Float32 | T::Float64 | T::Decimal(..) => "numbers with decimals".to_owned(),
        T::Boolean => "true and false".to_owned(),
        T::List(_) | T::LargeList(_) | T::FixedSizeList(..) => "lists".to_owned(),
        T::Date32 | T::Date64 | T::Timestamp(..) | T::Time32(_) | T::Time64(_) => "times".to_owned(),
        T::Null => "nothing".to_owned(),
        _ => "values of another type".to_owned(),
    }
}

fn could_be_label(dtype: &ArrowDataType) -> bool {
    is_integer(dtype) || is_text(dtype) || *dtype == ArrowDataType::Boolean
}

fn is_text(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as T;
    match dtype {
        T::Dictionary(_, values, _) => is_text(values),
        other => matches!(other, T::Utf8 | T::LargeUtf8 | T::Utf8View),
    }
}

fn is_binary(dtype: &ArrowDataType) -> bool {
    matches!(dtype, ArrowDataType::Binary | ArrowDataType::LargeBinary | ArrowDataType::BinaryView)
}

fn is_integer(dtype: &ArrowDataType) -> bool {
    use ArrowDataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    matches!(dtype, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
}

/// The names of a `ClassLabel` feature: a list, or in old files an object from number to name.
pub(crate) fn class_names(feature: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match &feature["names"] {
        Value::Array(names) => names.iter().map(text).collect(),
        Value::Object(names) => {
            (0..names.len()).map(|class| names.get(&class.to_string()).and_then(text)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::ArrowField;
    use serde_json::json;

    use super::*;

    fn image() -> ArrowDataType {
        let field = |name: &str, dtype| ArrowField::new(name.into(), dtype, true);
        ArrowDataType::Struct(vec![field("bytes", ArrowDataType::Binary), field("path", ArrowDataType::Utf8)])
    }

    fn chosen_as(
        fields: &[(&str, ArrowDataType)],
        features: Value,
        reading: &Reading,
    ) -> Result<(String, String), String> {
        let fields: Vec<_> = fields.iter().map(|(name, dtype)| (*name, dtype)).collect();
        choose(&fields, &features, reading)
    }

    fn chosen(fields: &[(&str, ArrowDataType)], features: Value) -> Result<(String, String), String> {
        chosen_as(fields, features, &Reading::default())
    }

    fn names(image: &str, label: &str) -> Result<(String, String), String> {
        Ok((image.to_owned(), label.to_owned()))
    }

    #[test]
    fn columns_are_found_by_feature_then_by_name_and_never_by_place() {
        let (int, text) = (ArrowDataType::Int64, ArrowDataType::Utf8);
        let plain = [("img", image()), ("label", int.clone())];
        assert_eq!(chosen(&plain, Value::Null), names("img", "label"));
        let cifar100 = [("img", image()), ("coarse_label", int.clone()), ("fine_label", int.clone())];
        let classes = json!({"coarse_label": {"_type": "ClassLabel"}, "fine_label": {"_type": "ClassLabel"}});
        assert_eq!(chosen(&cifar100, classes), names("img", "fine_label"));
        let numbered =
            [("id", int.clone()), ("scan", image()), ("kind", int.clone()), ("note", text.clone())];
        assert_eq!(chosen(&numbered, json!({"kind": {"_type": "ClassLabel"}})), names("scan", "kind"));
        let sized = [("width", int.clone()), ("image", image()), ("category", text.clone())];
        assert_eq!(chosen(&sized, Value::Null), names("image", "category"), "widths are no classes");
        let upper = [("Width", int.clone()), ("Image", image()), ("Class", ArrowDataType::Boolean)];
        assert_eq!(chosen(&upper, Value::Null), names("Image", "Class"));
        let only = [("image", image()), ("kind", text.clone())];
        assert_eq!(chosen(&only, Value::Null), names("image", "kind"));
        let two = [("before", image()), ("after", image()), ("y", int.clone())];
        assert_eq!(chosen(&two, Value::Null), names("before", "y"));
        let raw = [("image", ArrowDataType::LargeBinary), ("labels", int)];
        assert_eq!(chosen(&raw, json!({"image": {"_type": "Image"}})), names("image", "labels"));
    }

    #[test]
    fn columns_that_were_asked_for_are_taken() {
        let fields = [
            ("thumb", image()),
            ("scan", ArrowDataType::Binary),
            ("width", ArrowDataType::Int32),
            ("label", ArrowDataType::Utf8),
            ("score", ArrowDataType::Float64),
        ];
        let asked = |image: &str, label: &str| {
            let column = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
            let reading = Reading { image_column: column(image), label_column: column(label), splits: None };
            chosen_as(&fields, Value::Null, &reading)
        };
        assert_eq!(asked("scan", "width"), names("scan", "width"));
        assert_eq!(asked("", ""), names("thumb", "label"));
        let all = "its columns are thumb (a struct of bytes and path), scan (bytes), width (whole numbers), label (texts), \
                   score (numbers with decimals): name one with label-column";
        assert_eq!(
            asked("", "score").unwrap_err(),
            format!("has numbers with decimals in `score`, which label-column names; {all}")
        );
        assert_eq!(
            asked("", "kind").unwrap_err(),
            format!("has no column `kind`, which label-column names; {all}")
        );
        assert!(
            asked("label", "").unwrap_err().starts_with("has texts in `label`, which image-column names")
        );
    }

    #[test]
    fn what_is_missing_or_not_clear_is_asked_for_in_a_readers_words() {
        let (int, text) = (ArrowDataType::Int64, ArrowDataType::Utf8);
        let message = |fields: &[(&str, ArrowDataType)]| chosen(fields, Value::Null).unwrap_err();
        let unclear = message(&[("image", image()), ("width", int.clone()), ("author", text)]);
        assert!(
            unclear.starts_with("could have its labels in width or author, and none is called"),
            "{unclear}"
        );
        let unlabelled = message(&[("image", image()), ("score", ArrowDataType::Float32)]);
        assert!(unlabelled.starts_with("has no label column (whole numbers, texts"), "{unlabelled}");
        let blind = message(&[("image", ArrowDataType::LargeBinary), ("label", int)]);
        assert!(
            blind.starts_with(
                "has no image column (a struct of bytes and path); its columns are image (bytes)"
            ),
            "{blind}"
        );
    }

    #[test]
    fn class_names_come_in_two_forms() {
        let names = Some(vec!["ant".to_owned(), "bee".to_owned()]);
        assert_eq!(class_names(&json!({"names": ["ant", "bee"]})), names);
        assert_eq!(class_names(&json!({"names": {"1": "bee", "0": "ant"}})), names);
        assert_eq!(class_names(&json!({"num_classes": 2})), None);
        assert_eq!(class_names(&Value::Null), None);
    }
}
