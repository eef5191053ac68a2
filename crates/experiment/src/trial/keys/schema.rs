//! A key as a JSON schema: what an editor may offer and check.

use serde_json::{Value, json};

use super::{Key, Kind, Range, Whole};
use crate::Trial;

impl Key {
    /// A schema of what may be written for it: every value that is read is allowed, though not every one that it allows is read, as
    /// names are looked up and combinations weighed where a plan is made.
    pub(crate) fn schema(&self) -> Value {
        let or = |schema: Value, absent: &str| json!({"anyOf": [schema, {"const": absent}]});
        let mut schema = match &self.kind {
            Kind::Name(_) => json!({"type": "string"}),
            // Splits may be a table.
            Kind::OptionalName(..) => json!({"type": ["string", "object"]}),
            Kind::List(..) => json!({"type": ["array", "string"], "items": {"type": "string"}}),
            Kind::Choice(_, choices) => json!({"enum": choices}),
            Kind::Flag(_) => json!({"type": "boolean"}),
            Kind::Seed(_) => json!({"type": "integer", "minimum": 0}),
            Kind::Count(_, whole) => whole.schema(),
            Kind::OptionalCount(_, whole, absent) => or(whole.schema(), absent),
            Kind::Number(_, range) => range.schema(),
            Kind::OptionalNumber(_, range, absent) => or(range.schema(), absent),
        };
        schema["description"] = json!(self.meaning);
        let default = self.show(&Trial::default());
        if !default.is_empty() && !matches!(self.kind, Kind::List(..)) {
            schema["default"] = serde_json::from_str(&default).unwrap_or_else(|_| json!(default));
        }
        schema
    }
}

impl Whole {
    fn schema(self) -> Value {
        let Self(least, most) = self;
        json!({"type": "integer", "minimum": least, "maximum": most})
    }
}

impl Range {
    fn schema(self) -> Value {
        match self {
            Self::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
            Self::NotNegative => json!({"type": "number", "minimum": 0}),
            Self::Share => json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
            Self::Factor => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        }
    }
}
