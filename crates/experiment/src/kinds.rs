//! What is the same for trials that differ in numbers alone, found once: [`Kinds`]. A large plan has thousands of trials, and few that
//! have different phases, memory or work.

use crate::trial::{TrainSpec, Trial};

/// Answers by kind of trial. Trials are of one kind where they differ in the seed, in images of the same number of classes, or in numbers of
/// the recipe that neither phases, nor memory, nor work depend on, such as the learning rate.
#[derive(Debug)]
pub struct Kinds<T> {
    known: Vec<(Trial, usize, T)>,
    last: usize,
}

impl<T> Default for Kinds<T> {
    fn default() -> Self {
        Self { known: Vec::new(), last: 0 }
    }
}

impl<T: Clone> Kinds<T> {
    /// The answer for a trial with so many classes, by `find` where its kind was not asked for before.
    pub fn of(&mut self, trial: &Trial, classes: usize, find: impl FnOnce(&Trial) -> T) -> T {
        let is = |(known, of, _): &&(Trial, usize, T)| *of == classes && are_alike(known, trial);
        if let Some((.., answer)) = self.known.get(self.last).filter(is) {
            return answer.clone();
        }
        if let Some(place) = self.known.iter().position(|known| is(&known)) {
            self.last = place;
            return self.known[place].2.clone();
        }
        let answer = find(trial);
        self.last = self.known.len();
        self.known.push((trial.clone(), classes, answer.clone()));
        answer
    }
}

/// Whether two trials are of one kind. Fields that are added later tell kinds apart unless they are named here.
fn are_alike(a: &Trial, b: &Trial) -> bool {
    let Trial {
        id: _,
        model,
        weights,
        strategy,
        seed: _,
        resolution,
        data: _,
        train,
        phases,
        pretraining: _,
        device,
    } = a;
    (model, weights, strategy, resolution, phases, device)
        == (&b.model, &b.weights, &b.strategy, &b.resolution, &b.phases, &b.device)
        && recipes_are_alike(train, &b.train)
}

fn recipes_are_alike(a: &TrainSpec, b: &TrainSpec) -> bool {
    let TrainSpec {
        epochs,
        batch,
        ragged,
        sampling: _,
        accumulate,
        optimizer,
        learning_rate: _,
        momentum,
        nesterov,
        weight_decay: _,
        schedule,
        warmup: _,
        step_every: _,
        step_factor: _,
        label_smoothing: _,
        class_weights: _,
        clip_norm: _,
        dropout,
        stochastic_depth: _,
        head,
        batch_norm,
        recalibrate,
        ema,
        keep,
        patience: _,
        validation_counts: _,
        precision,
        schedule_over,
    } = a;
    (epochs, batch, ragged, optimizer, *momentum > 0.0, nesterov, schedule)
        == (&b.epochs, &b.batch, &b.ragged, &b.optimizer, b.momentum > 0.0, &b.nesterov, &b.schedule)
        && (*accumulate > 1, ema.is_some()) == (b.accumulate > 1, b.ema.is_some())
        && (dropout, head, batch_norm, recalibrate, keep, precision, schedule_over)
            == (&b.dropout, &b.head, &b.batch_norm, &b.recalibrate, &b.keep, &b.precision, &b.schedule_over)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::DataSpec;

    #[test]
    fn what_differs_in_numbers_alone_is_asked_once() {
        let mut kinds = Kinds::default();
        let mut asked = 0;
        let mut of = |trial: &Trial, classes| {
            kinds.of(trial, classes, |trial| {
                asked += 1;
                trial.strategy.clone()
            })
        };
        let trial = Trial { model: "resnet18".to_owned(), ..Trial::default() };
        let mut other =
            Trial { seed: 7, data: DataSpec { per_class: Some(3), ..DataSpec::default() }, ..trial.clone() };
        other.train.learning_rate = 0.5;
        let head = Trial { strategy: "head".to_owned(), ..trial.clone() };
        let told = [&trial, &other, &head, &trial].map(|trial| of(trial, 10));
        assert_eq!(told, ["full", "full", "head", "full"]);
        of(&trial, 3);
        let longer = Trial { train: TrainSpec { epochs: 3, ..TrainSpec::default() }, ..trial.clone() };
        of(&longer, 10);
        assert_eq!(asked, 4);
    }
}
