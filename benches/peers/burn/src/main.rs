//! burn's side of the comparison with peers: torchvision's models from burn's layers, on its CPU backend Flex, timed when
//! asked. Its threads are rayon's: `RAYON_NUM_THREADS`.

mod models;
#[path = "../../protocol.rs"]
mod protocol;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Int, Tensor};
use models::Model;
use protocol::{Failure, serve};

/// As in `worker.rs`; burn is faster with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const CLASSES: usize = 10;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, resolution, what] = &arguments[..] else {
        return Err("usage: burn_worker MODEL RESOLUTION full|head|inference".into());
    };
    let mut work = Work::new(model, resolution.parse()?, what)?;
    serve(|| {
        std::hint::black_box(work.step(1e-5));
        Ok(())
    })
}

/// A piece of work that can be done again and again.
struct Work {
    strategy: Strategy,
    /// None only while a step has it: the optimizer takes a module and gives it back.
    model: Option<Model>,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    loss: CrossEntropyLoss,
    optimizer: ModuleOptimizer,
}

#[derive(Clone, Copy)]
enum Strategy {
    Full,
    Head,
    Inference,
}

impl Work {
    fn new(model: &str, side: usize, what: &str) -> Result<Self, Failure> {
        let strategy = match what {
            "full" => Strategy::Full,
            "head" => Strategy::Head,
            "inference" => Strategy::Inference,
            _ => return Err(format!("no strategy: {what}").into()),
        };
        let plain = Device::flex();
        plain.seed(0);
        let training = plain.clone().autodiff();
        let mut model = Model::new(model, CLASSES, &training).ok_or("no such model")?;
        // In evaluation mode, and outside of autodiff: this is faster than a trunk that asks for no gradients within.
        match strategy {
            Strategy::Full => {}
            Strategy::Head => model.trunk = model.trunk.no_grad().valid(),
            Strategy::Inference => model = model.valid(),
        }
        let device = if matches!(strategy, Strategy::Full) { &training } else { &plain };
        Ok(Self {
            strategy,
            model: Some(model),
            images: Tensor::random([BATCH, 3, side, side], Distribution::Normal(0.0, 1.0), device),
            labels: Tensor::arange(0..BATCH as i64, &training).remainder_scalar(CLASSES as i64),
            loss: CrossEntropyLossConfig::new().init(&training),
            optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
        })
    }

    /// The loss of a training step before its update, or an inference pass's logits.
    fn step(&mut self, learning_rate: f64) -> Tensor<1> {
        let images = self.images.clone();
        let mut model = self.model.take().expect("a step puts it back");
        let logits = match self.strategy {
            Strategy::Head => model.head.forward(model.trunk.forward(images).autodiff()),
            Strategy::Full | Strategy::Inference => model.forward(images),
        };
        if let Strategy::Inference = self.strategy {
            self.model = Some(model);
            return logits.flatten(0, 1);
        }
        let loss = self.loss.forward(logits, self.labels.clone());
        let gradients = loss.backward();
        if let Strategy::Head = self.strategy {
            let gradients = GradientsParams::from_grads(gradients, &model.head);
            model.head = self.optimizer.step(learning_rate, model.head, gradients);
        } else {
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = self.optimizer.step(learning_rate, model, gradients);
        }
        self.model = Some(model);
        loss.inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{ModuleVisitor, Param};

    /// Counts what trains; burn's own count has the running statistics as well.
    struct Trained(usize);

    impl ModuleVisitor for Trained {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if parameter.val().is_require_grad() {
                self.0 += parameter.val().shape().num_elements();
            }
        }
    }

    fn trained(work: &Work) -> usize {
        let mut trained = Trained(0);
        work.model.as_ref().unwrap().visit(&mut trained);
        trained.0
    }

    #[test]
    fn all_of_torchvisions_parameters_train() {
        for (model, side, parameters, head) in
            [("resnet18", 32, 11_181_642, 5_130), ("alexnet", 64, 57_044_810, 40_970)]
        {
            assert_eq!(trained(&Work::new(model, side, "full").unwrap()), parameters, "{model}");
            assert_eq!(trained(&Work::new(model, side, "head").unwrap()), head, "{model}");
            assert_eq!(trained(&Work::new(model, side, "inference").unwrap()), 0, "{model}");
        }
    }

    #[test]
    fn the_loss_falls() {
        // AlexNet has no normalisation: at 1e-3 its loss on noise goes up before it goes down.
        for (model, side, what, rate) in
            [("resnet18", 32, "full", 1e-3), ("resnet18", 32, "head", 1e-3), ("alexnet", 64, "full", 1e-4)]
        {
            let mut work = Work::new(model, side, what).unwrap();
            let losses: Vec<f32> = (0..11).map(|_| work.step(rate).into_scalar::<f32>()).collect();
            println!("{model} {what}: {losses:?}");
            assert!(losses[10] < losses[0], "{model} {what}: {losses:?}");
        }
    }
}
