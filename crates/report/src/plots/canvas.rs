//! Drawing on a white sheet: [`draw`] makes an SVG, [`Canvas`] puts lines, markers and texts on it, [`Axis`] maps values
//! to places and picks round ticks. Places are in CSS pixels from the upper left corner.

use std::cell::RefCell;

use frostline_text::escaped;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;

/// The backend knows whole numbers only, so it draws on a grid this many times finer than the pixels.
const FINE: f64 = 8.0;
/// plotters writes a font's size divided by this into the SVG.
const FONT_FACTOR: f64 = 1.24;
const FONT: &str = "Helvetica, Arial, 'DejaVu Sans', sans-serif";

/// How wide plots are, so that their letters can still be read on a phone.
pub(crate) const WIDTH: f64 = 640.0;
/// How much wider heavy letters are.
pub(crate) const BOLD: f64 = 1.1;
/// The height of a plot's head.
pub(crate) const HEAD: f64 = 76.0;

/// The colour of titles and labels.
pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
/// The colour of explanations and axes.
pub(crate) const SOFT: RGBColor = RGBColor(96, 96, 96);
/// The colour of grid lines.
pub(crate) const FAINT: RGBColor = RGBColor(226, 226, 226);

/// A place on the sheet, in pixels.
pub(crate) type Place = (f64, f64);

/// Draws a picture of `width` by `height` pixels on white and gives its SVG. `title` is for those who cannot see it.
pub(crate) fn draw(
    (width, height): (f64, f64),
    title: &str,
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let (mut svg, hints);
    svg = String::new();
    let (w, h) = (fine(width) as u32, fine(height) as u32);
    {
        let area = SVGBackend::with_string(&mut svg, (w, h)).into_drawing_area();
        let canvas = Canvas { area, hints: RefCell::default() };
        canvas.area.fill(&WHITE)?;
        paint(&canvas)?;
        canvas.area.present()?;
        hints = canvas.hints.take();
    }
    let svg = svg.replace("</svg>", &(hints + "</svg>"));
    let fine_header = format!("<svg width=\"{w}\" height=\"{h}\"");
    let title = escaped(title);
    let header = format!("<svg width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\"");
    let svg = svg.replacen(&fine_header, &header, 1);
    Ok(svg.replacen(
        "xmlns=\"http://www.w3.org/2000/svg\">",
        &format!("xmlns=\"http://www.w3.org/2000/svg\">\n<title>{title}</title>"),
        1,
    ))
}

/// A sheet that is being drawn on.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    /// What is told where the pointer is, as elements of the SVG.
    hints: RefCell<String>,
}

/// How a line is broken up, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dash {
    /// Not at all.
    Solid,
    /// Into dashes with gaps.
    Dashed(f64, f64),
}

/// The shape of a marker. Each is told from the others without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// ▼
    Wedge,
    /// A cross of two thick bars.
    Cross,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    /// In pixels.
    pub(crate) size: f64,
    /// Of the letters.
    pub(crate) colour: RGBColor,
    /// Which end of the text the place is: -1 its left, 0 its middle, 1 its right.
    pub(crate) side: i8,
    /// Whether the letters are heavy.
    pub(crate) bold: bool,
}

impl Type {
    /// Plain text that begins at its place.
    pub(crate) fn plain(size: f64, colour: RGBColor) -> Self {
        Self { size, colour, side: -1, bold: false }
    }

    /// The same with its middle (0) or its right end (1) at the place.
    pub(crate) fn side(self, side: i8) -> Self {
        Self { side, ..self }
    }
}

impl Canvas<'_> {
    /// A line through places.
    pub(crate) fn line(
        &self,
        places: &[Place],
        colour: RGBColor,
        width: f64,
        dash: Dash,
    ) -> Result<(), PlotError> {
        let places: Vec<(i32, i32)> = places.iter().map(|&place| grid(place)).collect();
        let style = colour.stroke_width(fine(width) as u32);
        match dash {
            Dash::Solid => self.area.draw(&PathElement::new(places, style))?,
            Dash::Dashed(on, off) => {
                self.area.draw(&DashedPathElement::new(places, fine(on), fine(off), style))?;
            }
        }
        Ok(())
    }

    /// A filled area between places; `opacity` in (0, 1].
    pub(crate) fn area(&self, places: &[Place], colour: RGBColor, opacity: f64) -> Result<(), PlotError> {
        let places: Vec<(i32, i32)> = places.iter().map(|&place| grid(place)).collect();
        Ok(self.area.draw(&Polygon::new(places, colour.mix(opacity)))?)
    }

    /// A marker with a white rim; `radius` in pixels. A hollow one is white inside.
    pub(crate) fn marker(
        &self,
        place: Place,
        shape: Shape,
        radius: f64,
        colour: RGBColor,
        hollow: bool,
    ) -> Result<(), PlotError> {
        self.rim(place, shape, radius)?;
        self.bare_marker(place, shape, radius, colour, hollow)
    }

    /// What sets a marker apart from what lies below it.
    pub(crate) fn rim(&self, place: Place, shape: Shape, radius: f64) -> Result<(), PlotError> {
        self.shape(place, shape, radius + 1.5, WHITE)
    }

    /// A marker without its rim.
    pub(crate) fn bare_marker(
        &self,
        place: Place,
        shape: Shape,
        radius: f64,
        colour: RGBColor,
        hollow: bool,
    ) -> Result<(), PlotError> {
        self.shape(place, shape, radius, colour)?;
        if hollow {
            self.shape(place, shape, radius - 1.6, WHITE)?;
        }
        Ok(())
    }

    /// An open circle, through which other rings can be seen.
    pub(crate) fn ring(&self, place: Place, radius: f64, colour: RGBColor) -> Result<(), PlotError> {
        let style = colour.stroke_width(fine(1.4) as u32);
        Ok(self.area.draw(&Circle::new(grid(place), fine(radius), style))?)
    }

    fn shape(&self, (x, y): Place, shape: Shape, radius: f64, colour: RGBColor) -> Result<(), PlotError> {
        if shape == Shape::Circle {
            return Ok(self.area.draw(&Circle::new(grid((x, y)), fine(radius), colour.filled()))?);
        }
        let corners: Vec<Place> =
            outline(shape).iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
        self.area(&corners, colour, 1.0)
    }

    /// Tells `text` where the pointer comes within `radius` of a place; browsers show it, and read it out.
    pub(crate) fn hint(&self, (x, y): Place, radius: f64, text: &str) {
        let (x, y, radius) = (fine(x), fine(y), fine(radius));
        *self.hints.borrow_mut() += &format!(
            "<circle class=\"hint\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"#000\" fill-opacity=\"0\"><title>{}</title></circle>\n",
            escaped(text)
        );
    }

    /// A text on a white patch that hides what would run through its letters; it begins at `place`.
    pub(crate) fn patched_text(&self, text: &str, (x, y): Place, look: Type) -> Result<(), PlotError> {
        let (right, half) = (x + 0.96 * width(text, look.size), 0.55 * look.size);
        self.area(&[(x, y - half), (right, y - half), (right, y + half), (x, y + half)], WHITE, 0.85)?;
        self.text(text, (x, y), look)
    }

    /// A text whose letters' middle is at the height of `place`.
    pub(crate) fn text(&self, text: &str, place: Place, look: Type) -> Result<(), PlotError> {
        let side = match look.side {
            -1 => HPos::Left,
            0 => HPos::Center,
            _ => HPos::Right,
        };
        let font = FontDesc::new(
            FontFamily::Name(FONT),
            look.size * FINE * FONT_FACTOR,
            if look.bold { FontStyle::Bold } else { FontStyle::Normal },
        );
        let style = TextStyle::from(font).color(&look.colour).pos(Pos::new(side, VPos::Center));
        Ok(self.area.draw(&Text::new(text.to_owned(), grid(place), style))?)
    }

    /// The head of a plot of [`WIDTH`]: its title, and below it how to read it, in as many lines as that takes.
    pub(crate) fn head(&self, title: &str, explanation: &str) -> Result<(), PlotError> {
        let title = fitted(title, BOLD * 15.0, WIDTH - 32.0);
        self.text(&title, (16.0, 18.0), Type { bold: true, ..Type::plain(15.0, INK) })?;
        for (line, text) in wrapped(explanation, 12.0, WIDTH - 32.0).iter().enumerate() {
            self.text(text, (16.0, 38.0 + 15.0 * line as f64), Type::plain(12.0, SOFT))?;
        }
        Ok(())
    }
}

/// A text in lines no wider than `room`.
fn wrapped(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= room => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text that loses its middle where it is wider than `room`.
pub(crate) fn fitted(text: &str, size: f64, room: f64) -> String {
    let letters: Vec<char> = text.chars().collect();
    let shortened = |left: usize| {
        let head = letters.iter().take(left * 2 / 3).chain(&['…']);
        head.chain(letters.iter().skip(letters.len() - left / 3)).collect::<String>()
    };
    if width(text, size) <= room {
        return text.to_owned();
    }
    (0..letters.len()).rev().map(shortened).find(|text| width(text, size) <= room).unwrap_or_default()
}

/// The corners of a shape of radius 1; areas are about that of the circle.
fn outline(shape: Shape) -> &'static [Place] {
    match shape {
        Shape::Circle => &[],
        Shape::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        Shape::Triangle => &[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)],
        Shape::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        Shape::Wedge => &[(0.0, 1.25), (1.15, -0.8), (-1.15, -0.8)],
        Shape::Cross => &[
            (-0.4, -1.1),
            (0.4, -1.1),
            (0.4, -0.4),
            (1.1, -0.4),
            (1.1, 0.4),
            (0.4, 0.4),
            (0.4, 1.1),
            (-0.4, 1.1),
            (-0.4, 0.4),
            (-1.1, 0.4),
            (-1.1, -0.4),
            (-0.4, -0.4),
        ],
    }
}

/// About how wide a text is, in pixels. The letters' widths are those of DejaVu Sans, the widest of the fonts that we
/// ask for, so that a text takes no more room than it was given.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let em: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' => 0.28,
            ' ' | '.' | ',' | '·' | ':' | 'I' => 0.33,
            'f' | 'r' | 't' | '-' | '(' | ')' | '/' => 0.40,
            'm' | 'w' | 'M' | 'W' | '%' | '±' | '×' => 0.92,
            'A'..='Z' => 0.72,
            _ => 0.62,
        })
        .sum();
    em * size
}

fn fine(pixels: f64) -> i32 {
    (pixels * FINE).round() as i32
}

fn grid((x, y): Place) -> (i32, i32) {
    (fine(x), fine(y))
}
