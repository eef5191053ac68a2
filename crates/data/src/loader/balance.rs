//! Epochs with as many images of each class: [`order`] is such a one's.

use frostline_streams::{Purpose, Streams};

use crate::Images;

/// The numbers of an epoch's images, as many as there are `indices`: of each class that has any as many as of any other, but for what the
/// classes do not divide, which goes to other ones in each epoch. Images of a class come by turns: none comes again before all of its class
/// have come, and then under a number of its own ([`Images::place`]).
pub(super) fn order(images: &Images, indices: &[u32], streams: &Streams, epoch: u64) -> Vec<u32> {
    let streams = streams.part("balance");
    let mut classes = by_class(images, indices);
    let (share, mut left) = (indices.len() / classes.len(), indices.len() % classes.len());
    let mut draws = streams.draws(Purpose::Order, epoch, 0);
    draws.shuffle(&mut classes);
    let mut order = Vec::with_capacity(indices.len());
    for (class, members) in classes {
        let mut wanted = share + usize::from(left > 0);
        left = left.saturating_sub(1);
        let mut turns = streams.draws(Purpose::Order, epoch, 1 + u64::from(class));
        let mut look = 0;
        while wanted > 0 {
            let mut turn = members.clone();
            turns.shuffle(&mut turn);
            turn.truncate(wanted);
            wanted -= turn.len();
            order.extend(turn.into_iter().map(|index| index + look * images.len() as u32));
            look += 1;
        }
    }
    draws.shuffle(&mut order);
    order
}

/// What the largest number of an epoch stays below.
pub(super) fn most_looks(images: &Images, indices: &[u32]) -> u64 {
    let classes = by_class(images, indices);
    let rarest = classes.iter().map(|(_, members)| members.len()).min().unwrap_or(1);
    let share = (indices.len() / classes.len().max(1) + 1) as u64;
    share.div_ceil(rarest as u64) * images.len() as u64
}

/// The classes that some of the images at `indices` have, with those.
fn by_class(images: &Images, indices: &[u32]) -> Vec<(u32, Vec<u32>)> {
    let mut classes = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    for &index in indices {
        classes.entry(images.labels()[index as usize]).or_default().push(index);
    }
    classes.into_iter().collect()
}
