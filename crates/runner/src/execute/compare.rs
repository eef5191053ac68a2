//! Whether what is stored is what a sweep would make now: [`compare`] holds each stored trial and trunk to the images and the
//! weights that are here. What was made of others is put aside, by name, and is due again; what was put aside and fits again
//! comes back.

use frostline_experiment::Trunk;
use frostline_results::{Inputs, StoreError};
use frostline_text::plural;

use super::decode;
use super::error::SweepError;
use super::graph::{Decode, Id, Start, Train};
use super::schedule::{Schedule, Step};
use super::worker::Worker;

/// Trials that a message names.
const NAMED: usize = 5;
/// Pixels that images are resized to where their digest alone is wanted.
const LEAST: usize = 8;

/// Fetches and decodes what the trials that are asked for and due need, then compares what is stored of the whole plan. What
/// only finished trials need is looked for on this machine alone: where it is not, they stay as they are, and that is said.
///
/// # Errors
/// What is due cannot be fetched or read; a failure of the file system.
pub(super) fn compare(worker: &mut Worker<'_>, asked: &[Id<Train>]) -> Result<(), SweepError> {
    let (goal, force) = (worker.goal, worker.settings.force);
    let due = Schedule::of(worker.graph, asked, worker.store, goal, force).due;
    let (first, then): (Vec<Step>, Vec<Step>) = due
        .iter()
        .flat_map(|id| Schedule::inputs(worker.graph, *id))
        .partition(|step| !matches!(step, Step::Decode(_)));
    for step in first.into_iter().chain(then) {
        worker.step(step)?;
    }
    let mut digests = Digests::default();
    for id in worker.graph.data.ids() {
        if let Some(decoded) = worker.made.data.get(id) {
            digests.note(&worker.graph.data[id], &decoded.dataset.digest);
        }
    }
    look(worker, &mut digests);
    let _gate = worker.store.gate()?;
    let trunks = compare_trunks(worker, &digests)?;
    compare_trials(worker, &digests, &trunks)
}

/// The digests of images, which are the same at any resolution.
#[derive(Default)]
struct Digests(Vec<(Decode, String)>);

impl Digests {
    fn of(&self, node: &Decode) -> Option<String> {
        let node = Decode { resolution: LEAST, ..node.clone() };
        self.0.iter().find(|(known, _)| *known == node).map(|(_, digest)| digest.clone())
    }

    fn note(&mut self, node: &Decode, digest: &str) {
        if self.of(node).is_none() {
            self.0.push((Decode { resolution: LEAST, ..node.clone() }, digest.to_owned()));
        }
    }
}

/// Looks at what the stored trials were made of, as far as it is on this machine. Images are read for their digest and let go.
fn look(worker: &mut Worker<'_>, digests: &mut Digests) {
    worker.only_here = true;
    let mut problems: Vec<(String, usize)> = Vec::new();
    let mut failed: Vec<(Step, String)> = Vec::new();
    for id in worker.graph.trials.ids() {
        if worker.store.state(&worker.graph.trials[id].trial.id).is_none() {
            continue;
        }
        let error = Schedule::inputs(worker.graph, id).into_iter().find_map(|step| {
            let before = failed.iter().find(|(known, _)| *known == step).map(|(_, error)| error.clone());
            before.or_else(|| {
                let looked = match step {
                    Step::Decode(id) => read(worker, id, digests),
                    step => worker.step(step).map(|_| ()),
                };
                let error = looked.err()?.to_string();
                failed.push((step, error.clone()));
                Some(error)
            })
        });
        let Some(error) = error else { continue };
        match problems.iter_mut().find(|(problem, _)| *problem == error) {
            Some((_, count)) => *count += 1,
            None => problems.push((error, 1)),
        }
    }
    worker.only_here = false;
    for (problem, count) in problems {
        let trials = plural(count, "stored trial");
        worker
            .progress
            .say(&format!("{trials} taken as stored, without a look at what they were made of: {problem}"));
    }
}

/// Reads images whose digest is not known yet.
fn read(worker: &Worker<'_>, id: Id<Decode>, digests: &mut Digests) -> Result<(), SweepError> {
    let node = &worker.graph.data[id];
    if digests.of(node).is_some() {
        return Ok(());
    }
    worker.progress.say(&format!("reading {}, which stored trials were made of", node.source));
    let least = Decode { resolution: LEAST, ..node.clone() };
    let digest = decode::digest(worker.images(node.images), &least, &worker.kept(), worker.progress)?;
    digests.note(node, &digest);
    Ok(())
}

/// The trunks that were put aside or cannot be what trials started from.
fn compare_trunks(worker: &mut Worker<'_>, digests: &Digests) -> Result<Vec<String>, SweepError> {
    let mut changed = Vec::new();
    for id in worker.graph.trunks.ids() {
        let node = &worker.graph.trunks[id];
        let now = Inputs { data: digests.of(&worker.graph.data[node.data]), weights: None };
        let trunk: &Trunk = &node.trunk;
        if let Some(stored) = worker.store.recorded_trunk(&trunk.id)?
            && let Some(difference) = Inputs::of_trunk(&stored).difference(&now)
        {
            let place = worker.store.supersede_trunk(&stored)?;
            worker.progress.say(&format!("{} was made of {difference}: kept as {place}", trunk.label()));
            changed.push(trunk.id.clone());
        }
        if worker.store.recall_trunk(&trunk.id, &now)? {
            worker.progress.say(&format!("{} was made of these images before: taken back", trunk.label()));
            changed.retain(|id| *id != trunk.id);
        }
    }
    Ok(changed)
}

fn compare_trials(worker: &mut Worker<'_>, digests: &Digests, trunks: &[String]) -> Result<(), SweepError> {
    let (mut aside, mut back): (Vec<(String, String)>, usize) = (Vec::new(), 0);
    for id in worker.graph.trials.ids() {
        let Train { trial, data, start, .. } = &worker.graph.trials[id];
        let weights = match start {
            Start::Drawn(_) => None,
            Start::Fetched(weights) => worker.made.weights.get(*weights).map(|w| w.lineage.sha256.clone()),
            Start::Pretrained(trunk) => made_by(worker, &worker.graph.trunks[*trunk].trunk)?,
        };
        let now = Inputs { data: digests.of(&worker.graph.data[*data]), weights };
        let lost = matches!(start, Start::Pretrained(trunk) if trunks.contains(&worker.graph.trunks[*trunk].trunk.id));
        if let Some(stored) = worker.store.inputs(&trial.id) {
            let difference = stored.difference(&now);
            let difference = difference.or_else(|| lost.then(|| "a pretraining on other images".to_owned()));
            if let Some(difference) = difference {
                let place = worker.store.supersede(&trial.id)?;
                aside.push((difference, format!("{} ({}) is kept as {place}", trial.id, trial.label())));
            }
        }
        back += usize::from(!lost && worker.store.recall(&trial.id, &now)?);
    }
    tell(worker, aside, back);
    Ok(())
}

fn tell(worker: &Worker<'_>, mut aside: Vec<(String, String)>, back: usize) {
    while let Some((difference, _)) = aside.first().cloned() {
        let (same, others): (Vec<_>, Vec<_>) = aside.into_iter().partition(|(what, _)| *what == difference);
        aside = others;
        let verb = if same.len() == 1 { "was" } else { "were" };
        let mut text = format!(
            "{} {verb} made of {difference}, and no longer fits this experiment:",
            plural(same.len(), "stored trial")
        );
        for (_, place) in same.iter().take(NAMED) {
            text += &format!("\n  {place}");
        }
        if same.len() > NAMED {
            text += &format!("\n  and {} more, likewise", same.len() - NAMED);
        }
        worker.progress.say(&text);
    }
    if back > 0 {
        let trials = plural(back, "trial");
        worker.progress.say(&format!("{trials} made of these images and weights before: taken back"));
    }
}

/// The SHA-256 of what a stored trunk has made.
fn made_by(worker: &Worker<'_>, trunk: &Trunk) -> Result<Option<String>, StoreError> {
    let stored = worker.store.recorded_trunk(&trunk.id)?;
    Ok(stored.and_then(|stored| stored.outcome.weights).map(|weights| weights.sha256))
}
