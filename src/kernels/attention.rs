//! Causal attention over a cache of keys and values, streamed: scores are never stored for more
//! than a tile of keys.
//!
//! Row `i` of `q`, at position `p = positions[i]`, sees cache rows `p - window < j <= p` (all up
//! to `p` where `window` is 0). Query head `h` reads key head `h / (heads / kv_heads)`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::{Access, Binding, DType, Kernel, Recording, Tensor};
use crate::kernel_params;
use crate::kernels::attention_gpu;

kernel_params! {
    pub struct AttentionParams {
        heads: u32,
        kv_heads: u32,
        head_dim: u32,
        window: u32,
        scale: f32,
    }
}

pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    bindings: &[
        Binding {
            name: "q",
            access: Access::Read,
        },
        Binding {
            name: "keys",
            access: Access::Read,
        },
        Binding {
            name: "values",
            access: Access::Read,
        },
        Binding {
            name: "positions",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: AttentionParams::FIELDS,
    cpu: twin,
    gpu: attention_gpu::choose,
    variants: attention_gpu::variants,
};

/// The heads of one layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Keys a query sees, itself included; `None` for all before it.
    pub window: Option<usize>,
    pub scale: f32,
}

/// Appends attention of `q` over the cache. `expected_keys` is how many keys a query will see on
/// average, as far as is known: it only steers profiles and slices.
pub fn attention(
    recording: &mut Recording,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    positions: &Tensor,
    out: &Tensor,
    shape: AttentionShape,
    expected_keys: usize,
) {
    assert_eq!(q.cols, shape.heads * shape.head_dim, "attention: q");
    assert_eq!((out.rows, out.cols), (q.rows, q.cols), "attention: out");
    assert_eq!(
        keys.cols,
        shape.kv_heads * shape.head_dim,
        "attention: keys"
    );
    assert_eq!(
        (values.rows, values.cols),
        (keys.rows, keys.cols),
        "attention: values"
    );
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, q.rows),
        "attention: positions"
    );
    assert_eq!(
        shape.heads % shape.kv_heads,
        0,
        "attention: heads do not group"
    );
    let seen = shape.window.map_or(expected_keys, |w| w.min(expected_keys));
    recording.dispatch(
        &ATTENTION,
        vec![
            Some(q.clone()),
            Some(keys.clone()),
            Some(values.clone()),
            Some(positions.clone()),
            Some(out.clone()),
        ],
        AttentionParams {
            heads: shape.heads as u32,
            kv_heads: shape.kv_heads as u32,
            head_dim: shape.head_dim as u32,
            window: shape.window.unwrap_or(0) as u32,
            scale: shape.scale,
        },
        (4 * q.rows * seen * q.cols) as u64,
        (8 * q.rows * q.cols + 8 * seen * keys.cols) as u64,
    );
}

/// The cache rows a query at `position` sees.
pub(crate) fn visible(position: usize, window: u32) -> std::ops::Range<usize> {
    let end = position + 1;
    let start = if window == 0 {
        0
    } else {
        end.saturating_sub(window as usize)
    };
    start..end
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: AttentionParams = call.params();
    let (q, keys, values) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat::<f32>(2));
    let (positions, mut out) = (call.mat::<u32>(3), call.mat_mut(4));
    let (heads, dim) = (p.heads as usize, p.head_dim as usize);
    let group = heads / p.kv_heads as usize;
    let parts = out.parts();
    team.run(q.rows * heads, |task| {
        let (r, head) = (task / heads, task % heads);
        let query = &q.row(r)[head * dim..][..dim];
        let kv = head / group * dim..(head / group + 1) * dim;
        // SAFETY: each task owns the columns of one head of one row.
        let out = unsafe { parts.cols_mut(r, head * dim..(head + 1) * dim) };
        one_query(
            query,
            visible(positions.row(0)[r] as usize, p.window),
            p.scale,
            out,
            |j| (&keys.row(j)[kv.clone()], &values.row(j)[kv.clone()]),
        );
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
        let score = scale * query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>();
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
