//! [`minimise`]: L-BFGS with a line search (Nocedal and Wright 2006, algorithms 7.5 and 3.5).

use std::collections::VecDeque;

/// Pairs of steps and changes of the gradient that are remembered.
const MEMORY: usize = 10;

/// A point, the value of the function there and its gradient.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

/// A function: its value at a point, and its gradient there.
pub(crate) type Function<'f> = dyn Fn(&[f64]) -> (f64, Vec<f64>) + 'f;

/// Goes downhill from `start` until no part of the gradient is larger than `tolerance`, in at most so many steps; the lowest point found.
pub(crate) fn minimise(start: Vec<f64>, (tolerance, steps): (f64, usize), function: &Function<'_>) -> Point {
    let at = |x: Vec<f64>| {
        let (value, gradient) = function(&x);
        Point { x, value, gradient }
    };
    let mut here = at(start);
    let mut known: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..steps {
        if here.gradient.iter().all(|part| part.abs() <= tolerance) {
            break;
        }
        let mut direction = direction(&here.gradient, &known);
        let mut slope = dot(&direction, &here.gradient);
        if slope >= 0.0 {
            known.clear();
            direction = here.gradient.iter().map(|part| -part).collect();
            slope = -dot(&here.gradient, &here.gradient);
        }
        let first = if known.is_empty() { 1.0 / slope.abs().sqrt().max(1.0) } else { 1.0 };
        let Some(next) = search(&here, (&direction, slope), first, &at) else { break };
        let step = difference(&next.x, &here.x);
        let change = difference(&next.gradient, &here.gradient);
        let curvature = dot(&step, &change);
        if curvature > 0.0 {
            if known.len() == MEMORY {
                known.pop_front();
            }
            known.push_back((step, change, curvature));
        }
        here = next;
    }
    here
}

/// The two loops: minus the inverse curvature, as far as it is known, times the gradient.
fn direction(gradient: &[f64], known: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut shares = Vec::with_capacity(known.len());
    for (step, change, curvature) in known.iter().rev() {
        let share = dot(step, &direction) / curvature;
        add(&mut direction, change, -share);
        shares.push(share);
    }
    if let Some((_, change, curvature)) = known.back() {
        let factor = curvature / dot(change, change);
        direction.iter_mut().for_each(|part| *part *= factor);
    }
    for ((step, change, curvature), share) in known.iter().zip(shares.iter().rev()) {
        let other = dot(change, &direction) / curvature;
        add(&mut direction, step, share - other);
    }
    direction
}

/// A point along `direction` that lies low enough and where the slope has flattened (the strong Wolfe conditions), by bisection between
/// what is known to be too far and too near; the lowest point where numbers are too coarse for that. None where nothing lies lower.
fn search(
    here: &Point,
    (direction, slope): (&[f64], f64),
    first: f64,
    at: &dyn Fn(Vec<f64>) -> Point,
) -> Option<Point> {
    const LOWER: f64 = 1e-4;
    const FLATTER: f64 = 0.9;
    let (mut near, mut far, mut length): (f64, Option<f64>, f64) = (0.0, None, first);
    let mut lowest: Option<Point> = None;
    for _ in 0..40 {
        let point = at(here.x.iter().zip(direction).map(|(x, d)| x + length * d).collect());
        let now = dot(&point.gradient, direction);
        let too_high = !point.value.is_finite() || point.value > here.value + LOWER * length * slope;
        if !too_high && now.abs() <= -FLATTER * slope {
            return Some(point);
        }
        if too_high || now > 0.0 {
            far = Some(length);
        } else {
            near = length;
        }
        if point.value < lowest.as_ref().map_or(here.value, |lowest| lowest.value) {
            lowest = Some(point);
        }
        length = far.map_or(2.0 * length, |far| f64::midpoint(near, far));
    }
    lowest
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(target: &mut [f64], source: &[f64], factor: f64) {
    target.iter_mut().zip(source).for_each(|(target, source)| *target += factor * source);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
