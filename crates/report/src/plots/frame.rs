//! [`Frame`]: the axes of one plot with grid, ticks and titles; and [`looks`], which gives every arm a colour, a dash and
//! a marker that tell it from the others with and without colour.

use plotters::style::RGBColor;

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Canvas, Dash, FAINT, INK, Place, SOFT, Shape, Type};
use frostline_compare::Comparison;

/// Letters of an arm's name; longer ones lose their middle.
const LONGEST_NAME: usize = 42;

/// Values of an axis and what is written at them.
pub(crate) type Ticks<'a> = &'a [(f64, String)];

/// A rectangle with an axis below and one at its left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Upper left corner.
    pub(crate) from: Place,
    /// Lower right corner.
    pub(crate) to: Place,
    /// From `from.0` to `to.0`.
    pub(crate) x: Axis,
    /// From `to.1` to `from.1`.
    pub(crate) y: Axis,
}

impl Frame {
    /// Draws grid and labels. Titles stand below the horizontal axis and above the vertical one, so nothing has to be
    /// read sideways.
    pub(crate) fn paint(
        &self,
        canvas: &Canvas<'_>,
        (x_ticks, y_ticks): (Ticks<'_>, Ticks<'_>),
        (x_title, y_title): (&str, &str),
    ) -> Result<(), PlotError> {
        let ((left, top), (right, bottom)) = (self.from, self.to);
        let label = Type::plain(12.0, SOFT);
        for (value, text) in y_ticks {
            let y = self.y.at(*value);
            canvas.line(&[(left, y), (right, y)], FAINT, 1.0, Dash::Solid)?;
            canvas.text(text, (left - 7.0, y), label.side(1))?;
        }
        for (value, text) in x_ticks {
            let x = self.x.at(*value);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], SOFT, 1.0, Dash::Solid)?;
            canvas.text(text, (x, bottom + 14.0), label.side(0))?;
        }
        canvas.line(&[(left, bottom), (right, bottom)], SOFT, 1.0, Dash::Solid)?;
        canvas.text(x_title, ((left + right) / 2.0, bottom + 33.0), Type::plain(12.0, INK).side(0))?;
        canvas.text(y_title, (left - 34.0, top - 20.0), Type::plain(12.0, INK))
    }

    /// A place for values on both axes.
    pub(crate) fn at(&self, x: f64, y: f64) -> Place {
        (self.x.at(x), self.y.at(y))
    }
}

/// How an arm is drawn in every plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    /// Told from white, and from the others.
    pub(crate) colour: RGBColor,
    /// Of its lines.
    pub(crate) dash: Dash,
    /// Of its points.
    pub(crate) shape: Shape,
}

/// Of arms and curves, in turn: more than 25 apart in CIELAB, seen with any kind of colour blindness.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 80, 100),
    RGBColor(220, 120, 0),
    RGBColor(100, 0, 240),
    RGBColor(140, 40, 0),
    RGBColor(100, 140, 240),
    RGBColor(0, 0, 80),
    RGBColor(160, 140, 120),
    RGBColor(40, 0, 0),
];
const DASHES: [Dash; 4] =
    [Dash::Solid, Dash::Dashed(9.0, 4.0), Dash::Dashed(4.0, 3.0), Dash::Dashed(1.6, 2.6)];
const SHAPES: [Shape; 6] =
    [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Wedge, Shape::Cross];

/// The models in the order of the grid, where they and their variants both vary: plots then show a model apart from the
/// others. Empty otherwise.
pub(crate) fn models_apart<'a>(comparison: &Comparison<'a>) -> Vec<&'a str> {
    let models = in_grid_order(comparison, |arm| arm.model.to_owned());
    let variants = in_grid_order(comparison, |arm| arm.variant.clone());
    if models.len() < 2 || variants.len() < 2 {
        return Vec::new();
    }
    let name = |model: &String| comparison.arms.iter().find(|arm| arm.model == model).map(|arm| arm.model);
    models.iter().filter_map(name).collect()
}

/// What each arm is called in a plot: without its model where all arms have the same one or the plot says it elsewhere,
/// and never so long that it crowds out what is plotted.
pub(crate) fn names(comparison: &Comparison<'_>, model_is_said: bool) -> Vec<String> {
    let short = model_is_said || in_grid_order(comparison, |arm| arm.model.to_owned()).len() < 2;
    comparison.arms.iter().map(|arm| shortened(if short { &arm.variant } else { &arm.label })).collect()
}

fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let (head, tail) = (&letters[..LONGEST_NAME - 16], &letters[letters.len() - 15..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// The model that all arms have, for a title; empty where they have several.
pub(crate) fn only_model(comparison: &Comparison<'_>) -> String {
    match in_grid_order(comparison, |arm| arm.model.to_owned()).as_slice() {
        [model] => format!(", {model}"),
        _ => String::new(),
    }
}

/// One look per arm. Where models are shown apart, colour and dash tell the variant and the marker tells the model.
pub(crate) fn looks(comparison: &Comparison<'_>) -> Vec<Look> {
    let models = models_apart(comparison);
    let variants = in_grid_order(comparison, |arm| arm.variant.clone());
    let labels = in_grid_order(comparison, |arm| arm.label.clone());
    let look = |line: usize, marker: usize| Look {
        colour: COLOURS[line % COLOURS.len()],
        // Shifted in every round of colours, so that none comes with the same dash or shape again soon.
        dash: DASHES[(line + line / COLOURS.len()) % DASHES.len()],
        shape: SHAPES[(marker + 3 * (marker / COLOURS.len())) % SHAPES.len()],
    };
    let arms = comparison.arms.iter();
    arms.map(|arm| match models.iter().position(|model| *model == arm.model) {
        Some(model) => look(variants.iter().position(|v| *v == arm.variant).unwrap_or(0), model),
        None => {
            let own = labels.iter().position(|label| *label == arm.label).unwrap_or(0);
            look(own, own)
        }
    })
    .collect()
}

/// The different values of something over the arms, in the order of the experiment's grid.
fn in_grid_order(
    comparison: &Comparison<'_>,
    of: impl Fn(&frostline_compare::Arm<'_>) -> String,
) -> Vec<String> {
    let mut arms: Vec<_> = comparison.arms.iter().collect();
    arms.sort_by(|a, b| a.place.cmp(&b.place));
    let mut values = Vec::new();
    for value in arms.into_iter().map(of) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}
