//! What a file of weights brings beside its trunk: the classes of its head, and, where it was exported by Frostline, a sidecar.

use frostline_experiment::Trial;
use frostline_models::{Resolved, WeightsSource};
use frostline_results::{Sidecar, beside};

/// Classes that a message names.
const NAMED: usize = 5;

/// The sidecar of a file, where one lies beside it and was written for it.
fn sidecar(resolved: &Resolved) -> Option<Sidecar> {
    let sidecar = Sidecar::read(&beside(&resolved.path)).ok()?;
    sidecar.check(&resolved.path, &resolved.lineage.sha256).is_ok().then_some(sidecar)
}

/// Weights from a file with the normalisation that its sidecar says they were trained with.
pub(super) fn with_sidecar(mut resolved: Resolved, source: &WeightsSource) -> Resolved {
    if !matches!(source, WeightsSource::File(_)) {
        return resolved;
    }
    if let Some(sidecar) = sidecar(&resolved) {
        let (mean, std) = (sidecar.weights.mean, sidecar.weights.std);
        if (resolved.lineage.mean, resolved.lineage.std) != (mean, std) {
            resolved.lineage.notes.push("images are normalised as its JSON file says".to_owned());
        }
        (resolved.lineage.mean, resolved.lineage.std) = (mean, std);
    }
    resolved
}

/// What is said of the head that weights bring, for so many classes; none where they bring none that fits.
pub(super) fn head_note(trial: &Trial, resolved: &Resolved, classes: usize) -> Option<String> {
    let fits = resolved.head_classes == Some(classes);
    let became = if trial.train.head == "keep" {
        "is kept"
    } else {
        "is drawn anew, as head = \"new\" says; head = \"keep\" takes it"
    };
    fits.then(|| format!("its head for {classes} classes {became}"))
}

/// That the head of the weights can be kept, where that is asked for.
///
/// # Errors
/// Why it cannot, and what to do.
pub(super) fn check_head(trial: &Trial, resolved: &Resolved, classes: &[String]) -> Result<(), String> {
    if trial.train.head != "keep" {
        return Ok(());
    }
    let file = &resolved.lineage.file;
    let wrong = |what: String| Err(format!("{what}, so head = \"keep\" cannot be; set head = \"new\""));
    match resolved.head_classes {
        None => return wrong(format!("{file} has no head of this model")),
        Some(found) if found != classes.len() => {
            return wrong(format!(
                "{file} has a head for {found} classes, and the images have {}",
                classes.len()
            ));
        }
        Some(_) => {}
    }
    let Some(sidecar) = sidecar(resolved).filter(|sidecar| !sidecar.classes.is_empty()) else {
        return Ok(());
    };
    let other = sidecar.classes.iter().zip(classes).filter(|(theirs, ours)| theirs != ours);
    let other: Vec<String> = other.map(|(theirs, ours)| format!("{theirs} for {ours}")).take(NAMED).collect();
    if other.is_empty() {
        return Ok(());
    }
    wrong(format!("{file} was trained on other classes, or in another order ({})", other.join(", ")))
}
