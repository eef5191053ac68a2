//! The gates that every operation passes: a naive oracle in double precision, finite differences, equality with the
//! composed path, the same bits for 1, 2 and 3 threads, property tests over shapes, and PyTorch's numbers.

mod concatenation;
mod conv_norm;
mod convolution;
mod golden;
mod harness;
mod layers;
mod layout;
mod modern;
mod normalisation;
mod optimizers;
mod oracle;
mod pooling;
mod refusals;
mod transformers;
mod windows;
