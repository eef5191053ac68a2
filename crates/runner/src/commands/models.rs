//! `frostline models`: the zoo as a table.

use frostline_models::{ModelCard, ModelError, StageSummary, zoo};

use crate::cli::ModelsArgs;
use crate::error::Error;
use crate::table::{Table, grouped};

/// torchvision's tables count the 1000 classes of ImageNet.
const CLASSES: usize = 1000;

/// The table.
///
/// # Errors
/// A resolution of zero.
pub fn models(args: &ModelsArgs) -> Result<String, Error> {
    if args.resolution == 0 {
        return Err(Error::usage("--resolution 0 has no pixels", "give a side of 1 or more"));
    }
    let mut table = Table::new(&[
        "name",
        "model",
        ">year",
        ">parameters",
        ">multiply-adds",
        ">least",
        "stages",
        "weights on the Hub",
    ]);
    for card in zoo() {
        table.row(row(card, args.resolution)?);
    }
    let side = args.resolution;
    Ok(format!(
        "{}\nParameters and multiply-adds of one image at {side}x{side} with {CLASSES} classes; least is the smallest side.\n\
         Stages are what a strategy freezes; the last is the head.\n",
        table.lines()
    ))
}

fn row(card: &ModelCard, side: usize) -> Result<Vec<String>, Error> {
    let least = card.smallest_side().unwrap_or(1);
    let here = card.summary(CLASSES, side, side);
    let adds = match &here {
        Ok(stages) => grouped(sum(stages, |stage| stage.multiply_adds)),
        Err(ModelError::Patches { patch, .. }) => format!("no multiple of {patch}"),
        Err(_) => "too small".to_owned(),
    };
    // Only position embeddings have other numbers of parameters at other resolutions.
    let counted = here.or_else(|_| card.summary(CLASSES, least, least))?;
    let parameters = sum(&counted, |stage| stage.parameters as u64);
    let weights = card.pinned.map_or_else(
        || "none".to_owned(),
        |pinned| {
            let licence = pinned.licence.map(|licence| format!(", {licence}")).unwrap_or_default();
            format!("{}/{}{licence}", pinned.repo, pinned.file)
        },
    );
    let (name, title) = (card.name.to_owned(), card.title.to_owned());
    let stages = card.stages.join(" ");
    Ok(vec![
        name,
        title,
        card.year.to_string(),
        grouped(parameters),
        adds,
        least.to_string(),
        stages,
        weights,
    ])
}

fn sum(stages: &[StageSummary], of: impl Fn(&StageSummary) -> u64) -> u64 {
    stages.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_line_with_torchvisions_counts() {
        let text = models(&ModelsArgs { resolution: 224 }).unwrap();
        for (name, parameters) in [
            ("resnet18", "11,689,512"),
            ("resnet34", "21,797,672"),
            ("alexnet", "61,100,840"),
            ("vgg16", "138,357,544"),
        ] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.contains(parameters), "{line}");
        }
    }

    #[test]
    fn a_model_that_cannot_be_built_so_small_is_still_listed() {
        let text = models(&ModelsArgs { resolution: 32 }).unwrap();
        let line = text.lines().find(|line| line.starts_with("alexnet")).unwrap();
        assert!(line.contains("61,100,840") && line.contains("too small"), "{line}");
        assert!(models(&ModelsArgs { resolution: 0 }).is_err());
    }
}
