//! Gradients of [`attention`](super::attention) with respect to its queries, and to its keys and
//! values.
//!
//! With scores `S = scale * q . k`, shares `P = exp(S - lse)` and the gradient `d_out` of the
//! output:
//!
//! ```text
//! delta = sum(d_out * out)        dP = d_out . v        dS = P * (dP - delta) * scale
//! dq = sum over keys of dS * k    dk = sum over queries of dS * q
//! dv = sum over queries of P * d_out
//! ```
//!
//! `attention_back_q` alone serves a step on a frozen cache: its rows may lie anywhere in the
//! document. It leaves in `stats` what `attention_back_kv` needs of each row to know its shares
//! without another look at all keys. On the processor the two run as one where the second comes
//! right after the first, and make scores and shares once. Neither adds to what another task
//! writes, so that the same inputs give the same bits.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::{Access, Binding, DType, Joins, Kernel, Recording, Tensor};
use crate::kernels::attention::{AttentionParams, AttentionShape};
use crate::kernels::attention_back_gpu as gpu;
use crate::kernels::cpu::{self, Simd};

/// Values that `stats` holds for each row and head: the logarithm of the sum of the exponentials
/// of its scores, and `delta`.
pub const STATS: usize = 2;

const fn binding(name: &'static str, access: Access) -> Binding {
    Binding { name, access }
}

pub static ATTENTION_BACK_Q: Kernel = Kernel {
    name: "attention_back_q",
    bindings: &[
        binding("q", Access::Read),
        binding("keys", Access::Read),
        binding("values", Access::Read),
        binding("positions", Access::Read),
        binding("out", Access::Read),
        binding("d_out", Access::Read),
        binding("stats", Access::Write),
        binding("dq", Access::ReadWrite),
    ],
    params: AttentionParams::FIELDS,
    cpu: twin_q,
    cpu_joins: Joins::Then(&ATTENTION_BACK_KV),
    gpu: gpu::choose_q,
    variants: gpu::variants_q,
};

pub static ATTENTION_BACK_KV: Kernel = Kernel {
    name: "attention_back_kv",
    bindings: &[
        binding("q", Access::Read),
        binding("keys", Access::Read),
        binding("values", Access::Read),
        binding("positions", Access::Read),
        binding("d_out", Access::Read),
        binding("stats", Access::Read),
        binding("dk", Access::ReadWrite),
        binding("dv", Access::ReadWrite),
    ],
    params: AttentionParams::FIELDS,
    cpu: twin_kv,
    cpu_joins: Joins::Nothing,
    gpu: gpu::choose_kv,
    variants: gpu::variants_kv,
};

/// Appends the gradient with respect to the queries, and writes `stats` (rows x heads * `STATS`).
///
/// Rows may be at any positions. Spans of a document are best laid one after another: rows beside
/// each other that see much the same keys share the reading of them. `expected_keys` is how many
/// keys a query sees on average, as far as is known: it only steers profiles and slices.
pub fn attention_back_q(
    recording: &mut Recording,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    positions: &Tensor,
    out: &Tensor,
    d_out: &Tensor,
    stats: &Tensor,
    dq: &Tensor,
    shape: AttentionShape,
    expected_keys: usize,
) {
    check([q, keys, values, positions, d_out], stats, shape);
    assert_eq!((out.rows, out.cols), (q.rows, q.cols), "attention: out");
    assert_eq!((dq.rows, dq.cols), (q.rows, q.cols), "attention: dq");
    let seen = shape.window.map_or(expected_keys, |w| w.min(expected_keys));
    let sequences = shape.sequence.map_or(1, |rows| q.rows / rows);
    let views = [q, keys, values, positions, out, d_out, stats, dq];
    recording.dispatch(
        &ATTENTION_BACK_Q,
        views.map(|view| Some(view.clone())).to_vec(),
        AttentionParams::from(shape),
        (6 * q.rows * seen * q.cols) as u64,
        (16 * q.rows * q.cols + 8 * seen * sequences * keys.cols) as u64,
    );
}

/// Appends the gradients with respect to the keys and values of every row of the cache, summed
/// over the query heads that share it. `positions` must rise, within each sequence; `stats` is as [`attention_back_q`]
/// leaves it. Keys that no row sees get zeros.
pub fn attention_back_kv(
    recording: &mut Recording,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    positions: &Tensor,
    d_out: &Tensor,
    stats: &Tensor,
    dk: &Tensor,
    dv: &Tensor,
    shape: AttentionShape,
) {
    check([q, keys, values, positions, d_out], stats, shape);
    for gradient in [dk, dv] {
        assert_eq!(
            (gradient.rows, gradient.cols),
            (keys.rows, keys.cols),
            "attention: dk, dv"
        );
    }
    // Half of a full sequence is seen.
    let half = shape.sequence.unwrap_or(q.rows).div_ceil(2);
    let seen = shape.window.map_or(half, |w| w.min(half));
    let views = [q, keys, values, positions, d_out, stats, dk, dv];
    recording.dispatch(
        &ATTENTION_BACK_KV,
        views.map(|view| Some(view.clone())).to_vec(),
        AttentionParams::from(shape),
        (8 * q.rows * seen * q.cols) as u64,
        (8 * q.rows * q.cols + 16 * keys.rows * keys.cols) as u64,
    );
}

fn check(read: [&Tensor; 5], stats: &Tensor, shape: AttentionShape) {
    let [q, keys, values, positions, d_out] = read;
    let (width, kv_width) = (
        shape.heads * shape.head_dim,
        shape.kv_heads * shape.head_dim,
    );
    assert_eq!(q.cols, width, "attention: q");
    assert_eq!(
        (d_out.rows, d_out.cols),
        (q.rows, width),
        "attention: d_out"
    );
    assert_eq!(keys.cols, kv_width, "attention: keys");
    assert_eq!(
        (values.rows, values.cols),
        (keys.rows, kv_width),
        "attention: values"
    );
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, q.rows),
        "attention: positions"
    );
    assert_eq!(
        (stats.rows, stats.cols),
        (q.rows, STATS * shape.heads),
        "attention: stats"
    );
    assert!(
        shape.heads.is_multiple_of(shape.kv_heads),
        "attention: heads do not group"
    );
    shape.check_sequences(q, keys);
}

fn twin_q(team: &Team, mut call: CpuCall<'_>) {
    let job = forward(&mut call);
    let back = cpu::attention::back::BackQ {
        forward: job,
        out: call.mat(4),
        d_out: call.mat(5),
    };
    let (mut stats, mut dq) = (call.mat_mut(6), call.mat_mut(7));
    match call.take_others().first_mut() {
        Some(kv) => {
            let to = cpu::attention::back::Targets {
                stats: &mut stats,
                dq: &mut dq,
                dk: &mut kv.mat_mut(6),
                dv: &mut kv.mat_mut(7),
            };
            back.run_with_kv(team, Simd::best(), to);
        }
        None => back.run(team, Simd::best(), &mut stats, &mut dq),
    }
}

fn twin_kv(team: &Team, mut call: CpuCall<'_>) {
    let job = forward(&mut call);
    let back = cpu::attention::back::BackKv {
        forward: job,
        d_out: call.mat(4),
        stats: call.mat(5),
    };
    let (mut dk, mut dv) = (call.mat_mut(6), call.mat_mut(7));
    back.run(team, Simd::best(), &mut dk, &mut dv);
}

/// What both have in common with the forward pass.
fn forward<'a>(call: &mut CpuCall<'a>) -> cpu::attention::Attention<'a> {
    let p: AttentionParams = call.params();
    cpu::attention::Attention {
        q: call.mat(0),
        keys: call.mat(1),
        values: call.mat(2),
        positions: call.mat::<u32>(3).row(0),
        heads: p.heads as usize,
        kv_heads: p.kv_heads as usize,
        head_dim: p.head_dim as usize,
        window: p.window,
        sequence: p.sequence as usize,
        scale: p.scale,
    }
}
