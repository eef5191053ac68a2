//! Learning-rate schedules: [`Timetable`] gives the factor on the base learning rate at each optimizer step.
//! It knows steps only; epochs are turned into steps when it is made.

use std::fmt;
use std::str::FromStr;

/// How the learning rate goes over a trial. The formulas are PyTorch's, applied once a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The base rate throughout.
    Constant,
    /// Half a cosine from the base rate to zero (Loshchilov and Hutter 2017, without restarts).
    Cosine,
    /// Up to the base rate over the first 30 %, down to base / 250,000 over the rest, both along half a cosine
    /// (Smith 2018, with the settings of PyTorch's `OneCycleLR`; momentum is left alone). Starts at base / 25.
    OneCycle,
    /// The base rate times `ratio` to the power of the number of steps that have passed: what a test of rates goes through (Smith 2017).
    Rise {
        /// From one step to the next; above 1.
        ratio: f64,
    },
    /// The base rate times `factor` to the power of the number of whole `every` epochs that have passed.
    Step {
        /// Epochs between two drops.
        every: usize,
        /// What a drop multiplies the rate by.
        factor: f64,
    },
}

impl Schedule {
    /// The names that an experiment file may use.
    pub const NAMES: [&'static str; 4] = ["constant", "cosine", "one-cycle", "step"];
    /// The drop of `step` where the experiment does not say otherwise: a tenth every 30 epochs, as PyTorch's examples do.
    pub const STEP: Schedule = Schedule::Step { every: 30, factor: 0.1 };
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "constant" => Ok(Self::Constant),
            "cosine" => Ok(Self::Cosine),
            "one-cycle" => Ok(Self::OneCycle),
            "step" => Ok(Self::STEP),
            other => Err(format!("unknown schedule `{other}`; one of {}", Self::NAMES.join(", "))),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::OneCycle => "one-cycle",
            Self::Step { .. } => "step",
            Self::Rise { .. } => "rise",
        })
    }
}

/// A schedule laid over a number of steps, with a linear warm-up before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timetable {
    schedule: Schedule,
    steps: usize,
    steps_per_epoch: usize,
    warmup: usize,
}

impl Timetable {
    /// Lays `schedule` over `epochs` of `steps_per_epoch` steps. The first `warmup` epochs (a fraction is allowed)
    /// rise linearly to the base rate, and the schedule's own course begins after them.
    pub fn new(schedule: Schedule, epochs: usize, steps_per_epoch: usize, warmup: f64) -> Self {
        let steps = epochs * steps_per_epoch;
        let warmup = (warmup * steps_per_epoch as f64).round() as usize;
        Self { schedule, steps, steps_per_epoch, warmup: warmup.min(steps) }
    }

    /// The factor on the base learning rate at `step`, counted from 0 over the whole trial.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let (done, left) = ((step - self.warmup) as f64, (self.steps - self.warmup) as f64);
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => half_cosine(1.0, 0.0, done / left.max(1.0)),
            Schedule::OneCycle => one_cycle(done, left),
            Schedule::Rise { ratio } => ratio.powf(done),
            Schedule::Step { every, factor } => {
                let epochs = (step - self.warmup) / self.steps_per_epoch.max(1);
                factor.powi((epochs / every.max(1)) as i32)
            }
        }
    }
}

/// `OneCycleLR` with `pct_start` 0.3, `div_factor` 25 and `final_div_factor` 1e4.
fn one_cycle(step: f64, steps: f64) -> f64 {
    let (first, last) = (1.0 / 25.0, 1.0 / 25.0 / 1e4);
    let peak = 0.3 * steps - 1.0;
    if step <= peak {
        half_cosine(first, 1.0, step / peak)
    } else {
        half_cosine(1.0, last, ((step - peak) / (steps - 1.0 - peak)).min(1.0))
    }
}

/// From `start` to `end` along half a cosine, at `share` in [0, 1] of the way.
fn half_cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: Schedule, epochs: usize, per_epoch: usize, warmup: f64) -> Vec<f64> {
        let table = Timetable::new(schedule, epochs, per_epoch, warmup);
        (0..epochs * per_epoch).map(|step| table.factor(step)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn constant_with_warm_up_rises_and_stays() {
        close(&factors(Schedule::Constant, 2, 4, 0.75), &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn cosine_is_pytorchs_cosine_annealing() {
        // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=4) from 1: 1, .8535534, .5, .1464466
        close(&factors(Schedule::Cosine, 2, 2, 0.0), &[1.0, 0.853_553_4, 0.5, 0.146_446_6]);
    }

    #[test]
    fn one_cycle_is_pytorchs() {
        // torch.optim.lr_scheduler.OneCycleLR(SGD(lr=1), max_lr=1, total_steps=10), PyTorch 2.15
        let expected =
            [0.04, 0.52, 1.0, 0.950_484_6, 0.811_745_7, 0.611_262, 0.388_742, 0.188_258_3, 0.049_519_4, 4e-6];
        close(&factors(Schedule::OneCycle, 5, 2, 0.0), &expected);
    }

    #[test]
    fn step_drops_by_whole_epochs() {
        let schedule = Schedule::Step { every: 2, factor: 0.5 };
        close(&factors(schedule, 5, 1, 0.0), &[1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn names_round_trip() {
        for name in Schedule::NAMES {
            assert_eq!(name.parse::<Schedule>().map(|s| s.to_string()), Ok(name.to_owned()));
        }
        assert!("cosin".parse::<Schedule>().unwrap_err().contains("cosine"));
    }
}
