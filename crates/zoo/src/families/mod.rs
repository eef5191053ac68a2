//! The families: one file for each line of papers, which only describes its models. Each model is a [`ModelCard`](crate::ModelCard)
//! with a function that writes its architecture.

pub(crate) mod alexnet;
pub(crate) mod convnext;
pub(crate) mod densenet;
pub(crate) mod inception;
pub(crate) mod mobile;
pub(crate) mod regnet;
pub(crate) mod resnet;
pub(crate) mod swin;
pub(crate) mod towers;
pub(crate) mod vgg;
pub(crate) mod vit;
