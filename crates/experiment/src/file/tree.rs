//! TOML as a tree of [`Node`]s that know their place in the text: [`read_document`] and [`read_value`]. It knows TOML,
//! and nothing of experiments.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::NamedSource;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A text that values were read from: the experiment file, or one `--set`.
pub(crate) type Text = Arc<NamedSource<String>>;

/// A stretch of a text.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) text: Text,
    pub(crate) span: Range<usize>,
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    /// As decimal digits, whatever the radix was.
    Integer(String),
    Float(String),
    Flag(bool),
    Date,
    List(Vec<Node>),
    /// In the order of the text.
    Table(Vec<(Name, Node)>),
}

/// What is not TOML, and where.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) place: Place,
}

/// A text with a name that miette shows.
pub(crate) fn text(name: &Path, text: &str) -> Text {
    Arc::new(NamedSource::new(name.display().to_string(), text.to_owned()))
}

/// Reads a document, which is a table.
///
/// # Errors
/// Every syntax error that the parser could tell apart.
pub(crate) fn read_document(text: &Text) -> Result<Node, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text.inner());
    let span = table.span();
    accept(text, errors).map(|()| {
        let place = Place { text: Arc::clone(text), span };
        Node { value: convert_table(text, 0, table.into_inner()), place }
    })
}

/// Reads the value that a stretch of a text spells.
///
/// # Errors
/// As [`read_document`].
pub(crate) fn read_value(text: &Text, stretch: Range<usize>) -> Result<Node, Vec<SyntaxError>> {
    let offset = stretch.start;
    let (value, errors) = DeValue::parse_recoverable(&text.inner()[stretch]);
    let mut errors = syntax_errors(text, errors);
    errors.iter_mut().for_each(|error| error.place.span = shift(&error.place.span, offset));
    if errors.is_empty() { Ok(convert(text, offset, value)) } else { Err(errors) }
}

fn accept(text: &Text, errors: Vec<toml::de::Error>) -> Result<(), Vec<SyntaxError>> {
    if errors.is_empty() { Ok(()) } else { Err(syntax_errors(text, errors)) }
}

fn syntax_errors(text: &Text, errors: Vec<toml::de::Error>) -> Vec<SyntaxError> {
    let error = |error: toml::de::Error| {
        let place = Place { text: Arc::clone(text), span: error.span().unwrap_or(0..0) };
        SyntaxError { message: error.message().to_owned(), place }
    };
    errors.into_iter().map(error).collect()
}

fn shift(span: &Range<usize>, offset: usize) -> Range<usize> {
    span.start + offset..span.end + offset
}

fn convert(text: &Text, offset: usize, value: Spanned<DeValue<'_>>) -> Node {
    let place = Place { text: Arc::clone(text), span: shift(&value.span(), offset) };
    let value = match value.into_inner() {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Integer(integer) => Value::Integer(
            i128::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.to_string(), |value| value.to_string()),
        ),
        DeValue::Float(float) => Value::Float(float.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| convert(text, offset, item)).collect())
        }
        DeValue::Table(table) => convert_table(text, offset, table),
    };
    Node { value, place }
}

fn convert_table(text: &Text, offset: usize, table: DeTable<'_>) -> Value {
    let mut entries: Vec<(Name, Node)> = table
        .into_iter()
        .map(|(key, value)| {
            let place = Place { text: Arc::clone(text), span: shift(&key.span(), offset) };
            (Name { text: key.into_inner().into_owned(), place }, convert(text, offset, value))
        })
        .collect();
    entries.sort_by_key(|(name, _)| name.place.span.start);
    Value::Table(entries)
}

impl Place {
    /// The text between two places of the same text, both included.
    pub(crate) fn to(&self, end: &Place) -> Place {
        Place { text: Arc::clone(&self.text), span: self.span.start..end.span.end.max(self.span.end) }
    }
}

impl Node {
    /// What was found, for a message: `the text "ten"`, `the number 3`, `a list`.
    pub(crate) fn found(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("the text \"{text}\""),
            Value::Integer(number) | Value::Float(number) => format!("the number {number}"),
            Value::Flag(flag) => flag.to_string(),
            Value::Date => "a date".to_owned(),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(toml: &str) -> Result<Node, Vec<SyntaxError>> {
        read_document(&text(Path::new("x.toml"), toml))
    }

    fn entries(node: &Node) -> &[(Name, Node)] {
        if let Value::Table(entries) = &node.value { entries } else { panic!("{node:?}") }
    }

    #[test]
    fn entries_keep_the_order_of_the_text_and_know_their_place() {
        let toml = "z = 1\na = [0x10, 2.5]\n[m]\nb = { c = 'x' }\n";
        let root = document(toml).unwrap();
        let names: Vec<&str> = entries(&root).iter().map(|(name, _)| name.text.as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        let Value::List(items) = &entries(&root)[1].1.value else { panic!() };
        assert!(matches!(&items[0].value, Value::Integer(digits) if digits == "16"));
        assert_eq!(&toml[items[1].place.span.clone()], "2.5");
        let inner = &entries(&entries(&root)[2].1)[0].1;
        assert_eq!(&toml[inner.place.span.clone()], "{ c = 'x' }");
    }

    #[test]
    fn a_value_of_a_flag_counts_its_place_from_the_flags_start() {
        let flag = text(Path::new("--set"), "grid.seed=[0, 1]");
        let Value::List(items) = read_value(&flag, 10..16).unwrap().value else { panic!() };
        assert_eq!(&flag.inner()[items[1].place.span.clone()], "1");
        let errors = read_value(&flag, 10..15).err().unwrap();
        assert!(errors[0].place.span.start >= 10, "{:?}", errors[0].place.span);
    }

    #[test]
    fn syntax_errors_have_places() {
        let errors = document("a = 1\nb = = 2\n").err().unwrap();
        assert_eq!(errors[0].place.span.start, 10, "{}", errors[0].message);
    }
}
