//! What the graph of a plan is, and that every schedule of it makes inputs before what needs them.

use std::collections::BTreeMap;
use std::path::Path;

use frostline_experiment::{Experiment, Plan, Trial, Trunk, expand};
use frostline_results::State;

use super::graph::{Graph, Id, Prefix, Start, Train};
use super::model::for_trial;
use super::schedule::{Goal, Inventory, Schedule, Step};

/// Two models from scratch, from a file and from a pretraining on classes of their own; six strategies, two seeds.
const FILE: &str = r#"question = "what shares what?"
[data]
source = "digits"
classes = ["0", "1", "2"]
[train]
epochs = 4
[grid]
model = ["resnet18", "vgg11_bn"]
weights = ["none", "file:w.safetensors", "pretrain:others"]
strategy = ["head", "last-1", "last-2", "full", "lp-ft", "thaw"]
seed = [0, 1]
[pretrain.others]
method = "supervised"
classes = ["5", "6"]
epochs = 1
"#;

fn plan() -> Plan {
    expand(&Experiment::read(Path::new("x.toml"), FILE, &[]).unwrap()).unwrap()
}

/// What is stored, made up.
#[derive(Default)]
struct Stored {
    trials: BTreeMap<String, State>,
    trunks: Vec<String>,
}

impl Inventory for Stored {
    fn trial(&self, trial: &Trial) -> Option<&State> {
        self.trials.get(&trial.id)
    }

    fn has_trunk(&self, trunk: &Trunk) -> bool {
        self.trunks.contains(&trunk.id)
    }
}

/// All trials of a graph.
fn all(graph: &Graph) -> Vec<Id<Train>> {
    graph.trials.ids().collect()
}

/// The steps that make the inputs of a step.
fn needed(graph: &Graph, cohorts: &[Vec<Id<Train>>], step: Step) -> Vec<Step> {
    match step {
        Step::FetchImages(_) | Step::FetchWeights(_) | Step::CheckRoom | Step::CheckMemory => Vec::new(),
        Step::Decode(id) => vec![Step::FetchImages(graph.data[id].images)],
        Step::Pretrain(id) => vec![Step::Decode(graph.trunks[id].data)],
        Step::Check(id) => {
            let train = &graph.trials[id];
            let mut steps = vec![Step::Decode(train.data)];
            match train.start {
                Start::Pretrained(trunk) => steps.push(Step::Decode(graph.trunks[trunk].data)),
                Start::Fetched(weights) => steps.push(Step::FetchWeights(weights)),
                Start::Drawn(_) => {}
            }
            steps
        }
        Step::Train(place) => {
            let mut steps = Vec::new();
            for id in &cohorts[place] {
                steps.push(Step::Check(*id));
                if let Start::Pretrained(trunk) = graph.trials[*id].start {
                    steps.push(Step::Pretrain(trunk));
                }
            }
            steps
        }
    }
}

#[test]
fn each_thing_is_a_node_once() {
    let graph = Graph::of(&plan()).unwrap();
    let counts = [
        graph.images.ids().count(),
        graph.weights.ids().count(),
        graph.data.ids().count(),
        graph.trunks.ids().count(),
        graph.trials.ids().count(),
    ];
    // One source; a file for each model; two choices of classes; two models by two seeds; 2 × 3 × 6 × 2 trials.
    assert_eq!(counts, [1, 2, 2, 4, 72]);
}

#[test]
fn inputs_come_first_whatever_is_stored() {
    let (plan, graph) = (plan(), Graph::of(&plan()).unwrap());
    for keep in 0..7 {
        let finished = plan.trials.iter().enumerate().filter(|(index, _)| keep > 0 && index % keep == 0);
        let trials = finished.map(|(_, trial)| (trial.id.clone(), State::Finished)).collect();
        let stored = Stored { trials, trunks: Vec::new() };
        for (goal, force) in [(Goal::Trials, false), (Goal::Trials, true), (Goal::Pretrainings, false)] {
            let Schedule { steps, due, cohorts, skipped } =
                Schedule::of(&graph, &all(&graph), &stored, goal, force);
            assert_eq!(due.len() + skipped, plan.trials.len());
            for (place, step) in steps.iter().enumerate() {
                assert!(!steps[..place].contains(step), "{step:?} is done twice");
                for input in needed(&graph, &cohorts, *step) {
                    assert!(steps[..place].contains(&input), "{step:?} comes before {input:?}");
                }
            }
            let trained = steps.iter().filter(|step| matches!(step, Step::Train(_))).count();
            assert_eq!(trained, if goal == Goal::Trials { cohorts.len() } else { 0 });
            let mut in_cohorts: Vec<&str> =
                cohorts.iter().flatten().map(|id| graph.trials[*id].trial.id.as_str()).collect();
            let mut due: Vec<&str> = due.iter().map(|id| graph.trials[*id].trial.id.as_str()).collect();
            in_cohorts.sort_unstable();
            due.sort_unstable();
            assert_eq!(in_cohorts, due, "each trial that is due is in one cohort");
            let last_check = steps.iter().rposition(|step| matches!(step, Step::Check(_)));
            let first_work = steps.iter().position(|step| matches!(step, Step::Pretrain(_) | Step::Train(_)));
            assert!(
                last_check < first_work || first_work.is_none(),
                "something trains before all is checked"
            );
        }
    }
}

#[test]
fn trials_with_frozen_stages_in_common_are_a_cohort() {
    let graph = Graph::of(&plan()).unwrap();
    let cohorts = Schedule::of(&graph, &all(&graph), &Stored::default(), Goal::Trials, false).cohorts;
    let mut sizes: Vec<usize> = cohorts.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    // Two models by three kinds of weights by two seeds: `full` alone, the other five strategies together.
    assert_eq!(sizes, [vec![1; 12], vec![5; 12]].concat());
    for cohort in cohorts {
        let first = &graph.trials[cohort[0]].trial;
        for id in cohort {
            let trial = &graph.trials[id].trial;
            assert_eq!(
                (&trial.model, &trial.weights, trial.seed),
                (&first.model, &first.weights, first.seed)
            );
        }
    }
}

#[test]
fn only_what_is_due_is_scheduled_with_what_it_needs() {
    let (plan, graph) = (plan(), Graph::of(&plan()).unwrap());
    let all_but = |left: &str| {
        let others = plan.trials.iter().filter(|trial| trial.id != left);
        others.map(|trial| (trial.id.clone(), State::Finished)).collect::<BTreeMap<_, _>>()
    };
    let drawn = plan.trials.iter().find(|trial| trial.weights == "none").unwrap();
    let stored = Stored { trials: all_but(&drawn.id), trunks: Vec::new() };
    let steps = Schedule::of(&graph, &all(&graph), &stored, Goal::Trials, false).steps;
    let kinds: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.split('(').next().unwrap()).collect();
    assert_eq!(kinds, ["FetchImages", "Decode", "Check", "CheckRoom", "CheckMemory", "Train"]);
    let nothing = Stored { trials: all_but(""), trunks: Vec::new() };
    assert!(Schedule::of(&graph, &all(&graph), &nothing, Goal::Trials, false).steps.is_empty());
}

#[test]
fn a_failed_trial_is_tried_again_only_where_it_was_its_pretraining_that_failed_and_is_done_now() {
    let (plan, graph) = (plan(), Graph::of(&plan()).unwrap());
    let pretrained = plan.trials.iter().find(|trial| trial.trunk().is_some()).unwrap();
    let trunk = pretrained.trunk().unwrap().id;
    let mut stored = Stored::default();
    for (reason, trunks, due) in [
        ("the loss became NaN", vec![trunk.clone()], false),
        ("too little memory: about 2 GiB are needed", vec![], true),
        ("[pretrain.others] failed: the loss became NaN", vec![], false),
        ("[pretrain.others] failed: the loss became NaN", vec![trunk], true),
    ] {
        stored.trunks = trunks;
        stored.trials.insert(pretrained.id.clone(), State::Failed { reason: reason.to_owned() });
        let schedule = Schedule::of(&graph, &all(&graph), &stored, Goal::Trials, false);
        let is_due = schedule.due.iter().any(|id| graph.trials[*id].trial.id == pretrained.id);
        assert_eq!(is_due, due, "{reason}");
    }
}

/// How many stages each phase of a trial leaves as they were, by the graph.
fn prefixes(strategy: &str, batch_norm: &str) -> Vec<usize> {
    let mut trial = Trial { model: "resnet18".to_owned(), strategy: strategy.to_owned(), ..Trial::default() };
    trial.data.source = "digits".to_owned();
    (trial.train.epochs, trial.train.batch_norm) = (6, batch_norm.to_owned());
    let plan = Plan { trials: vec![trial.sealed()], ..plan() };
    let graph = Graph::of(&plan).unwrap();
    let train = &graph.trials[graph.trials.ids().next().unwrap()];
    train.prefixes.iter().map(|prefix| prefix.map_or(0, |id| graph.prefixes[id].stages)).collect()
}

#[test]
fn a_prefix_ends_where_something_has_trained() {
    // ResNet-18 has six stages: stem, layer1 to layer4, head.
    assert_eq!(prefixes("head", "follow"), [5]);
    assert_eq!(prefixes("last-2", "follow"), [3]);
    assert_eq!(prefixes("full", "follow"), [0]);
    assert_eq!(prefixes("lp-ft", "follow"), [5, 0]);
    assert_eq!(prefixes("thaw", "follow"), [5, 4, 3, 2, 1, 0]);
    assert_eq!(prefixes("head", "eval"), [5]);
    assert_eq!(prefixes("head", "train"), [0], "frozen layers learn statistics under this policy");
}

#[test]
fn trials_that_name_one_prefix_have_the_same_weights_in_it() {
    let (plan, graph) = (plan(), Graph::of(&plan()).unwrap());
    let drawn = |trial: &&Trial| trial.weights == "none" && trial.model == "resnet18";
    let mut seen: Vec<(&Prefix, Vec<u8>)> = Vec::new();
    for id in graph.trials.ids() {
        let train = &graph.trials[id];
        let Some(trial) = Some(&train.trial).filter(drawn) else { continue };
        let Some(prefix) = train.prefixes[0] else { continue };
        let (prefix, model) =
            (&graph.prefixes[prefix], for_trial(trial, 3, None, &candle_core::Device::Cpu).unwrap());
        let inside = model.parameters().iter().filter(|parameter| parameter.stage() < prefix.stages);
        let bits = |parameter: &std::sync::Arc<frostline_models::Parameter>| {
            let values = parameter.torch_values().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
        };
        let bits: Vec<u8> = inside.flat_map(bits).collect();
        for (other, their_bits) in &seen {
            let longer = if other.stages == prefix.stages { bits == *their_bits } else { false };
            assert_eq!(*other == prefix, longer, "{other:?} and {prefix:?}");
        }
        seen.push((prefix, bits));
    }
    let trials = plan.trials.iter().filter(drawn).count();
    // Of six strategies, `full` has no prefix; of the others, `head`, `lp-ft` and `thaw` begin with the same.
    assert_eq!((trials, seen.len()), (12, 10));
    let distinct =
        seen.iter().enumerate().filter(|(at, (one, _))| seen[..*at].iter().all(|(other, _)| other != one));
    assert_eq!(distinct.count(), 6, "three depths by two seeds");
}
