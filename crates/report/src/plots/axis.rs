//! [`Axis`]: from values to places, linear or logarithmic, with round ticks.

/// Maps values in `low..=high` to places in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// An axis that shows all values with some room on both sides; from pixel `from` to pixel `to`.
    pub(crate) fn around(values: &[f64], (from, to): (f64, f64), least_room: f64) -> Self {
        let (low, high) = extent(values);
        let room = ((high - low) * 0.06).max(least_room);
        Self { low: low - room, high: high + room, from, to, logarithmic: false }
    }

    /// From `low` to `high` exactly.
    pub(crate) fn exactly((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        Self { low, high, from, to, logarithmic: false }
    }

    /// The same for times: logarithmic where they differ more than eightfold, from zero where they differ more than
    /// twofold.
    pub(crate) fn of_costs(values: &[f64], (from, to): (f64, f64)) -> Self {
        let (low, high) = extent(values);
        if low > 0.0 && high > 8.0 * low {
            let room = (high / low).powf(0.08);
            return Self { low: low / room, high: high * room, from, to, logarithmic: true };
        }
        if low > 0.5 * high {
            return Self::around(values, (from, to), 0.05 * high);
        }
        Self { low: 0.0, high: high.max(f64::MIN_POSITIVE) * 1.08, from, to, logarithmic: false }
    }

    /// Keeps the axis within bounds, where values beyond them make no sense.
    pub(crate) fn within(self, low: f64, high: f64) -> Self {
        Self { low: self.low.max(low), high: self.high.min(high), ..self }
    }

    /// Whether steps of the axis are factors.
    pub(crate) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Where a value is drawn.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values on the axis, about `count` of them, with the decimals that tell them apart.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.logarithmic {
            return self.logarithmic_ticks(count);
        }
        let rough = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|s| *s >= rough * 0.75)
            .unwrap_or(rough);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).map(|v| (v, format!("{v:.decimals$}"))).collect()
    }

    fn logarithmic_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let ticks = |multiples: &[f64]| -> Vec<f64> {
            let all = decades.clone().flat_map(|d| multiples.iter().map(move |m| m * 10f64.powi(d)));
            all.filter(|v| (self.low..=self.high).contains(v)).collect()
        };
        let sets = [ticks(&[1.0, 2.0, 3.0, 5.0, 7.0]), ticks(&[1.0, 2.0, 5.0]), ticks(&[1.0])];
        let chosen = sets.iter().find(|set| set.len() <= count + 2).unwrap_or(&sets[2]);
        let label = |v: f64| format!("{v:.*}", (-v.log10().floor()).max(0.0) as usize);
        chosen.iter().map(|&v| (v, label(v))).collect()
    }
}

fn extent(values: &[f64]) -> (f64, f64) {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, count: usize) -> Vec<String> {
        axis.ticks(count).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_as_fine_as_needed() {
        assert_eq!(labels(Axis::exactly((0.0, 100.0), (0.0, 1.0)), 5), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(Axis::exactly((97.21, 98.04), (0.0, 1.0)), 2), ["97.5", "98.0"]);
        assert_eq!(labels(Axis::exactly((97.21, 98.04), (0.0, 1.0)), 5), ["97.4", "97.6", "97.8", "98.0"]);
        assert_eq!(
            labels(Axis::of_costs(&[1.0, 100.0], (0.0, 1.0)), 6),
            ["1", "2", "5", "10", "20", "50", "100"]
        );
    }

    #[test]
    fn a_value_lands_where_the_scale_puts_it() {
        assert_eq!(Axis::exactly((10.0, 20.0), (100.0, 0.0)).at(12.5), 75.0);
        let costs = Axis::of_costs(&[1.0, 100.0], (0.0, 100.0));
        assert!(costs.is_logarithmic() && (costs.at(10.0) - 50.0).abs() < 1e-9);
        assert!(!Axis::of_costs(&[2.0, 10.0], (0.0, 100.0)).is_logarithmic());
        assert_eq!(Axis::around(&[], (0.0, 1.0), 0.1).ticks(2).len(), 3);
    }
}
