//! Causal attention over a cache of keys and values, streamed: scores are never stored for more
//! than a tile of keys.
//!
//! Row `i` of `q`, at position `p = positions[i]`, sees cache rows `p - window < j <= p` (all up
//! to `p` where `window` is 0). Query head `h` reads key head `h / (heads / kv_heads)`.
//!
//! Rows may be several sequences of `sequence` rows each, one after the other: positions and cache
//! rows then count within a row's own.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::{Access, Binding, DType, Joins, Kernel, Recording, Tensor};
use crate::kernel_params;
use crate::kernels::attention_gpu;
use crate::kernels::cpu::{self, Simd};

kernel_params! {
    pub struct AttentionParams {
        heads: u32,
        kv_heads: u32,
        head_dim: u32,
        window: u32,
        // 0 where all rows are one.
        sequence: u32,
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
    cpu_joins: Joins::Nothing,
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
    /// Rows of each sequence, where the rows are several sequences one after the other: positions
    /// then count within a row's own sequence, whose keys and values are the same rows. `None`
    /// where all rows attend to all of the keys.
    pub sequence: Option<usize>,
    pub scale: f32,
}

impl From<AttentionShape> for AttentionParams {
    fn from(shape: AttentionShape) -> Self {
        AttentionParams {
            heads: shape.heads as u32,
            kv_heads: shape.kv_heads as u32,
            head_dim: shape.head_dim as u32,
            window: shape.window.unwrap_or(0) as u32,
            sequence: shape.sequence.unwrap_or(0) as u32,
            scale: shape.scale,
        }
    }
}

impl AttentionShape {
    /// Holds that queries and keys are the rows of whole sequences, where they are of sequences.
    pub(super) fn check_sequences(&self, q: &Tensor, keys: &Tensor) {
        if let Some(rows) = self.sequence {
            assert_eq!(q.rows, keys.rows, "attention: rows and keys of sequences");
            assert!(
                rows > 0 && q.rows.is_multiple_of(rows),
                "attention: rows are no whole sequences"
            );
        }
    }
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
    shape.check_sequences(q, keys);
    let seen = shape.window.map_or(expected_keys, |w| w.min(expected_keys));
    let sequences = shape.sequence.map_or(1, |rows| q.rows / rows);
    recording.dispatch(
        &ATTENTION,
        vec![
            Some(q.clone()),
            Some(keys.clone()),
            Some(values.clone()),
            Some(positions.clone()),
            Some(out.clone()),
        ],
        AttentionParams::from(shape),
        (4 * q.rows * seen * q.cols) as u64,
        (8 * q.rows * q.cols + 8 * seen * sequences * keys.cols) as u64,
    );
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: AttentionParams = call.params();
    let job = cpu::attention::Attention {
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
    };
    job.run(team, Simd::best(), &mut call.mat_mut(4));
}
