//! Whole trainings on the composed operations, as on another device, held to the kernels: everything that lies between two steps
//! (frozen prefixes, the shelf, the best epoch, places) goes through the same tensors as on a GPU. A test binary of its own, since all
//! operations of the process are composed.

use std::ops::ControlFlow;

use candle_core::DType;
use frostline_data::{Augment, Dataset, Reading, Source, Splits};
use frostline_engine::{
    Bookmark, Candidate, EpochReport, Evaluation, Event, Member, NoBookmark, Objective, Observer,
    OptimizerKind, Recipe, Shelf, Silent, State, Strategy, Task, fold, test_together, train_together,
};
use frostline_hub::{Hub, HubOptions};
use frostline_kernels::compose_all;
use frostline_models::{BuildSpec, Model, build};

const NORMALISATION: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

struct Setting {
    dataset: Dataset,
    splits: Splits,
    recipe: Recipe,
}

impl Setting {
    fn new(side: usize, per_class: usize, recipe: Recipe) -> Self {
        let hub =
            Hub::new(HubOptions { offline: true, ..HubOptions::standard(std::env::temp_dir()) }).unwrap();
        let (source, reading) = (Source::Digits, Reading::default());
        let prepared = frostline_data::prepare(&source, &reading, &hub, &frostline_hub::Silent).unwrap();
        let dataset = frostline_data::open(&prepared, Some((side, side))).unwrap();
        let splits = frostline_data::split(&dataset, 0.25, Some(per_class), None, 3).unwrap();
        Self { dataset, splits, recipe }
    }

    fn model(&self, name: &str, strategy: &Strategy, precision: DType) -> Model {
        let (classes, side) = (self.dataset.classes.len(), self.dataset.train.height());
        let mut model = build(name, &BuildSpec { classes, height: side, width: side, seed: 3 }).unwrap();
        model.set_precision(precision).unwrap();
        fold(&mut model, &self.recipe, strategy).unwrap();
        model
    }

    /// What trainings of one model by some strategies come to together, from where each stands.
    fn run(
        &self,
        name: &str,
        strategies: &[&str],
        (precision, until): (DType, Option<usize>),
        from: Option<State>,
        bookmark: &mut dyn Bookmark,
    ) -> Vec<Came> {
        let strategies: Vec<Strategy> = strategies.iter().map(|name| name.parse().unwrap()).collect();
        let models: Vec<Model> = strategies.iter().map(|s| self.model(name, s, precision)).collect();
        let mut heard = vec![Losses::default(); strategies.len()];
        let members =
            models.iter().zip(&strategies).zip(&mut heard).map(|((model, strategy), observer)| Member {
                task: Task {
                    model,
                    dataset: &self.dataset,
                    splits: &self.splits,
                    augment: Augment::default(),
                    views: None,
                    mean: NORMALISATION.0,
                    std: NORMALISATION.1,
                    recipe: &self.recipe,
                    strategy,
                    seed: 3,
                },
                observer,
                from: from.clone(),
                until,
            });
        let mut shelf = Shelf::new(64 << 20, || 0.0);
        let all: Vec<u32> = (0..self.dataset.test.len() as u32).collect();
        let trained = train_together(members.collect(), Objective::Labels, &mut shelf, bookmark);
        let tested =
            models.iter().zip(trained).zip(heard).filter_map(|((model, trained), Losses(losses))| {
                let trained = trained.ok()?;
                let candidate = Candidate { model, still: trained.still, observer: &mut Silent };
                let mut found =
                    test_together(vec![candidate], (&self.dataset.test, &all), NORMALISATION, &mut shelf)
                        .unwrap();
                Some((losses, trained.epochs, found.pop().unwrap().unwrap()))
            });
        tested.collect()
    }
}

/// The loss of each step, the epochs, and what is said of the test split.
type Came = (Vec<f64>, Vec<EpochReport>, Evaluation);

/// Hears the loss of each step.
#[derive(Clone, Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if let Event::Step { loss, .. } = event {
            self.0.push(loss);
        }
        ControlFlow::Continue(())
    }
}

struct Kept(Option<State>);

impl Bookmark for Kept {
    fn is_due(&mut self) -> bool {
        false
    }

    fn keep(&mut self, states: Vec<(usize, State)>) {
        self.0 = states.into_iter().next().map(|(_, state)| state);
    }
}

#[test]
fn trainings_on_composed_operations_are_those_of_the_kernels() {
    // Adam makes whole steps of what rounding alone has moved; its updates have gates of their own.
    let optimizer = OptimizerKind::Sgd { momentum: 0.9, nesterov: true };
    let recipe = Recipe { epochs: 2, batch: 16, optimizer, learning_rate: 0.001, ..Recipe::default() };
    let single = (DType::F32, None);
    let digits = Setting::new(16, 12, recipe);
    let works = [
        (&digits, "resnet18", &["last-1", "full", "bn-only"][..], DType::F32, 0.01),
        (&digits, "resnet18", &["full", "l2-sp:0.1"], DType::BF16, 0.1),
    ];
    for (setting, model, strategies, precision, tolerance) in works {
        let run = || setting.run(model, strategies, (precision, None), None, &mut NoBookmark);
        let here = run();
        compose_all(true);
        let composed = run();
        compose_all(false);
        assert_eq!((here.len(), composed.len()), (strategies.len(), strategies.len()), "{model}");
        for ((here, composed), strategy) in here.iter().zip(&composed).zip(strategies) {
            // Rounding makes trainings part from step to step; as far as from PyTorch's (`golden.rs`).
            for (step, (a, b)) in here.0.iter().zip(&composed.0).take(2).enumerate() {
                assert!(
                    ((a - b) / a).abs() < tolerance,
                    "{model} {strategy} {precision:?} step {step}: {a} and {b}"
                );
            }
            let apart = (here.2.accuracy - composed.2.accuracy).abs();
            assert!(apart < 0.25, "{model} {strategy} {precision:?}: {apart}");
        }
    }
    compose_all(true);
    let whole = digits.run("resnet18", &["full"], single, None, &mut NoBookmark);
    let mut kept = Kept(None);
    assert!(digits.run("resnet18", &["full"], (DType::F32, Some(1)), None, &mut kept).is_empty());
    let mut bytes = Vec::new();
    kept.0.unwrap().write_to(&mut bytes).unwrap();
    let state = State::from_bytes(&bytes).unwrap();
    let parts = digits.run("resnet18", &["full"], single, Some(state), &mut NoBookmark);
    compose_all(false);
    let (whole, parts) = (&whole[0], &parts[0]);
    assert_eq!((&whole.1, &whole.2), (&parts.1, &parts.2), "a training goes on to the same bits");
    assert!(whole.0.ends_with(&parts.0));
}
