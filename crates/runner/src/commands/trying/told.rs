//! What `try` says at the end, and writes to `try.md` in its folder.

use std::fmt::Write;
use std::path::Path;

use frostline_report::Report;
use frostline_results::write_file;
use frostline_text::duration;

use super::quest::Quest;
use super::scores::Score;
use crate::error::Error;
use crate::terminal::Columns;

/// The ranking by validation accuracy, the winner and how to use it, what was not tried, and the time.
pub(super) fn told(
    quest: &Quest<'_>,
    scores: &[Score],
    output: &Path,
    report: &Report,
) -> Result<String, Error> {
    let (validation, by) = match quest.subject.counts_classes {
        true => (">balanced validation %", "balanced accuracy on validation"),
        false => (">validation %", "validation"),
    };
    let mut table = Columns::new(&["model", "strategy", ">seeds", validation, ">seconds a trial"]);
    for score in scores {
        table.row(vec![
            score.model.clone(),
            score.strategy.clone(),
            score.validation.len().to_string(),
            format!("{:.1}", 100.0 * score.mean()),
            format!("{:.1}", score.seconds),
        ]);
    }
    let table = table.lines();
    let mut text = String::from("\n");
    let mut markdown = String::from("# What `frostline try` did\n\n");
    for fact in &quest.subject.facts {
        _ = writeln!(markdown, "- {fact}");
    }
    _ = write!(markdown, "\n```text\n{table}```\n\n");
    text += &table;
    if let Some(winner) = scores.first() {
        let close = runner_up(scores);
        let line = format!(
            "Chosen by {by}: {} with {} ({:.1} %).{close} What it reaches on test images, and whether the differences are more than \
             luck, says the report.",
            winner.model,
            winner.strategy,
            100.0 * winner.mean()
        );
        _ = write!(text, "\n{line}\n\n{}\n", report.answer);
        _ = write!(markdown, "{line}\n\n");
    }
    if !quest.left_out.is_empty() {
        text += "\nnot tried:\n";
        markdown += "Not tried:\n\n";
        for what in &quest.left_out {
            _ = writeln!(text, "  {what}");
            _ = writeln!(markdown, "- {what}");
        }
        markdown += "\n";
    }
    let time = format!("{} of {}", duration(quest.spent()), duration(quest.budget));
    _ = writeln!(markdown, "Time: {time}.");
    write_file(&quest.folder.join("try.md"), markdown.as_bytes())?;
    _ = write!(
        text,
        "\nreport:  {}\nwinner:  {}\nuse it:  frostline predict {} PHOTOS\nagain:   frostline sweep {} --results ANOTHER\ntime:    {time}\n",
        report.path.display(),
        output.display(),
        output.display(),
        quest.folder.join("experiment.toml").display(),
    );
    Ok(text)
}

/// A word on arms that are as good, as far as one can see.
fn runner_up(scores: &[Score]) -> String {
    let [winner, others @ ..] = scores else { return String::new() };
    let near: Vec<&Score> = others.iter().filter(|score| winner.mean() - score.mean() < 0.01).collect();
    let cheaper = near
        .iter()
        .filter(|score| score.seconds < winner.seconds / 2.0)
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    match (near.len(), cheaper) {
        (0, _) => String::new(),
        (_, Some(score)) => format!(
            " {} with {} is within a point of it, in {:.0} % of the time.",
            score.model,
            score.strategy,
            100.0 * score.seconds / winner.seconds
        ),
        (1, None) => " Another is within a point of it.".to_owned(),
        (count, None) => format!(" {count} others are within a point of it."),
    }
}
