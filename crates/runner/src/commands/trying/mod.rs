//! `frostline try`: which pretrained model for these images, and how deep, answered by a deadline. It looks at the images (`look.rs`), asks
//! models that are fast enough (`candidates.rs`), ranks them by probes on their frozen features, and trains the best few deeper and deeper,
//! fewer at each depth; what time is left goes to more seeds. All of it is sweeps of one experiment that grows (`file.rs`), so that what it
//! leaves behind is an ordinary results folder. It chooses on validation images alone.

mod candidates;
mod file;
mod init;
mod look;
mod quest;
mod scores;
mod told;

use std::path::{Path, PathBuf};

use frostline_hub::{Hub, HubOptions};

use crate::cli::TryArgs;
use crate::error::{Ending, Error};
use crate::machine::seconds;
use crate::terminal::Progress;
use candidates::Candidate;
pub use init::init;
use look::Subject;
use quest::Quest;

/// Of the time, what extracting features may take.
const FOR_PROBES: f64 = 0.3;
/// The most models that are asked without being named.
const MOST_ASKED: usize = 8;
/// How many models train at each depth.
const CLIMBERS: [usize; 3] = [3, 2, 1];
/// The most epochs and seeds.
const MOST_EPOCHS: usize = 30;
const MOST_SEEDS: u64 = 10;

/// Where decoded images are kept: beside the Hub's cache, where sweeps keep them too.
fn kept(hub: &Hub) -> PathBuf {
    hub.options().cache.with_file_name("frostline")
}

/// Answers the question: what to print, and how the command ends.
///
/// # Errors
/// Images that cannot be read, no model that can be asked, results that cannot be stored.
pub fn try_them(args: &TryArgs, hub: HubOptions) -> Result<(String, Ending), Error> {
    let began = seconds();
    let budget = 60.0 * args.minutes;
    super::sweep::install_threads(args.run.threads)?;
    let (hub, progress) = (Hub::new(hub)?, Progress::new(super::sweep::form(&args.run)));
    let subject = Subject::look(&args.subject, &hub, &kept(&hub), &progress)?;
    subject.facts.iter().for_each(|fact| progress.say(fact));
    let (asked, mut left_out) = candidates::find(&args.subject, (subject.resolution, subject.classes()))?;
    let asked = ready(asked, &subject, &hub, &progress, &mut left_out)?;
    let images = subject.dataset.train.len() + subject.dataset.test.len();
    let (asked, per_class) = affordable(
        asked,
        FOR_PROBES * (budget - (seconds() - began)),
        (&subject, images),
        !args.subject.models.is_empty(),
        &mut left_out,
    );
    let folder = args
        .run
        .results
        .clone()
        .unwrap_or_else(|| Path::new("results").join(format!("try-{}", subject.name)));
    let mut quest = Quest::new(args, &subject, (asked, left_out), per_class, (began, budget), folder);
    quest.open()?;
    quest.probe(&hub)?;
    quest.climb(&hub)?;
    quest.repeat(&hub)?;
    quest.conclude()
}

/// Those whose weights are here, with their speed.
fn ready(
    asked: Vec<Candidate>,
    subject: &Subject,
    hub: &Hub,
    progress: &Progress,
    left_out: &mut Vec<String>,
) -> Result<Vec<Candidate>, Error> {
    let mut ready = Vec::new();
    for mut candidate in asked {
        match candidate.fetch(hub, progress) {
            Err(problem) => {
                progress.say(&format!("{} is left out: {problem}", candidate.name()));
                left_out.push(format!("{}: {problem}", candidate.name()));
            }
            Ok(()) => {
                candidate.measure(subject)?;
                ready.push(candidate);
            }
        }
    }
    match ready.is_empty() {
        true => Err(Error::usage(
            format!("no model's weights are to be had: {}", left_out.join("; ")),
            "--weights MODEL=file:PATH names weights that are here; --models names other models",
        )),
        false => Ok(ready),
    }
}

/// Those whose features can be had in so many seconds, the fastest first, and how many images of each class where even that asks for
/// fewer.
fn affordable(
    mut asked: Vec<Candidate>,
    seconds: f64,
    (subject, images): (&Subject, usize),
    named: bool,
    left_out: &mut Vec<String>,
) -> (Vec<Candidate>, Option<usize>) {
    asked.sort_by(|a, b| a.pass(1).total_cmp(&b.pass(1)));
    let least = if named { asked.len() } else { asked.len().min(2) };
    let all = |asked: &[Candidate], images: usize| {
        asked.iter().map(|candidate| candidate.pass(images)).sum::<f64>()
    };
    while asked.len() > least && (asked.len() > MOST_ASKED && !named || all(&asked, images) > seconds) {
        if let Some(slow) = asked.pop() {
            left_out.push(format!(
                "{}: its features of {images} images would take {:.0} s",
                slow.name(),
                slow.pass(images)
            ));
        }
    }
    let too_long = all(&asked, images) / seconds.max(1.0);
    let classes = subject.classes().max(1);
    let per_class = (too_long > 1.0).then(|| {
        let test = subject.dataset.test.len();
        let count = ((images as f64 / too_long - test as f64) / classes as f64) as usize;
        count.max(20)
    });
    let largest = subject.dataset.class_counts().iter().map(|class| class.train).max().unwrap_or(0);
    let per_class = per_class.filter(|count| *count < largest);
    if let Some(count) = per_class {
        left_out.push(format!("more than {count} training images of each class: there is no time for them"));
    }
    (asked, per_class)
}
