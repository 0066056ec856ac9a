//! What a pass reads, and what its rows attend to.

use super::{Angles, Cache};
use crate::engine::{DType, Recording, Tensor};
use crate::kernels::rope::scatter_rows;
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
    /// Embeddings that come after the tokens; only where there are several sequences.
    pub suffix: Option<&'a Tensor>,
    /// The numbers 0, 1, …, `1 x sequences`, where the rows are several sequences of one length:
    /// each has its own share of the prefix, then of the tokens, then of the suffix.
    pub sequences: Option<&'a Tensor>,
    /// Position of each row, prefix and tokens: also its row in the cache.
    pub positions: &'a Tensor,
    pub attend: Attend<'a>,
    pub adapter: Option<&'a Adapter>,
    /// Keys a row will see on average, for estimates of the work.
    pub expected_keys: usize,
}

/// Rows by where they stand; `None` where there are none.
#[derive(Clone, Default)]
pub struct Parts {
    pub prefix: Option<Tensor>,
    pub tokens: Option<Tensor>,
    pub suffix: Option<Tensor>,
}

impl Inputs<'_> {
    pub fn rows(&self) -> usize {
        let around = [self.prefix, self.suffix].into_iter().flatten();
        self.ids.cols + around.map(|rows| rows.rows).sum::<usize>()
    }

    /// Rows of each sequence, where there are several.
    pub(super) fn sequence(&self) -> Option<usize> {
        self.sequences.map(|numbers| self.rows() / numbers.cols)
    }

    /// Appends copies of the rows around the tokens and of the tokens' own to where they stand.
    pub(super) fn join(&self, rec: &mut Recording, tokens: &Tensor, all: &Tensor) {
        let Some(numbers) = self.sequences else {
            return;
        };
        let shares = self.shares(numbers, all);
        let parts = [self.prefix, Some(tokens), self.suffix];
        for (part, share) in parts.into_iter().zip(&shares) {
            if let Some(part) = part.filter(|part| part.rows > 0) {
                let each = part.reshape(share.rows, share.cols);
                scatter_rows(rec, &each, numbers, share);
            }
        }
    }

    /// All rows by where they stand.
    pub fn split(&self, rec: &mut Recording, all: &Tensor) -> Parts {
        let before = self.prefix.map_or(0, |p| p.rows);
        let some = |t: Tensor| (t.rows > 0).then_some(t);
        let around = before > 0 || self.suffix.is_some();
        let Some(numbers) = self.sequences.filter(|_| around) else {
            return Parts {
                prefix: some(all.row_range(0..before)),
                tokens: some(all.row_range(before..all.rows)),
                suffix: None,
            };
        };
        let [prefix, tokens, suffix] = self.shares(numbers, all).map(|share| {
            let rows = share.rows * share.cols / all.cols;
            (rows > 0).then(|| {
                let dense = rec.temp(DType::F32, share.rows, share.cols);
                scatter_rows(rec, &share, numbers, &dense);
                dense.reshape(rows, all.cols)
            })
        });
        Parts {
            prefix,
            tokens,
            suffix,
        }
    }

    /// The rows before, of and after the tokens among all, a row of each view for each sequence.
    fn shares(&self, numbers: &Tensor, all: &Tensor) -> [Tensor; 3] {
        let count = numbers.cols;
        let width = |rows: Option<&Tensor>| rows.map_or(0, |rows| rows.rows / count * all.cols);
        let each = all.reshape(count, all.rows * all.cols / count);
        let (first, last) = (width(self.prefix), each.cols - width(self.suffix));
        [0..first, first..last, last..each.cols].map(|cols| each.col_range(cols))
    }
}
