//! Several sequences of one launch, each a job of its own.

use std::ops::Range;

use super::back::{BackKv, BackQ, Targets};
use super::{Attention, short};
use crate::engine::cpu::Team;
use crate::engine::view::MatMut;
use crate::kernels::cpu::Simd;

pub fn attend(job: &Attention<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    if short::suits(job, team) {
        return short::attend(job, team, simd, out);
    }
    let out = out.parts();
    each(job, team, |rows, team| {
        // SAFETY: each sequence has rows of its own.
        let mut out = unsafe { out.range(rows.clone()) };
        job.of_sequence(rows).run(team, simd, &mut out);
    });
}

pub fn back_q(
    back: &BackQ<'_>,
    team: &Team,
    simd: Simd,
    stats: &mut MatMut<'_>,
    dq: &mut MatMut<'_>,
) {
    let (stats, dq) = (stats.parts(), dq.parts());
    each(&back.forward, team, |rows, team| {
        // SAFETY: each sequence has rows of its own.
        let (mut stats, mut dq) = unsafe { (stats.range(rows.clone()), dq.range(rows.clone())) };
        of_sequence(back, rows).run(team, simd, &mut stats, &mut dq);
    });
}

pub fn back_kv(
    back: &BackKv<'_>,
    team: &Team,
    simd: Simd,
    dk: &mut MatMut<'_>,
    dv: &mut MatMut<'_>,
) {
    let (dk, dv) = (dk.parts(), dv.parts());
    each(&back.forward, team, |rows, team| {
        // SAFETY: each sequence has rows of its own.
        let (mut dk, mut dv) = unsafe { (dk.range(rows.clone()), dv.range(rows.clone())) };
        BackKv {
            forward: back.forward.of_sequence(rows.clone()),
            d_out: back.d_out.range(rows.clone()),
            stats: back.stats.range(rows),
        }
        .run(team, simd, &mut dk, &mut dv);
    });
}

/// All gradients.
pub fn back(back: &BackQ<'_>, team: &Team, simd: Simd, to: Targets<'_, '_>) {
    if short::suits(&back.forward, team) {
        return short::back(back, team, simd, to);
    }
    let parts = [to.stats, to.dq, to.dk, to.dv].map(MatMut::parts);
    each(&back.forward, team, |rows, team| {
        // SAFETY: each sequence has rows of its own.
        let [mut stats, mut dq, mut dk, mut dv] =
            parts.map(|parts| unsafe { parts.range(rows.clone()) });
        let to = Targets {
            stats: &mut stats,
            dq: &mut dq,
            dk: &mut dk,
            dv: &mut dv,
        };
        of_sequence(back, rows).run_with_kv(team, simd, to);
    });
}

/// Runs `task` on the rows of each sequence, with a thread for itself, or with the team where there
/// are too few sequences to keep every thread at work.
fn each(job: &Attention<'_>, team: &Team, task: impl Fn(Range<usize>, &Team) + Sync) {
    let each = job.sequence;
    let count = job.q.rows / each;
    let rows = |s: usize| s * each..(s + 1) * each;
    if count < 2 * team.threads() {
        (0..count).for_each(|s| task(rows(s), team));
    } else {
        // Work is not cut for threads that are busy elsewhere.
        let alone = Team::new(1);
        team.run(count, |s| task(rows(s), &alone));
    }
}

fn of_sequence<'a>(back: &BackQ<'a>, rows: Range<usize>) -> BackQ<'a> {
    BackQ {
        forward: back.forward.of_sequence(rows.clone()),
        out: back.out.range(rows.clone()),
        d_out: back.d_out.range(rows),
    }
}

impl<'a> Attention<'a> {
    /// The sequence of some rows, by itself.
    fn of_sequence(&self, rows: Range<usize>) -> Attention<'a> {
        Attention {
            q: self.q.range(rows.clone()),
            keys: self.keys.range(rows.clone()),
            values: self.values.range(rows.clone()),
            positions: &self.positions[rows],
            sequence: 0,
            ..*self
        }
    }
}
