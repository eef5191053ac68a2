//! The keys of an experiment file: [`Key`] says of each where it is written, what it means, what it may hold, and which
//! field of a [`Trial`] it is. Every value has one spelling, which [`Key::show`] writes and [`Key::set`] reads.

mod schema;

use std::fmt;

use frostline_recipe::{ClassWeights, Counting, Ragged, Sampling};
use frostline_sources::OnDuplicates;

use super::Trial;

/// Where an experiment file gives a key its one value. Any key may be an axis of `[grid]` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Only `[grid]`.
    Grid,
    /// `[data]`.
    Data,
    /// `[train]`.
    Train,
    /// `[run]`.
    Run,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grid => "grid",
            Self::Data => "data",
            Self::Train => "train",
            Self::Run => "run",
        })
    }
}

/// A field of a trial, for reading and writing.
struct Field<T: 'static> {
    get: fn(&Trial) -> &T,
    set: fn(&mut Trial) -> &mut T,
}

macro_rules! field {
    ($($name:ident).+) => { Field { get: |trial| &trial.$($name).+, set: |trial| &mut trial.$($name).+ } };
}

/// What a key may hold.
enum Kind {
    Name(Field<String>),
    OptionalName(Field<Option<String>>, &'static str),
    Choice(Field<String>, &'static [&'static str]),
    List(Field<Vec<String>>, &'static str),
    Flag(Field<bool>),
    Seed(Field<u64>),
    Count(Field<usize>, Whole),
    OptionalCount(Field<Option<usize>>, Whole, &'static str),
    Number(Field<f64>, Range),
    OptionalNumber(Field<Option<f64>>, Range, &'static str),
}

/// The whole numbers that a key may hold: least and most, both included.
#[derive(Clone, Copy)]
struct Whole(usize, usize);

impl Whole {
    fn words(self) -> String {
        let Self(least, most) = self;
        format!("a whole number from {least} to {most}")
    }
}

/// More epochs or images are taken for a slip of the finger: at a second an epoch, these last more than a day.
const EPOCHS: Whole = Whole(1, 100_000);
const IMAGES: Whole = Whole(1, 100_000_000);
const BATCHES: Whole = Whole(1, 1 << 16);
const BATCH: Whole = Whole(2, 1 << 16);

/// The numbers that a key may hold.
#[derive(Clone, Copy)]
enum Range {
    Positive,
    NotNegative,
    /// [0, 1)
    Share,
    /// (0, 1]
    Factor,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Positive => value > 0.0 && value.is_finite(),
            Self::NotNegative => value >= 0.0 && value.is_finite(),
            Self::Share => (0.0..1.0).contains(&value),
            Self::Factor => value > 0.0 && value <= 1.0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Positive => "a number above 0",
            Self::NotNegative => "a number of 0 or more",
            Self::Share => "a number from 0 to below 1",
            Self::Factor => "a number above 0 and at most 1",
        }
    }
}

/// The kind of TOML value that a key is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `"…"`
    Text,
    /// `"…"`, or the word for having none; of splits also a table.
    TextOr(&'static str),
    /// `["…", "…"]`, or one text with `+` between the items
    Texts,
    /// `true`, `false`
    Flag,
    /// A whole number.
    Integer,
    /// A whole number, or the word for having none.
    IntegerOr(&'static str),
    /// Any number.
    Number,
    /// Any number, or the word for having none.
    NumberOr(&'static str),
}

/// One key.
pub struct Key {
    /// As an experiment file spells it.
    pub name: &'static str,
    /// Where it is written.
    pub section: Section,
    /// What it means, in a line.
    pub meaning: &'static str,
    kind: Kind,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What `[data]` takes besides its keys: a number of folds, which stands for an axis of `fold`.
pub const FOLDS: &str = "folds";

/// Every key, in the order in which help and tables name them.
pub fn keys() -> &'static [Key] {
    KEYS
}

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

use Section::{Data, Grid, Run, Train};

#[rustfmt::skip]
static KEYS: &[Key] = &[
    Key { name: "model", section: Grid, kind: Kind::Name(field!(model)), meaning: "a model of the zoo; see `frostline models`" },
    Key { name: "weights", section: Grid, kind: Kind::Name(field!(weights)), meaning: "none, hub, hub:OWNER/NAME/FILE[@REV], file:PATH, pretrain:NAME" },
    Key { name: "strategy", section: Grid, kind: Kind::Name(field!(strategy)), meaning: "what trains when: full, head, last-K, lp-ft, …; or a [strategy.NAME]" },
    Key { name: "seed", section: Grid, kind: Kind::Seed(field!(seed)), meaning: "seed of every random draw" },
    Key { name: "source", section: Data, kind: Kind::Name(field!(data.source)), meaning: "digits, hub:OWNER/NAME[@REV], cifar:PATH, folder:DIR" },
    Key { name: "resolution", section: Data, kind: Kind::Count(field!(resolution), Whole(1, 4096)), meaning: "height and width that images are resized to" },
    Key { name: "validation", section: Data, kind: Kind::Number(field!(data.validation), Range::Share), meaning: "share of the training split set aside for choosing" },
    Key { name: "per-class", section: Data, kind: Kind::OptionalCount(field!(data.per_class), IMAGES, "all"), meaning: "training images of each class, for small-data runs" },
    Key { name: "augment", section: Data, kind: Kind::List(field!(data.augment), "none"), meaning: "flip, crop:PAD, resized-crop, jitter:S, trivial, rand-augment, erase, mixup, cutmix" },
    Key { name: "views", section: Data, kind: Kind::OptionalCount(field!(data.views), EPOCHS, "fresh"), meaning: "augmented views drawn of an image, which then come again; fresh (new ones in each epoch)" },
    Key { name: "classes", section: Data, kind: Kind::List(field!(data.classes), "all"), meaning: "the classes that are used, by name" },
    Key { name: "image-column", section: Data, kind: Kind::OptionalName(field!(data.image_column), "usual"), meaning: "the column of images in a table; usual (by type and name)" },
    Key { name: "label-column", section: Data, kind: Kind::OptionalName(field!(data.label_column), "usual"), meaning: "the column of labels in a table; usual (by type and name)" },
    Key { name: "splits", section: Data, kind: Kind::OptionalName(field!(data.splits), "usual"), meaning: "names of the splits, { train = …, validation = …, test = … }; usual (by usual names)" },
    Key { name: "fold", section: Data, kind: Kind::OptionalName(field!(data.fold), "none"), meaning: "the part of the images that tests, I/K; folds = K gives all of them; none (the test split)" },
    Key { name: "duplicates", section: Data, kind: Kind::Choice(field!(data.duplicates), &OnDuplicates::NAMES), meaning: "what is done with pictures that occur twice: keep (and say so), drop, error" },
    Key { name: "epochs", section: Train, kind: Kind::Count(field!(train.epochs), EPOCHS), meaning: "passes over the training split" },
    Key { name: "batch", section: Train, kind: Kind::Count(field!(train.batch), BATCH), meaning: "images a step" },
    Key { name: "ragged", section: Train, kind: Kind::Choice(field!(train.ragged), Ragged::NAMES), meaning: "images that do not fill a batch: keep (a smaller one), drop, merge (with the batch before)" },
    Key { name: "sampling", section: Train, kind: Kind::Choice(field!(train.sampling), Sampling::NAMES), meaning: "images of an epoch: shuffled (each once), balanced (as many of each class)" },
    Key { name: "accumulate", section: Train, kind: Kind::Count(field!(train.accumulate), BATCHES), meaning: "batches whose gradients make one step of the optimizer" },
    Key { name: "optimizer", section: Train, kind: Kind::Choice(field!(train.optimizer), &["sgd", "adam", "adamw"]), meaning: "the rule that updates parameters" },
    Key { name: "learning-rate", section: Train, kind: Kind::Number(field!(train.learning_rate), Range::Positive), meaning: "base learning rate, which the schedule scales" },
    Key { name: "momentum", section: Train, kind: Kind::Number(field!(train.momentum), Range::Share), meaning: "of sgd" },
    Key { name: "nesterov", section: Train, kind: Kind::Flag(field!(train.nesterov)), meaning: "of sgd" },
    Key { name: "weight-decay", section: Train, kind: Kind::Number(field!(train.weight_decay), Range::NotNegative), meaning: "coupled in sgd and adam, decoupled in adamw" },
    Key { name: "schedule", section: Train, kind: Kind::Choice(field!(train.schedule), &["constant", "cosine", "one-cycle", "step"]), meaning: "course of the learning rate" },
    Key { name: "schedule-over", section: Train, kind: Kind::Choice(field!(train.schedule_over), &["trial", "phase"]), meaning: "what the schedule is laid over: the whole trial, or each phase of the strategy" },
    Key { name: "warmup", section: Train, kind: Kind::Number(field!(train.warmup), Range::NotNegative), meaning: "epochs of linear warm-up; a fraction is allowed" },
    Key { name: "step-every", section: Train, kind: Kind::Count(field!(train.step_every), EPOCHS), meaning: "epochs between two drops of `step`" },
    Key { name: "step-factor", section: Train, kind: Kind::Number(field!(train.step_factor), Range::Factor), meaning: "what a drop of `step` multiplies the rate by" },
    Key { name: "label-smoothing", section: Train, kind: Kind::Number(field!(train.label_smoothing), Range::Share), meaning: "share of the target spread over all classes" },
    Key { name: "class-weights", section: Train, kind: Kind::Choice(field!(train.class_weights), ClassWeights::NAMES), meaning: "how much classes count in the loss: none (as their images do), balanced (all alike)" },
    Key { name: "clip-norm", section: Train, kind: Kind::OptionalNumber(field!(train.clip_norm), Range::Positive, "none"), meaning: "largest norm of all gradients together" },
    Key { name: "dropout", section: Train, kind: Kind::OptionalNumber(field!(train.dropout), Range::Share, "model"), meaning: "probability in every dropout layer; model (the model's own)" },
    Key { name: "stochastic-depth", section: Train, kind: Kind::Number(field!(train.stochastic_depth), Range::Share), meaning: "how often the last block's branches are skipped; earlier ones less" },
    Key { name: "head", section: Train, kind: Kind::Choice(field!(train.head), &["new", "keep"]), meaning: "the head in weights from a file or the Hub: new (drawn from the seed), keep" },
    Key { name: "batch-norm", section: Train, kind: Kind::Choice(field!(train.batch_norm), &["follow", "train", "eval"]), meaning: "statistics of BatchNorm: follow (frozen layers keep theirs), train (none do), eval (all do)" },
    Key { name: "recalibrate", section: Train, kind: Kind::Flag(field!(train.recalibrate)), meaning: "BatchNorm's statistics anew over the training images before each evaluation" },
    Key { name: "ema", section: Train, kind: Kind::OptionalNumber(field!(train.ema), Range::Share, "none"), meaning: "decay of an average of the weights over steps, which is tested and kept; none (the weights)" },
    Key { name: "precision", section: Train, kind: Kind::Choice(field!(train.precision), &["f32", "bf16"]), meaning: "of activations and factors: f32, bf16 (rounded as by autocast; weights and sums stay f32)" },
    Key { name: "keep", section: Train, kind: Kind::Choice(field!(train.keep), &["best", "last"]), meaning: "the epoch that counts: best (on validation) or last" },
    Key { name: "patience", section: Train, kind: Kind::OptionalCount(field!(train.patience), EPOCHS, "none"), meaning: "epochs without a better one after which the last phase ends; none (all are trained)" },
    Key { name: "validation-counts", section: Train, kind: Kind::Choice(field!(train.validation_counts), Counting::NAMES), meaning: "alike in validation accuracy: images (the share that is right), classes (balanced accuracy)" },
    Key { name: "device", section: Run, kind: Kind::Choice(field!(device), &["cpu", "cuda", "metal"]), meaning: "what computes: cpu, cuda, metal; which of several is the command line's to say (--device)" },
];

impl Key {
    /// The kind of TOML value that it is written with.
    pub fn form(&self) -> Form {
        match &self.kind {
            Kind::Name(_) | Kind::Choice(..) => Form::Text,
            Kind::OptionalName(_, absent) => Form::TextOr(absent),
            Kind::List(..) => Form::Texts,
            Kind::Flag(_) => Form::Flag,
            Kind::Seed(_) | Kind::Count(..) => Form::Integer,
            Kind::OptionalCount(_, _, absent) => Form::IntegerOr(absent),
            Kind::Number(..) => Form::Number,
            Kind::OptionalNumber(_, _, absent) => Form::NumberOr(absent),
        }
    }

    /// Whether arms may choose its value on validation: a key of the recipe, but for the one by which they would choose.
    pub fn can_be_tuned(&self) -> bool {
        self.section == Section::Train && self.name != "validation-counts"
    }

    /// The names that it may hold, where they are a fixed few.
    pub fn choices(&self) -> &'static [&'static str] {
        if let Kind::Choice(_, choices) = &self.kind { choices } else { &[] }
    }

    /// What it may hold, in words: "a whole number from 1 to 100000".
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Name(_) => "a text".to_owned(),
            Kind::OptionalName(_, absent) => format!("a text, or \"{absent}\""),
            Kind::List(..) => "a list of texts".to_owned(),
            Kind::Choice(_, choices) => format!("one of {}", choices.join(", ")),
            Kind::Flag(_) => "true or false".to_owned(),
            Kind::Seed(_) => "a whole number of 0 or more".to_owned(),
            Kind::Count(_, whole) => whole.words(),
            Kind::OptionalCount(_, whole, absent) => format!("{}, or \"{absent}\"", whole.words()),
            Kind::Number(_, range) => range.words().to_owned(),
            Kind::OptionalNumber(_, range, absent) => format!("{}, or \"{absent}\"", range.words()),
        }
    }

    /// The value that a trial has here, in its one spelling.
    pub fn show(&self, trial: &Trial) -> String {
        match &self.kind {
            Kind::Name(field) | Kind::Choice(field, _) => (field.get)(trial).clone(),
            Kind::OptionalName(field, absent) => {
                (field.get)(trial).clone().unwrap_or_else(|| (*absent).to_owned())
            }
            Kind::List(field, absent) => match (field.get)(trial).as_slice() {
                [] => (*absent).to_owned(),
                items => items.join("+"),
            },
            Kind::Flag(field) => (field.get)(trial).to_string(),
            Kind::Seed(field) => (field.get)(trial).to_string(),
            Kind::Count(field, _) => (field.get)(trial).to_string(),
            Kind::OptionalCount(field, _, absent) => {
                (field.get)(trial).map_or_else(|| (*absent).to_owned(), |count| count.to_string())
            }
            Kind::Number(field, _) => number(*(field.get)(trial)),
            Kind::OptionalNumber(field, _, absent) => {
                (field.get)(trial).map_or_else(|| (*absent).to_owned(), number)
            }
        }
    }

    /// Gives a trial the value that `text` spells. Names are not looked up here; that is done where the file is read.
    ///
    /// # Errors
    /// Where the text is not a value that this key may hold: what is allowed, in words.
    pub fn set(&self, trial: &mut Trial, text: &str) -> Result<(), String> {
        let refuse = || self.allowed();
        let count = |Whole(least, most): Whole| {
            text.parse().ok().filter(|count| (least..=most).contains(count)).ok_or_else(refuse)
        };
        let number = |range: Range| text.parse().ok().filter(|value| range.holds(*value)).ok_or_else(refuse);
        match &self.kind {
            Kind::Name(field) => *(field.set)(trial) = text.to_owned(),
            Kind::OptionalName(field, absent) => {
                *(field.set)(trial) = Some(text.to_owned()).filter(|text| text != absent && !text.is_empty());
            }
            Kind::Choice(field, choices) if choices.contains(&text) => *(field.set)(trial) = text.to_owned(),
            Kind::Choice(..) => return Err(refuse()),
            Kind::List(field, absent) => {
                let items = if text == *absent { "" } else { text };
                *(field.set)(trial) =
                    items.split('+').filter(|item| !item.is_empty()).map(str::to_owned).collect();
            }
            Kind::Flag(field) => *(field.set)(trial) = text.parse().map_err(|_| refuse())?,
            Kind::Seed(field) => *(field.set)(trial) = text.parse().map_err(|_| refuse())?,
            Kind::Count(field, whole) => *(field.set)(trial) = count(*whole)?,
            Kind::OptionalCount(field, whole, absent) => {
                *(field.set)(trial) = if text == *absent { None } else { Some(count(*whole)?) };
            }
            Kind::Number(field, range) => *(field.set)(trial) = number(*range)?,
            Kind::OptionalNumber(field, range, absent) => {
                *(field.set)(trial) = if text == *absent { None } else { Some(number(*range)?) };
            }
        }
        Ok(())
    }
}

/// The shortest decimal that reads back as the same number; with an exponent where it would be long.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(name: &str, text: &str) -> Result<String, String> {
        let (key, mut trial) = (key(name).unwrap(), Trial::default());
        key.set(&mut trial, text)?;
        Ok(key.show(&trial))
    }

    #[test]
    fn every_default_survives_being_written_and_read() {
        for key in keys() {
            let (mut trial, text) = (Trial::default(), key.show(&Trial::default()));
            assert_eq!(key.set(&mut trial, &text), Ok(()), "{}", key.name);
            assert_eq!(trial, Trial::default(), "{}", key.name);
        }
    }

    #[test]
    fn a_value_has_one_spelling() {
        assert_eq!(trip("learning-rate", "1e-3").unwrap(), "0.001");
        assert_eq!(trip("learning-rate", "0.00001").unwrap(), "1e-5");
        assert_eq!(trip("epochs", "010").unwrap(), "10");
        assert_eq!(trip("augment", "flip+crop:4").unwrap(), "flip+crop:4");
        assert_eq!(
            trip("augment", "resized-crop+rand-augment:2,5").unwrap(),
            "resized-crop+rand-augment:2,5"
        );
        assert_eq!(trip("augment", "").unwrap(), "none");
        assert_eq!(trip("per-class", "all").unwrap(), "all");
        assert_eq!(trip("clip-norm", "2").unwrap(), "2");
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_what_is_allowed() {
        for (name, text, allowed) in [
            ("epochs", "0", "a whole number from 1 to 100000"),
            ("epochs", "99999999999", "a whole number from 1 to 100000"),
            ("batch", "99999999999", "a whole number from 2 to 65536"),
            ("batch", "1", "a whole number from 2 to 65536"),
            ("validation", "1", "a number from 0 to below 1"),
            ("learning-rate", "-0.1", "a number above 0"),
            ("learning-rate", "inf", "a number above 0"),
            ("weight-decay", "NaN", "a number of 0 or more"),
            ("step-factor", "1.5", "a number above 0 and at most 1"),
            ("per-class", "0", "a whole number from 1 to 100000000, or \"all\""),
            ("optimizer", "lion", "one of sgd, adam, adamw"),
            ("nesterov", "yes", "true or false"),
            ("resolution", "5000", "a whole number from 1 to 4096"),
            ("seed", "-1", "a whole number of 0 or more"),
        ] {
            assert_eq!(trip(name, text), Err(allowed.to_owned()), "{name} = {text}");
        }
    }
}
