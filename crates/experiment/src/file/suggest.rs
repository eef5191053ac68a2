//! Suggestions: [`nearest`] finds the name that was probably meant.

/// Names under which people know a key from elsewhere.
const SYNONYMS: &[(&str, &str)] = &[
    ("lr", "learning-rate"),
    ("rate", "learning-rate"),
    ("bn", "batch-norm"),
    ("wd", "weight-decay"),
    ("dataset", "source"),
    ("transforms", "augment"),
    ("scheduler", "schedule"),
    ("freeze", "strategy"),
    ("pretrained", "weights"),
    ("size", "resolution"),
    ("accuracy", "test-accuracy"),
    ("time", "minutes"),
];

/// The name among `known` that `wrong` was probably meant to be, or none where no name is near.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.parse::<f64>().is_ok() {
        return None; // Every number is near another.
    }
    let wrong = wrong.to_lowercase().replace('_', "-");
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == wrong).map(|(_, name)| *name);
    let distance = |name: &str| {
        if synonym == Some(name) || name.eq_ignore_ascii_case(&wrong) {
            return 0;
        }
        let begins =
            wrong.len() >= 3 && name.len() >= 3 && (name.starts_with(&wrong) || wrong.starts_with(name));
        if begins { 1 } else { strsim::damerau_levenshtein(&wrong, name) }
    };
    let allowed = |name: &str| 1 + name.len().min(wrong.len()) / 4;
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= allowed(name) && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`? " where a name is near, then `rest`.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, rest: &str) -> String {
    match nearest(wrong, known) {
        Some(name) if rest.is_empty() => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? {rest}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_found_and_nothing_else() {
        let keys = ["epochs", "batch", "learning-rate", "momentum", "schedule", "keep", "seed"];
        for (wrong, meant) in [
            ("epocs", Some("epochs")),
            ("learning_rate", Some("learning-rate")),
            ("Learning-Rate", Some("learning-rate")),
            ("lr", Some("learning-rate")),
            ("batch-size", Some("batch")),
            ("seeds", Some("seed")),
            ("kepe", Some("keep")),
            ("colour", None),
            ("x", None),
            ("7", None),
        ] {
            assert_eq!(nearest(wrong, keys), meant, "{wrong}");
        }
        assert_eq!(did_you_mean("epocs", keys, "keys are …"), "did you mean `epochs`? keys are …");
        assert_eq!(did_you_mean("x", keys, "keys are …"), "keys are …");
    }
}
