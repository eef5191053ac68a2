//! What arms have come to so far, on validation images alone: [`scores`].

use frostline_results::{Results, Status};

/// What an arm has come to so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    pub(super) model: String,
    pub(super) strategy: String,
    /// Validation accuracies in [0, 1], by seed.
    pub(super) validation: Vec<f64>,
    /// The highest seed among them.
    pub(super) last_seed: u64,
    /// Seconds of a trial alone, the mean.
    pub(super) seconds: f64,
    /// The trial with the best of them.
    pub(super) best: String,
}

impl Score {
    pub(super) fn mean(&self) -> f64 {
        self.validation.iter().sum::<f64>() / self.validation.len().max(1) as f64
    }
}

/// The arms of finished trials, the best first; of equals, the cheaper.
pub(super) fn scores(results: &Results) -> Vec<Score> {
    let mut scores: Vec<Score> = Vec::new();
    // What an earlier try with other settings has left in the folder is no part of this one.
    let planned = |id: &str| results.plan.trials.iter().any(|trial| trial.id == id);
    let finished = results.trials.iter().filter(|stored| stored.outcome.status == Status::Finished);
    for stored in finished.filter(|stored| planned(&stored.trial.id)) {
        let (trial, outcome) = (&stored.trial, &stored.outcome);
        let Some(accuracy) = outcome.validation_accuracy else { continue };
        let known = scores
            .iter_mut()
            .find(|score| (&score.model, &score.strategy) == (&trial.model, &trial.strategy));
        match known {
            Some(score) => {
                if score.validation.iter().all(|other| accuracy > *other) {
                    score.best.clone_from(&trial.id);
                }
                let count = score.validation.len() as f64;
                score.seconds = (score.seconds * count + outcome.seconds.wall) / (count + 1.0);
                score.validation.push(accuracy);
                score.last_seed = score.last_seed.max(trial.seed);
            }
            None => scores.push(Score {
                model: trial.model.clone(),
                strategy: trial.strategy.clone(),
                validation: vec![accuracy],
                last_seed: trial.seed,
                seconds: outcome.seconds.wall,
                best: trial.id.clone(),
            }),
        }
    }
    scores.sort_by(|a, b| b.mean().total_cmp(&a.mean()).then(a.seconds.total_cmp(&b.seconds)));
    scores
}

#[cfg(test)]
mod tests {
    use frostline_results::samples;

    use super::*;

    #[test]
    fn arms_are_ranked_by_validation_and_not_by_test() {
        let mut results = samples::results(samples::plan(&["resnet18"], &["head", "full"], 2), |trial| {
            (if trial.strategy == "full" { 0.9 } else { 0.1 }, 1.0)
        });
        for stored in &mut results.trials {
            let better = stored.trial.strategy == "head";
            let of_seed = if stored.trial.seed == 1 { 0.02 } else { 0.0 };
            stored.outcome.validation_accuracy = Some(if better { 0.8 } else { 0.7 } + of_seed);
        }
        let ranked = scores(&results);
        assert_eq!(ranked.iter().map(|score| score.strategy.as_str()).collect::<Vec<_>>(), ["head", "full"]);
        assert_eq!((ranked[0].validation.len(), (100.0 * ranked[0].mean()).round()), (2, 81.0));
        assert_eq!(ranked[0].last_seed, 1);
        let best = results.trials.iter().find(|stored| stored.trial.id == ranked[0].best).unwrap();
        assert_eq!(best.trial.seed, 1, "whose weights are exported");
    }
}
