//! `report.html` in a real browser: Chromium without a window, as Debian packages it. Skipped, with a message, where there is none.

use std::fs;
use std::path::Path;
use std::process::Command;

use frostline_report::write_report;
use frostline_results::samples::{environment, plan, result};
use frostline_results::{Invocation, Store};

/// Names that Chromium goes by.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    BROWSERS.into_iter().find(runs)
}

/// A results folder with a report of eight arms.
fn reported() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let plan = plan(&["resnet18", "alexnet"], &["full", "head", "last-1", "thaw"], 3);
    store.record_plan(&plan, "", &Invocation::default()).unwrap();
    store.record_environment(&environment()).unwrap();
    for (index, trial) in plan.trials.iter().enumerate() {
        let cost = if trial.strategy == "full" { 125.0 } else { 9.0 + trial.strategy.len() as f64 };
        store.save(trial, &result(trial, 0.5 + 0.01 * index as f64, cost), false).unwrap();
    }
    drop(store);
    write_report(dir.path()).unwrap();
    dir
}

/// What the page is once its script has run, or what it looks like.
fn open(browser: &str, folder: &Path, (width, dark): (usize, bool), state: &str, more: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .arg(more)
        .arg(format!("file://{}/report.html{state}", folder.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The rows of the first table that are shown, each by its second cell.
fn arms(page: &str) -> Vec<String> {
    let body = page.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    let rows = body.split("<tr").skip(1).filter(|row| !row.split('>').next().unwrap().contains("hidden"));
    let cell = |row: &str| {
        row.split("<td").nth(2).unwrap().split_once('>').unwrap().1.split('<').next().unwrap().to_owned()
    };
    rows.map(cell).collect()
}

#[test]
fn the_page_sorts_filters_and_fits_in_light_and_dark_on_desks_and_phones() {
    let Some(browser) = browser() else {
        eprintln!("skipped: none of {} is installed", BROWSERS.join(", "));
        return;
    };
    let folder = reported();
    for view in [(1280, false), (1280, true), (390, false), (390, true)] {
        let page = open(browser, folder.path(), view, "", "--dump-dom");
        assert!(page.contains("data-ready=\"yes\""), "{view:?}: the script did not run: {page}");
        assert!(page.contains("data-overflow=\"no\""), "{view:?}: the page is wider than its window");
    }
    // By time, the quickest first: 13 s of `head`, `thaw` and `last-1` stand before 2 min 05 s.
    let page = open(browser, folder.path(), (1280, false), "#sort0=7-ascending", "--dump-dom");
    let sorted = arms(&page);
    assert_eq!(sorted.len(), 8);
    assert!(sorted[..6].iter().all(|arm| !arm.contains("full")), "{sorted:?}");
    assert!(sorted[6].contains("full") && sorted[7].contains("full"), "{sorted:?}");
    let page = open(browser, folder.path(), (1280, false), "#filter0=alexnet%20head", "--dump-dom");
    assert_eq!(arms(&page), ["alexnet · head"]);
    assert!(page.matches("class=\"hint\"").count() > 20, "marks have nothing to tell");

    let pictures: Vec<Vec<u8>> = [false, true]
        .map(|dark| {
            let path = folder.path().join(format!("{dark}.png"));
            open(browser, folder.path(), (390, dark), "", &format!("--screenshot={}", path.display()));
            fs::read(path).unwrap()
        })
        .into();
    assert!(pictures[0] != pictures[1], "light and dark look the same");
}
