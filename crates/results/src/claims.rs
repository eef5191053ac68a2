//! Who runs what of a results folder: a [`Claim`] keeps a trial from being run twice, [`held`] lists all claims to those who only look.
//!
//! A claim is a file of the trial's name, locked by the process whose [`Holder`] stands in it, and emptied when that is done. A process that
//! dies leaves it behind open, with its name in it. Some file systems do not pass locks on to other machines; there, a claim holds while
//! its process writes it anew ([`Pulse`]).

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::presence::{open, try_lock};
use super::pulse::{Held, Pulse, SILENCE};
use super::{Holder, StoreError};

/// The folder of the claims.
pub(super) const CLAIMS: &str = "claims";

/// What is locked while claims are taken or looked at, so that a look is not taken for a claim.
const LOOK: &str = ".look";

/// A trial, or a pretraining, that this process alone runs, until it is dropped.
#[derive(Debug)]
pub struct Claim(Arc<Held>);

impl Claim {
    /// Claims what has this id; none where another process, or another claim of this one, has it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn take(
        folder: &Path,
        id: &str,
        me: &Holder,
        pulse: &Pulse,
    ) -> Result<Option<Self>, StoreError> {
        let claims = folder.join(CLAIMS);
        fs::create_dir_all(&claims).map_err(|error| StoreError::writing(&claims, error))?;
        let place = claims.join(LOOK);
        let mut look = open(&place)?;
        look.lock().map_err(|error| StoreError::locking(&place, error))?;
        let path = claims.join(id);
        let failed = |error| StoreError::writing(&path, error);
        let mut file = open(&path)?;
        if !try_lock(&file, &path)? {
            return Ok(None);
        }
        let before = holder(&mut file).filter(|before| !before.is_here(me) && !before.went_before(me));
        if before.is_some() && is_kept_alive(&file, touched(&mut look)) {
            return Ok(None);
        }
        file.set_len(0).map_err(failed)?;
        let text = serde_json::to_string(me).unwrap_or_default(); // A name and a number, which JSON can always hold.
        let held = Held::new(file, text + "\n").map_err(failed)?;
        pulse.keep(&held);
        Ok(Some(Self(held)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A claim, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) holder: Holder,
    /// Whether the process runs, as far as can be told.
    pub(super) alive: bool,
}

/// The claims that processes have, or had when they died, by what they are of. Where the folder is only for reading, whether a process
/// on another machine runs is told by the latest of all claims.
///
/// # Errors
/// The folder cannot be looked into.
pub(super) fn held(folder: &Path, me: &Holder) -> Result<BTreeMap<String, Seen>, StoreError> {
    let claims = folder.join(CLAIMS);
    let mut files = Vec::new();
    if !claims.exists() {
        return Ok(BTreeMap::new());
    }
    let reading = |error| StoreError::reading(&claims, error);
    for entry in fs::read_dir(&claims).map_err(reading)? {
        let path: PathBuf = entry.map_err(reading)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && fs::metadata(&path).is_ok_and(|found| found.len() > 0) {
            files.push((name, path));
        }
    }
    let mut look = open(&claims.join(LOOK)).ok();
    if let Some(look) = &look {
        let _ = look.lock_shared(); // Without it, a claim that is taken meanwhile may pass by this look.
    }
    let mut opened: Vec<(String, File)> =
        files.into_iter().filter_map(|(name, path)| Some((name, File::open(path).ok()?))).collect();
    let now = look.as_mut().and_then(touched).or_else(|| opened.iter().filter_map(|(_, f)| written(f)).max());
    let mut found = BTreeMap::new();
    for (name, file) in &mut opened {
        let Some(holder) = holder(file) else { continue };
        let locked = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let alive = locked || !holder.is_here(me) && is_kept_alive(file, now);
        found.insert(name.clone(), Seen { holder, alive });
    }
    Ok(found)
}

/// A process on another machine that keeps a claim of this folder alive, where there is one.
pub(super) fn elsewhere(folder: &Path, me: &Holder) -> Result<Option<Holder>, StoreError> {
    let mut all = held(folder, me)?.into_values();
    Ok(all.find(|seen| seen.alive && !seen.holder.is_here(me)).map(|seen| seen.holder))
}

/// Who stands in a claim; none where it is empty.
fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.trim()).ok()
}

/// Whether a claim was written lately, by the clock of the file system.
fn is_kept_alive(file: &File, now: Option<SystemTime>) -> bool {
    let age = written(file).zip(now).and_then(|(written, now)| now.duration_since(written).ok());
    age.is_none_or(|age| age < SILENCE)
}

fn written(file: &File) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}

/// Now, by the clock of the file system.
fn touched(file: &mut File) -> Option<SystemTime> {
    file.rewind().and_then(|()| file.write_all(b"\n")).ok()?;
    written(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str, job: Option<&str>) -> Holder {
        Holder { host: host.to_owned(), pid: 7, job: job.map(str::to_owned) }
    }

    fn silent(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        let written = written(&file).unwrap();
        file.set_modified(written - SILENCE).unwrap();
    }

    #[test]
    fn a_claim_is_seen_with_its_holder_and_gone_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (me, pulse) = (on("a", Some("Slurm job 3_1")), Pulse::start().unwrap());
        let claim = Claim::take(dir.path(), "x", &me, &pulse).unwrap();
        assert!(claim.is_some() && Claim::take(dir.path(), "x", &me, &pulse).unwrap().is_none());
        let seen = held(dir.path(), &on("b", None)).unwrap();
        assert_eq!(seen["x"], Seen { holder: me.clone(), alive: true });
        assert_eq!(seen["x"].holder.to_string(), "process 7 on a (Slurm job 3_1)");
        drop(claim);
        assert!(held(dir.path(), &me).unwrap().is_empty());
        assert!(Claim::take(dir.path(), "x", &me, &pulse).unwrap().is_some());
    }

    #[test]
    fn where_locks_stay_on_one_machine_a_claim_holds_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let pulse = Pulse::start().unwrap();
        // As another machine's claim looks whose lock does not reach here.
        let claims = dir.path().join(CLAIMS);
        fs::create_dir(&claims).unwrap();
        let left = serde_json::to_string(&on("a", Some("Slurm job 3_1"))).unwrap();
        fs::write(claims.join("x"), &left).unwrap();
        let alive = |me: &Holder| held(dir.path(), me).unwrap()["x"].alive;
        assert!(alive(&on("b", None)) && !alive(&on("a", None)));
        assert!(elsewhere(dir.path(), &on("b", None)).unwrap().is_some());
        assert!(Claim::take(dir.path(), "x", &on("b", None), &pulse).unwrap().is_none());
        // The scheduler has started the same job on another machine: the first of it is gone.
        assert!(Claim::take(dir.path(), "x", &on("b", Some("Slurm job 3_1")), &pulse).unwrap().is_some());
        // Nobody has written it for long.
        fs::write(claims.join("x"), &left).unwrap();
        silent(&claims.join("x"));
        assert!(!alive(&on("b", None)) && elsewhere(dir.path(), &on("b", None)).unwrap().is_none());
        assert!(Claim::take(dir.path(), "x", &on("b", None), &pulse).unwrap().is_some());
    }
}
