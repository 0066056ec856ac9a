//! What a pass reads, and what its rows attend to.

use super::{Angles, Cache};
use crate::engine::Tensor;
use crate::model::adapter::Adapter;

/// Where a pass finds keys and values.
#[derive(Clone, Copy)]
pub enum Attend<'a> {
    /// Those of the cache, to which the rows' own are added first.
    Cache(&'a Cache),
    /// Those of the cache as it is, the rows' own positions included. They are constants: the pass
    /// makes none.
    Frozen(&'a Cache),
    /// Those of the rows themselves, which are the positions `0..rows`.
    Rows(&'a Angles),
}

impl<'a> Attend<'a> {
    /// The angles of every row's position.
    pub(super) fn angles(self) -> &'a Angles {
        match self {
            Attend::Cache(cache) | Attend::Frozen(cache) => &cache.angles,
            Attend::Rows(angles) => angles,
        }
    }
}

/// What a recorded pass reads.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Token ids, `1 x tokens`.
    pub ids: &'a Tensor,
    /// Embeddings that come before the tokens, `prefix rows x hidden`.
    pub prefix: Option<&'a Tensor>,
    /// Position of each row, prefix and tokens: also its row in the cache.
    pub positions: &'a Tensor,
    pub attend: Attend<'a>,
    pub adapter: Option<&'a Adapter>,
    /// Keys a row will see on average, for estimates of the work.
    pub expected_keys: usize,
}

impl Inputs<'_> {
    pub fn rows(&self) -> usize {
        self.ids.cols + self.prefix.map_or(0, |p| p.rows)
    }
}
