//! Pictures that occur more than once in a set, pixel by pixel at their native size: [`Duplicates`], found by their hashes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Pictures that a sentence names.
const NAMED: usize = 3;

/// Which split of the data set an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// As a word for images.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// One of the images that show the same picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) part: Part,
    /// Its place among the training images (validation images behind them), or among the test images.
    pub(crate) index: u32,
    pub(crate) label: u32,
    pub(crate) name: String,
}

/// The pictures that occur more than once, with all their copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicates(Vec<Vec<Copy>>);

impl Duplicates {
    /// Groups images by the hash of their picture.
    pub(crate) fn among(images: impl Iterator<Item = ([u8; 32], Copy)>) -> Self {
        let mut groups: BTreeMap<[u8; 32], Vec<Copy>> = BTreeMap::new();
        for (hash, copy) in images {
            groups.entry(hash).or_default().push(copy);
        }
        let mut groups: Vec<Vec<Copy>> = groups.into_values().filter(|group| group.len() > 1).collect();
        groups.sort_by_key(|group| (group[0].part, group[0].index));
        Self(groups)
    }

    /// How many pictures occur more than once.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a reader must know, each kind in a sentence with some names, the weightiest first.
    pub fn sentences(&self) -> Vec<String> {
        let (two_labels, one): (Vec<_>, Vec<_>) = self.0.iter().partition(|group| labels_differ(group));
        let (across, within): (Vec<_>, Vec<_>) = one.into_iter().partition(|group| parts(group).len() > 1);
        let kinds = [
            (across, "in more than one split, so what is tested was seen in training or choosing"),
            (two_labels, "under more than one label"),
            (within, "more than once in a split"),
        ];
        kinds.into_iter().filter_map(|(groups, what)| sentence(&groups, what)).collect()
    }

    /// The images that remain: one of each picture, of the test split if one is there, then of the validation split; none of those
    /// under more than one label. As (is in the test split, index), of those that go.
    pub(crate) fn surplus(&self) -> Vec<(bool, u32)> {
        let gone = |group: &Vec<Copy>| -> Vec<(bool, u32)> {
            let stays = group.iter().max_by_key(|copy| (copy.part, std::cmp::Reverse(copy.index)));
            let stays = stays.filter(|_| !labels_differ(group)).cloned();
            let goes = group.iter().filter(|copy| Some(*copy) != stays.as_ref());
            goes.map(|copy| (copy.part == Part::Test, copy.index)).collect()
        };
        self.0.iter().flat_map(gone).collect()
    }

    /// The same where each copy is elsewhere.
    pub(crate) fn moved(&self, to: impl Fn(&Copy) -> Copy) -> Self {
        let groups = self.0.iter().map(|group| group.iter().map(&to).collect());
        let mut groups: Vec<Vec<Copy>> = groups.collect();
        groups.iter_mut().for_each(|group| group.sort_by_key(|copy| (copy.part, copy.index)));
        groups.sort_by_key(|group| (group[0].part, group[0].index));
        Self(groups)
    }

    /// Those among the images that `place` keeps: it gives each of them its new label and index.
    pub(crate) fn kept(&self, place: impl Fn(&Copy) -> Option<(u32, u32)>) -> Self {
        let kept = |copy: &Copy| place(copy).map(|(label, index)| Copy { label, index, ..copy.clone() });
        let groups = self.0.iter().map(|group| group.iter().filter_map(kept).collect::<Vec<_>>());
        Self(groups.filter(|group| group.len() > 1).collect())
    }
}

fn labels_differ(group: &[Copy]) -> bool {
    group.iter().any(|copy| copy.label != group[0].label)
}

fn parts(group: &[Copy]) -> Vec<Part> {
    let mut parts: Vec<Part> = group.iter().map(|copy| copy.part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn sentence(groups: &[&Vec<Copy>], what: &str) -> Option<String> {
    let shown = groups.iter().take(NAMED).map(|group| {
        let names: Vec<String> =
            group.iter().map(|copy| format!("{} ({})", copy.name, copy.part.words())).take(NAMED).collect();
        let more = group.len() - names.len();
        if more > 0 { format!("{} and {more} more", names.join(" = ")) } else { names.join(" = ") }
    });
    let shown: Vec<String> = shown.collect();
    let more = groups.len() - shown.len();
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let (count, verb) =
        (frostline_text::plural(groups.len(), "picture"), if groups.len() == 1 { "is" } else { "are" });
    (!groups.is_empty()).then(|| format!("{count} {verb} {what}: {}{rest}", shown.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(images: &[(u8, Part, u32, u32)]) -> Duplicates {
        let copy = |&(hash, part, index, label): &(u8, Part, u32, u32)| {
            ([hash; 32], Copy { part, index, label, name: format!("{index}.png") })
        };
        Duplicates::among(images.iter().map(copy))
    }

    #[test]
    fn the_kinds_are_told_apart_and_one_of_each_stays() {
        use Part::{Test, Train, Validation};
        let all = found(&[
            (1, Train, 0, 0), // in training and twice in the test
            (1, Test, 3, 0),
            (1, Test, 1, 0),
            (2, Train, 5, 0), // under two labels
            (2, Train, 6, 1),
            (3, Train, 7, 1), // twice in training
            (3, Train, 9, 1),
            (4, Train, 8, 1), // in training and validation
            (4, Validation, 20, 1),
            (5, Train, 2, 0), // alone
        ]);
        assert_eq!(all.len(), 4);
        let sentences = all.sentences();
        assert_eq!(
            sentences[0],
            "2 pictures are in more than one split, so what is tested was seen in training or choosing: 0.png (training) = 3.png \
             (test) = 1.png (test); 8.png (training) = 20.png (validation)"
        );
        assert_eq!(
            sentences[1],
            "1 picture is under more than one label: 5.png (training) = 6.png (training)"
        );
        assert!(sentences[2].starts_with("1 picture is more than once in a split: 7.png"), "{sentences:?}");
        let mut gone = all.surplus();
        gone.sort_unstable();
        assert_eq!(gone, [(false, 0), (false, 5), (false, 6), (false, 8), (false, 9), (true, 3)]);
        let first_class = all.kept(|copy| (copy.label == 0).then_some((0, copy.index)));
        assert_eq!(
            first_class.len(),
            1,
            "of the picture under two labels one copy is left, which is no duplicate"
        );
        assert!(found(&[(1, Train, 0, 0), (2, Train, 1, 0)]).is_empty());
    }
}
