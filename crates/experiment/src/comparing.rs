//! How arms are compared where an experiment does not say.

/// The baseline of an experiment that names none: training everything.
pub(crate) fn full() -> Vec<(String, String)> {
    vec![("strategy".to_owned(), "full".to_owned())]
}

/// Whether a baseline is that one.
pub(crate) fn is_full(baseline: &[(String, String)]) -> bool {
    baseline == full()
}

/// The margin of an experiment that names none.
pub(crate) fn one_point() -> f64 {
    1.0
}

/// Whether a margin is that one.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_one_point(margin: &f64) -> bool {
    *margin == one_point()
}
