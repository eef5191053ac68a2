//! What splits are usually called: [`role`] of a word, and [`Wanted`], which asks an experiment's own names first.

use frostline_sources::SplitNames;

use crate::duplicates::Part;

/// The split that a name stands for, whatever its case.
fn role(word: &str) -> Option<Part> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "test" | "testing" => Some(Part::Test),
        "validation" | "valid" | "val" | "dev" => Some(Part::Validation),
        _ => None,
    }
}

/// The splits that are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a>(pub(crate) Option<&'a SplitNames>);

impl Wanted<'_> {
    /// The split that a name stands for here.
    pub(crate) fn part(self, word: &str) -> Option<Part> {
        let Some(splits) = self.0 else { return role(word) };
        let parts = [Part::Train, Part::Validation, Part::Test];
        let mut named = parts.into_iter().zip(splits.roles());
        named.find(|(_, (_, names))| names.iter().any(|name| name == word)).map(|(part, _)| part)
    }

    /// The part that validation images are: those for the test where there are no others and nothing else was asked for.
    pub(crate) fn settle(self, part: Part, has_test: bool) -> Part {
        if part == Part::Validation && !has_test && self.0.is_none() { Part::Test } else { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_splits() {
        let usual = Wanted(None);
        for (word, part) in [
            ("Train", Some(Part::Train)),
            ("training", Some(Part::Train)),
            ("dev", Some(Part::Validation)),
            ("valid", Some(Part::Validation)),
            ("TEST", Some(Part::Test)),
            ("trains", None),
        ] {
            assert_eq!(usual.part(word), part, "{word}");
        }
        assert_eq!(usual.settle(Part::Validation, false), Part::Test);
        assert_eq!(usual.settle(Part::Validation, true), Part::Validation);
        let splits: SplitNames = "train=part1+part2,test=part3".parse().unwrap();
        let own = Wanted(Some(&splits));
        assert_eq!(
            [own.part("part2"), own.part("part3"), own.part("train")],
            [Some(Part::Train), Some(Part::Test), None]
        );
        assert_eq!(own.settle(Part::Validation, false), Part::Validation);
    }
}
