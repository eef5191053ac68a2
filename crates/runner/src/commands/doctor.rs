//! `frostline doctor`: what of this machine matters to a sweep, for oneself and for reports of faults. It names no person, no path of a
//! home folder and no token.

use std::fs;
use std::path::{Path, PathBuf};

use frostline_engine::device::{self, DeviceKind};
use frostline_hub::{Hub, HubOptions, RepoKind};
use frostline_results::{Environment, free_bytes};
use frostline_text::{bytes, duration, plural};

use crate::cli::DoctorArgs;
use crate::error::{Ending, Error};
use crate::machine::{environment, free_memory, hub_options, seconds};
use crate::terminal::Columns;

/// A small repository that the Hub has had for long: whether its list of files comes says whether downloads will.
const ASKED: &str = "timm/resnet18.tv_in1k";

/// Looks at the machine; what to print, and [`Ending::SomeFailed`] where something would keep a sweep from running.
///
/// # Errors
/// No folder for downloads is known.
pub fn doctor(args: &DoctorArgs) -> Result<(String, Ending), Error> {
    let threads = rayon::current_num_threads();
    let environment = environment(threads, "cpu");
    let options = hub_options(args.offline)?;
    let mut findings = Findings::default();
    findings.of_environment(&environment);
    findings.of_memory();
    findings.of_folder(
        "results",
        Path::new("."),
        ("free in this folder, where results go", "name another with --results"),
    );
    let cache = options.cache.clone();
    findings.of_folder(
        "downloads",
        &cache,
        ("free in the cache of Hugging Face's tools", "set HF_HOME to another folder"),
    );
    findings.of_devices();
    findings.of_hub(options);
    let ending = if findings.problems > 0 { Ending::SomeFailed } else { Ending::Done };
    Ok((findings.told(), ending))
}

#[derive(Default)]
struct Findings {
    lines: Vec<(String, String)>,
    problems: usize,
}

impl Findings {
    fn add(&mut self, what: &str, found: String) {
        self.lines.push((what.to_owned(), found));
    }

    fn problem(&mut self, what: &str, found: &str) {
        self.problems += 1;
        self.add(what, format!("PROBLEM: {found}"));
    }

    fn of_environment(&mut self, environment: &Environment) {
        let Environment { build, processor, physical_cores, logical_cores, threads, features, .. } =
            environment;
        let revision =
            build.revision.as_deref().map_or_else(String::new, |revision| format!(", revision {revision}"));
        self.add(
            "frostline",
            format!("{}{revision}, {} build for {}", build.frostline, build.profile, build.target),
        );
        if build.profile == "debug" {
            self.add("", "a debug build: times are not to be trusted; build with --release".to_owned());
        }
        self.add(
            "built with",
            format!("rustc {}, candle {}, gemm {}", build.rustc, build.candle, build.gemm),
        );
        self.add("system", environment.system.clone());
        self.add(
            "processor",
            format!("{processor}, {physical_cores} cores, {logical_cores} usable threads, {threads} compute"),
        );
        self.add("instructions", features.join(", "));
        let has = |name: &str| features.iter().any(|feature| feature == name);
        let products = match () {
            () if has("avx512f") => "products run on AVX-512",
            () if has("avx2") && has("fma") => "products run on AVX2",
            () if has("neon") => "products run on NEON",
            () => "no vector instructions that Frostline knows: it will be slow",
        };
        let half = if has("avx512bf16") || has("bf16") {
            "bf16 by its own instructions"
        } else {
            "bf16 by widening, no faster than f32"
        };
        self.add("", format!("{products}; {half}"));
    }

    fn of_memory(&mut self) {
        match free_memory(None) {
            Some(free) if free < 512 << 20 => {
                self.problem(
                    "memory",
                    &format!(
                        "{} are free, and small models need about half a GiB; end other programs",
                        bytes(free)
                    ),
                );
            }
            Some(free) => self.add("memory", format!("{} may be taken", bytes(free))),
            None => self.add("memory", "the system does not tell".to_owned()),
        }
    }

    /// Whether files can be written into a folder, or into the first of those above it that is there.
    fn of_folder(&mut self, what: &str, folder: &Path, (told, advice): (&str, &str)) {
        let there = there_above(folder);
        let scratch = scratch(there);
        let written = fs::create_dir(&scratch).and_then(|()| fs::write(scratch.join("x"), "x"));
        let _ = fs::remove_dir_all(&scratch);
        match (written, free_bytes(there)) {
            (Err(error), _) => {
                self.problem(what, &format!("nothing can be written there ({error}); {advice}"))
            }
            (Ok(()), Some(free)) => self.add(what, format!("{} {told}", bytes(free))),
            (Ok(()), None) => {
                self.add(what, "can be written; the system does not tell how much is free".to_owned())
            }
        }
    }

    fn of_devices(&mut self) {
        for kind in [DeviceKind::Cuda, DeviceKind::Metal] {
            let found = match device::count(kind) {
                Ok(0) => "none".to_owned(),
                Ok(count) => plural(count, "device"),
                Err(error) => error.to_string(),
            };
            self.add(&kind.to_string(), found);
        }
    }

    fn of_hub(&mut self, options: HubOptions) {
        let token = if options.token.is_some() { "with a token" } else { "without a token" };
        self.add("Hub", format!("{}, {token}", options.endpoint));
        if options.offline {
            return self.add("", "not asked, as --offline or HF_HUB_OFFLINE says".to_owned());
        }
        // Into a folder of its own, so that an answer from before is not taken for one.
        let scratch = scratch(there_above(&options.cache));
        let hub = Hub::new(HubOptions { cache: scratch.clone(), ..options });
        let begun = seconds();
        let asked = hub.and_then(|hub| hub.list(RepoKind::Model, ASKED, None));
        let _ = fs::remove_dir_all(scratch);
        match asked {
            Ok(_) => self.add("", format!("lists the files of {ASKED} in {}", duration(seconds() - begun))),
            Err(error) => self.add("", format!("does not list the files of {ASKED}: {error}")),
        }
    }

    fn told(&self) -> String {
        let mut table = Columns::new(&["", ""]);
        for (what, found) in &self.lines {
            table.row(vec![what.clone(), found.clone()]);
        }
        table.lines().trim_start_matches('\n').to_owned()
    }
}

/// A folder, or the first of those above it that is there.
fn there_above(folder: &Path) -> &Path {
    let mut above = folder.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    above.find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}

/// A folder of this process for a moment.
fn scratch(folder: &Path) -> PathBuf {
    folder.join(format!(".frostline-doctor-{}", std::process::id()))
}
