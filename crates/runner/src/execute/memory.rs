//! Whether a trial has the memory that it will take: [`shortage`], by what its plan lets expect.

use frostline_data::Dataset;
use frostline_experiment::{Memory, Trial};
use frostline_text::bytes;

/// How a failure for want of memory begins.
const SHORT: &str = "too little memory: ";

/// Whether a trial, or the pretraining before it, was not run for want of memory.
pub(super) fn was_short(reason: &str) -> bool {
    reason.contains(SHORT)
}

/// What is missing for a trial on images that are decoded, and what would fit; none where all does, or where nothing is known of
/// what it takes. `free` is what may be taken beside what is taken already.
pub(super) fn shortage(trial: &Trial, dataset: &Dataset, free: u64) -> Option<String> {
    let memory = Memory::of(trial, dataset.classes.len())?;
    if memory.bytes() <= free {
        return None;
    }
    let fits = match memory.fitting_batch(free) {
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
        let dataset = |classes: usize| {
            let images = || frostline_data::Images::new(1, 1, vec![0; 3], vec![0]).unwrap();
            Dataset {
                source: String::new(),
                classes: (0..classes).map(|class| class.to_string()).collect(),
                train: images(),
                test: images(),
                validation: 0,
                native: frostline_data::NativeSizes { smallest: (1, 1), largest: (1, 1) },
                digest: String::new(),
                files: Vec::new(),
                licence: None,
                taken: Vec::new(),
                duplicates: frostline_data::Duplicates::default(),
            }
        };
        let mut trial = Trial { model: "resnet18".to_owned(), resolution: 224, ..Trial::default() };
        trial.train.batch = 256;
        let memory = Memory::of(&trial, 10).unwrap();
        assert_eq!(shortage(&trial, &dataset(10), memory.bytes()), None);
        let problem = shortage(&trial, &dataset(10), memory.bytes() - memory.by_image).unwrap();
        assert!(was_short(&problem) && problem.ends_with("; batch = 255 would fit"), "{problem}");
        let problem = shortage(&trial, &dataset(10), memory.fixed).unwrap();
        assert!(problem.contains("no batch would fit"), "{problem}");
    }
}
