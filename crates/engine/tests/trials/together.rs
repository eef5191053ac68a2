//! Trials that advance together, and trials that were interrupted, have the bits of trials that ran alone and undisturbed.

use std::ops::ControlFlow;

use candle_core::DType;
use frostline_engine::{
    Bookmark, Candidate, EngineError, Evaluation, Event, Member, Movable, NoBookmark, Objective, Observer,
    OptimizerKind, Ragged, Recipe, Section, Shelf, Silent, State, Strategy, Task, Trained, test_together,
    train_together,
};
use frostline_models::Model;

use crate::cases::{Case, LOOKS, Look, any, case, uneven};
use crate::harness::{Trial, moved, recipe};

fn task<'a>(trial: &'a Trial, model: &'a Model, case: &'a Case, look: Look) -> Task<'a> {
    Task {
        model,
        dataset: &trial.dataset,
        splits: &trial.splits,
        augment: look.augment,
        views: look.views,
        mean: [0.5; 3],
        std: [0.5; 3],
        recipe: &case.recipe,
        strategy: &case.strategy,
        seed: 3,
    }
}

/// What a trial comes to: its epochs and choice, all numbers of its model, and its test.
type Came = (Trained, Vec<(String, Vec<f32>)>, Evaluation);

/// Trains and tests the cases together, each in a twin of one model.
fn together(trial: &Trial, cases: &[Case], look: Look, budget: usize) -> Vec<Came> {
    let mut shelf = Shelf::new(budget, || 0.0);
    let models: Vec<Model> = cases.iter().map(|case| twin(trial, case)).collect();
    let mut ears: Vec<Silent> = cases.iter().map(|_| Silent).collect();
    let members = models.iter().zip(cases).zip(&mut ears);
    let members = members.map(|((model, case), observer)| Member {
        task: task(trial, model, case, look),
        observer,
        from: None,
        until: None,
    });
    let trained = train_together(members.collect(), Objective::Labels, &mut shelf, &mut NoBookmark);
    finish(trial, models, trained, &mut shelf)
}

fn twin(trial: &Trial, case: &Case) -> Model {
    let Movable { parameters, statistics } = Movable::by(&trial.model, &case.strategy, &case.recipe).unwrap();
    let mut twin = trial.model.twin(&parameters, &statistics).unwrap();
    if let Some(rank) = case.strategy.rank() {
        twin.adapt(rank).unwrap();
    }
    twin.set_precision(case.precision).unwrap();
    twin
}

fn finish(
    trial: &Trial,
    models: Vec<Model>,
    trained: Vec<Result<Trained, EngineError>>,
    shelf: &mut Shelf,
) -> Vec<Came> {
    let trained: Vec<Trained> = trained.into_iter().map(Result::unwrap).collect();
    let mut ears: Vec<Silent> = trained.iter().map(|_| Silent).collect();
    let all: Vec<u32> = (0..trial.dataset.test.len() as u32).collect();
    let candidates = models.iter().zip(&trained).zip(&mut ears);
    let candidates =
        candidates.map(|((model, trained), observer)| Candidate { model, still: trained.still, observer });
    let tests = test_together(candidates.collect(), (&trial.dataset.test, &all), ([0.5; 3], [0.5; 3]), shelf)
        .unwrap();
    let states = models.iter().map(Trial::state_of);
    let came = trained.into_iter().zip(states).zip(tests);
    came.map(|((trained, state), test)| (trained, state, test.unwrap())).collect()
}

fn assert_same(what: &str, a: &Came, b: &Came) {
    assert_eq!(a.0, b.0, "{what}");
    assert_eq!(moved(&a.1, &b.1), Vec::<String>::new(), "{what}");
    assert_eq!(a.2, b.2, "{what}");
}

#[test]
fn a_trial_has_the_same_bits_alone_and_in_any_cohort() {
    let mut counter = 0;
    for round in 0..8 {
        let (trial, look, sampling) = uneven(round);
        let cases = (0..2 + any(&mut counter, 3)).map(|_| case(&mut counter, look, sampling));
        let cases: Vec<Case> = cases.collect();
        let budget = [0, 40_000, usize::MAX / 2][any(&mut counter, 3)];
        is_the_same_together(&trial, &cases, look, budget);
    }
}

fn is_the_same_together(trial: &Trial, cases: &[Case], look: Look, budget: usize) {
    let all = together(trial, cases, look, budget);
    for (case, came) in cases.iter().zip(&all) {
        let alone = together(trial, std::slice::from_ref(case), look, 0).remove(0);
        assert_same(&format!("{case:?} in {look:?} with {budget} bytes"), &alone, came);
    }
}

#[test]
fn adapters_have_the_same_bits_together_and_go_on_from_any_step() {
    let trial = Trial::of("vit_tiny_patch4", 8, 4);
    let of = |name: &str| Case { strategy: name.parse().unwrap(), recipe: recipe(2), precision: DType::F32 };
    let half = Case { precision: DType::BF16, ..of("lora:2") };
    let cases = [of("lora:2"), of("head"), of("lora:4"), half];
    is_the_same_together(&trial, &cases, LOOKS[1], 40_000);
    goes_on(&trial, &cases, LOOKS[0], 3);
    let [(trained, state, _)] = &together(&trial, &cases[..1], LOOKS[1], 0)[..] else { panic!("one case") };
    let moved = moved(&Trial::state_of(&twin(&trial, &cases[0])), state);
    assert!(trained.epochs.len() == 2 && moved.len() == 2 + 2 * 48, "{moved:?}");
    assert!(moved.iter().all(|name| name.starts_with("head.") || name.contains(".lora_")), "{moved:?}");
}

/// Keeps the states of one step, and asks for the end there if it shall.
struct Stop {
    left: usize,
    kept: Vec<(usize, Vec<u8>)>,
}

impl Bookmark for Stop {
    fn is_due(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        self.left == 0
    }

    fn keep(&mut self, states: Vec<(usize, State)>) {
        let bytes = |state: State| {
            let mut bytes = Vec::new();
            state.write_to(&mut bytes).unwrap();
            bytes
        };
        self.kept = states.into_iter().map(|(index, state)| (index, bytes(state))).collect();
    }
}

#[test]
fn a_training_goes_on_from_any_step_with_the_same_bits() {
    let mut counter = 1000;
    for round in 0..8 {
        let (trial, look, sampling) = uneven(round);
        let cases = (0..1 + any(&mut counter, 3)).map(|_| case(&mut counter, look, sampling));
        let cases: Vec<Case> = cases.collect();
        goes_on(&trial, &cases, look, 1 + any(&mut counter, 9));
    }
}

/// Trainings that are kept after so many steps go on from there with the bits of undisturbed ones.
fn goes_on(trial: &Trial, cases: &[Case], look: Look, steps: usize) {
    let whole = together(trial, cases, look, 0);
    let mut stop = Stop { left: steps, kept: Vec::new() };
    let mut shelf = Shelf::new(usize::MAX / 2, || 0.0);
    let models: Vec<Model> = cases.iter().map(|case| twin(trial, case)).collect();
    let mut ears: Vec<Silent> = cases.iter().map(|_| Silent).collect();
    let members = models.iter().zip(cases).zip(&mut ears).map(|((model, case), observer)| Member {
        task: task(trial, model, case, look),
        observer,
        from: None,
        until: None,
    });
    let _ = train_together(members.collect(), Objective::Labels, &mut shelf, &mut stop);
    assert!(!stop.kept.is_empty(), "the training has that many steps");
    // Those that had ended before, of fewer epochs or out of patience, have no place to go on from.
    let models: Vec<Model> = stop.kept.iter().map(|(index, _)| twin(trial, &cases[*index])).collect();
    let members = models.iter().zip(&mut ears).zip(&stop.kept);
    let members = members.map(|((model, observer), (index, state))| Member {
        task: task(trial, model, &cases[*index], look),
        observer,
        from: Some(State::from_bytes(state).unwrap()),
        until: None,
    });
    let trained = train_together(members.collect(), Objective::Labels, &mut shelf, &mut NoBookmark);
    let resumed = finish(trial, models, trained, &mut shelf);
    for ((index, _), resumed) in stop.kept.iter().zip(&resumed) {
        assert_same(&format!("{:?} in {look:?}", cases[*index]), &whole[*index], resumed);
    }
}

/// Asks for the end after so many steps.
struct Enough(usize);

impl Observer for Enough {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if let Event::Step { .. } = event {
            self.0 -= 1;
        }
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn who_asks_for_the_end_gets_the_place_kept_and_all_end() {
    let trial = Trial::new(6);
    let cases = [
        Case { precision: DType::F32, strategy: Strategy::Head, recipe: recipe(2) },
        Case { precision: DType::F32, strategy: Strategy::Full, recipe: recipe(2) },
    ];
    let models: Vec<Model> = cases.iter().map(|case| twin(&trial, case)).collect();
    let (mut enough, mut silent) = (Enough(2), Silent);
    let mut kept = Stop { left: 0, kept: Vec::new() };
    let ears: [&mut dyn Observer; 2] = [&mut enough, &mut silent];
    let members = models.iter().zip(&cases).zip(ears);
    let members = members.map(|((model, case), observer)| Member {
        task: task(&trial, model, case, LOOKS[1]),
        observer,
        from: None,
        until: None,
    });
    let ended = train_together(members.collect(), Objective::Labels, &mut Shelf::none(), &mut kept);
    assert!(ended.iter().all(|result| matches!(result, Err(EngineError::Interrupted))), "{ended:?}");
    let at: Vec<_> =
        kept.kept.iter().map(|(_, bytes)| State::from_bytes(bytes).unwrap().position()).collect();
    assert_eq!(at.iter().map(|at| (at.epochs, at.steps)).collect::<Vec<_>>(), [(0, 2), (0, 2)]);
    assert!(State::from_bytes(b"no state").is_err());
}

#[test]
fn one_that_fails_leaves_the_others_alone() {
    let trial = Trial::new(6);
    let good = Case { precision: DType::F32, strategy: Strategy::Head, recipe: recipe(2) };
    let bad = Case {
        precision: DType::F32,
        strategy: Strategy::Head,
        recipe: Recipe {
            learning_rate: 1e38,
            optimizer: OptimizerKind::Sgd { momentum: 0.0, nesterov: false },
            ..recipe(2)
        },
    };
    let alone = together(&trial, std::slice::from_ref(&good), LOOKS[1], 0).remove(0);
    let models: Vec<Model> = [&bad, &good].map(|case| twin(&trial, case)).into();
    let mut ears = [Silent, Silent];
    let members = models.iter().zip([&bad, &good]).zip(&mut ears);
    let members = members.map(|((model, case), observer)| Member {
        task: task(&trial, model, case, LOOKS[1]),
        observer,
        from: None,
        until: None,
    });
    let mut results =
        train_together(members.collect(), Objective::Labels, &mut Shelf::none(), &mut NoBookmark);
    assert!(matches!(results[0], Err(EngineError::Diverged { .. })), "{:?}", results[0]);
    assert_eq!(results.remove(1).unwrap(), alone.0);
}

/// Counts what each section was entered for.
#[derive(Default)]
struct Counts {
    whole: usize,
    shared: usize,
    reused: usize,
}

impl Observer for Counts {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Enter { section: Section::Train, sharers: 1 } => self.whole += 1,
            Event::Enter { section: Section::Train, sharers: 3 } => self.shared += 1,
            Event::Reused { .. } => self.reused += 1,
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn frozen_stages_run_once_for_all_and_not_again_where_images_come_again() {
    let trial = Trial::new(6);
    let rates = [1e-2, 1e-3, 1e-4].map(|learning_rate| Recipe { learning_rate, ..recipe(4) });
    let cases = rates.map(|recipe| Case { precision: DType::F32, strategy: Strategy::Head, recipe });
    let steps = trial.splits.train.len().div_ceil(16);
    // All batches of an epoch go through the stages at once, but where images are mixed within them.
    for (look, passes) in [(LOOKS[0], 1), (LOOKS[1], 4), (LOOKS[2], 2), (LOOKS[3], 4 * steps)] {
        let mut shelf = Shelf::new(usize::MAX / 2, || 1.0);
        let models: Vec<Model> = cases.iter().map(|case| twin(&trial, case)).collect();
        let mut ears: [Counts; 3] = Default::default();
        let members = models.iter().zip(&cases).zip(&mut ears);
        let members = members.map(|((model, case), observer)| Member {
            task: task(&trial, model, case, look),
            observer,
            from: None,
            until: None,
        });
        for result in train_together(members.collect(), Objective::Labels, &mut shelf, &mut NoBookmark) {
            result.unwrap();
        }
        for Counts { whole, shared, reused } in ears {
            assert_eq!((whole, reused), (4 * steps, 0), "each trains its own head");
            // Of ResNet-18, five stages; and one time for the images, or for what the shelf has of them.
            let again = look.augment.crop.is_none() || look.views.is_some();
            let asked = 4 * usize::from(again && !look.augment.mixes());
            assert_eq!(shared, passes * 6 + asked, "{look:?}");
        }
    }
}

#[test]
fn trials_with_other_batches_are_no_cohort() {
    let trial = Trial::new(6);
    let case = Case { precision: DType::F32, strategy: Strategy::Head, recipe: recipe(1) };
    let other = Case { recipe: Recipe { ragged: Ragged::Drop, ..recipe(1) }, ..case.clone() };
    let mut ears = [Silent, Silent];
    let [first, second] = &mut ears;
    let members = vec![
        Member {
            task: task(&trial, &trial.model, &case, LOOKS[0]),
            observer: first,
            from: None,
            until: None,
        },
        Member {
            task: task(&trial, &trial.model, &other, LOOKS[0]),
            observer: second,
            from: None,
            until: None,
        },
    ];
    for result in train_together(members, Objective::Labels, &mut Shelf::none(), &mut NoBookmark) {
        assert!(result.unwrap_err().to_string().contains("other batches"));
    }
}
