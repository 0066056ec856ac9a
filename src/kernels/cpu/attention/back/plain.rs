//! Gradients a query, or a key, at a time.

use super::super::plain::dot;
use super::{BackKv, BackQ};
use crate::engine::cpu::Team;
use crate::engine::view::MatMut;

pub fn queries(back: &BackQ<'_>, team: &Team, stats: &mut MatMut<'_>, dq: &mut MatMut<'_>) {
    let job = &back.forward;
    let (heads, dim) = (job.heads, job.head_dim);
    let (stats, dq) = (stats.parts(), dq.parts());
    team.run(job.q.rows * heads, |task| {
        let (r, head) = (task / heads, task % heads);
        let columns = head * dim..(head + 1) * dim;
        let kv = head / job.group() * dim..(head / job.group() + 1) * dim;
        let query = &job.q.row(r)[columns.clone()];
        let d_out = &back.d_out.row(r)[columns.clone()];
        let delta = dot(d_out, &back.out.row(r)[columns.clone()]);
        // SAFETY: each task owns one head of one row.
        let (stats, dq) = unsafe {
            (
                stats.cols_mut(r, 2 * head..2 * head + 2),
                dq.cols_mut(r, columns),
            )
        };
        let (mut largest, mut total) = (f32::NEG_INFINITY, 0f32);
        dq.fill(0.0);
        for j in job.visible(r) {
            let key = &job.keys.row(j)[kv.clone()];
            let score = job.scale * dot(query, key);
            if score > largest {
                let shrink = (largest - score).exp();
                dq.iter_mut().for_each(|v| *v *= shrink);
                total *= shrink;
                largest = score;
            }
            let share = (score - largest).exp();
            total += share;
            let d_share = dot(d_out, &job.values.row(j)[kv.clone()]);
            add(dq, share * (d_share - delta), key);
        }
        dq.iter_mut().for_each(|v| *v *= job.scale / total);
        stats.copy_from_slice(&[largest + total.ln(), delta]);
    });
}

pub fn keys_and_values(back: &BackKv<'_>, team: &Team, dk: &mut MatMut<'_>, dv: &mut MatMut<'_>) {
    let job = &back.forward;
    let (dim, group) = (job.head_dim, job.group());
    let (dk, dv) = (dk.parts(), dv.parts());
    team.run(job.keys.rows * job.kv_heads, |task| {
        let (j, kv_head) = (task / job.kv_heads, task % job.kv_heads);
        let kv = kv_head * dim..(kv_head + 1) * dim;
        let key = &job.keys.row(j)[kv.clone()];
        let value = &job.values.row(j)[kv.clone()];
        // SAFETY: each task owns one head of one row.
        let (dk, dv) = unsafe { (dk.cols_mut(j, kv.clone()), dv.cols_mut(j, kv)) };
        dk.fill(0.0);
        dv.fill(0.0);
        for r in back.seen_by(&(j..j + 1)) {
            for head in kv_head * group..(kv_head + 1) * group {
                let query = &job.q.row(r)[head * dim..][..dim];
                let d_out = &back.d_out.row(r)[head * dim..][..dim];
                let stats = &back.stats.row(r)[2 * head..][..2];
                let share = (job.scale * dot(query, key) - stats[0]).exp();
                let d_score = share * (dot(d_out, value) - stats[1]) * job.scale;
                add(dk, d_score, query);
                add(dv, share, d_out);
            }
        }
    });
}

/// `sums += factor * values`
fn add(sums: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, v) in sums.iter_mut().zip(values) {
        *sum += factor * v;
    }
}
