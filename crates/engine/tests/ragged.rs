//! A whole training held to PyTorch's: the same initial weights, order, flips, crops and optimizer, epochs that end in a batch of
//! eight, and maps of one pixel, so that the last batch's variances are of eight values. Compared are the running statistics of every
//! BatchNorm and the logits in evaluation, also after the statistics were taken anew (`fixtures/make_ragged.py`).

#[path = "../../models/tests/golden/formula.rs"]
#[expect(dead_code, reason = "images and labels are of this test's own formula")]
mod formula;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use frostline_allocator as _;
use frostline_data::{Augment, Dataset, Duplicates, Images, NativeSizes, Placement, Splits};
use frostline_engine::{
    Event, Keep, Objective, Observer, OptimizerKind, Ragged, Recipe, Section, Strategy, Task, train,
};
use frostline_kernels::Hwnc;
use frostline_models::{BuildSpec, Model, Pass, build};
use frostline_streams::{Purpose, Streams};
use serde::Deserialize;

const CLASSES: usize = 10;
const SIDE: usize = 32;
/// Three batches of 16, and eight images more.
const COUNT: usize = 56;
const SEED: u64 = 11;
/// The relative difference that is allowed, to double precision; that of single precision is a tenth of it here.
const TOLERANCE: f64 = 1e-4;
const EPOCHS: usize = 2;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
const AUGMENT: Augment = Augment { flip: true, crop: Some(4), ..Augment::NONE };

/// What PyTorch came to.
#[derive(Deserialize)]
struct Golden {
    losses: Vec<f64>,
    statistics: BTreeMap<String, formula::Digest>,
    logits: formula::Digest,
}

/// For each epoch, each image in the order of the batches: its index, whether it is mirrored, and where its window lies.
type Draws = Vec<Vec<(u32, bool, isize, isize)>>;

fn pixel(at: usize) -> u8 {
    let h = (at as u32).wrapping_mul(0x9E37_79B1);
    let h = (h ^ (h >> 15)).wrapping_mul(0x85EB_CA77);
    ((h >> 13) & 0xFF) as u8
}

fn dataset() -> Dataset {
    let pixels = (0..COUNT * SIDE * SIDE * 3).map(pixel).collect();
    let labels = (0..COUNT as u32).map(|i| i * 3 % CLASSES as u32).collect();
    let train = Images::new(SIDE, SIDE, pixels, labels).unwrap();
    let native = NativeSizes { smallest: (SIDE, SIDE), largest: (SIDE, SIDE) };
    Dataset {
        source: "formula".to_owned(),
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        test: train.clone(),
        train,
        validation: 0,
        native,
        digest: String::new(),
        files: Vec::new(),
        licence: None,
        taken: Vec::new(),
        duplicates: Duplicates::default(),
    }
}

fn draws() -> Draws {
    let streams = Streams::new(SEED);
    let epoch = |epoch: u64| {
        let mut order: Vec<u32> = (0..COUNT as u32).collect();
        streams.draws(Purpose::Order, epoch, 0).shuffle(&mut order);
        let placed = order.into_iter().map(|example| {
            let Placement { flip, down, right } = Placement::draw(&AUGMENT, &streams, epoch, example);
            (example, flip, down, right)
        });
        placed.collect()
    };
    (1..=EPOCHS as u64).map(epoch).collect()
}

/// Collects the loss of every step.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if let Event::Step { loss, .. } = event {
            self.0.push(loss);
        }
        if let Event::Enter { section: Section::Checkpoint, .. } = event {
            panic!("no epoch is chosen here");
        }
        ControlFlow::Continue(())
    }
}

fn trained(recipe: &Recipe) -> (Model, Vec<f64>) {
    let model =
        build("resnet18", &BuildSpec { classes: CLASSES, height: SIDE, width: SIDE, seed: 0 }).unwrap();
    formula::fill(&model, 0.0);
    let (dataset, splits) =
        (dataset(), Splits { train: (0..COUNT as u32).collect(), validation: Vec::new(), test: None });
    let task = Task {
        model: &model,
        dataset: &dataset,
        splits: &splits,
        augment: AUGMENT,
        views: None,
        mean: MEAN,
        std: STD,
        recipe,
        strategy: &Strategy::Full,
        seed: SEED,
    };
    let mut losses = Losses::default();
    train(&task, Objective::Labels, &mut losses).unwrap();
    (model, losses.0)
}

fn sgd() -> Recipe {
    let optimizer = OptimizerKind::Sgd { momentum: 0.9, nesterov: false };
    let recipe = Recipe {
        epochs: EPOCHS,
        batch: 16,
        optimizer,
        learning_rate: 1e-3,
        keep: Keep::Last,
        ..Recipe::default()
    };
    assert_eq!(recipe.ragged, Ragged::Keep);
    recipe
}

/// The logits of the first images as they are, in evaluation, image by image.
fn logits(model: &Model) -> Vec<f32> {
    let (images, count) = (dataset().train, 8);
    let mut pixels = vec![0.0; SIDE * SIDE * count * 3];
    for i in 0..count {
        for (at, value) in images.image(i).iter().enumerate() {
            let (place, channel) = (at / 3, at % 3);
            pixels[(place * count + i) * 3 + channel] =
                (f32::from(*value) / 255.0 - MEAN[channel]) / STD[channel];
        }
    }
    let x = Hwnc::from_vec(pixels, (SIDE, SIDE, count, 3), model.device()).unwrap();
    model.forward(&x, &Pass::Evaluate).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The worst relative difference of losses, running statistics and logits, with where it is.
fn difference(name: &str, recipe: &Recipe) -> (f64, String) {
    let golden: BTreeMap<String, Golden> =
        serde_json::from_str(include_str!("fixtures/ragged.json")).unwrap();
    let golden = &golden[name];
    let (model, losses) = trained(recipe);
    let mut found: Vec<(f64, String)> = Vec::new();
    assert_eq!(losses.len(), golden.losses.len());
    for (step, (ours, theirs)) in losses.iter().zip(&golden.losses).enumerate() {
        found.push(((ours - theirs).abs() / theirs, format!("loss of step {}", step + 1)));
    }
    for norm in model.norms() {
        for (part, tensor) in
            [("running_mean", norm.running_mean()), ("running_var", norm.running_variance())]
        {
            let name = format!("{}.{part}", norm.name());
            let values = tensor.to_vec1::<f32>().unwrap();
            found.push((golden.statistics[&name].difference(&name, &values, 0.0), name));
        }
    }
    assert_eq!(found.len(), losses.len() + golden.statistics.len());
    found.push((golden.logits.difference("logits", &logits(&model), 0.0), "logits".to_owned()));
    let worst = found.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    println!("{name}: {:.1e} at {}", worst.0, worst.1);
    worst
}

#[test]
fn draws_are_those_that_the_fixture_was_made_with() {
    let stored: Draws = serde_json::from_str(include_str!("fixtures/draws.json")).unwrap();
    assert_eq!(draws(), stored, "write them anew (print_draws), then run fixtures/make_ragged.py");
}

#[test]
#[ignore = "prints fixtures/draws.json"]
fn print_draws() {
    println!("{}", serde_json::to_string(&draws()).unwrap());
}

#[test]
fn statistics_and_outputs_after_epochs_with_a_ragged_last_batch_are_pytorchs() {
    let (worst, place) = difference("sgd", &sgd());
    assert!(worst < TOLERANCE, "{worst} at {place}");
}

#[test]
fn statistics_that_were_taken_anew_are_the_means_over_all_images() {
    let (worst, place) = difference("sgd, recalibrated", &Recipe { recalibrate: true, ..sgd() });
    assert!(worst < TOLERANCE, "{worst} at {place}");
}

#[test]
fn a_last_batch_can_be_left_out_or_merged() {
    for (ragged, name) in [(Ragged::Drop, "sgd, dropped"), (Ragged::Merge, "sgd, merged")] {
        let (worst, place) = difference(name, &Recipe { ragged, ..sgd() });
        assert!(worst < TOLERANCE, "{worst} at {place}");
    }
}
