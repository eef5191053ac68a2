//! The rules that move parameters: [`OptimizerKind`]. The arithmetic is the kernels'.

/// The rule that moves a parameter, with PyTorch's semantics and, for Adam, its defaults (0.9, 0.999, 1e-8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerKind {
    /// Stochastic gradient descent, dampening 0.
    Sgd {
        /// What is kept of the velocity, in [0, 1).
        momentum: f64,
        /// Whether the gradient looks ahead along the velocity.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015); weight decay joins the gradient.
    Adam,
    /// AdamW (Loshchilov and Hutter 2019); weight decay shrinks the parameter itself.
    AdamW,
}
