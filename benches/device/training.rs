//! A short real training on the device, held to the same on the CPU: ResNet-18 on the embedded digits, by two strategies that share frozen
//! stages and advance together, and again in two parts, from where it was kept. What is frozen is hashed before and after, as always.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Device};
use frostline_benches::Failure;
use frostline_data::{Augment, Dataset, Reading, Source, Splits};
use frostline_engine::{
    Bookmark, Candidate, EngineError, EpochReport, Event, Member, NoBookmark, Objective, Observer,
    OptimizerKind, Recipe, Shelf, Silent, State, Strategy, Task, Trained, test_together, train_together,
};
use frostline_hub::{Hub, HubOptions};
use frostline_kernels::compose_all;
use frostline_models::{BuildSpec, Model, build_on};

use crate::panics;
use crate::table::Row;

const SIDE: usize = 16;
const PER_CLASS: usize = 30;
const EPOCHS: usize = 2;
/// Steps whose losses are compared: rounding makes trainings part from step to step.
const STEPS: usize = 2;
/// How far these losses may be apart, as a part of each: in f32 as far as from PyTorch's (`crates/engine/tests/golden.rs`), and in bf16, which rounds otherwise on each device.
const LOSS: (f64, f64) = (0.01, 0.1);
/// The same of the test accuracies, as shares.
const ACCURACY: f64 = 0.2;

/// Runs all of it, and prints a row for each.
pub(crate) fn run(device: &Device) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, precision) in [("f32", DType::F32), ("bf16", DType::BF16)] {
        if precision == DType::BF16 && device.is_metal() {
            continue;
        }
        let operation = format!("training: ResNet-18 on digits, last-1 and full, {EPOCHS} epochs, {name}");
        let row = timed(operation, || compared(device, precision));
        row.print();
        rows.push(row);
    }
    let row = timed("training: in two parts, the same bits".to_owned(), || in_parts(device));
    row.print();
    rows.push(row);
    rows
}

#[expect(clippy::disallowed_methods, reason = "timing is what it does")]
fn timed(operation: String, work: impl FnOnce() -> Result<Row, Failure>) -> Row {
    let start = Instant::now();
    let done = panics::caught(work);
    let seconds = start.elapsed().as_secs_f64();
    match done {
        Ok(Ok(row)) => {
            Row { operation, seconds: if row.seconds > 0.0 { row.seconds } else { seconds }, ..row }
        }
        Ok(Err(error)) => Row { operation, seconds, problem: Some(error.to_string()), ..Row::default() },
        Err(problem) => Row { operation, seconds, problem: Some(problem), ..Row::default() },
    }
}

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
struct Came {
    /// Of each step.
    losses: Vec<f64>,
    epochs: Vec<EpochReport>,
    accuracy: f64,
}

/// Hears the loss of each step.
#[derive(Clone, Debug, Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if let Event::Step { loss, .. } = event {
            self.0.push(loss);
        }
        ControlFlow::Continue(())
    }
}

#[expect(clippy::disallowed_methods, reason = "timing is what it does")]
fn compared(device: &Device, precision: DType) -> Result<Row, Failure> {
    let here = trained(&Device::Cpu, precision)?;
    compose_all(device.is_cpu());
    let start = Instant::now();
    let there = trained(device, precision);
    let seconds = start.elapsed().as_secs_f64();
    compose_all(false);
    let mut row = Row { cases: here.len(), seconds, ..Row::default() };
    let (mut loss, mut accuracy) = (0.0f64, 0.0f64);
    for (here, there) in here.iter().zip(&there?) {
        for (a, b) in here.losses.iter().zip(&there.losses).take(STEPS) {
            loss = loss.max(((a - b) / a).abs());
        }
        accuracy = accuracy.max((here.accuracy - there.accuracy).abs());
    }
    let single = precision == DType::F32;
    *(if single { &mut row.single } else { &mut row.half }) = Some(loss);
    let most = if single { LOSS.0 } else { LOSS.1 };
    if !(loss <= most && accuracy <= ACCURACY) {
        row.problem = Some(format!(
            "the losses of the first {STEPS} steps are off by {loss:.1e} of themselves, the test accuracy by {:.1} points",
            100.0 * accuracy
        ));
    }
    Ok(row)
}

/// A training that is kept after an epoch and goes on from there comes to the bits of one that does not stop.
fn in_parts(device: &Device) -> Result<Row, Failure> {
    compose_all(device.is_cpu());
    let done = (|| {
        let setting = Setting::new()?;
        let whole = setting.train(device, &["full"], DType::F32, None, &mut NoBookmark)?;
        let mut kept = Kept(None);
        let _ = setting.train(device, &["full"], DType::F32, Some(1), &mut kept);
        let mut bytes = Vec::new();
        kept.0.ok_or("nothing was kept")?.write_to(&mut bytes)?;
        let parts = setting.go_on(device, "full", State::from_bytes(&bytes)?)?;
        Ok::<_, Failure>((whole, parts))
    })();
    compose_all(false);
    let (whole, parts) = done?;
    // Losses of the first part were heard by another.
    let same = whole.first().is_some_and(|whole| {
        whole.epochs == parts.epochs
            && whole.accuracy == parts.accuracy
            && whole.losses.ends_with(&parts.losses)
    });
    Ok(Row { cases: 1, problem: (!same).then(|| "it came to other numbers".to_owned()), ..Row::default() })
}

fn trained(device: &Device, precision: DType) -> Result<Vec<Came>, Failure> {
    Setting::new()?.train(device, &["last-1", "full"], precision, None, &mut NoBookmark)
}

/// Keeps one state.
struct Kept(Option<State>);

impl Bookmark for Kept {
    fn is_due(&mut self) -> bool {
        false
    }

    fn keep(&mut self, states: Vec<(usize, State)>) {
        self.0 = states.into_iter().next().map(|(_, state)| state);
    }
}

/// Images and recipe.
struct Setting {
    dataset: Dataset,
    splits: Splits,
    recipe: Recipe,
}

impl Setting {
    fn new() -> Result<Self, Failure> {
        // The digits are in the binary: nothing is fetched, and nothing written.
        let hub = Hub::new(HubOptions { offline: true, ..HubOptions::standard(std::env::temp_dir()) })?;
        let prepared =
            frostline_data::prepare(&Source::Digits, &Reading::default(), &hub, &frostline_hub::Silent)?;
        let dataset = frostline_data::open(&prepared, Some((SIDE, SIDE)))?;
        let splits = frostline_data::split(&dataset, 0.1, Some(PER_CLASS), None, 3)?;
        // Adam makes whole steps of what rounding alone has moved; its updates have gates of their own.
        let optimizer = OptimizerKind::Sgd { momentum: 0.9, nesterov: true };
        let recipe = Recipe { epochs: EPOCHS, optimizer, learning_rate: 0.001, ..Recipe::default() };
        Ok(Self { dataset, splits, recipe })
    }

    fn model(&self, device: &Device, precision: DType) -> Result<Model, Failure> {
        let spec = BuildSpec { classes: self.dataset.classes.len(), height: SIDE, width: SIDE, seed: 3 };
        let model = build_on("resnet18", &spec, device)?;
        model.set_precision(precision)?;
        Ok(model)
    }

    fn task<'a>(&'a self, model: &'a Model, strategy: &'a Strategy) -> Task<'a> {
        Task {
            model,
            dataset: &self.dataset,
            splits: &self.splits,
            augment: Augment { crop: Some(2), ..Augment::NONE },
            views: None,
            mean: [0.5; 3],
            std: [0.5; 3],
            recipe: &self.recipe,
            strategy,
            seed: 3,
        }
    }

    fn train(
        &self,
        device: &Device,
        strategies: &[&str],
        precision: DType,
        until: Option<usize>,
        bookmark: &mut dyn Bookmark,
    ) -> Result<Vec<Came>, Failure> {
        let strategies: Vec<Strategy> =
            strategies.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        let models: Vec<Model> =
            strategies.iter().map(|_| self.model(device, precision)).collect::<Result<_, _>>()?;
        let mut heard: Vec<Losses> = strategies.iter().map(|_| Losses::default()).collect();
        let members = models.iter().zip(&strategies).zip(&mut heard).map(|((model, strategy), observer)| {
            Member { task: self.task(model, strategy), observer, from: None, until }
        });
        let mut shelf = Shelf::new(256 << 20, || 0.0);
        let trained = train_together(members.collect(), Objective::Labels, &mut shelf, bookmark);
        self.tested(models.iter().zip(trained).zip(heard))
    }

    fn go_on(&self, device: &Device, strategy: &str, from: State) -> Result<Came, Failure> {
        let (model, strategy, mut heard) =
            (self.model(device, DType::F32)?, strategy.parse()?, Losses::default());
        let member = Member {
            task: self.task(&model, &strategy),
            observer: &mut heard,
            from: Some(from),
            until: None,
        };
        let trained = train_together(vec![member], Objective::Labels, &mut Shelf::none(), &mut NoBookmark);
        self.tested(std::iter::once(&model).zip(trained).zip([heard]))?
            .pop()
            .ok_or_else(|| "nothing was trained".into())
    }

    fn tested<'a>(
        &self,
        trained: impl Iterator<Item = ((&'a Model, Result<Trained, EngineError>), Losses)>,
    ) -> Result<Vec<Came>, Failure> {
        let mut came = Vec::new();
        let all: Vec<u32> = (0..self.dataset.test.len() as u32).collect();
        for ((model, trained), Losses(losses)) in trained {
            let trained = trained?;
            let candidate = Candidate { model, still: trained.still, observer: &mut Silent };
            let found = test_together(
                vec![candidate],
                (&self.dataset.test, &all),
                ([0.5; 3], [0.5; 3]),
                &mut Shelf::none(),
            )?;
            for evaluation in found {
                let (losses, epochs) = (losses.clone(), trained.epochs.clone());
                came.push(Came { losses, epochs, accuracy: evaluation?.accuracy });
            }
        }
        Ok(came)
    }
}
