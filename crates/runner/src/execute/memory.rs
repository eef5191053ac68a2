//! Whether a trial has the memory that it will take: [`shortage`], by what its plan lets expect.

use frostline_experiment::{Memory, Trial};
use frostline_text::bytes;

/// How a failure for want of memory begins.
const SHORT: &str = "too little memory: ";

/// Whether a trial, or the pretraining before it, was not run for want of memory.
pub(super) fn was_short(reason: &str) -> bool {
    reason.contains(SHORT)
}

/// What is missing for a trial on images that are decoded, and what would fit; none where all does, or where nothing is known of
/// what it takes. `writes` is whether its weights are written to a file, with how many training images there are, `free` what may be taken beside what is taken already.
pub(super) fn shortage(
    trial: &Trial,
    (classes, images): (usize, usize),
    writes: bool,
    free: u64,
) -> Option<String> {
    let memory = Memory::of(trial, classes)?.with_features(trial, images);
    let memory = if writes { memory.with_written_weights() } else { memory };
    if memory.bytes() <= free {
        return None;
    }
    let fits = match memory.fitting_batch(free) {
        _ if trial.fits() => "take fewer images, a smaller model or resolution, or free some".to_owned(),
        Some(batch) if batch < memory.batch => format!("batch = {batch} would fit"),
        _ => "no batch would fit; take a smaller model or resolution, or free some".to_owned(),
    };
    Some(format!("{SHORT}about {} are needed, and {} are there; {fits}", bytes(memory.bytes()), bytes(free)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fit_is_told() {
        let mut trial = Trial { model: "resnet18".to_owned(), resolution: 224, ..Trial::default() };
        trial.train.batch = 256;
        let memory = Memory::of(&trial, 10).unwrap();
        assert_eq!(shortage(&trial, (10, 100), false, memory.bytes()), None);
        let problem = shortage(&trial, (10, 100), false, memory.bytes() - memory.by_image).unwrap();
        assert!(was_short(&problem) && problem.ends_with("; batch = 255 would fit"), "{problem}");
        assert!(shortage(&trial, (10, 100), true, memory.bytes()).is_some(), "its weights are written too");
        let problem = shortage(&trial, (10, 100), false, memory.fixed).unwrap();
        assert!(problem.contains("no batch would fit"), "{problem}");
    }
}
