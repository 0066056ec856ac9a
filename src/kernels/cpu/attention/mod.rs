//! Attention on the processor.
//!
//! With AVX-512 the queries of all heads that share a key head are stacked, so that keys and
//! values are read once for the group, and multiplied with tiles of keys. What a task knows of
//! each row (its largest score, the sum of its shares, the shares times the values) is rescaled
//! whenever a larger score appears, so scores are kept for one tile only. Where there are fewer
//! rows than threads the keys are split between tasks and their results joined. Without AVX-512
//! scores lie transposed, a row for each key (`columns`), as they do for the gradients (`back`).

pub mod back;
mod blocked;
mod columns;
#[cfg(target_arch = "x86_64")]
mod direct;
mod plain;
mod sequences;
mod short;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiled;

use std::ops::Range;

use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut};

use super::product::COLS;
#[cfg(target_arch = "x86_64")]
use super::simd::Floats;
use super::simd::Simd;

/// One attention, as the launch function describes it.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    pub q: Mat<'a, f32>,
    pub keys: Mat<'a, f32>,
    pub values: Mat<'a, f32>,
    /// Position of each row of `q`.
    pub positions: &'a [u32],
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Keys a query sees, itself included; 0 for all before it.
    pub window: u32,
    /// Rows of each sequence, whose keys are the same rows; 0 where all rows are one.
    pub sequence: usize,
    pub scale: f32,
}

impl Attention<'_> {
    /// Attends with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
        assert_eq!((out.rows, out.cols), (self.q.rows, self.q.cols));
        self.check();
        if out.rows == 0 || out.cols == 0 {
            return;
        }
        if self.sequence > 0 {
            return sequences::attend(self, team, simd, out);
        }
        match simd.floats() {
            #[cfg(target_arch = "x86_64")]
            Floats::Avx512 => tiled::run(self, team, out),
            _ if blocked::suits(self, team) => blocked::run(self, team, simd, out),
            _ => plain::run(self, team, simd, out),
        }
    }

    /// Holds the shapes against each other: what the unsafe code relies on.
    fn check(&self) {
        assert_eq!(self.q.cols, self.heads * self.head_dim);
        assert_eq!(self.positions.len(), self.q.rows);
        assert_eq!(self.heads % self.kv_heads, 0);
        if self.sequence > 0 {
            assert_eq!(self.q.rows, self.keys.rows);
            assert!(self.q.rows.is_multiple_of(self.sequence));
        }
        let width = self.kv_heads * self.head_dim;
        let seen = self
            .positions
            .iter()
            .map(|&p| p as usize + 1)
            .max()
            .unwrap_or(0);
        for cache in [&self.keys, &self.values] {
            let reach = if seen == 0 {
                0
            } else {
                (seen - 1) * cache.stride + width
            };
            assert!(cache.cols == width && seen <= cache.rows && reach <= cache.data.len());
        }
    }

    /// Query heads for each key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The cache rows that row `r` of `q` sees.
    fn visible(&self, r: usize) -> Range<usize> {
        let end = self.positions[r] as usize + 1;
        let start = match self.window {
            0 => 0,
            window => end.saturating_sub(window as usize),
        };
        start..end
    }
}

/// Rows in the order of their positions: spans of a document may be given in any order.
fn by_position(positions: &[u32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..positions.len() as u32).collect();
    order.sort_by_key(|&row| positions[row as usize]);
    order
}

/// Some columns of a matrix, to be laid out in scratch memory.
struct Stage<'a> {
    from: &'a Mat<'a, f32>,
    columns: Range<usize>,
    factor: f32,
}

impl Stage<'_> {
    /// Row by row, with zeros up to whole vectors.
    fn rows(&self, rows: Range<usize>, to: &mut [f32]) {
        let width = self.columns.len().next_multiple_of(COLS);
        for (row, to) in rows.zip(to.chunks_exact_mut(width)) {
            let from = &self.from.row(row)[self.columns.clone()];
            let (to, rest) = to.split_at_mut(from.len());
            to.iter_mut()
                .zip(from)
                .for_each(|(to, v)| *to = v * self.factor);
            rest.fill(0.0);
        }
    }

    /// Column by column, each `pitch` after the one before, with zeros behind the last row.
    fn transposed(&self, rows: Range<usize>, to: &mut [f32], pitch: usize) {
        to.fill(0.0);
        for (i, row) in rows.enumerate() {
            let from = &self.from.row(row)[self.columns.clone()];
            for (d, v) in from.iter().enumerate() {
                to[d * pitch + i] = v * self.factor;
            }
        }
    }
}
