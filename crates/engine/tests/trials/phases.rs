//! Trials of several phases: what stays, what starts afresh, which rates were in force, and which weights come back.

use frostline_engine::{
    BatchNormPolicy, EpochReport, Length, Optimizer, OptimizerKind, PhaseSpec, Recipe, Rule, Schedule,
    ScheduleOver, Silent, StateOnStart, Strategy, evaluate, freeze, parts_of,
};

use crate::harness::{Trial, moved, recipe};

fn named(name: &str) -> Strategy {
    name.parse().unwrap()
}

/// A phase that trains parts at rates, for some epochs.
fn phase(epochs: usize, train: &[(&str, f64)], state: StateOnStart) -> PhaseSpec {
    let rules = train.iter().map(|(part, rate)| Rule { part: part.parse().unwrap(), rate: *rate });
    PhaseSpec {
        name: "phase".to_owned(),
        length: Length::Epochs(epochs),
        rules: rules.collect(),
        batch_norm: None,
        state,
        l2_sp: None,
        fit: None,
    }
}

fn own(phases: Vec<PhaseSpec>) -> Strategy {
    Strategy::Own { name: "mine".to_owned(), phases }
}

#[test]
fn every_named_strategy_moves_what_it_trains_and_nothing_else() {
    for name in [
        "first-1",
        "thaw",
        "freeze-then-thaw:1",
        "lp-ft",
        "three-phase",
        "layer-decay:0.5",
        "bn-only",
        "bias-only",
        "l2-sp:0.1",
    ] {
        let trial = Trial::new(6);
        let parts = parts_of(&trial.model);
        let phases = named(name).phases(&parts, 3).unwrap();
        let before = trial.state();
        let last = Recipe { keep: frostline_engine::Keep::Last, ..recipe(3) };
        trial.run(&named(name), &last, &mut Silent).unwrap();
        let moved = moved(&before, &trial.state());
        for (index, parameter) in parts.parameters.iter().enumerate() {
            let trains = phases.iter().any(|phase| phase.rates[index].is_some());
            assert_eq!(moved.contains(&parameter.name), trains, "{name}: {}", parameter.name);
        }
    }
}

#[test]
fn a_middle_slice_trains_between_frozen_sides() {
    let trial = Trial::new(6);
    let before = trial.state();
    // Weight decay would move what is frozen, if anything did.
    let recipe = Recipe { weight_decay: 0.1, ..recipe(1) };
    trial.run(&own(vec![phase(1, &[("layer2", 1.0)], StateOnStart::Reset)]), &recipe, &mut Silent).unwrap();
    let moved = moved(&before, &trial.state());
    assert!(moved.len() > 15 && moved.iter().all(|name| name.starts_with("layer2.")), "{moved:?}");
}

fn epochs(strategy: &Strategy, recipe: &Recipe) -> Vec<EpochReport> {
    Trial::new(6).run(strategy, recipe, &mut Silent).unwrap().epochs
}

#[test]
fn rates_are_recorded_by_epoch_and_part() {
    let strategy = own(vec![
        phase(1, &[("head", 1.0)], StateOnStart::Reset),
        phase(2, &[("all", 0.1), ("head", 0.5)], StateOnStart::Keep),
    ]);
    let told =
        epochs(&strategy, &recipe(3)).iter().map(|epoch| format!("{:?}", epoch.rates)).collect::<Vec<_>>();
    assert_eq!(told[0], r#"[PartRate { part: "head", learning_rate: 0.001 }]"#);
    let both = r#"[PartRate { part: "all", learning_rate: 0.0001 }, PartRate { part: "head", learning_rate: 0.0005 }]"#;
    assert_eq!(told[1..], [both, both]);
}

#[test]
fn a_schedule_runs_over_the_trial_or_starts_again_with_a_phase() {
    let rates = |over| {
        let recipe = Recipe { schedule: Schedule::Cosine, schedule_over: over, ..recipe(4) };
        let epochs = epochs(&named("freeze-then-thaw:2"), &recipe);
        epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>()
    };
    let (trial, phase) = (rates(ScheduleOver::Trial), rates(ScheduleOver::Phase));
    assert!(trial.windows(2).all(|pair| pair[1] < pair[0]), "{trial:?}");
    assert_eq!(phase[..2], phase[2..], "each phase has the same course");
    assert!(phase[1] < trial[1] && phase[2] > trial[2], "{phase:?} {trial:?}");
}

#[test]
fn the_best_epoch_comes_back_whole_from_an_earlier_phase() {
    // The first phase learns; the second breaks every stage, and the statistics with it.
    let strategy = own(vec![
        phase(2, &[("head", 1.0)], StateOnStart::Reset),
        phase(1, &[("all", 300.0)], StateOnStart::Reset),
    ]);
    let trial = Trial::new(12);
    let trained = trial.run(&strategy, &recipe(3), &mut Silent).unwrap();
    let best = trained.epochs[trained.chosen_epoch - 1].validation_accuracy.unwrap();
    assert!(trained.chosen_epoch <= 2 && best > trained.epochs[2].validation_accuracy.unwrap());
    let images = &trial.dataset.train;
    let again = evaluate(&trial.model, images, &trial.splits.validation, [0.5; 3], [0.5; 3]).unwrap();
    assert_eq!(again.accuracy, best);
}

#[test]
fn thawed_parameters_start_afresh_and_the_others_go_on_where_state_is_kept() {
    // Adam's first step moves every entry by the rate, whatever the gradient; later steps do not.
    let recipe = recipe(2);
    for (state, head_goes_on) in [(StateOnStart::Keep, true), (StateOnStart::Reset, false)] {
        let trial = Trial::new(6);
        let parts = parts_of(&trial.model);
        let phases = own(vec![
            phase(1, &[("head", 1.0)], StateOnStart::Reset),
            phase(1, &[("layer4", 1.0), ("head", 1.0)], state),
        ]);
        let phases = phases.phases(&parts, 2).unwrap();
        let mut optimizer = Optimizer::new(&recipe, trial.model.parameters(), &phases).unwrap();
        freeze(&trial.model, &phases[0], &recipe);
        optimizer.begin(&phases[0]);
        for batch in 0..3 {
            trial.step(&mut optimizer, &phases[0], batch);
        }
        freeze(&trial.model, &phases[1], &recipe);
        optimizer.begin(&phases[1]);
        let before = trial.state();
        trial.step(&mut optimizer, &phases[1], 3);
        let steps = |prefix: &str| -> Vec<f64> {
            let after = trial.state();
            let both =
                before.iter().zip(&after).filter(|(a, _)| a.0.starts_with(prefix) && a.0.ends_with("weight"));
            let entries = both.flat_map(|(a, b)| a.1.iter().zip(&b.1).map(|(a, b)| f64::from((b - a).abs())));
            entries.filter(|step| *step > 0.0).map(|step| step / recipe.learning_rate).collect()
        };
        let whole = |steps: Vec<f64>| {
            steps.iter().filter(|step| (0.9..1.1).contains(*step)).count() as f64 / steps.len() as f64
        };
        assert!(whole(steps("layer4.")) > 0.9, "{state}");
        assert_eq!(whole(steps("fc.")) < 0.5, head_goes_on, "{state}");
    }
}

#[test]
fn l2_sp_holds_the_trunk_near_its_first_weights_and_leaves_the_head() {
    for optimizer in
        [OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::Sgd { momentum: 0.0, nesterov: false }]
    {
        let recipe = Recipe { optimizer, learning_rate: 1e-2, weight_decay: 0.1, ..recipe(2) };
        let distance = |name: &str| {
            let trial = Trial::new(6);
            let before = trial.state();
            trial.run(&named(name), &recipe, &mut Silent).unwrap();
            let after = trial.state();
            let entries = before
                .iter()
                .zip(&after)
                .filter(|(a, _)| a.0.starts_with("layer") && a.0.ends_with("weight"));
            let squares =
                entries.flat_map(|(a, b)| a.1.iter().zip(&b.1).map(|(a, b)| f64::from(b - a).powi(2)));
            squares.sum::<f64>().sqrt()
        };
        let (free, held) = (distance("full"), distance("l2-sp:20"));
        assert!(held < 0.8 * free, "{optimizer:?}: {held} against {free}");
    }
}

#[test]
fn a_phase_may_have_a_batch_norm_policy_of_its_own() {
    let mut still = phase(1, &[("all", 1.0)], StateOnStart::Reset);
    still.batch_norm = Some(BatchNormPolicy::Eval);
    let trial = Trial::new(6);
    let before = trial.state();
    trial.run(&own(vec![still]), &recipe(1), &mut Silent).unwrap();
    let moved = moved(&before, &trial.state());
    assert!(moved.len() > 50 && moved.iter().all(|name| !name.contains("running")), "{moved:?}");
}
