//! What every plot must hold to, whatever it is given: no text is cut off or covers another, and every arm is named.

use frostline_experiment::{Plan, Trial};
use frostline_results::samples::{plan, results};
use plotters::style::RGBColor;

use super::canvas::width;
use super::*;
use frostline_compare::Comparison;

/// A number in [0, 1) that looks random and depends on the text.
fn scatter(text: &str) -> f64 {
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40) as f64 / (1u64 << 24) as f64
}

/// The plots of a plan whose arms differ by up to `spread`.
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
        learning_curves(&comparison).unwrap(),
        reliability(&comparison).unwrap(),
        confusion(&comparison).unwrap(),
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
            let text = rest.split("</text>").next().unwrap().trim().replace("&apos;", "'");
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
        for svg in plots(plan(&["resnet18"], &["full", "head", "last-1", "thaw"], 3), spread)
            .into_iter()
            .take(4)
            .flatten()
        {
            for name in ["full", "head", "last-1", "thaw"] {
                assert!(texts(&svg).iter().any(|(text, _)| text.starts_with(name)), "{name} is missing");
            }
        }
    }
}

#[test]
fn there_is_no_plot_of_nothing() {
    assert_eq!(plots(plan(&[], &[], 0), 1.0), [None, None, None, None, None]);
    let one = plots(plan(&["resnet18"], &["full"], 1), 1.0);
    let drawn: Vec<bool> = one.iter().map(Option::is_some).collect();
    assert_eq!(drawn, [false, false, true, true, true], "one arm is one dot in the first two");
}

#[test]
fn an_interval_is_drawn_from_three_seeds_on() {
    let explains = |seeds| {
        plots(plan(&["resnet18"], &["full", "head"], seeds), 1.0)[0].clone().unwrap().contains("95 %")
    };
    assert!(!explains(2) && explains(3));
}

/// What a colour looks like, in CIELAB, to people with all cones, and to those who lack one kind (Machado, Oliveira and Fernandes 2009).
fn seen(colour: RGBColor) -> [[f64; 3]; 4] {
    const CONES: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];
    const XYZ: [[f64; 3]; 3] = [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ];
    let apply =
        |m: &[[f64; 3]; 3], v: [f64; 3]| m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>());
    let linear = [colour.0, colour.1, colour.2].map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    CONES.map(|cones| {
        let [x, y, z] = apply(&XYZ, apply(&cones, linear).map(|c| c.clamp(0.0, 1.0)))
            .map(|t| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    })
}

#[test]
fn colours_are_told_apart_by_everyone_and_do_not_come_back_with_their_dash() {
    for (index, one) in frame::COLOURS.iter().enumerate() {
        for other in &frame::COLOURS[..index] {
            for (a, b) in seen(*one).iter().zip(seen(*other)) {
                let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(apart > 25.0, "{one:?} and {other:?} are {apart} apart");
            }
        }
        let [lightness, ..] = seen(*one)[0];
        assert!(lightness < 62.0, "{one:?} is too light for white: less than 3 to 1");
    }
    let strategies: Vec<String> = (0..24).map(|n| format!("last-{n}")).collect();
    let names: Vec<&str> = strategies.iter().map(String::as_str).collect();
    let results = results(plan(&["resnet18"], &names, 1), |_| (0.5, 1.0));
    let looks = frame::looks(&Comparison::of(&results));
    for (index, one) in looks.iter().enumerate() {
        let same = |other: &&frame::Look| {
            other.colour == one.colour && (other.dash == one.dash || other.shape == one.shape)
        };
        assert!(!looks[..index].iter().any(|other| same(&other)), "{one:?} comes twice");
    }
}
