//! Memory tokens: embeddings that stand before a question in place of the document (GradMem,
//! arXiv 2603.13875).

/// Embeddings of memory tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Prefix {
    /// Memory tokens.
    pub rows: usize,
    pub hidden: usize,
    /// `rows x hidden`
    pub values: Vec<f32>,
}
