//! Waiting for what another process makes: asked for now and then, so that the user's wish to stop is heard, and a process that dies is
//! replaced.

use std::sync::atomic::Ordering;
use std::time::Duration;

use frostline_experiment::Trunk;
use frostline_results::Claim;
use frostline_text::plural;

use super::Tally;
use super::cohort::cohorts;
use super::error::SweepError;
use super::graph::{Id, Train};
use super::worker::Worker;

/// Between two looks at what others do.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

impl Worker<'_> {
    /// Claims a trunk, as soon as no other process makes it; none where the user asked for the end before.
    ///
    /// # Errors
    /// The results folder cannot be written to.
    pub(super) fn claim_trunk(&self, trunk: &Trunk) -> Result<Option<Claim>, SweepError> {
        let mut said = false;
        loop {
            if let Some(claim) = self.store.claim_trunk(&trunk.id)? {
                return Ok(Some(claim));
            }
            if self.is_interrupted() {
                return Ok(None);
            }
            if !said {
                said = true;
                self.progress.say(&format!("waiting for another process, which makes {}", trunk.label()));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits for trials that other processes run, and runs those whose process has died. Where the user asks for the end they are left.
    ///
    /// # Errors
    /// As [`Worker::train`].
    pub(super) fn wait_for(
        &mut self,
        mut others: Vec<Id<Train>>,
        tally: &mut Tally,
    ) -> Result<(), SweepError> {
        if !others.is_empty() {
            let trials = plural(others.len(), "trial");
            self.progress.say(&format!("waiting for {trials} that other processes run"));
        }
        while !others.is_empty() {
            tally.elsewhere -= others.len();
            tally.left += others.len();
            if self.is_interrupted() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
            let mut still = Vec::new();
            for cohort in cohorts(self.graph, &others) {
                let done = self.train(&cohort)?;
                tally.count(&done);
                if done.interrupted {
                    return Ok(());
                }
                still.extend(done.elsewhere);
            }
            others = still;
        }
        Ok(())
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
