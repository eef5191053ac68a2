//! Statistics of one arm's values over seeds, and of one accuracy over test images.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The arithmetic mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation, with n - 1 below; none of fewer than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The 95 % interval of the mean by Student's t; none of fewer than three values.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len();
    let (mean, deviation) = (mean(values)?, deviation(values).filter(|_| n > 2)?);
    let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?.inverse_cdf(0.975);
    let half = t * deviation / (n as f64).sqrt();
    Some((mean - half, mean + half))
}

/// Wilson's 95 % interval for a share that was seen on `n` test images: where an accuracy may lie by the choice of the test images
/// alone (Wilson 1927). None of no images.
pub fn wilson(share: f64, n: usize) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_963_984_540_054;
    let n = (n > 0).then_some(n as f64)?;
    let inside = share * (1.0 - share) / n + Z * Z / (4.0 * n * n);
    let (middle, half) = (share + Z * Z / (2.0 * n), Z * inside.sqrt());
    let scale = 1.0 + Z * Z / n;
    Some((((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)))
}

/// Which points no other point beats at both being quick (first) and being accurate (second), by time. Of points that
/// are equal in both, the first stays.
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[a].0.total_cmp(&points[b].0).then(points[b].1.total_cmp(&points[a].1)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = points[i].1 > best;
        best = best.max(points[i].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn mean_and_deviation_by_hand() {
        // (2 + 4 + 9) / 3 = 5; squares 9 + 1 + 16 = 26, over 2 is 13.
        let values = [2.0, 4.0, 9.0];
        assert_eq!(mean(&values), Some(5.0));
        assert!(close(deviation(&values).unwrap(), 13f64.sqrt()));
        assert_eq!((mean(&[]), deviation(&[1.0])), (None, None));
    }

    #[test]
    fn the_interval_is_students() {
        // t(0.975, 2) = 4.302653 in any table; 4.302653 * sqrt(13) / sqrt(3) = 8.956687.
        let (low, high) = interval(&[2.0, 4.0, 9.0]).unwrap();
        assert!(close(low, 5.0 - 8.956_687) && close(high, 5.0 + 8.956_687), "{low} {high}");
        assert_eq!(interval(&[2.0, 4.0]), None);
        assert_eq!(interval(&[3.0, 3.0, 3.0]), Some((3.0, 3.0)));
    }

    #[test]
    fn the_front_keeps_what_nothing_beats() {
        let points = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.4), (4.0, 0.9), (1.0, 0.6), (9.0, 0.95)];
        assert_eq!(pareto_front(&points), [4, 0, 5]);
        assert_eq!(pareto_front(&[]), [] as [usize; 0]);
        assert_eq!(pareto_front(&[(1.0, 0.5), (1.0, 0.5)]), [0]);
    }
}
