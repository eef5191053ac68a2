//! `frostline plan --explain`: what each strategy of a plan expands to for each model, as text ([`explain`]) and as
//! pictures ([`pictures`]). Nothing is run.

use std::path::{Path, PathBuf};

use frostline_experiment::keys::keys;
use frostline_experiment::{Plan, Trial, strategy_of};
use frostline_models::card;
use frostline_recipe::{Parts, Phase};
use frostline_report::{ReportError, what_trains_when};
use frostline_results::{StoreError, write_file};
use frostline_text::{grouped, short};

use crate::error::Error;
use crate::terminal::Columns;
use frostline_text::plural;

/// The data is not opened for a plan, so the head is taken to have as many outputs as most small sets have classes.
pub(super) const CLASSES: usize = 10;

/// A strategy laid over a model.
struct Expansion {
    strategy: String,
    parts: Parts,
    phases: Vec<Phase>,
    batch_norm: String,
}

impl Expansion {
    fn epochs(&self) -> usize {
        self.phases.iter().map(|phase| phase.epochs).sum()
    }
}

/// Each strategy on each model, phase by phase.
///
/// # Errors
/// A strategy that does not fit, which [`frostline_experiment::expand`] would have found.
pub fn explain(plan: &Plan) -> Result<String, Error> {
    let mut text = String::new();
    for expansion in expansions(plan)? {
        let Expansion { strategy, parts, phases, batch_norm } = &expansion;
        text += &format!("{strategy} on {}, {}\n", parts.model, plural(expansion.epochs(), "epoch"));
        let mut table = Columns::new(&[
            "phase",
            ">epochs",
            "trains (× rate)",
            ">parameters",
            "batch-norm",
            "optimizer state",
        ]);
        let mut begun = 0;
        for phase in phases {
            let rules = phase.rules.iter().map(|rule| match rule.rate {
                1.0 => rule.part.to_string(),
                rate => format!("{} ×{}", rule.part, short(rate)),
            });
            let mut rules: Vec<String> = rules.collect();
            rules.extend(
                phase.l2_sp.map(|strength| format!("trunk pulled to its first weights by {strength}")),
            );
            let policy = phase.batch_norm.map_or_else(|| batch_norm.clone(), |policy| policy.to_string());
            table.row(vec![
                phase.name.clone(),
                format!("{}-{}", begun + 1, begun + phase.epochs),
                rules.join(", "),
                grouped(phase.trainable(parts) as u64),
                policy,
                phase.state.to_string(),
            ]);
            begun += phase.epochs;
        }
        text += &format!("{}\n", table.lines());
    }
    text += &format!("Parameters are those of a head for {CLASSES} classes.\n");
    Ok(text + &recipe(plan))
}

/// What the recipe's less usual keys do, a line for each value that some trial has.
fn recipe(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for key in keys() {
        for trial in plan.trials.iter().filter(|trial| trial.shows(key.name)) {
            let value = key.show(trial);
            let line = does(key.name, &value).map(|does| format!("{} = {value}: {does}", key.name));
            lines.extend(line.filter(|line| !lines.contains(line)));
        }
    }
    if let Some(tune) = &plan.tune {
        let keys: Vec<&str> = tune.axes.iter().map(|axis| axis.key.as_str()).collect();
        lines.push(format!(
            "tuned: each arm takes the {} that validates best on seed {}",
            keys.join(" and "),
            tune.seed
        ));
    }
    if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) }
}

/// What a value of a key has training do; none where it does nothing out of the ordinary.
fn does(key: &str, value: &str) -> Option<String> {
    let said = match (key, value) {
        (_, "none") => return None,
        ("augment", _) => "training images are changed so, anew in each epoch unless `views` says otherwise".to_owned(),
        ("views", views) => format!("so many changed views of an image are drawn, which come again every {views} epochs"),
        ("sampling", "balanced") => "an epoch has as many images as there are, and as many of each class; rare ones come several times, \
                                     changed by themselves each time"
            .to_owned(),
        ("accumulate", count) => format!("the gradients of {count} batches make one step, weighted by their images; BatchNorm sees each batch"),
        ("label-smoothing", "0") | ("warmup", "0") | ("weight-decay", "0") => return None,
        ("label-smoothing", _) => "this share of each target is spread over all classes".to_owned(),
        ("class-weights", _) => "the loss of an image counts n / (K · n of its class) times, so that all classes count alike".to_owned(),
        ("clip-norm", _) => "gradients whose common norm is larger are scaled down to it".to_owned(),
        ("warmup", epochs) => format!("the rate rises over the first {epochs} epochs"),
        ("schedule", "constant") => return None,
        ("schedule", schedule) => format!("the learning rate follows {schedule}"),
        ("recalibrate", "true") => "BatchNorm's statistics are taken anew over the training images before each evaluation".to_owned(),
        ("ema", decay) => {
            format!("an average of the weights over steps (decay {decay}, less in the first) is validated, tested and kept")
        }
        ("patience", epochs) => format!("the last phase ends after {epochs} epochs without a better one on validation"),
        ("validation-counts", "classes") => "epochs, strengths, values and arms are chosen by balanced accuracy: each class counts alike".to_owned(),
        ("precision", "bf16") => "activations and factors are rounded to bf16, as by autocast".to_owned(),
        _ => return None,
    };
    Some(said)
}

/// Writes a picture of each strategy on each model into `folder`, and of each number of epochs where there are several;
/// gives their paths.
///
/// # Errors
/// As [`explain`]; a picture that cannot be drawn or written.
pub fn pictures(plan: &Plan, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(folder).map_err(|error| StoreError::writing(folder, error))?;
    let mut paths = Vec::new();
    for expansion in expansions(plan)? {
        let Expansion { strategy, parts, phases, .. } = &expansion;
        let name = format!("{}-{}", parts.model, strategy.replace(':', "-"));
        let mut path = folder.join(format!("{name}.svg"));
        if paths.contains(&path) {
            path = folder.join(format!("{name}-{}-epochs.svg", expansion.epochs()));
        }
        if paths.contains(&path) {
            continue; // The same but for the BatchNorm policy, which is not in the picture.
        }
        let svg = what_trains_when(strategy, parts, phases).map_err(ReportError::from)?;
        write_file(&path, svg.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

fn expansions(plan: &Plan) -> Result<Vec<Expansion>, Error> {
    let mut seen = Vec::new();
    let mut expansions = Vec::new();
    let same = |trial: &Trial| {
        (trial.model.clone(), trial.strategy.clone(), trial.train.epochs, trial.train.batch_norm.clone())
    };
    for trial in &plan.trials {
        if seen.contains(&same(trial)) {
            continue;
        }
        seen.push(same(trial));
        let usage = |problem: String| Error::Usage { message: problem, help: None };
        let card = card(&trial.model).map_err(|error| usage(error.to_string()))?;
        let strategy = strategy_of(trial).map_err(usage)?;
        let parts = strategy.parts(card, CLASSES);
        let phases = strategy.phases(&parts, trial.train.epochs).map_err(|error| usage(error.to_string()))?;
        let batch_norm = trial.train.batch_norm.clone();
        expansions.push(Expansion { strategy: trial.strategy.clone(), parts, phases, batch_norm });
    }
    expansions.sort_by(|a, b| (&a.parts.model, &a.strategy).cmp(&(&b.parts.model, &b.strategy)));
    Ok(expansions)
}

#[cfg(test)]
mod tests {
    use frostline_experiment::{Experiment, expand};

    use super::*;

    #[test]
    fn each_strategy_is_told_once_for_each_model_and_drawn() {
        let text = "question = \"which?\"\n[data]\nsource = \"digits\"\n[train]\nepochs = 4\n[grid]\n\
                    model = [\"resnet18\", \"resnet34\"]\nstrategy = [\"lp-ft\", \"bn-only\"]\nseed = [0, 1]\n";
        let plan = expand(&Experiment::read(Path::new("x.toml"), text, &[]).unwrap()).unwrap();
        let told = explain(&plan).unwrap();
        let headings: Vec<&str> = told.lines().filter_map(|line| line.strip_suffix(", 4 epochs")).collect();
        let expected =
            ["bn-only on resnet18", "lp-ft on resnet18", "bn-only on resnet34", "lp-ft on resnet34"];
        assert_eq!(headings, expected);
        assert!(told.contains("all       3-4  all ×0.1         11,181,642  follow      reset"), "{told}");
        assert!(!told.contains("class-weights"), "{told}");
        let folder = tempfile::tempdir().unwrap();
        let paths = pictures(&plan, &folder.path().join("new")).unwrap();
        assert_eq!(paths.len(), 4);
        let svg = std::fs::read_to_string(&paths[1]).unwrap();
        assert!(paths[1].ends_with("new/resnet18-lp-ft.svg") && svg.contains("lp-ft on resnet18"), "{svg}");
        assert!(svg.contains("×0.1") && svg.contains("layer4"));
    }

    #[test]
    fn what_the_recipe_does_has_a_line_for_each_key_and_value() {
        let text = "question = \"which?\"\n[data]\nsource = \"digits\"\naugment = [\"crop:2\"]\n[train]\nepochs = 4\nema = 0.99\naccumulate = 2\n\
                    patience = 3\nsampling = \"balanced\"\n[tune]\nlearning-rate = [1e-3, 1e-4]\n[grid]\nmodel = [\"resnet18\"]\nstrategy = [\"full\"]\nseed = [0, 1]\n\
                    class-weights = [\"none\", \"balanced\"]\n";
        let plan = expand(&Experiment::read(Path::new("x.toml"), text, &[]).unwrap()).unwrap();
        let told = explain(&plan).unwrap();
        let begin = |start: &str| told.lines().filter(|line| line.starts_with(start)).count();
        for start in [
            "ema = 0.99: ",
            "accumulate = 2: ",
            "patience = 3: ",
            "sampling = balanced: ",
            "class-weights = balanced: ",
            "augment = crop:2: ",
            "tuned: ",
        ] {
            assert_eq!(begin(start), 1, "{start}: {told}");
        }
        assert_eq!(begin("class-weights = none"), 0);
    }
}
