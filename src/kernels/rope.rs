//! Rotary position embedding, with the per-head normalisation some models put before it.
//!
//! Rotates each head's pairs by the angles of its row's position. Pairs are `(i, i + d/2)`, or
//! `(2i, 2i + 1)` where `interleaved`. With `scatter`, row `i` lands on row `positions[i]` of the
//! output: that is how keys enter the cache.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::view::MatMut;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows};
use crate::kernels::norm::grain;

kernel_params! {
    pub struct RopeParams {
        heads: u32,
        head_dim: u32,
        interleaved: u32,
        scatter: u32,
        eps: f32,
    }
}

pub static ROPE: Kernel = Kernel {
    name: "rope",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "norm",
            access: Access::Read,
        },
        Binding {
            name: "angles",
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
    params: RopeParams::FIELDS,
    cpu: rope_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let params: RopeParams = dispatch.params();
        Variant::portable("rope", [params.heads, dispatch.view(0).rows as u32, 1])
    },
    variants: || vec![Variant::portable("rope", [1; 3])],
};

/// Copies row `i` to row `positions[i]`: that is how values enter the cache.
pub static SCATTER_ROWS: Kernel = Kernel {
    name: "scatter_rows",
    bindings: &[
        Binding {
            name: "x",
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
    params: &[],
    cpu: scatter_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let x = dispatch.view(0);
        Variant::portable(
            "scatter_rows",
            [x.cols.div_ceil(256) as u32, x.rows as u32, 1],
        )
    },
    variants: || vec![Variant::portable("scatter_rows", [1; 3])],
};

/// How one model rotates.
#[derive(Clone, Copy, Debug)]
pub struct RopeShape {
    pub heads: usize,
    pub head_dim: usize,
    pub interleaved: bool,
    pub eps: f32,
}

/// Appends the rotation of `x` into `out`. `angles` holds, for each position, the cosines of
/// `head_dim / 2` angles and then their sines. `norm` is the per-head normalisation's weight.
pub fn rope(
    recording: &mut Recording,
    x: &Tensor,
    norm: Option<&Tensor>,
    angles: &Tensor,
    positions: &Tensor,
    out: &Tensor,
    shape: RopeShape,
    scatter: bool,
) {
    assert_eq!(x.cols, shape.heads * shape.head_dim, "rope: width");
    assert_eq!(
        (out.cols, angles.cols),
        (x.cols, shape.head_dim),
        "rope: width"
    );
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, x.rows),
        "rope: positions"
    );
    assert!(scatter || out.rows == x.rows, "rope: rows");
    assert!(norm.is_none_or(|n| n.cols == shape.head_dim), "rope: norm");
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        &ROPE,
        vec![
            Some(x.clone()),
            norm.cloned(),
            Some(angles.clone()),
            Some(positions.clone()),
            Some(out.clone()),
        ],
        RopeParams {
            heads: shape.heads as u32,
            head_dim: shape.head_dim as u32,
            interleaved: shape.interleaved.into(),
            scatter: scatter.into(),
            eps: shape.eps,
        },
        6 * elements,
        8 * elements,
    );
}

/// Appends `out[positions[i]] = x[i]`.
pub fn scatter_rows(recording: &mut Recording, x: &Tensor, positions: &Tensor, out: &Tensor) {
    assert_eq!(x.cols, out.cols, "scatter_rows: width");
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, x.rows),
        "scatter_rows: positions"
    );
    recording.dispatch(
        &SCATTER_ROWS,
        vec![Some(x.clone()), Some(positions.clone()), Some(out.clone())],
        [0u32; 0],
        0,
        (8 * x.rows * x.cols) as u64,
    );
}

fn rope_twin(team: &Team, mut call: CpuCall<'_>) {
    let p: RopeParams = call.params();
    let dim = p.head_dim as usize;
    let x = call.mat::<f32>(0);
    let norm = call.take(1).map(|view| view.mat::<f32>().row(0));
    let (angles, positions, mut out) = (call.mat::<f32>(2), call.mat::<u32>(3), call.mat_mut(4));
    let (positions, simd) = (positions.row(0), Simd::best());
    to_rows(
        team,
        x.rows,
        (p.scatter != 0).then_some(positions),
        &mut out,
        |r, out| {
            let angles = angles.row(positions[r] as usize);
            for (head, out) in x.row(r).chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
                match norm {
                    Some(norm) => rows::rms_norm(simd, head, norm, p.eps, out),
                    None => out.copy_from_slice(head),
                }
                rotate(out, angles, p.interleaved != 0);
            }
        },
    );
}

fn rotate(head: &mut [f32], angles: &[f32], interleaved: bool) {
    let half = head.len() / 2;
    let (cos, sin) = angles.split_at(half);
    if interleaved {
        for ((pair, &c), &s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
            (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
        }
    } else {
        let (low, high) = head.split_at_mut(half);
        for (((a, b), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
            (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
        }
    }
}

/// Calls `work` with each of `rows` and the row of `out` it goes to: its own number, or its
/// position's where there are `positions`.
fn to_rows(
    team: &Team,
    rows: usize,
    positions: Option<&[u32]>,
    out: &mut MatMut<'_>,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let target = |r: usize| positions.map_or(r, |positions| positions[r] as usize);
    // Positions that rise name each row once, so that threads can share the work.
    if !positions.is_none_or(|positions| positions.is_sorted_by(|a, b| a < b)) {
        (0..rows).for_each(|r| work(r, out.row_mut(target(r))));
        return;
    }
    let grain = grain(out.cols);
    let parts = out.parts();
    team.ranges(rows, grain, |range| {
        for r in range {
            // SAFETY: no two rows have the same target.
            work(r, unsafe { parts.row_mut(target(r)) });
        }
    });
}

fn scatter_twin(team: &Team, mut call: CpuCall<'_>) {
    let (x, positions, mut out) = (call.mat::<f32>(0), call.mat::<u32>(1), call.mat_mut(2));
    to_rows(team, x.rows, Some(positions.row(0)), &mut out, |r, out| {
        out.copy_from_slice(x.row(r));
    });
}
