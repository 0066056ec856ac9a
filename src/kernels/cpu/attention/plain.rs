//! Attention a query at a time.

use std::ops::Range;

use super::Attention;
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::rows::for_each_level;

/// Keys whose scores are kept at once.
const KEYS: usize = 64;

pub fn run(job: &Attention<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    let (heads, dim, group) = (job.heads, job.head_dim, job.group());
    let parts = out.parts();
    team.run(job.q.rows * heads, |task| {
        let (r, head) = (task / heads, task % heads);
        let query = Query {
            query: &job.q.row(r)[head * dim..][..dim],
            keys: &job.keys,
            values: &job.values,
            columns: head / group * dim..(head / group + 1) * dim,
            visible: job.visible(r),
            scale: job.scale,
        };
        // SAFETY: each task owns the columns of one head of one row.
        let out = unsafe { parts.cols_mut(r, head * dim..(head + 1) * dim) };
        attend(simd, &query, out);
    });
}

pub(super) struct Query<'a> {
    query: &'a [f32],
    keys: &'a Mat<'a, f32>,
    values: &'a Mat<'a, f32>,
    /// Columns of the head in keys and values.
    columns: Range<usize>,
    /// Rows of these.
    visible: Range<usize>,
    scale: f32,
}

for_each_level! {
    /// Softmax attention of one query, rescaling what it has summed whenever a larger score
    /// appears.
    attend = attend_body(query: &Query<'_>, out: &mut [f32])
}

#[inline(always)]
fn attend_body(query: &Query<'_>, out: &mut [f32]) {
    let (mut largest, mut total) = (f32::NEG_INFINITY, 0f32);
    let mut scores = [0f32; KEYS];
    out.fill(0.0);
    for from in query.visible.clone().step_by(KEYS) {
        let keys = from..query.visible.end.min(from + KEYS);
        let scores = &mut scores[..keys.len()];
        let mut most = largest;
        for (score, key) in scores.iter_mut().zip(keys.clone()) {
            let key = &query.keys.row(key)[query.columns.clone()];
            *score = query.scale * dot(query.query, key);
            most = if *score > most { *score } else { most };
        }
        if most > largest {
            let shrink = exp(largest - most);
            out.iter_mut().for_each(|v| *v *= shrink);
            total *= shrink;
            largest = most;
        }
        scores.iter_mut().for_each(|s| *s = exp(*s - largest));
        for (share, key) in scores.iter().zip(keys) {
            total += share;
            let value = &query.values.row(key)[query.columns.clone()];
            out.iter_mut()
                .zip(value)
                .for_each(|(out, v)| *out += share * v);
        }
    }
    out.iter_mut().for_each(|v| *v /= total);
}

/// Sums in 16 lanes so that the compiler can use vectors.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail = a.remainder().iter().zip(b.remainder());
    let rest: f32 = tail.map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
