//! The plan of small experiments: which trials, in which order, and what is refused.

use std::path::Path;

use super::{Plan, expand};
use crate::file::Experiment;

fn file(grid: &str, rest: &str) -> String {
    format!("question = \"which?\"\n[data]\nsource = \"digits\"\n[grid]\n{grid}\n{rest}")
}

fn plan(text: &str) -> Result<Plan, Vec<String>> {
    let experiment = Experiment::read(Path::new("x.toml"), text, &[]).map_err(|problems| problems.lines())?;
    expand(&experiment).map_err(|problems| problems.lines())
}

const GRID: &str = r#"model = ["resnet18", "resnet34"]
strategy = ["full", "head"]
learning-rate = [0.01, 0.001]
seed = [3, 1]"#;

#[test]
fn every_combination_is_a_trial_once() {
    let plan = plan(&file(GRID, "")).unwrap();
    assert_eq!(plan.trials.len(), 16);
    let mut ids: Vec<&str> = plan.trials.iter().map(|trial| trial.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16);
    let keys: Vec<&str> = plan.axes.iter().map(|axis| axis.key.as_str()).collect();
    assert_eq!(keys, ["model", "strategy", "learning-rate", "seed"]);
    assert_eq!(plan.axes[2].values, ["0.01", "0.001"]);
}

#[test]
fn seeds_are_outermost_and_arms_are_shuffled_differently_within_each() {
    let plan = plan(&file(GRID, "")).unwrap();
    let seeds: Vec<u64> = plan.trials.iter().map(|trial| trial.seed).collect();
    assert_eq!(seeds, [[3; 8], [1; 8]].concat());
    let arms: Vec<String> = plan.trials.iter().map(super::Trial::arm).collect();
    let (first, second) = arms.split_at(8);
    assert_ne!(first, second);
    let sorted = |arms: &[String]| {
        let mut arms = arms.to_vec();
        arms.sort();
        arms
    };
    assert_eq!(sorted(first), sorted(second));
}

#[test]
fn what_is_excepted_is_no_trial_and_the_others_are_what_they_were() {
    let except = "[[except]]\nwhen = { strategy = \"full\", seed = [3, 1], learning-rate = 0.01 }\n\
                  [[except]]\nwhen = { model = \"resnet34\", strategy = [\"head\"] }\n\
                  [[override]]\nwhen = { strategy = \"full\" }\nlearning-rate = 0.01\n";
    let some = plan(&file(GRID, except)).unwrap();
    let all = plan(&file(GRID, "")).unwrap();
    // An exception speaks of the grid, and not of what an override makes of it.
    let told = |plan: &Plan| -> Vec<String> {
        plan.trials
            .iter()
            .map(|t| format!("{} {} {} {}", t.model, t.strategy, t.seed, t.train.learning_rate))
            .collect()
    };
    let (some, all) = (told(&some), told(&all));
    assert_eq!(some.len(), 8, "{some:?}");
    assert!(some.iter().all(|trial| all.contains(trial)));
    assert!(some.iter().all(|trial| !trial.contains("resnet34 head")));
    let nothing = "[[except]]\nwhen = { model = [\"resnet18\", \"resnet34\"] }\n";
    assert!(plan(&file(GRID, nothing)).unwrap_err()[0].contains("no trial that [[except]]"));
    let unknown = "[[except]]\nwhen = { model = [\"resnet18\", \"resnet50\"] }\n";
    assert!(plan(&file(GRID, unknown)).unwrap_err()[0].contains("no trial has model `resnet50`"));
    let more = "[[except]]\nwhen = { model = \"resnet18\" }\nepochs = 3\n";
    assert!(plan(&file(GRID, more)).unwrap_err()[0].contains("unknown key `epochs` in [[except]]"));
}

#[test]
fn ids_and_order_do_not_depend_on_how_the_file_is_written() {
    let shuffled = "seed = [3, 1]\nlearning-rate = [1e-3, 1e-2]\nstrategy = [\"head\", \"full\"]\n\
                    model = [\"resnet34\", \"resnet18\"]";
    let (one, other) = (plan(&file(GRID, "")).unwrap(), plan(&file(shuffled, "")).unwrap());
    assert_eq!(one.trials, other.trials);
    // A default that is written out, an axis of one value and one that is left out are the same trial.
    let written = plan(&file("model = \"resnet18\"", "weights = [\"none\"]\n[train]\nbatch = 64")).unwrap();
    let left_out = plan(&file("model = [\"resnet18\"]", "")).unwrap();
    assert_eq!(written.trials, left_out.trials);
}

#[test]
fn cells_that_come_to_the_same_trial_are_run_once() {
    let same =
        plan(&file("model = \"resnet18\"\noptimizer = [\"adam\", \"sgd\"]\nmomentum = [0.5, 0.9]", ""))
            .unwrap();
    // Adam has no momentum, so two of the four cells are one trial.
    assert_eq!(same.trials.len(), 3);
    let rest = "[[override]]\nwhen = { strategy = \"head\" }\nstrategy = \"full\"\n";
    assert_eq!(
        plan(&file("model = \"resnet18\"\nstrategy = [\"full\", \"head\"]", rest)).unwrap().trials.len(),
        1
    );
}

#[test]
fn later_overrides_win_and_all_speak_of_the_grid_as_written() {
    let rest = r#"
[[override]]
when = { strategy = "head" }
epochs = 3
resolution = 40
[[override]]
when = { model = "resnet18", strategy = "head" }
epochs = 4
strategy = "full"
[[override]]
when = { strategy = "full" }
batch = 16
"#;
    let plan = plan(&file("model = [\"resnet18\", \"resnet34\"]\nstrategy = [\"head\"]", "")).unwrap();
    assert_eq!(plan.trials.len(), 2);
    let refused =
        super::tests::plan(&file("model = [\"resnet18\", \"resnet34\"]\nstrategy = [\"head\"]", rest));
    assert_eq!(
        refused.unwrap_err(),
        ["x.toml:17:21: no trial has strategy `full` (trials have head)"],
        "a value that only an override gives is none that another can ask for"
    );
    let rest = rest.split("[[override]]\nwhen = { strategy = \"full\"").next().unwrap();
    let plan = super::tests::plan(&file("model = [\"resnet18\", \"resnet34\"]\nstrategy = [\"head\"]", rest))
        .unwrap();
    let of = |model: &str| plan.trials.iter().find(|trial| trial.model == model).unwrap();
    assert_eq!((of("resnet18").train.epochs, of("resnet18").strategy.as_str()), (4, "full"));
    assert_eq!((of("resnet34").train.epochs, of("resnet34").resolution), (3, 40));
    assert_eq!(of("resnet18").resolution, 40);
}

#[test]
fn impossible_cells_point_at_what_makes_them_so() {
    let grid = "model = [\"resnet18\", \"alexnet\"]\nseed = [0, 1]";
    let lines = plan(&file(grid, "")).unwrap_err();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("x.toml:5:22: ") && lines[0].contains("63"), "{lines:?}");
    let fits = "[[override]]\nwhen = { model = \"alexnet\" }\nresolution = 64\n";
    assert_eq!(plan(&file(grid, fits)).unwrap().trials.len(), 4);
}

#[test]
fn a_claim_must_speak_of_a_trial() {
    let grid = "model = [\"resnet18\", \"resnet34\"]\nstrategy = [\"full\", \"head\"]";
    let claim =
        |when: &str| format!("[[claim]]\nwhen = {{ {when} }}\ntest-accuracy = 0.5\nsource = \"them\"\n");
    let good = plan(&file(grid, &claim("model = \"resnet34\", strategy = \"head\""))).unwrap();
    let when = [("model", "resnet34"), ("strategy", "head")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!((good.claims[0].when.as_slice(), good.claims[0].test_accuracy), (&when[..], Some(0.5)));
    let rest = format!(
        "[[override]]\nwhen = {{ model = \"resnet34\" }}\nstrategy = \"full\"\n{}",
        claim("model = \"resnet34\", strategy = \"head\"")
    );
    let lines = plan(&file(grid, &rest)).unwrap_err();
    assert!(lines[0].starts_with("x.toml:10:1: this claim speaks of no trial"), "{lines:?}");
}

#[test]
fn a_grid_that_is_far_too_large_is_refused() {
    let values: Vec<String> = (0..400).map(|value| value.to_string()).collect();
    let seeds = values.join(", ");
    let grid =
        format!("model = \"resnet18\"\nseed = [{seeds}]\nresolution = [32, {}]", values[33..].join(", "));
    assert!(plan(&file(&grid, "")).unwrap_err()[0].contains("more than 100000 cells"));
}

#[test]
fn a_strategy_of_ones_own_is_in_the_trial_and_its_id() {
    let own = |rate: &str| {
        let rest = format!(
            "[strategy.mine]\nphases = [{{ epochs = 1, train = [\"head\"] }}, {{ train = [\"all\"], rate = {rate}, \
             rates = {{ head = 10 }}, batch-norm = \"eval\", optimizer = \"keep\" }}]\n"
        );
        plan(&file("model = [\"resnet18\"]\nstrategy = [\"mine\", \"head\"]", &rest)).unwrap().trials
    };
    let trials = own("0.1");
    let mine = trials.iter().find(|trial| trial.strategy == "mine").unwrap();
    let phases = mine.phases.as_ref().unwrap();
    assert_eq!((phases[0].name.as_str(), phases[0].epochs), ("phase 1", Some(1)));
    assert_eq!(phases[1].train, [("all".to_owned(), 0.1), ("head".to_owned(), 1.0)]);
    assert_eq!((phases[1].batch_norm.as_deref(), phases[1].optimizer_state.as_str()), (Some("eval"), "keep"));
    let ids = |trials: &[super::Trial]| {
        trials.iter().map(|t| (t.strategy.clone(), t.id.clone())).collect::<Vec<_>>()
    };
    let (one, other) = (ids(&trials), ids(&own("0.2")));
    assert!(one.iter().any(|trial| trial.0 == "head" && other.contains(trial)), "a known name keeps its id");
    assert!(
        one.iter().all(|trial| trial.0 != "mine" || !other.contains(trial)),
        "other phases are another trial"
    );
    assert_eq!(serde_json::from_str::<super::Trial>(&serde_json::to_string(mine).unwrap()).unwrap(), *mine);
}

#[test]
fn a_strategy_that_will_not_do_is_refused_with_its_place() {
    let refused = |name: &str, phases: &str| {
        let rest = format!("[strategy.{name}]\nphases = {phases}\n");
        let lines = plan(&file("model = [\"resnet18\"]\nstrategy = [\"mine\"]", &rest)).unwrap_err();
        lines.join("\n")
    };
    let good = r#"[{ train = ["head"] }]"#;
    for (name, phases, part) in [
        ("head", good, "`head` cannot name a strategy"),
        ("mine", "[]", "at least one phase"),
        ("mine", "\"head\"", "list of tables"),
        ("mine", "[{ epochs = 2 }]", "trains at least one part"),
        ("mine", r#"[{ train = ["head"], epochs = 1, share = 0.5 }]"#, "not both"),
        ("mine", r#"[{ train = ["head"], rate = 0 }]"#, "above 0"),
        ("mine", r#"[{ train = ["head"], epohcs = 1 }]"#, "unknown key `epohcs`"),
        ("mine", r#"[{ train = "head" }]"#, "`train` cannot be"),
        ("mine", r#"[{ train = ["head"], batch-norm = "off" }]"#, "unknown BatchNorm policy"),
        ("mine", r#"[{ train = ["layer9"] }]"#, "`layer9`, which resnet18 does not have"),
        ("mine", r#"[{ train = ["head"], epochs = 3 }]"#, "its phases last 3"),
        ("other", good, "unknown strategy `mine`"),
    ] {
        let lines = refused(name, phases);
        assert!(lines.contains(part) && lines.starts_with("x.toml:"), "{part}: {lines}");
    }
}

const PRETRAINED: &str = "model = [\"resnet18\"]\nweights = [\"none\", \"pretrain:first\"]\nstrategy = [\"full\", \"head\"]\n\
                          seed = [0, 1]";

#[test]
fn a_pretraining_takes_the_trials_images_unless_it_names_others() {
    let first = |text: &str| {
        let trials = plan(&file(PRETRAINED, &format!("[pretrain.first]\n{text}\n"))).unwrap().trials;
        assert_eq!(trials.len(), 8);
        let trial = trials.iter().find(|trial| trial.weights == "pretrain:first" && trial.seed == 1).unwrap();
        (trial.pretraining.clone().unwrap(), trial.trunk().unwrap())
    };
    let (own, trunk) = first("method = \"autoencoder\"\ndenoise = 0.3\nepochs = 7\nper-class = \"all\"");
    assert_eq!((own.method.as_str(), own.denoise, own.data.source.as_str()), ("autoencoder", 0.3, "digits"));
    assert_eq!((own.train.epochs, own.train.keep.as_str(), own.train.batch), (7, "last", 64));
    assert_eq!((trunk.seed, trunk.held_out.is_some()), (1, true));

    let (other, trunk) = first(
        "method = \"supervised\"\nsource = \"folder:shapes\"\nepochs = 2\nseed = 9\noptimizer = \"sgd\"",
    );
    assert_eq!((other.data.source.as_str(), other.data.validation), ("folder:shapes", 0.1));
    assert_eq!((other.train.optimizer.as_str(), other.train.momentum), ("sgd", 0.9));
    assert_eq!((trunk.seed, trunk.held_out.is_none(), trunk.name.as_str()), (9, true, "first"));
}

#[test]
fn trunks_are_shared_by_trials_of_a_seed() {
    let text = "[pretrain.first]\nmethod = \"rotation\"\nepochs = 1\n";
    let plan = plan(&file(PRETRAINED, text)).unwrap();
    let seeds: Vec<u64> = plan.trunks().iter().map(|trunk| trunk.seed).collect();
    assert_eq!(seeds, [0, 1]);
}

#[test]
fn a_pretraining_that_will_not_do_is_refused_with_its_place() {
    let refused = |data: &str, text: &str| {
        let grid = format!("{PRETRAINED}\nclasses = {data}");
        plan(&file(&grid, &format!("[pretrain.first]\n{text}\n"))).unwrap_err().join("\n")
    };
    for (data, text, part) in [
        ("\"all\"", "epochs = 3", "has no `method`"),
        ("\"all\"", "method = \"rotations\"\nepochs = 3", "did you mean `rotation`?"),
        ("\"all\"", "method = \"rotation\"", "has no `epochs`"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\ndenoise = 1", "no meaning for the method `rotation`"),
        ("\"all\"", "method = \"autoencoder\"\nepochs = 3\ndenoise = 0", "above 0"),
        ("\"all\"", "method = \"rotation\"\nepohcs = 3", "did you mean `epochs`?"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\nresolution = 64", "unknown key `resolution`"),
        ("\"all\"", "method = \"supervised\"\nepochs = 3", "learns the labels that the trials learn"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\nseed = 4", "remove its seed"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\naugment = [\"trivial\"]", "up to 135 degrees"),
        ("\"all\"", "method = \"autoencoder\"\nepochs = 3\naugment = [\"mixup\"]", "learns none of them"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\nvalidation = 0.3", "another validation share"),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\nclasses = [\"1\"]", "share classes of one source"),
        ("[\"1+2\"]", "method = \"rotation\"\nepochs = 3\nclasses = [\"2\", \"3\"]", "share classes"),
        (
            "\"all\"",
            "method = \"autoencoder\"\nepochs = 3\nkeep = \"best\"",
            "a reconstruction does not have",
        ),
        ("\"all\"", "method = \"rotation\"\nepochs = 3\nwarmup = 5", "[pretrain.first]: "),
    ] {
        let lines = refused(data, text);
        assert!(lines.contains(part) && lines.starts_with("x.toml:"), "{part}: {lines}");
    }
    let unknown = plan(&file(PRETRAINED, "")).unwrap_err().join("\n");
    assert!(unknown.contains("there is no pretraining `first` (write [pretrain.first]"), "{unknown}");
    let name = plan(&file("model = \"resnet18\"\nweights = \"pretrain:A b\"", "")).unwrap_err().join("\n");
    assert!(name.contains("names no pretraining"), "{name}");
}

#[test]
fn baselines_and_margins_are_read_and_default_to_training_everything_and_one_point() {
    let of =
        |lines: &str| plan(&format!("{lines}\n{}", file(GRID, ""))).map(|plan| (plan.baseline, plan.margin));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(of("").unwrap(), (vec![pair("strategy", "full")], 1.0));
    assert_eq!(of("baseline = \"head\"\nmargin = 0.5").unwrap(), (vec![pair("strategy", "head")], 0.5));
    let both = "baseline = { model = \"resnet34\", strategy = \"full\" }";
    assert_eq!(of(both).unwrap().0, [pair("model", "resnet34"), pair("strategy", "full")]);
    for (wrong, message) in [
        ("baseline = \"hed\"", "no trial has strategy `hed`"),
        ("baseline = 3", "`baseline` must be a strategy, not the number 3"),
        ("baseline = { seed = 3 }", "`baseline` cannot name a seed"),
        ("margin = 0", "`margin` must be a number above 0 and below 100, not the number 0"),
        ("margin = \"one\"", "`margin` must be a number above 0"),
    ] {
        let told = of(wrong).unwrap_err().join("\n");
        assert!(told.contains(message), "{wrong}: {told}");
    }
}

#[test]
fn a_claim_knows_what_flags_have_made_of_its_trials() {
    let claim = "[[claim]]\nwhen = { model = \"resnet18\", strategy = \"full\" }\ntest-accuracy = 0.9\nsource = \"s\"";
    let text = file(GRID, &format!("[train]\nepochs = 10\n{claim}"));
    let written = |flags: &[&str]| {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let experiment = Experiment::read(Path::new("x.toml"), &text, &flags).unwrap();
        expand(&experiment).unwrap().claims[0].written.clone()
    };
    assert!(written(&[]).is_empty());
    assert!(written(&["seed=7", "strategy=full"]).is_empty(), "fewer trials are the same ones");
    let key = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
    assert_eq!(written(&["epochs=2", "per-class=50"]), [key("per-class", "all"), key("epochs", "10")]);
    let rates = written(&["learning-rate=[0.01, 0.1]"]);
    assert_eq!(rates, [("learning-rate".to_owned(), vec!["0.01".to_owned(), "0.001".to_owned()])]);
}
