//! The table that is printed, a [`Row`] at a time, so that it is seen how far a check is.

/// What came of one check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) operation: String,
    /// Sets of inputs.
    pub(crate) cases: usize,
    /// The largest error in single precision; none where no numbers were compared.
    pub(crate) single: Option<f64>,
    /// The largest error in bf16.
    pub(crate) half: Option<f64>,
    /// On the device.
    pub(crate) seconds: f64,
    /// Why it misses.
    pub(crate) problem: Option<String>,
}

const NAMES: usize = 96;

/// The names of the columns.
pub(crate) fn head() {
    println!("{:<NAMES$} {:>6} {:>10} {:>10} {:>9}", "operation", "cases", "f32", "bf16", "seconds");
}

impl Row {
    pub(crate) fn print(&self) {
        let number =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1e}"));
        let cases = if self.cases == 0 { "–".to_owned() } else { self.cases.to_string() };
        let verdict = if self.problem.is_some() { "  MISS" } else { "" };
        println!(
            "{:<NAMES$} {cases:>6} {:>10} {:>10} {:>9.3}{verdict}",
            self.operation,
            number(self.single),
            number(self.half),
            self.seconds
        );
    }
}
