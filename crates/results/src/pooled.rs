//! Cross-validation as a comparison sees it: [`Results::pooled`] puts the trials of an arm and a seed that test different folds together to
//! one, which has every image tested once.

use std::collections::BTreeMap;

use frostline_experiment::{Plan, Trial};

use crate::{Answers, EpochRecord, Outcome, Results, Seconds, Shared, Status, StoredTrial};

impl Results {
    /// The same where trials of one arm and seed that test the folds of the images are one trial: right in what they are right in
    /// together, and as long as one of them takes, times and curves being means over the folds. It is there once all folds are, and failed
    /// where one has. Results without folds stay what they are.
    #[must_use]
    pub fn pooled(self) -> Self {
        let of =
            |trial: &Trial| trial.data.fold.as_deref().and_then(|fold| fold.split_once('/')?.1.parse().ok());
        let Some(folds) = self.plan.trials.iter().find_map(of) else { return self };
        let mut groups: Vec<(Trial, Vec<Trial>)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for trial in &self.plan.trials {
            let whole = whole(trial);
            let place = *places.entry(whole.id.clone()).or_insert(groups.len());
            if place == groups.len() {
                groups.push((whole, Vec::new()));
            }
            groups[place].1.push(trial.clone());
        }
        let planned: Vec<&str> = self.plan.trials.iter().map(|trial| trial.id.as_str()).collect();
        let (parts, others): (Vec<StoredTrial>, Vec<StoredTrial>) =
            self.trials.into_iter().partition(|stored| planned.contains(&stored.trial.id.as_str()));
        // One that was trained without folds has the id that all of them have together, and is not meant.
        let mut trials = others;
        trials.retain(|stored| !places.contains_key(&stored.trial.id));
        for (whole, members) in &groups {
            let stored = members.iter().map(|member| parts.iter().find(|part| part.trial.id == member.id));
            // A fold that failed is known before the others are there.
            let there: Vec<&StoredTrial> = stored.clone().flatten().collect();
            let failed = there.iter().find(|part| part.outcome.status != Status::Finished);
            match (failed, stored.collect::<Option<Vec<_>>>()) {
                (Some(failed), _) => trials.push(lost(whole, failed)),
                (None, Some(parts)) => trials.push(joined(whole, &parts)),
                (None, None) => {}
            }
        }
        trials.sort_by(|a, b| a.trial.id.cmp(&b.trial.id));
        let axes = self.plan.axes.into_iter().filter(|axis| axis.key != "fold").collect();
        let plan = Plan { axes, trials: groups.into_iter().map(|(whole, _)| whole).collect(), ..self.plan };
        Self { plan, trials, folds: Some(folds), ..self }
    }
}

/// The trial that all folds of one are together.
fn whole(trial: &Trial) -> Trial {
    let mut whole = trial.clone();
    whole.data.fold = None;
    whole.sealed()
}

fn lost(whole: &Trial, failed: &StoredTrial) -> StoredTrial {
    let fold = failed.trial.data.fold.as_deref().unwrap_or_default();
    let reason = match &failed.outcome.status {
        Status::Failed { reason } => format!("fold {fold} ({}): {reason}", failed.trial.id),
        Status::Finished => String::new(),
    };
    let outcome =
        Outcome { trial: whole.id.clone(), status: Status::Failed { reason }, ..failed.outcome.clone() };
    StoredTrial { trial: whole.clone(), outcome, epochs: Vec::new(), answers: Answers::default() }
}

fn joined(whole: &Trial, parts: &[&StoredTrial]) -> StoredTrial {
    let answers = Answers::pooled(&parts.iter().map(|part| &part.answers).collect::<Vec<_>>());
    let answers = match answers {
        Ok(answers) => answers,
        Err(reason) => {
            let mut failed = parts[0].clone();
            failed.outcome.status = Status::Failed { reason };
            return lost(whole, &failed);
        }
    };
    let first = &parts[0].outcome;
    let count = parts.len() as f64;
    let each = |of: &dyn Fn(&Outcome) -> Option<f64>| -> Option<Vec<f64>> {
        parts.iter().map(|part| of(&part.outcome)).collect()
    };
    let mean =
        |of: &dyn Fn(&Outcome) -> Option<f64>| each(of).map(|values| values.iter().sum::<f64>() / count);
    // Each image counts alike, in whichever fold it is.
    let images = |part: &&StoredTrial| part.answers.count() as f64;
    let loss: Option<f64> = parts.iter().map(|part| Some(part.outcome.test_loss? * images(part))).sum();
    let seconds =
        parts.iter().fold(Seconds::default(), |sum, part| sum.plus(&part.outcome.seconds)).times(1.0 / count);
    let shared =
        parts.iter().map(|part| part.outcome.shared).collect::<Option<Vec<_>>>().map(|shared| Shared {
            trials: shared.iter().map(|one| one.trials).max().unwrap_or(1),
            wall_seconds: shared.iter().map(|one| one.wall_seconds).sum::<f64>() / count,
        });
    let tested: usize = parts.iter().map(|part| part.answers.count()).sum();
    let mut data = first.data.clone();
    if let Some(data) = &mut data {
        data.test = tested;
    }
    let mut pretraining = first.pretraining.clone();
    if let Some(before) = &mut pretraining {
        let mean = mean(&|outcome| Some(outcome.pretraining.as_ref()?.wall_seconds));
        before.wall_seconds = mean.unwrap_or(before.wall_seconds);
    }
    let outcome = Outcome {
        trial: whole.id.clone(),
        test_accuracy: answers.accuracy(),
        test_loss: loss.map(|sum| sum / tested as f64),
        validation_accuracy: mean(&|outcome| outcome.validation_accuracy),
        chosen_epoch: None,
        seconds,
        shared,
        images_per_second: mean(&|outcome| outcome.images_per_second),
        peak_memory_bytes: parts.iter().filter_map(|part| part.outcome.peak_memory_bytes).max(),
        predictions: None,
        checkpoint: None,
        data,
        pretraining,
        ..first.clone()
    };
    StoredTrial { trial: whole.clone(), outcome, epochs: epochs(parts), answers }
}

/// The means of the folds' epochs, as far as all of them have one.
fn epochs(parts: &[&StoredTrial]) -> Vec<EpochRecord> {
    let least = parts.iter().map(|part| part.epochs.len()).min().unwrap_or(0);
    let count = parts.len() as f64;
    let at = |epoch: usize| {
        let records = || parts.iter().map(|part| &part.epochs[epoch]);
        let mean = |of: fn(&EpochRecord) -> Option<f64>| {
            records().map(of).sum::<Option<f64>>().map(|sum| sum / count)
        };
        EpochRecord {
            train_loss: mean(|record| record.train_loss),
            train_accuracy: mean(|record| record.train_accuracy),
            validation_loss: mean(|record| record.validation_loss),
            validation_accuracy: mean(|record| record.validation_accuracy),
            seconds: records()
                .fold(Seconds::default(), |sum, record| sum.plus(&record.seconds))
                .times(1.0 / count),
            ..parts[0].epochs[epoch].clone()
        }
    };
    (0..least).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prediction;
    use crate::samples::{plan, results};

    /// Two folds of the images 0 to 5, of which the first has the even ones, and those that are right in each.
    fn folded(right: [&[u32]; 2]) -> Results {
        let mut all = results(plan(&["resnet18"], &["head"], 1), |_| (0.5, 1.0));
        let (trial, stored) = (all.plan.trials.remove(0), all.trials.remove(0));
        for (index, right) in right.into_iter().enumerate() {
            let mut part = stored.clone();
            part.trial = trial.clone();
            part.trial.data.fold = Some(format!("{}/2", index + 1));
            part.trial = part.trial.sealed();
            part.outcome.trial = part.trial.id.clone();
            let row = |example: u32| {
                let predicted = if right.contains(&example) { example % 3 } else { 9 };
                Prediction { example, label: example % 3, predicted, probability: 0.5 }
            };
            let rows: Vec<Prediction> =
                (0..6).filter(|image| *image as usize % 2 == index).map(row).collect();
            part.answers = Answers::of_fold(&rows).unwrap();
            part.outcome.test_accuracy = part.answers.accuracy();
            part.outcome.seconds =
                Seconds { train: 1.0 + index as f64, wall: 2.0 + 2.0 * index as f64, ..Seconds::default() };
            all.plan.trials.push(part.trial.clone());
            all.trials.push(part);
        }
        all
    }

    #[test]
    fn folds_become_one_trial_that_has_each_image_once() {
        let folded = folded([&[0, 4], &[3]]);
        assert_eq!(folded.trials[0].outcome.test_accuracy, Some(2.0 / 3.0));
        let pooled = folded.clone().pooled();
        assert_eq!((pooled.folds, pooled.plan.trials.len(), pooled.trials.len()), (Some(2), 1, 1));
        let one = &pooled.trials[0];
        assert_eq!(one.trial.data.fold, None);
        assert_eq!((one.outcome.test_accuracy, one.answers.right.len()), (Some(0.5), 6));
        assert_eq!(
            (0..6).map(|image| one.answers.right.has(image)).collect::<Vec<_>>(),
            [true, false, false, true, true, false]
        );
        assert_eq!((one.outcome.seconds.train, one.outcome.seconds.wall), (1.5, 3.0));
        assert_eq!(one.answers.classes.iter().map(|class| class.images).sum::<usize>(), 6);
        assert_eq!(pooled.clone().pooled(), pooled, "what has no folds stays");
    }

    #[test]
    fn what_lacks_a_fold_is_not_there_and_a_failed_fold_fails_it() {
        let mut half = folded([&[0], &[1]]);
        let gone = half.trials.pop().unwrap();
        assert!(half.clone().pooled().trials.is_empty());
        half.trials[0].outcome.status = Status::Failed { reason: "NaN".to_owned() };
        let status = |results: Results| results.pooled().trials.remove(0).outcome.status;
        let Status::Failed { reason } = status(half.clone()) else { panic!() };
        assert!(reason.starts_with("fold 1/2 (") && reason.ends_with("NaN"), "{reason}");
        half.trials.push(gone);
        assert!(matches!(status(half), Status::Failed { .. }));
    }

    #[test]
    fn folds_that_meet_are_no_cross_validation() {
        let mut twice = folded([&[0], &[1]]);
        twice.trials[1].answers = twice.trials[0].answers.clone();
        let Status::Failed { reason } = twice.pooled().trials.remove(0).outcome.status else { panic!() };
        assert!(reason.contains("each once"), "{reason}");
    }
}
