//! The families: one file for each line of papers, which only describes its models. Each model is a [`ModelCard`](crate::ModelCard)
//! with a function that writes its architecture.

pub(crate) mod alexnet;
pub(crate) mod inception;
pub(crate) mod resnet;
pub(crate) mod vgg;
pub(crate) mod vit;
