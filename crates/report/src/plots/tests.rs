//! What every plot must hold to, whatever it is given: no text is cut off or covers another, and every arm is named.

use frostline_experiment::{Plan, Trial};
use frostline_results::samples::{plan, results};

use super::canvas::width;
use super::*;
use crate::compare::Comparison;

/// A number in [0, 1) that looks random and depends on the text.
fn scatter(text: &str) -> f64 {
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40) as f64 / (1u64 << 24) as f64
}

/// All three plots of a plan whose arms differ by up to `spread`.
fn plots(plan: Plan, spread: f64) -> Vec<Option<String>> {
    let measure = |t: &Trial| {
        let arm = format!("{}{}", t.model, t.strategy);
        (
            0.8 + 0.18 * spread * (scatter(&arm) - 0.5) + 0.01 * scatter(&t.id),
            60.0 + 600.0 * spread * scatter(&(arm + "t")),
        )
    };
    let results = results(plan, measure);
    let comparison = Comparison::of(&results);
    vec![
        accuracy_by_strategy(&comparison).unwrap(),
        accuracy_against_time(&comparison).unwrap(),
        validation_curves(&comparison).unwrap(),
    ]
}

/// The texts of a plot with the boxes that they take: left, top, right, bottom in pixels.
fn texts(svg: &str) -> Vec<(String, placing::Rect)> {
    let fine =
        attribute(svg, "viewBox").split(' ').nth(2).unwrap().parse::<f64>().unwrap() / number(svg, "width");
    svg.split("<text ")
        .skip(1)
        .map(|element| {
            let (head, rest) = element.split_once('>').unwrap();
            let text = rest.split("</text>").next().unwrap().trim().to_owned();
            let [x, y, size] = ["x", "y", "font-size"].map(|name| number(&format!(" {head}"), name) / fine);
            let wide = width(&text, size);
            let left = match attribute(head, "text-anchor") {
                "start" => x,
                "middle" => x - wide / 2.0,
                _ => x - wide,
            };
            (text, (left, y - 0.45 * size, left + wide, y + 0.45 * size))
        })
        .collect()
}

fn attribute<'s>(element: &'s str, name: &str) -> &'s str {
    element.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap()
}

fn number(element: &str, name: &str) -> f64 {
    attribute(element, &format!(" {name}")).parse().unwrap()
}

#[test]
fn no_text_is_cut_off_or_covers_another() {
    let strategies = [
        "full",
        "head",
        "last-1",
        "last-2",
        "last-3",
        "thaw",
        "lp-ft",
        "freeze-then-thaw:3",
        "three-phase",
        "layer-decay:0.75",
        "bn-only",
        "l2-sp:0.01",
    ];
    let long = ["a strategy whose name is much longer than any plot could ever bear to show in full", "full"];
    let cases = [
        plan(&["resnet18", "alexnet"], &["full", "head", "last-1"], 3),
        plan(&["resnet18"], &strategies, 5),
        plan(&["resnet18-cifar", "vit_tiny_patch16", "alexnet"], &strategies[6..10], 3),
        plan(&["resnet18", "alexnet"], &long, 2),
        plan(&["resnet18"], &["full"], 1),
    ];
    for (case, plan) in cases.into_iter().enumerate() {
        for svg in plots(plan, 1.0).into_iter().flatten() {
            assert!(!svg.contains("NaN") && svg.starts_with("<svg "), "case {case}");
            let (right, bottom) = (number(&svg, "width"), number(&svg, "height"));
            let texts = texts(&svg);
            for (index, (text, rect)) in texts.iter().enumerate() {
                let inside = rect.0 >= 0.0 && rect.1 >= 0.0 && rect.2 <= right && rect.3 <= bottom;
                assert!(inside, "case {case}: {text:?} is cut off at {rect:?}");
                for (other, rect_of_other) in &texts[..index] {
                    let shared = placing::overlap(*rect, *rect_of_other);
                    assert!(
                        shared < 12.0,
                        "case {case}: {text:?} covers {other:?} by {shared} square pixels"
                    );
                }
            }
        }
    }
}

#[test]
fn every_arm_is_named_in_every_plot_even_where_all_coincide() {
    for spread in [1.0, 0.0] {
        for svg in
            plots(plan(&["resnet18"], &["full", "head", "last-1", "thaw"], 3), spread).into_iter().flatten()
        {
            for name in ["full", "head", "last-1", "thaw"] {
                assert!(texts(&svg).iter().any(|(text, _)| text.starts_with(name)), "{name} is missing");
            }
        }
    }
}

#[test]
fn there_is_no_plot_of_nothing() {
    assert_eq!(plots(plan(&[], &[], 0), 1.0), [None, None, None]);
    let one = plots(plan(&["resnet18"], &["full"], 1), 1.0);
    assert_eq!([one[0].is_some(), one[1].is_some(), one[2].is_some()], [true, false, true]);
}

#[test]
fn an_interval_is_drawn_from_three_seeds_on() {
    let explains = |seeds| {
        plots(plan(&["resnet18"], &["full", "head"], seeds), 1.0)[0].clone().unwrap().contains("95 %")
    };
    assert!(!explains(2) && explains(3));
}
