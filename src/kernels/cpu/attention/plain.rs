//! Attention a query at a time.

use super::Attention;
use crate::engine::cpu::Team;
use crate::engine::view::MatMut;

pub fn run(job: &Attention<'_>, team: &Team, out: &mut MatMut<'_>) {
    let (heads, dim, group) = (job.heads, job.head_dim, job.group());
    let parts = out.parts();
    team.run(job.q.rows * heads, |task| {
        let (r, head) = (task / heads, task % heads);
        let query = &job.q.row(r)[head * dim..][..dim];
        let kv = head / group * dim..(head / group + 1) * dim;
        // SAFETY: each task owns the columns of one head of one row.
        let out = unsafe { parts.cols_mut(r, head * dim..(head + 1) * dim) };
        one_query(query, job.visible(r), job.scale, out, |j| {
            (&job.keys.row(j)[kv.clone()], &job.values.row(j)[kv.clone()])
        });
    });
}

/// Softmax attention of one query, rescaling what it has summed whenever a larger score appears.
fn one_query<'a>(
    query: &[f32],
    visible: std::ops::Range<usize>,
    scale: f32,
    out: &mut [f32],
    row: impl Fn(usize) -> (&'a [f32], &'a [f32]),
) {
    let (mut largest, mut total) = (f32::NEG_INFINITY, 0f32);
    out.fill(0.0);
    for j in visible {
        let (key, value) = row(j);
        let score = scale * dot(query, key);
        if score > largest {
            let shrink = (largest - score).exp();
            out.iter_mut().for_each(|v| *v *= shrink);
            total *= shrink;
            largest = score;
        }
        let share = (score - largest).exp();
        total += share;
        out.iter_mut()
            .zip(value)
            .for_each(|(out, v)| *out += share * v);
    }
    out.iter_mut().for_each(|v| *v /= total);
}

/// Sums in 16 lanes so that the compiler can use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
