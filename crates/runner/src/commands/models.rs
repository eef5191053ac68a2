//! `frostline models`: the zoo as a table, or one model stage by stage.

use frostline_report::{ReportError, stage_picture};
use frostline_results::write_file;
use frostline_text::grouped;
use frostline_zoo::{ModelCard, StageSummary, ZooError, card, zoo};

use crate::cli::ModelsArgs;
use crate::error::Error;
use crate::terminal::Columns;

/// torchvision's tables count the 1000 classes of ImageNet.
const CLASSES: usize = 1000;

/// The table, or what there is to know of one model.
///
/// # Errors
/// A side outside 1..=4096, or one that the model does not take; a name that no model has; a picture that cannot be written.
pub fn models(args: &ModelsArgs) -> Result<String, Error> {
    if !(1..=4096).contains(&args.resolution) {
        let message = format!("--resolution {} is no side of an image", args.resolution);
        return Err(Error::usage(message, "give a side from 1 to 4096"));
    }
    if let Some(name) = &args.name {
        return one(name, args);
    }
    let mut table = Columns::new(&[
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

fn one(name: &str, args: &ModelsArgs) -> Result<String, Error> {
    let (card, side) = (card(name).map_err(ZooError::from)?, args.resolution);
    let stages = card.summary(CLASSES, side, side)?;
    let head = ["stage", ">output", ">parameters", ">live", ">multiply-adds", ">live", ">activations, KiB"];
    let mut table = Columns::new(&head);
    let kib = |numbers: u64| grouped((4 * numbers).div_ceil(1024));
    for stage in &stages {
        let (height, width, channels) = stage.output;
        table.row(vec![
            stage.name.clone(),
            format!("{height}x{width}x{channels}"),
            grouped(stage.parameters as u64),
            grouped(stage.live_parameters as u64),
            grouped(stage.multiply_adds),
            grouped(stage.live_multiply_adds),
            kib(stage.activations),
        ]);
    }
    table.row(vec![
        "all".to_owned(),
        String::new(),
        grouped(sum(&stages, |stage| stage.parameters as u64)),
        grouped(sum(&stages, |stage| stage.live_parameters as u64)),
        grouped(sum(&stages, |stage| stage.multiply_adds)),
        grouped(sum(&stages, |stage| stage.live_multiply_adds)),
        kib(sum(&stages, |stage| stage.activations)),
    ]);
    let mut text = format!(
        "{} ({}), {}\nnormalisation: mean {:?}, std {:?}; smallest side {}\n",
        card.title,
        card.year,
        card.paper,
        card.normalisation.mean,
        card.normalisation.std,
        card.smallest_side().unwrap_or(1),
    );
    text += &match card.pinned {
        None => "weights on the Hub: none\n".to_owned(),
        Some(pinned) => format!(
            "weights on the Hub: {}/{} at {}, SHA-256 {}, licence {}\n",
            pinned.repo,
            pinned.file,
            pinned.revision.unwrap_or("the main branch as on its first use"),
            pinned.sha256.unwrap_or("as the Hub states it, ever after as on the first use"),
            pinned.licence.unwrap_or("not stated"),
        ),
    };
    text += &format!(
        "\n{}\nOne image at {side}x{side} with {CLASSES} classes. Live is what takes part at this resolution: taps that reach a \
         pixel, and sums of weights that\nmeet copies of one. Activations are what convolutions, linear layers, pools and \
         attention put out, in f32.\n",
        table.lines()
    );
    if let Some(path) = &args.picture {
        write_file(path, stage_picture(card.title, side, &stages).map_err(ReportError::from)?.as_bytes())?;
        text += &format!("\n{}\n", path.display());
    }
    Ok(text)
}

fn row(card: &ModelCard, side: usize) -> Result<Vec<String>, Error> {
    let least = card.smallest_side().unwrap_or(1);
    let here = card.summary(CLASSES, side, side);
    let adds = match &here {
        Ok(stages) => grouped(sum(stages, |stage| stage.multiply_adds)),
        Err(ZooError::Patches { patch, .. }) => format!("no multiple of {patch}"),
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

    fn args(resolution: usize) -> ModelsArgs {
        ModelsArgs { name: None, resolution, picture: None }
    }

    #[test]
    fn one_model_is_told_stage_by_stage_and_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("vgg.svg");
        let name = Some("vgg11".to_owned());
        let text = models(&ModelsArgs { name, picture: Some(picture.clone()), ..args(32) }).unwrap();
        let fc6 = text.lines().find(|line| line.starts_with("fc6")).unwrap();
        assert!(fc6.contains("102,764,544") && fc6.contains("2,101,248"), "{fc6}");
        let svg = std::fs::read_to_string(picture).unwrap();
        assert!(svg.contains("block1") && svg.contains("VGG-11"), "{svg}");
        let unknown = models(&ModelsArgs { name: Some("vgg12".to_owned()), ..args(32) }).unwrap_err();
        assert!(unknown.to_string().contains("did you mean"), "{unknown}");
        assert!(models(&ModelsArgs { name: Some("alexnet".to_owned()), ..args(32) }).is_err());
    }

    #[test]
    fn every_model_has_a_line_with_torchvisions_counts() {
        let text = models(&args(224)).unwrap();
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
        let text = models(&args(32)).unwrap();
        let line = text.lines().find(|line| line.starts_with("alexnet")).unwrap();
        assert!(line.contains("61,100,840") && line.contains("too small"), "{line}");
        assert!(models(&args(0)).is_err());
    }
}
