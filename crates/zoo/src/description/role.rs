//! What a parameter is, without its numbers: [`ParameterInfo`] and its [`Role`].

/// What a parameter does, for strategies that train one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weight of a convolution or a linear layer.
    Weight,
    /// The bias of a convolution or a linear layer.
    Bias,
    /// The scale (gamma) of a norm, or of a branch.
    NormWeight,
    /// The shift (beta) of a norm.
    NormBias,
    /// A class token, registers, position embeddings or position biases.
    Embedding,
}

/// A parameter without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// torchvision's name.
    pub name: String,
    /// The index of its stage.
    pub stage: usize,
    /// What it does.
    pub role: Role,
    /// How many numbers it has.
    pub elements: usize,
}
