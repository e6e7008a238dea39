/// A key that a token did not make as it was told to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key does not have an attribute that it was made with.
    #[error("the token made a key without the attribute {0}")]
    Attribute(String),
}
