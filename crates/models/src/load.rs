//! Giving a model its weights, strictly: [`Model::load`](crate::Model::load) takes every tensor or none, and lists all
//! that is missing, unexpected or misshapen in one [`Mismatch`]. Only the head may be left out, and is then drawn anew; then a head of
//! other names may be there too, and is passed over.

use std::collections::BTreeSet;

use candle_core::{DType, Tensor};
use frostline_zoo::description::{Architecture, Layout, ParameterSpec, is_adapter};

use crate::error::ModelError;
use crate::mismatch::{Mismatch, Misshapen};
use crate::model::Model;
use crate::names::named;
use crate::positions::square;
use crate::state_dict::StateDict;

/// What happens to the head when weights are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadPolicy {
    /// It must be there and fit, as every other stage: for checkpoints.
    Keep,
    /// It is taken where it fits, and drawn anew where it is missing or of another shape.
    KeepIfFits,
    /// It is drawn anew whatever the weights hold: for transfer to other classes.
    Redraw,
}

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters that took the weights' values.
    pub parameters: usize,
    /// Whether the head was drawn anew from the model's seed.
    pub head_redrawn: bool,
    /// The classes of the head that the weights hold, if they hold one.
    pub head_classes: Option<usize>,
}

/// What a comparison by name and shape found about the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeadFound {
    pub(crate) fits: bool,
    pub(crate) classes: Option<usize>,
    /// Tensors that are no part of the trunk, nor of a head as the model has it.
    pub(crate) passed_over: Vec<String>,
}

/// Compares the names and shapes of a file with an architecture's. Running statistics must be there;
/// `num_batches_tracked` may be absent, since nothing is computed from it. Auxiliary heads may be there where the
/// architecture has none, and are passed over, as torchvision drops them. Where the head may be drawn anew, so are tensors of
/// names that the trunk cannot have: whose first part is that of no tensor of the trunk, or that lie within a module of the head.
pub(crate) fn compare(
    architecture: &Architecture,
    found: &[(&str, &[usize])],
    policy: HeadPolicy,
) -> Result<HeadFound, Mismatch> {
    let mut mismatch = Mismatch::default();
    let mut known = BTreeSet::new();
    let mut head_fits = true;
    let mut classes = None;
    let shape_of = |name: &str| found.iter().find(|(other, _)| *other == name).map(|(_, shape)| *shape);

    let head = architecture.stages.len() - 1;
    for parameter in &architecture.parameters {
        known.insert(parameter.name.clone());
        let shape = shape_of(&parameter.name);
        let shape = shape.map(|shape| if resamples(parameter, shape) { &parameter.shape } else { shape });
        let fits = shape == Some(parameter.shape.as_slice());
        if parameter.stage == head {
            classes = classes.or(shape.and_then(|shape| shape.first().copied()));
            head_fits &= fits;
            if policy != HeadPolicy::Keep {
                continue;
            }
        }
        require(&mut mismatch, &parameter.name, &parameter.shape, shape);
    }
    for norm in &architecture.norms {
        for statistic in ["running_mean", "running_var"] {
            let name = format!("{}.{statistic}", norm.name);
            require(&mut mismatch, &name, &[norm.channels], shape_of(&name));
            known.insert(name);
        }
        let name = format!("{}.num_batches_tracked", norm.name);
        if let Some(shape) = shape_of(&name) {
            require(&mut mismatch, &name, &[], Some(shape));
        }
        known.insert(name);
    }
    let others = found.iter().filter(|(name, _)| !known.contains(*name) && !architecture.is_auxiliary(name));
    let may_differ = |name: &str| policy != HeadPolicy::Keep && is_foreign(architecture, name);
    let (mut passed_over, mut unexpected): (Vec<String>, Vec<String>) =
        others.map(|(name, _)| (*name).to_owned()).partition(|name| may_differ(name));
    passed_over.sort_unstable();
    unexpected.sort_unstable();
    mismatch.unexpected = unexpected;
    if mismatch == Mismatch::default() {
        Ok(HeadFound { fits: head_fits, classes, passed_over })
    } else {
        Err(mismatch)
    }
}

/// Whether a name can be that of another head: it begins as nothing of the trunk does, or lies in a module of this head.
fn is_foreign(architecture: &Architecture, name: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let head = architecture.stages.len() - 1;
    let parameters = || architecture.parameters.iter();
    let norms = architecture.norms.iter().filter(|norm| norm.stage != head).map(|norm| first(&norm.name));
    let of_trunk = parameters().filter(|p| p.stage != head).map(|p| first(&p.name)).chain(norms);
    let in_head = |p: &ParameterSpec| {
        let module = p.name.rsplit_once('.').map_or("", |(module, _)| module);
        p.stage == head && !module.is_empty() && name.starts_with(&format!("{module}."))
    };
    let wanted = first(name);
    of_trunk.into_iter().all(|part| part != wanted) || parameters().any(in_head)
}

/// Whether a tensor of this shape holds the positions of a square grid of patches, which can be resampled.
fn resamples(parameter: &ParameterSpec, shape: &[usize]) -> bool {
    let same = |at: usize| shape.get(at) == parameter.shape.get(at);
    let Layout::Positions { class, .. } = parameter.layout else { return false };
    shape.len() == parameter.shape.len()
        && same(0)
        && same(2)
        && square(shape[1].saturating_sub(usize::from(class))).is_some()
}

fn require(mismatch: &mut Mismatch, name: &str, expected: &[usize], found: Option<&[usize]>) {
    match found {
        None => mismatch.missing.push(name.to_owned()),
        Some(found) if found != expected => mismatch.misshapen.push(Misshapen {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.to_vec(),
        }),
        Some(_) => {}
    }
}

impl Model {
    /// Takes over every tensor of `weights`, or, on an error, none. Names are torchvision's, or those of another library that
    /// the model's family lists, with or without what wrappers such as `DataParallel` put before them. Which parameters are trainable stays as it is. Position embeddings of another number of
    /// patches are resampled from a square grid to the model's, bicubic with antialiasing.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] with all that is missing, unexpected, misshapen or not finite.
    pub fn load(&self, weights: &StateDict, policy: HeadPolicy) -> Result<LoadReport, ModelError> {
        let weights = &self.in_its_names(weights)?;
        let found = names_and_shapes(weights);
        let blame = |mismatch: Mismatch| {
            let (model, origin) = (self.card().title.to_owned(), weights.origin().to_owned());
            Box::new(Mismatch { model, origin, ..mismatch })
        };
        let head = compare(self.architecture(), &found, policy).map_err(blame)?;
        let redraw = policy == HeadPolicy::Redraw || !head.fits;

        let used = weights.iter().filter(|(name, _)| !head.passed_over.iter().any(|other| other == name));
        let unusable = used.filter_map(|(name, tensor)| match usable(name, tensor) {
            Ok(true) => None,
            Ok(false) => Some(Ok(name.to_owned())),
            Err(error) => Some(Err(error)),
        });
        let unusable = unusable.collect::<candle_core::Result<Vec<_>>>()?;
        if !unusable.is_empty() {
            return Err(blame(Mismatch { unusable, ..Mismatch::default() }).into());
        }

        let mut parameters = 0;
        for parameter in self.parameters() {
            if redraw && parameter.stage() == self.head() {
                parameter.redraw(self.streams())?;
            } else if let Some(tensor) = weights.get(parameter.name()) {
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                parameter.set_resampled(values, tensor.dims())?;
                parameters += 1;
            }
        }
        for norm in self.norms() {
            let statistic = |part: &str| weights.get(&format!("{}.{part}", norm.name()));
            if let (Some(mean), Some(variance)) = (statistic("running_mean"), statistic("running_var")) {
                norm.set_statistics(&mean.to_device(self.device())?, &variance.to_device(self.device())?)?;
            }
            let batches = statistic("num_batches_tracked").map(Tensor::to_scalar::<i64>).transpose()?;
            norm.set_batches_tracked(batches.unwrap_or(0));
        }
        Ok(LoadReport { parameters, head_redrawn: redraw, head_classes: head.classes })
    }

    fn in_its_names(&self, weights: &StateDict) -> candle_core::Result<StateDict> {
        let known = named(self.architecture(), &names_and_shapes(weights)).tensors;
        let mut dict = StateDict::new(weights.origin());
        for ((_, tensor), (name, shape)) in weights.iter().zip(known) {
            dict.insert(name, tensor.reshape(shape)?);
        }
        Ok(dict)
    }

    /// Every parameter and statistic in torchvision's names, shapes and element order, on the CPU; adapters are in the weights of their
    /// layers.
    ///
    /// # Errors
    /// Where a tensor cannot be read from its device.
    pub fn state_dict(&self) -> Result<StateDict, ModelError> {
        let mut dict = StateDict::new(self.name());
        for parameter in self.parameters().iter().filter(|parameter| !is_adapter(parameter.name())) {
            dict.insert(parameter.name(), parameter.torch_values()?);
        }
        for (place, weight) in self.merged()? {
            dict.insert(self.parameters()[place].name(), weight);
        }
        for norm in self.norms() {
            for (part, tensor) in
                [("running_mean", norm.running_mean()), ("running_var", norm.running_variance())]
            {
                dict.insert(
                    format!("{}.{part}", norm.name()),
                    tensor.to_device(&candle_core::Device::Cpu)?.copy()?,
                );
            }
            let batches = Tensor::new(norm.batches_tracked(), &candle_core::Device::Cpu)?;
            dict.insert(format!("{}.num_batches_tracked", norm.name()), batches);
        }
        Ok(dict)
    }
}

impl Model {
    /// [`Model::state_dict`] without the last stage: what another task takes over of this one.
    ///
    /// # Errors
    /// Where a tensor cannot be read from its device.
    pub fn trunk_state_dict(&self) -> Result<StateDict, ModelError> {
        let mut dict = self.state_dict()?;
        for parameter in self.parameters().iter().filter(|parameter| parameter.stage() == self.head()) {
            dict.remove(parameter.name());
        }
        for norm in self.norms().iter().filter(|norm| norm.stage() == self.head()) {
            for part in ["running_mean", "running_var", "num_batches_tracked"] {
                dict.remove(&format!("{}.{part}", norm.name()));
            }
        }
        Ok(dict)
    }
}

fn names_and_shapes(weights: &StateDict) -> Vec<(&str, &[usize])> {
    weights.iter().map(|(name, tensor)| (name, tensor.dims())).collect()
}

/// Whether a tensor has the type its name asks for, and finite values.
fn usable(name: &str, tensor: &Tensor) -> candle_core::Result<bool> {
    if name.ends_with(".num_batches_tracked") {
        return Ok(tensor.dtype() == DType::I64);
    }
    if tensor.dtype() != DType::F32 {
        return Ok(false);
    }
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite()))
}
