//! What is wrong with an experiment: [`Problem`], which points at a place and suggests what to do, and [`Problems`],
//! all that were found at once. They are shown by miette, or one a line by [`Problems::lines`].

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::tree::Place;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    message: String,
    help: Option<String>,
    places: Vec<(Place, String)>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, places: Vec::new() }
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a place and says there, in few words, what it is. The first place is where the problem is.
    pub(crate) fn at(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.places.push((place.clone(), label.into()));
        self
    }

    /// `x.toml:3:1: message (help)`, with lines and columns counted from 1 and columns in characters.
    pub fn line(&self) -> String {
        let place = self.places.first().map(|(place, _)| {
            let before = &place.text.inner()[..place.span.start];
            let (line, start) =
                (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
            format!("{}:{line}:{}: ", place.text.name(), before[start..].chars().count() + 1)
        });
        let help = self.help.as_ref().map(|help| format!(" ({help})"));
        format!("{}{}{}", place.unwrap_or_default(), self.message, help.unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.places.first().map(|(place, _)| &place.text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // One snippet shows one text: what another text has to do with it is said in the message.
        let first = self.places.first()?.0.text.name();
        let here = self.places.iter().filter(move |(place, _)| place.text.name() == first);
        Some(Box::new(here.enumerate().map(|(index, (place, label))| {
            let label = Some(label.clone()).filter(|label| !label.is_empty());
            let span = place.span.clone();
            if index == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })))
    }
}

/// All problems of an experiment; never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    /// What was being read: the file's name.
    pub(crate) subject: String,
    pub(crate) list: Vec<Problem>,
}

impl Problems {
    /// Every problem, one a line; see [`Problem::line`].
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(Problem::line).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.len() {
            1 => write!(f, "{} cannot be used as it is", self.subject),
            n => write!(f, "{} cannot be used as it is; {n} problems", self.subject),
        }
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.list.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
