//! Labels for points in a plane: [`place_labels`] finds a spot beside each point where its label covers nothing.

use super::canvas::{Place, width};

/// An upright rectangle: left, top, right, bottom.
pub(crate) type Rect = (f64, f64, f64, f64);

/// The height of a label in its own size.
const LINE: f64 = 1.15;

/// Places for the left end of each label, at the height of its middle, and whether all of them stand clear of each
/// other and of all markers.
///
/// `points` are the markers' middles and `labels` their texts, in pixels of `size`; `taken` is what must stay visible
/// besides; all labels stay within `bounds`. Spots near the upper right are preferred.
pub(crate) fn place_labels(
    points: &[Place],
    labels: &[String],
    size: f64,
    taken: &[Rect],
    bounds: Rect,
) -> (Vec<Place>, bool) {
    let markers: Vec<Rect> = points.iter().map(|&(x, y)| (x - 7.0, y - 7.0, x + 7.0, y + 7.0)).collect();
    let spots: Vec<Vec<Rect>> = points
        .iter()
        .zip(labels)
        .map(|(&point, label)| {
            let mut spots = around(point, width(label, size), size * LINE);
            let first = spots[0];
            spots.retain(|spot| inside(*spot, bounds));
            if spots.is_empty() { vec![first] } else { spots }
        })
        .collect();
    let mut chosen = vec![0usize; points.len()];
    // Each label in turn takes the spot that is best given all others, until none wants to move.
    for _ in 0..20 {
        let mut moved = false;
        for label in 0..chosen.len() {
            let others = |spot: Rect| -> f64 {
                let labels = (0..chosen.len()).filter(|other| *other != label).map(|o| spots[o][chosen[o]]);
                let marks = markers.iter().copied().enumerate().filter(|(o, _)| *o != label).map(|(_, m)| m);
                marks.chain(labels).map(|other| overlap(spot, other)).sum::<f64>() * 4.0
                    + taken.iter().map(|other| overlap(spot, *other)).sum::<f64>() * 3.0
            };
            let costs =
                spots[label].iter().enumerate().map(|(rank, spot)| (others(*spot) + rank as f64, rank));
            let best = costs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, rank)| rank);
            moved |= best != chosen[label];
            chosen[label] = best;
        }
        if !moved {
            break;
        }
    }
    let rects: Vec<Rect> = chosen.iter().zip(&spots).map(|(&spot, spots)| spots[spot]).collect();
    let clear = (0..rects.len()).all(|a| {
        let free = |others: &[Rect]| {
            others.iter().enumerate().all(|(b, other)| a == b || overlap(rects[a], *other) < 1.0)
        };
        inside(rects[a], bounds) && free(&rects) && free(&markers)
    });
    (rects.iter().map(|rect| (rect.0, (rect.1 + rect.3) / 2.0)).collect(), clear)
}

/// Spots around a point, the best first.
fn around((x, y): Place, width: f64, height: f64) -> Vec<Rect> {
    let mut spots = Vec::new();
    for reach in [10.0, 16.0, 24.0] {
        let (right, left) = (x + reach, x - reach - width);
        let middle = x - width / 2.0;
        let (above, below) = (y - reach, y + reach);
        let corner = reach * 0.4;
        for (left, middle_y) in [
            (right, y),
            (left, y),
            (right - corner, above - height / 4.0),
            (middle, above - height / 2.0),
            (right - corner, below + height / 4.0),
            (middle, below + height / 2.0),
            (left + corner, above - height / 4.0),
            (left + corner, below + height / 4.0),
        ] {
            spots.push((left, middle_y - height / 2.0, left + width, middle_y + height / 2.0));
        }
    }
    spots
}

fn inside(rect: Rect, bounds: Rect) -> bool {
    rect.0 >= bounds.0 && rect.1 >= bounds.1 && rect.2 <= bounds.2 && rect.3 <= bounds.3
}

/// The area that two rectangles share.
pub(crate) fn overlap(a: Rect, b: Rect) -> f64 {
    let side = |low: f64, high: f64| (high - low).max(0.0);
    side(a.0.max(b.0), a.2.min(b.2)) * side(a.1.max(b.1), a.3.min(b.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Rect = (0.0, 0.0, 400.0, 300.0);

    fn placed(points: &[Place], label: &str) -> (Vec<Place>, bool) {
        place_labels(points, &vec![label.to_owned(); points.len()], 12.0, &[], BOUNDS)
    }

    #[test]
    fn a_lonely_label_stands_right_of_its_point_or_left_at_the_edge() {
        assert_eq!(placed(&[(100.0, 100.0)], "full"), (vec![(110.0, 100.0)], true));
        let (at_edge, clear) = placed(&[(395.0, 100.0)], "full");
        assert!(clear && at_edge[0].0 < 385.0, "{at_edge:?}");
    }

    #[test]
    fn close_points_keep_their_labels_apart_and_coinciding_crowds_give_up() {
        let points = [(100.0, 100.0), (112.0, 104.0), (104.0, 116.0)];
        let (places, clear) = placed(&points, "last-1");
        assert!(clear);
        let rect = |(x, y): Place| (x, y - 6.9, x + width("last-1", 12.0), y + 6.9);
        for a in 0..3 {
            for b in 0..a {
                assert!(overlap(rect(places[a]), rect(places[b])) < 1.0, "{places:?}");
            }
        }
        assert!(!placed(&[(200.0, 150.0); 30], "a long label for one spot").1);
        assert!(!placed(&[(200.0, 150.0)], &"a label that is far too long for the sheet ".repeat(9)).1);
    }
}
