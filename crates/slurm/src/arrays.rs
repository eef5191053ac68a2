//! Shares as job arrays: [`arrays`] cuts them where a cluster takes no larger array.

use std::fmt;

/// A job array: some of its places, and what is added to a place for the number of its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// What is added to a place.
    pub offset: usize,
    /// Places, as ranges from first to last, ascending.
    pub places: Vec<(usize, usize)>,
}

impl Array {
    /// How many jobs it has.
    pub fn len(&self) -> usize {
        self.places.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The numbers of its shares, as ranges.
    pub fn shares(&self) -> Vec<(usize, usize)> {
        self.places.iter().map(|(first, last)| (first + self.offset, last + self.offset)).collect()
    }
}

impl fmt::Display for Array {
    /// As `--array` takes it: `1-4,7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.places.iter().enumerate() {
            if index > 0 {
                write!(f, ",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// The arrays of some shares (counted from 1, ascending) on a cluster whose `MaxArraySize` is that: places are below it. Without a limit
/// there is one.
pub fn arrays(shares: &[usize], max_array_size: Option<usize>) -> Vec<Array> {
    let most = max_array_size.map_or(usize::MAX, |size| size.saturating_sub(1).max(1));
    let mut arrays: Vec<Array> = Vec::new();
    for share in shares {
        let offset = (share - 1) / most * most;
        let place = share - offset;
        match arrays.last_mut().filter(|array| array.offset == offset) {
            Some(array) => extend(&mut array.places, place),
            None => arrays.push(Array { offset, places: vec![(place, place)] }),
        }
    }
    arrays
}

/// Ascending numbers as ranges from first to last.
pub fn ranges(numbers: impl IntoIterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    numbers.into_iter().for_each(|number| extend(&mut ranges, number));
    ranges
}

fn extend(ranges: &mut Vec<(usize, usize)>, number: usize) {
    match ranges.last_mut().filter(|(_, last)| last + 1 == number) {
        Some((_, last)) => *last = number,
        None => ranges.push((number, number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_cut_into_arrays_that_a_cluster_takes() {
        let all: Vec<usize> = (1..=8).collect();
        let one = arrays(&all, None);
        assert_eq!((one.len(), one[0].to_string()), (1, "1-8".to_owned()));
        // MaxArraySize is one more than the largest place.
        let cut = arrays(&all, Some(4));
        let told: Vec<(usize, String, usize)> =
            cut.iter().map(|array| (array.offset, array.to_string(), array.len())).collect();
        assert_eq!(told, [(0, "1-3".to_owned(), 3), (3, "1-3".to_owned(), 3), (6, "1-2".to_owned(), 2)]);
        assert_eq!(cut[1].shares(), [(4, 6)]);
        let some = arrays(&[1, 2, 5, 8], Some(1001));
        assert_eq!((some.len(), some[0].to_string()), (1, "1-2,5,8".to_owned()));
        assert!(arrays(&[], Some(1001)).is_empty());
        assert_eq!(arrays(&[3, 4], Some(1)).len(), 2, "a limit that makes no sense ends too");
        assert_eq!(ranges([1, 2, 3, 7]), [(1, 3), (7, 7)]);
    }
}
