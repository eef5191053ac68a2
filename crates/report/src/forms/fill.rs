//! From a comparison to the rows of its [`Data`].

use std::collections::BTreeMap;

use frostline_compare::{
    Arm, Candidate, Comparison, Finding, Needed, Pair, Quantity, Run, Standing, Verdict, deviation, mean,
};
use frostline_results::{BINS, Outcome, Results, Status, StoredTrial, StoredTrunk};

use super::rows::{
    ArmRow, BinRow, CandidateRow, ClaimRow, ClassRow, ConfusionRow, Data, DifferenceRow, DisagreementRow,
    PretrainingRow, ReachedRow, TrialRow, VERSION,
};
use crate::arms::trained;
use crate::depth::{calibration_error, class_names};

impl<'a> Data<'a> {
    pub(crate) fn of(
        results: &'a Results,
        comparison: &'a Comparison<'a>,
        answer: String,
        notes: Vec<String>,
    ) -> Self {
        let names = class_names(comparison).unwrap_or_default();
        let per_arm =
            |of: &dyn Fn(&'a Arm<'a>) -> Vec<ClassRow<'a>>| comparison.arms.iter().flat_map(of).collect();
        Self {
            format: VERSION,
            experiment: &results.plan.experiment,
            question: &results.plan.question,
            answer,
            margin_points: comparison.margin,
            arms: (0..comparison.arms.len()).map(|index| arm(comparison, index)).collect(),
            differences: comparison.pairs.iter().map(|pair| difference(comparison, pair)).collect(),
            disagreements: comparison.pairs.iter().flat_map(disagreements).collect(),
            trials: comparison.runs().map(|(arm, run)| trial(arm.number, run)).collect(),
            candidates: comparison.arms.iter().flat_map(candidates).collect(),
            times_to_accuracy: comparison.arms.iter().flat_map(|arm| reached(comparison, arm)).collect(),
            classes: per_arm(&|arm| classes(arm, names)),
            confusion: comparison.arms.iter().flat_map(confusion).collect(),
            calibration: comparison.arms.iter().flat_map(calibration).collect(),
            pretrainings: results.trunks.iter().map(pretraining).collect(),
            claims: comparison.verdicts.iter().map(claim).collect(),
            notes,
        }
    }
}

fn arm<'a>(comparison: &'a Comparison<'a>, index: usize) -> ArmRow<'a> {
    let arm = &comparison.arms[index];
    let average = |of: fn(&Outcome) -> Option<f64>| mean(&arm.values(of));
    let (images, rank) = (arm.by_images(), comparison.ranks.get(index).copied().flatten());
    let trial = arm.trial();
    ArmRow {
        arm: arm.number,
        label: arm.label.clone(),
        model: &trial.model,
        strategy: &trial.strategy,
        weights: &trial.weights,
        resolution: trial.resolution,
        seeds_planned: arm.runs.len(),
        seeds_finished: arm.runs.iter().filter(|run| run.finished().is_some()).count(),
        test_accuracy: arm.accuracy(),
        test_accuracy_deviation: deviation(&arm.accuracies()),
        test_accuracy_low: images.map(|(low, _)| low),
        test_accuracy_high: images.map(|(_, high)| high),
        balanced_accuracy: arm.balanced_accuracy(),
        validation_accuracy: average(|outcome| outcome.validation_accuracy),
        test_loss: average(|outcome| outcome.test_loss),
        calibration_error: calibration_error(arm),
        floor: arm.floor().map(|floor| floor.largest),
        at_floor: arm.is_at_floor(),
        rank_high: rank.map(|rank| rank.places.0),
        rank_low: rank.map(|rank| rank.places.1),
        probability_best: rank.map(|rank| rank.best),
        baseline: arm.baseline.map(|index| index + 1),
        total_seconds: arm.total(),
        total_seconds_deviation: deviation(&arm.total_seconds()),
        total_shared_seconds: comparison.total_shared(arm),
        pretraining_seconds: arm.pretraining(),
        tuning_seconds: arm.tuning.as_ref().map(frostline_compare::Tuning::seconds),
        wall_seconds: arm.wall(),
        training_seconds: average(|outcome| Some(outcome.seconds.train)),
        wall_ratio: arm.time_ratio,
        training_ratio: arm.training_ratio,
        images_per_second: average(|outcome| outcome.images_per_second),
        trained_parameters: trained(arm),
        nominal_trained_parameters: average(|outcome| outcome.trainable_parameters.map(|n| n as f64)),
        parameters: average(|outcome| outcome.parameters.map(|n| n as f64)),
        peak_memory_bytes: average(|outcome| outcome.peak_memory_bytes.map(|n| n as f64)),
    }
}

fn candidates<'a>(arm: &'a Arm<'a>) -> Vec<CandidateRow<'a>> {
    let Some(tuning) = &arm.tuning else { return Vec::new() };
    let row = |candidate: &'a Candidate<'a>| CandidateRow {
        arm: arm.number,
        trial: &candidate.run.trial.id,
        values: &candidate.values,
        validation_accuracy: candidate.run.finished().and_then(|outcome| outcome.validation_accuracy),
        wall_seconds: candidate.run.stored.map(|stored| stored.outcome.seconds.wall),
        chosen: candidate.chosen,
        decided: tuning.decided,
    };
    tuning.candidates.iter().map(row).collect()
}

fn difference(comparison: &Comparison<'_>, pair: &Pair) -> DifferenceRow {
    let (low, high) = pair.difference.interval(0.95);
    DifferenceRow {
        arm: pair.arm + 1,
        other: pair.other + 1,
        against_best: pair.other == 0,
        against_baseline: comparison.arms[pair.arm].baseline == Some(pair.other),
        seeds: pair.difference.seeds,
        images: pair.difference.images,
        difference: pair.difference.mean,
        low,
        high,
        bootstrap_low: pair.bootstrap.0,
        bootstrap_high: pair.bootstrap.1,
        ahead: pair.ahead,
        ahead_low: pair.ahead_interval.0,
        ahead_high: pair.ahead_interval.1,
        p: pair.p,
        p_holm: pair.adjusted,
        p_equivalence: pair.equivalence,
        verdict: standing(pair.standing()),
        seeds_needed: match pair.needed {
            Some(Needed::Seeds(seeds)) => Some(seeds),
            Some(Needed::Images) | None => None,
        },
    }
}

/// The name of a verdict.
pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Tied => "tied",
        Standing::Better => "better",
        Standing::Worse => "worse",
        Standing::Equivalent => "equivalent",
        Standing::NotInFamily => "not-in-family",
        Standing::OnlyThese => "only-these",
        Standing::Open => "open",
    }
}

fn disagreements(pair: &Pair) -> impl Iterator<Item = DisagreementRow> {
    pair.mcnemar.iter().map(|seed| DisagreementRow {
        arm: pair.arm + 1,
        other: pair.other + 1,
        seed: seed.seed,
        only_arm_right: seed.only_arm,
        only_other_right: seed.only_other,
        p: seed.p,
    })
}

fn trial<'a>(arm: usize, run: &Run<'a>) -> TrialRow<'a> {
    let outcome = run.finished();
    let of = |value: fn(&Outcome) -> Option<f64>| outcome.and_then(value);
    TrialRow {
        trial: &run.trial.id,
        arm,
        seed: run.trial.seed,
        state: match (outcome, run.failure()) {
            (Some(_), _) => "finished",
            (None, Some(_)) => "failed",
            (None, None) => "not-run",
        },
        reason: run.failure(),
        test_accuracy: of(|outcome| outcome.test_accuracy),
        validation_accuracy: of(|outcome| outcome.validation_accuracy),
        test_loss: of(|outcome| outcome.test_loss),
        chosen_epoch: outcome.and_then(|outcome| outcome.chosen_epoch),
        wall_seconds: of(|outcome| Some(outcome.seconds.wall)),
        share_seconds: of(|outcome| Some(outcome.share_seconds())),
        together: outcome.map(|outcome| outcome.shared.map_or(1, |shared| shared.trials)),
        training_seconds: of(|outcome| Some(outcome.seconds.train)),
        evaluation_seconds: of(|outcome| Some(outcome.seconds.evaluation)),
        processor_seconds: of(|outcome| Some(outcome.seconds.cpu)),
        peak_memory_bytes: outcome.and_then(|outcome| outcome.peak_memory_bytes),
    }
}

fn reached(comparison: &Comparison<'_>, arm: &Arm<'_>) -> Vec<ReachedRow> {
    let row = |level: f64| {
        let reached = arm.reached(level)?;
        Some(ReachedRow {
            arm: arm.number,
            level,
            seeds_reached: reached.seeds,
            seconds: reached.seconds,
            with_pretraining_seconds: reached.with_pretraining,
        })
    };
    comparison.levels().into_iter().filter_map(row).collect()
}

fn classes<'a>(arm: &'a Arm<'a>, names: &'a [String]) -> Vec<ClassRow<'a>> {
    let row = |(class, name): (usize, &'a String)| {
        let tallies = arm.answered().filter_map(|stored| stored.answers.classes.get(class));
        let (images, right) = tallies.fold((0, 0), |(images, right), t| (images + t.images, right + t.right));
        ClassRow { arm: arm.number, class, name, images, right }
    };
    names.iter().enumerate().map(row).filter(|row| row.images > 0).collect()
}

fn confusion(arm: &Arm<'_>) -> Vec<ConfusionRow> {
    let mut all = BTreeMap::new();
    for stored in arm.answered() {
        for (pair, images) in &stored.answers.confusion {
            *all.entry(*pair).or_insert(0) += images;
        }
    }
    let row = |((class, predicted), images)| ConfusionRow { arm: arm.number, class, predicted, images };
    all.into_iter().map(row).collect()
}

fn calibration(arm: &Arm<'_>) -> Vec<BinRow> {
    let row = |index: usize| {
        let bins = arm.answered().map(|stored: &StoredTrial| stored.answers.calibration[index]);
        let (images, right, confidence) =
            bins.fold((0, 0, 0.0), |(i, r, c), bin| (i + bin.images, r + bin.right, c + bin.confidence));
        let at = |edge: usize| edge as f64 / BINS as f64;
        (images > 0).then(|| BinRow {
            arm: arm.number,
            low: at(index),
            high: at(index + 1),
            images,
            right,
            confidence: confidence / images as f64,
        })
    };
    (0..BINS).filter_map(row).collect()
}

fn pretraining(stored: &StoredTrunk) -> PretrainingRow<'_> {
    let (trunk, outcome) = (&stored.trunk, &stored.outcome);
    PretrainingRow {
        trunk: &trunk.id,
        name: &trunk.name,
        method: &trunk.pretraining.method,
        model: &trunk.model,
        seed: trunk.seed,
        finished: outcome.status == Status::Finished,
        epochs: trunk.pretraining.train.epochs,
        chosen_epoch: outcome.chosen_epoch,
        wall_seconds: outcome.seconds.wall,
    }
}

fn claim(verdict: &Verdict) -> ClaimRow<'_> {
    ClaimRow {
        claim: &verdict.source,
        about: &verdict.about,
        quantity: match verdict.quantity {
            Quantity::TestAccuracy => "test-accuracy",
            Quantity::Minutes => "minutes",
        },
        claimed: verdict.claimed,
        measured: verdict.measured,
        seeds: verdict.seeds,
        verdict: match verdict.finding {
            Finding::NoTrial => "no-trial",
            Finding::NotMeasured => "not-measured",
            Finding::WithinSeeds { .. } => "within-seeds",
            Finding::WithinSampling { .. } => "within-images",
            Finding::Beyond { .. } => "beyond",
            Finding::OtherMachine { .. } => "other-machine",
            Finding::NotComparable { .. } => "not-comparable",
        },
    }
}
