//! What each name trains, and that phases fill a trial.

use frostline_zoo::card;

use super::*;
use crate::{BatchNormPolicy, StateOnStart};

fn resnet() -> Parts {
    Parts::new(frostline_zoo::card("resnet18").unwrap(), 10)
}

fn strategy(name: &str) -> Strategy {
    name.parse().unwrap()
}

/// Per phase: epochs, and per stage the rate of its parameters (`-` where frozen, `+` where some train).
fn told(name: &str, epochs: usize) -> Vec<(usize, Vec<String>)> {
    let parts = resnet();
    let phases = strategy(name).phases(&parts, epochs).unwrap();
    assert_eq!(phases.iter().map(|phase| phase.epochs).sum::<usize>(), epochs, "{name}");
    let of_stage = |phase: &Phase, stage: usize| {
        let of_stage = parts.parameters.iter().zip(&phase.rates).filter(|(p, _)| p.stage == stage);
        let rates: Vec<Option<f64>> = of_stage.map(|(_, rate)| *rate).collect();
        match rates[0] {
            Some(rate) if rates.iter().all(|other| *other == Some(rate)) => format!("{rate:.3}"),
            None if rates.iter().all(Option::is_none) => "-".to_owned(),
            _ => "+".to_owned(),
        }
    };
    let stages = 0..parts.stages.len();
    phases
        .iter()
        .map(|phase| (phase.epochs, stages.clone().map(|stage| of_stage(phase, stage)).collect()))
        .collect()
}

/// One phase from its epochs and its stages, written with spaces between.
fn phase(epochs: usize, stages: &str) -> (usize, Vec<String>) {
    (epochs, stages.split(' ').map(str::to_owned).collect())
}

#[test]
fn each_name_trains_what_it_says() {
    let one = "1.000";
    for (name, stages) in [
        ("full", "1 1 1 1 1 1"),
        ("head", "- - - - - 1"),
        ("last-2", "- - - 1 1 1"),
        ("first-2", "1 1 - - - 1"),
        ("bn-only", "+ + + + + 1"),
        ("bias-only", "+ + + + + 1"),
        ("l2-sp:0.01", "1 1 1 1 1 1"),
    ] {
        assert_eq!(told(name, 7), [phase(7, &stages.replace('1', one))], "{name}");
    }
    assert_eq!(told("layer-decay:0.5", 3), [phase(3, "0.031 0.062 0.125 0.250 0.500 1.000")]);
}

#[test]
fn names_with_phases_go_from_the_head_down() {
    let one = |epochs, stages: &str| phase(epochs, &stages.replace('1', "1.000"));
    assert_eq!(told("freeze-then-thaw:2", 5), [one(2, "- - - - - 1"), one(3, "1 1 1 1 1 1")]);
    assert_eq!(told("lp-ft", 5)[0], one(3, "- - - - - 1"));
    assert_eq!(told("lp-ft", 5)[1], phase(2, "0.100 0.100 0.100 0.100 0.100 0.100"));
    assert_eq!(
        told("three-phase", 10),
        [
            one(3, "- - - - - 1"),
            phase(4, "- - - 0.100 0.100 0.100"),
            phase(3, "0.010 0.010 0.010 0.010 0.010 0.010")
        ]
    );
    assert_eq!(
        told("thaw", 8),
        [
            one(1, "- - - - - 1"),
            one(1, "- - - - 1 1"),
            one(1, "- - - 1 1 1"),
            one(1, "- - 1 1 1 1"),
            one(1, "- 1 1 1 1 1"),
            one(3, "1 1 1 1 1 1")
        ]
    );
    assert_eq!(told("thaw", 3), [one(1, "- - - - - 1"), one(1, "- - - 1 1 1"), one(1, "1 1 1 1 1 1")]);
}

#[test]
fn only_norms_or_biases_train_below_the_head() {
    let parts = resnet();
    let trained = |name: &str| -> Vec<String> {
        let phases = strategy(name).phases(&parts, 1).unwrap();
        let trained = parts.parameters.iter().zip(&phases[0].rates).filter(|(_, rate)| rate.is_some());
        trained.map(|(parameter, _)| parameter.name.clone()).collect()
    };
    let norms = trained("bn-only");
    assert_eq!(norms.len(), 20 * 2 + 2);
    assert!(
        norms.contains(&"layer2.0.downsample.1.weight".to_owned()) && norms.contains(&"fc.weight".to_owned())
    );
    let biases = trained("bias-only");
    assert_eq!(biases.len(), 20 + 2);
    assert!(biases.contains(&"bn1.bias".to_owned()) && !biases.contains(&"bn1.weight".to_owned()));
}

#[test]
fn the_frozen_prefix_is_what_leads_without_training() {
    let parts = resnet();
    let prefix = |name: &str| strategy(name).phases(&parts, 1).unwrap()[0].frozen_prefix;
    assert_eq!([prefix("full"), prefix("last-2"), prefix("head"), prefix("first-1")], [0, 3, 5, 0]);
    let middle = own(vec![spec(Length::Share(1.0), &["layer2"])]);
    let phase = &middle.phases(&parts, 1).unwrap()[0];
    assert_eq!(phase.frozen_prefix, 2);
    assert_eq!(phase.trainable(&parts), 525_568);
}

fn spec(length: Length, train: &[&str]) -> PhaseSpec {
    let rules = train.iter().map(|part| Rule { part: part.parse().unwrap(), rate: 1.0 }).collect();
    PhaseSpec {
        name: "phase".to_owned(),
        length,
        rules,
        batch_norm: Some(BatchNormPolicy::Eval),
        state: StateOnStart::Keep,
        l2_sp: None,
        fit: None,
    }
}

fn own(phases: Vec<PhaseSpec>) -> Strategy {
    Strategy::Own { name: "mine".to_owned(), phases }
}

#[test]
fn of_several_rules_the_last_counts() {
    let parts = resnet();
    let mut phase = spec(Length::Share(1.0), &["all", "layer1", "layer1.*.bias"]);
    phase.rules[1].rate = 0.5;
    phase.rules[2].rate = 0.25;
    let phase = &own(vec![phase]).phases(&parts, 1).unwrap()[0];
    let rate = |name: &str| phase.rates[parts.parameters.iter().position(|p| p.name == name).unwrap()];
    assert_eq!(rate("conv1.weight"), Some(1.0));
    assert_eq!(rate("layer1.0.conv1.weight"), Some(0.5));
    assert_eq!(rate("layer1.1.bn2.bias"), Some(0.25));
}

#[test]
fn lengths_fill_the_epochs_to_the_last() {
    let lengths = |lengths: &[Length], epochs| {
        let phases = lengths.iter().map(|length| spec(*length, &["head"])).collect();
        let phases = own(phases).phases(&resnet(), epochs);
        phases.map(|phases| phases.iter().map(|phase| phase.epochs).collect::<Vec<_>>())
    };
    use Length::{Epochs, Share};
    assert_eq!(lengths(&[Share(0.25), Epochs(2), Share(0.75)], 10), Ok(vec![2, 2, 6]));
    assert_eq!(lengths(&[Share(0.01), Share(1.0), Share(0.01)], 3), Ok(vec![1, 1, 1]));
    assert_eq!(lengths(&[Share(1.0), Share(0.001)], 5), Ok(vec![4, 1]));
    for total in 3..40 {
        for shares in [[1.0, 1.0, 1.0], [0.2, 5.0, 0.1], [7.0, 0.3, 0.3]] {
            let lengths = lengths(&shares.map(Share), total).unwrap();
            assert_eq!(lengths.iter().sum::<usize>(), total);
            assert!(lengths.iter().all(|length| *length >= 1), "{lengths:?}");
        }
    }
    let message = |given: &[Length], epochs| lengths(given, epochs).unwrap_err().to_string();
    assert!(message(&[Epochs(2), Epochs(3)], 6).contains("set epochs = 5"));
    assert!(message(&[Epochs(2), Share(1.0)], 2).contains("at least 3"));
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what_would() {
    let parts = resnet();
    let refused = |name: &str, epochs| strategy(name).phases(&parts, epochs).unwrap_err().to_string();
    assert!(refused("last-5", 1).contains("K below 5"));
    assert!(refused("first-9", 1).contains("stem, layer1"));
    assert!(refused("thaw", 1).contains("at least 2"));
    assert!(refused("freeze-then-thaw:4", 4).contains("at least 5"));
    let error = own(vec![spec(Length::Share(1.0), &["layer7"])]).phases(&parts, 1).unwrap_err().to_string();
    assert!(error.contains("`layer7`") && error.contains("stem, layer1"), "{error}");
    let alexnet = Parts::new(frostline_zoo::card("alexnet").unwrap(), 10);
    assert!(strategy("bn-only").phases(&alexnet, 1).unwrap_err().to_string().contains("norms"));
    for wrong in ["last-", "last--1", "lsat-1", "", "thaw:1"] {
        assert_eq!(wrong.parse::<Strategy>().unwrap_err(), StrategyError::Unknown(wrong.to_owned()));
    }
    for wrong in
        ["last-0", "first-0", "layer-decay:0", "layer-decay:1.5", "l2-sp:-1", "lora:0", "freeze-then-thaw:0"]
    {
        assert!(matches!(wrong.parse::<Strategy>(), Err(StrategyError::Number { .. })), "{wrong}");
    }
}

#[test]
fn adapters_train_with_the_head_and_only_where_there_are_transformer_blocks() {
    let lora = strategy("lora:4");
    let (vit, resnet) = (card("vit_tiny_patch4").unwrap(), card("resnet18").unwrap());
    let parts = lora.parts(vit, 10);
    assert_eq!(parts.parameters.len(), vit.parameters(10).len() + 2 * 4 * 12);
    let phase = lora.phases(&parts, 3).unwrap().remove(0);
    let trained = parts.parameters.iter().zip(&phase.rates).filter(|(_, rate)| rate.is_some());
    let (heads, adapters): (Vec<&str>, Vec<&str>) =
        trained.map(|(parameter, _)| parameter.name.as_str()).partition(|name| name.starts_with("head."));
    assert_eq!((heads.len(), adapters.len()), (2, 96));
    assert_eq!(phase.frozen_prefix, 1, "the patches are embedded by frozen weights");
    let error = lora.phases(&lora.parts(resnet, 10), 3).unwrap_err().to_string();
    assert!(error.contains("adapters") && error.contains("transformer blocks"), "{error}");
}

#[test]
fn names_round_trip() {
    for name in ["full", "head", "last-3", "first-1", "thaw", "freeze-then-thaw:3", "lp-ft", "three-phase"] {
        assert_eq!(strategy(name).to_string(), name);
    }
    for name in ["layer-decay:0.75", "bn-only", "bias-only", "l2-sp:0.001", "lora:8"] {
        assert_eq!(strategy(name).to_string(), name);
    }
    for part in ["all", "trunk", "head", "norms", "biases", "layer3", "layer3.*.weight"] {
        assert_eq!(part.parse::<Part>().unwrap().to_string(), part);
    }
}
