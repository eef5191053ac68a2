//! What a model costs at a resolution: [`lay_out`] lays a description over one, and a [`StageSummary`] says what each stage
//! has, multiplies and gives. Nothing is built.

use crate::description::{Architecture, Layout, ModelCard, ParameterInfo, ParameterSpec};
use crate::error::ZooError;
use crate::trace::{Traced, smallest_side, trace};

/// What a stage costs and gives, for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSummary {
    /// The stage's name.
    pub name: String,
    /// How many numbers its parameters have.
    pub parameters: usize,
    /// How many of them take part at the resolution: taps that reach a pixel, and sums of weights that meet copies of one.
    pub live_parameters: usize,
    /// Multiply-adds of its convolutions, linear layers and attention, counted densely.
    pub multiply_adds: u64,
    /// Those that meet pixels instead of padding, and sums instead of copies.
    pub live_multiply_adds: u64,
    /// Numbers that its convolutions, linear layers, pools and attention put out.
    pub activations: u64,
    /// The most of them that are there at a time where nothing is kept for gradients.
    pub passing: u64,
    /// Height, width and channels of its output; rows have height and width 1, tokens height 1 and their number as width.
    pub output: (usize, usize, usize),
}

impl ModelCard {
    /// Per stage: parameters, multiply-adds and output at a resolution, without building the model.
    ///
    /// # Errors
    /// [`ZooError::TooSmall`] with the smallest resolution that works; [`ZooError::Patches`] with the nearest ones;
    /// [`ZooError::NoClasses`] for no classes.
    pub fn summary(
        &self,
        classes: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<StageSummary>, ZooError> {
        let (architecture, traced) = lay_out(self, classes, height, width)?;
        Ok(summarise(&architecture, &traced))
    }

    /// For each of [`ModelCard::parameters`], how many of its numbers take part at a resolution: those that are stored and trained.
    ///
    /// # Errors
    /// As [`ModelCard::summary`].
    pub fn live_elements(&self, classes: usize, height: usize, width: usize) -> Result<Vec<usize>, ZooError> {
        let (architecture, traced) = lay_out(self, classes, height, width)?;
        let parameters = architecture.parameters.iter().enumerate();
        Ok(parameters.map(|(index, parameter)| stored(index, parameter, &traced[parameter.stage])).collect())
    }

    /// The parameters in the model's order, without building it and without auxiliary heads; position embeddings are those
    /// of the published weights' resolution.
    pub fn parameters(&self, classes: usize) -> Vec<ParameterInfo> {
        infos(self.without_auxiliary(classes))
    }

    /// [`ModelCard::parameters`] with auxiliary heads, as a model is built that trains from scratch.
    pub fn parameters_with_auxiliary(&self, classes: usize) -> Vec<ParameterInfo> {
        infos((self.architecture)(classes))
    }

    /// The parameters that adapters of a rank add behind all others ([`Architecture::adapt`]); none in a model without transformer blocks.
    pub fn adapters(&self, rank: usize) -> Vec<ParameterInfo> {
        let mut architecture = self.without_auxiliary(1);
        let before = architecture.parameters.len();
        architecture.adapt(rank);
        infos(architecture).split_off(before)
    }

    /// The least side in pixels of an image that the model takes, square or not.
    pub fn smallest_side(&self) -> Option<usize> {
        smallest_side(&self.without_auxiliary(1))
    }
}

fn infos(architecture: Architecture) -> Vec<ParameterInfo> {
    let info = |spec: ParameterSpec| ParameterInfo {
        elements: spec.shape.iter().product(),
        name: spec.name,
        stage: spec.stage,
        role: spec.role,
    };
    architecture.parameters.into_iter().map(info).collect()
}

/// The architecture of a model without auxiliary heads, laid over a resolution: its trace there, and position embeddings of
/// that resolution.
///
/// # Errors
/// [`ZooError::TooSmall`], [`ZooError::Patches`], [`ZooError::NoClasses`].
pub fn lay_out(
    card: &ModelCard,
    classes: usize,
    height: usize,
    width: usize,
) -> Result<(Architecture, Vec<Traced>), ZooError> {
    if classes == 0 {
        return Err(ZooError::NoClasses { title: card.title });
    }
    let mut architecture = card.without_auxiliary(classes);
    let traced = traced(card, &mut architecture, height, width)?;
    Ok((architecture, traced))
}

/// [`trace`] with its failure as an error of the model; the architecture takes the position embeddings of the resolution.
///
/// # Errors
/// [`ZooError::TooSmall`] with the smallest resolution that works; [`ZooError::Patches`] with the nearest ones.
pub fn traced(
    card: &ModelCard,
    architecture: &mut Architecture,
    height: usize,
    width: usize,
) -> Result<Vec<Traced>, ZooError> {
    if let Some(patch) = architecture.patch() {
        check_patches(card.title, patch, height, width)?;
    }
    let traced = trace(architecture, height, width).map_err(|failure| ZooError::TooSmall {
        title: card.title,
        height,
        width,
        stage: failure.stage,
        layer: failure.layer,
        map: failure.input,
        smallest: smallest_side(architecture),
    })?;
    traced.iter().for_each(|stage| architecture.place(&stage.grids));
    Ok(traced)
}

/// What each stage costs and gives.
pub fn summarise(architecture: &Architecture, traced: &[Traced]) -> Vec<StageSummary> {
    let stages = architecture.stages.iter().zip(traced).enumerate();
    stages
        .map(|(index, (stage, traced))| StageSummary {
            name: stage.name.to_owned(),
            parameters: architecture
                .parameters
                .iter()
                .filter(|parameter| parameter.stage == index)
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum(),
            live_parameters: live_parameters(architecture, index, traced),
            multiply_adds: traced.multiply_adds,
            live_multiply_adds: traced.live_multiply_adds,
            activations: traced.activations,
            passing: traced.passing,
            output: (traced.output.height, traced.output.width, traced.output.channels),
        })
        .collect()
}

/// How many numbers a stage stores at its resolution, where all that is shrunk and folded that can be.
fn live_parameters(architecture: &Architecture, stage: usize, traced: &Traced) -> usize {
    let own = architecture.parameters.iter().enumerate().filter(|(_, parameter)| parameter.stage == stage);
    own.map(|(index, parameter)| stored(index, parameter, traced)).sum()
}

/// How many numbers of a parameter, by its place, its stage stores.
fn stored(index: usize, parameter: &ParameterSpec, traced: &Traced) -> usize {
    let mut layout = parameter.layout;
    for (_, taps) in traced.live_taps.iter().filter(|(id, _)| id.0 == index) {
        if let Layout::Matrix { live, .. } = &mut layout {
            *live = *taps;
        }
    }
    for fold in traced.folds.iter().filter(|fold| fold.weight.0 == index) {
        layout = fold.layout(layout);
    }
    layout.native_shape(&parameter.shape).iter().product::<usize>()
}

/// That images of this size are cut into whole patches.
///
/// # Errors
/// [`ZooError::Patches`] with the nearest sizes that are.
fn check_patches(title: &'static str, patch: usize, height: usize, width: usize) -> Result<(), ZooError> {
    let whole = |side: usize| side > 0 && side.is_multiple_of(patch);
    if whole(height) && whole(width) {
        return Ok(());
    }
    let below = |side: usize| (side / patch * patch).max(patch);
    let above = |side: usize| side.next_multiple_of(patch).max(patch);
    let nearest = [(below(height), below(width)), (above(height), above(width))];
    Err(ZooError::Patches { title, height, width, patch, nearest })
}
