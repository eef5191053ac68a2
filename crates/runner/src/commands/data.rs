//! `frostline data`: fetches, verifies and decodes a source, and says what is in it.

use frostline_data::{Dataset, Reading, Source, contact_sheet, open, prepare};
use frostline_hub::{Hub, HubOptions, Progress};
use frostline_text::grouped;

use crate::cli::DataArgs;
use crate::error::Error;
use crate::terminal::Columns;

/// Classes that are listed one by one.
const MOST_CLASSES: usize = 100;

/// The description; writes the contact sheet where one is asked for.
///
/// # Errors
/// A source that cannot be read, fetched, verified or decoded; a sheet that cannot be written.
pub fn data(args: &DataArgs, hub: HubOptions, progress: &dyn Progress) -> Result<String, Error> {
    let source: Source = args.source.parse()?;
    let splits = args.splits.as_deref().map(str::parse).transpose();
    let splits =
        splits.map_err(|error: frostline_sources::SplitsError| Error::usage(error.to_string(), ""))?;
    let (image_column, label_column) = (args.image_column.clone(), args.label_column.clone());
    let reading = Reading { image_column, label_column, splits };
    let prepared = prepare(&source, &reading, &Hub::new(hub)?, progress)?;
    let dataset = open(&prepared, args.resolution.map(|side| (side, side)))?;
    let mut text = describe(&dataset);
    if let Some(sheet) = &args.sheet {
        contact_sheet(&dataset, sheet)?;
        text += &format!("sheet    {}\n", sheet.display());
    }
    Ok(text)
}

fn describe(dataset: &Dataset) -> String {
    let counts = dataset.class_counts();
    let held_out = dataset.validation > 0;
    let heads: &[&str] = if held_out {
        &["class", ">training", ">validation", ">test"]
    } else {
        &["class", ">training", ">test"]
    };
    let mut table = Columns::new(heads);
    let mut row = |name: &str, train: usize, validation: usize, test: usize| {
        let counts = [Some(train), Some(validation).filter(|_| held_out), Some(test)];
        let counts = counts.into_iter().flatten().map(|count| grouped(count as u64));
        table.row([name.to_owned()].into_iter().chain(counts).collect());
    };
    for class in counts.iter().take(MOST_CLASSES) {
        row(&class.name, class.train, class.validation, class.test);
    }
    row("all", dataset.train.len() - dataset.validation, dataset.validation, dataset.test.len());
    let mut text = table.lines();
    if counts.len() > MOST_CLASSES {
        text += &format!("{} more classes\n", counts.len() - MOST_CLASSES);
    }
    let (small, large) = (dataset.native.smallest, dataset.native.largest);
    let size = if small == large {
        format!("{}x{}", small.0, small.1)
    } else {
        format!("{}x{} to {}x{}", small.0, small.1, large.0, large.1)
    };
    let (height, width) = (dataset.train.height(), dataset.train.width());
    text += &format!(
        "\nsource   {}\nimages   {size} pixels (height x width), held as {height}x{width}\n",
        dataset.source
    );
    for taken in &dataset.taken {
        text += &format!("taken    {}: {}\n", taken.what, taken.from);
    }
    for sentence in dataset.duplicates.sentences() {
        text += &format!("note     {sentence}\n");
    }
    text += &format!("digest   {}\n", dataset.digest);
    text += &format!("licence  {}\n", dataset.licence.as_deref().unwrap_or("not stated"));
    for file in &dataset.files {
        let revision = file.revision.as_ref().map(|revision| format!(" @{revision}")).unwrap_or_default();
        text += &format!(
            "file     {}{revision}, {} bytes, sha256 {}\n",
            file.name,
            grouped(file.size),
            file.sha256
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offline() -> HubOptions {
        HubOptions { offline: true, ..HubOptions::standard(std::env::temp_dir()) }
    }

    fn args(source: &str) -> DataArgs {
        DataArgs {
            source: source.to_owned(),
            sheet: None,
            splits: None,
            image_column: None,
            label_column: None,
            resolution: None,
            offline: true,
        }
    }

    #[test]
    fn the_digits_are_described() {
        let folder = tempfile::tempdir().unwrap();
        let sheet = folder.path().join("sheet.png");
        let args = DataArgs { sheet: Some(sheet.clone()), ..args("digits") };
        let text = data(&args, offline(), &frostline_hub::Silent).unwrap();
        assert!(text.contains("8x8 pixels") && text.contains("digest"), "{text}");
        let all = text.lines().find(|line| line.starts_with("all")).unwrap();
        let counts: Vec<usize> =
            all.split_whitespace().skip(1).map(|n| n.replace(',', "").parse().unwrap()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 1797);
        assert!(sheet.exists());
    }

    #[test]
    fn a_source_that_is_none_is_bad_input() {
        let error = data(&args("digit"), offline(), &frostline_hub::Silent).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
