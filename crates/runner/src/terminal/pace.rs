//! How fast a sweep goes: [`Pace`] tells images a second and the time that is left, of a training and of the whole.

/// A training under way, and those before it. Times are seconds since the sweep began.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Trials that are to run.
    pub(super) due: usize,
    /// Trials that have ended.
    pub(super) done: usize,
    /// What they took, together.
    took: f64,
    begun: f64,
    epochs: usize,
    batch: usize,
    /// Of a training's steps, those that are done and all.
    steps: (usize, usize),
}

impl Pace {
    /// A training of so many epochs begins.
    pub(super) fn begins(&mut self, now: f64, epochs: usize, batch: usize) {
        (self.begun, self.epochs, self.batch, self.steps) = (now, epochs, batch, (0, 0));
    }

    /// A step of an epoch is done; both count from 1.
    pub(super) fn step(&mut self, epoch: usize, step: usize, steps: usize) {
        self.steps = ((epoch - 1) * steps + step, self.epochs * steps);
    }

    /// A trial has ended.
    pub(super) fn ends(&mut self, now: f64) {
        self.done += 1;
        self.took += now - self.begun;
        self.begun = now;
        self.steps = (0, 0);
    }

    /// Of a training, the epochs, and its steps that are done and all.
    pub(super) fn progress(&self) -> (usize, usize, usize) {
        (self.epochs, self.steps.0, self.steps.1)
    }

    /// Training images a second by the clock since the training began; none before its first step.
    pub(super) fn images_per_second(&self, now: f64) -> Option<f64> {
        let rate = (self.steps.0 * self.batch) as f64 / (now - self.begun);
        Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// Seconds until the training is done, if it goes on as it has; none before its first step.
    pub(super) fn training_left(&self, now: f64) -> Option<f64> {
        let (done, all) = self.steps;
        (done > 0).then(|| (now - self.begun) / done as f64 * (all - done.min(all)) as f64)
    }

    /// Seconds until the sweep is done: the present trial, and for each of the others what those took that have ended. None before
    /// anything is known.
    pub(super) fn sweep_left(&self, now: f64) -> Option<f64> {
        let training = self.training_left(now);
        let present = training.map(|left| now - self.begun + left);
        let each = match self.done {
            0 => present?,
            done => self.took / done as f64,
        };
        let after = self.due.saturating_sub(self.done + usize::from(training.is_some()));
        Some(training.unwrap_or(0.0) + each * after as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_left_by_hand() {
        let mut pace = Pace { due: 4, ..Pace::default() };
        assert_eq!((pace.sweep_left(1.0), pace.training_left(1.0)), (None, None));
        pace.begins(10.0, 2, 64);
        assert_eq!(pace.images_per_second(12.0), None);
        pace.step(1, 5, 10);
        // 5 of 20 steps in 2 s: 160 images a second, 6 s to go, and three more trials of 8 s.
        assert_eq!(pace.images_per_second(12.0), Some(160.0));
        assert_eq!((pace.training_left(12.0), pace.sweep_left(12.0)), (Some(6.0), Some(30.0)));
        pace.ends(20.0);
        // One took 10 s, three are left.
        assert_eq!(pace.sweep_left(21.0), Some(30.0));
        pace.begins(21.0, 1, 64);
        pace.step(1, 10, 10);
        assert_eq!(pace.sweep_left(25.0), Some(20.0));
        pace.ends(25.0);
        pace.begins(25.0, 1, 1);
        pace.ends(26.0);
        pace.begins(26.0, 1, 1);
        pace.ends(27.0);
        assert_eq!(pace.sweep_left(27.0), Some(0.0));
    }
}
