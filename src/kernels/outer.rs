//! `out = dy^T * x`: the gradient of a matrix product with respect to its weight.

use super::matmul::Onto;
use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{self, Simd};
use crate::kernels::matmul_gpu::{SUBGROUPS, grid, loads_vectors};

kernel_params! {
    pub struct OuterParams { accumulate: u32, }
}

pub static OUTER: Kernel = Kernel {
    name: "outer",
    bindings: &[
        Binding {
            name: "dy",
            access: Access::Read,
        },
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: OuterParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: choose,
    variants,
};

/// Appends `out = dy^T * x`, or `out += …`: `dy` has a column for each row of `out`, `x` one for
/// each of its columns, and both as many rows.
pub fn outer(recording: &mut Recording, dy: &Tensor, x: &Tensor, out: &Tensor, into: Onto) {
    assert_eq!(dy.rows, x.rows, "outer: inner lengths differ");
    assert_eq!(
        (dy.cols, x.cols),
        (out.rows, out.cols),
        "outer: shape of out"
    );
    recording.dispatch(
        &OUTER,
        vec![Some(dy.clone()), Some(x.clone()), Some(out.clone())],
        OuterParams {
            accumulate: (into == Onto::Add).into(),
        },
        (2 * dy.rows * dy.cols * x.cols) as u64,
        (4 * (dy.rows * (dy.cols + x.cols) + out.rows * out.cols)) as u64,
    );
}

/// Columns of the narrower factor up to which its rows are shared out as well.
const NARROW: usize = 32;

fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (dy, x, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(2));
    let variant = if tier.suits_lanes() {
        Variant::portable("outer_lanes", grid(out, 8, 32)).needing(SUBGROUPS)
    } else if out.rows.min(out.cols) <= NARROW {
        narrow(out)
    } else {
        Variant::portable("outer", grid(out, 64, 64))
    };
    if loads_vectors(dy) && loads_vectors(x) {
        variant.flag("VEC4")
    } else {
        variant
    }
}

fn narrow(out: &Tensor) -> Variant {
    let turned = out.rows > out.cols;
    let (narrow, wide) = if turned {
        (out.cols, out.rows)
    } else {
        (out.rows, out.cols)
    };
    let groups = [wide.div_ceil(32) as u32, narrow.div_ceil(16) as u32, 1];
    let variant = Variant::portable("outer_narrow", groups);
    if turned {
        variant.flag("TURNED")
    } else {
        variant
    }
}

fn variants() -> Vec<Variant> {
    let narrow = Variant::portable("outer_narrow", [1; 3]);
    [
        Variant::portable("outer", [1; 3]),
        Variant::portable("outer_lanes", [1; 3]).needing(SUBGROUPS),
        narrow.clone(),
        narrow.flag("TURNED"),
    ]
    .into_iter()
    .flat_map(|shape| [shape.clone(), shape.flag("VEC4")])
    .collect()
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let OuterParams { accumulate } = call.params();
    let job = cpu::outer::Outer {
        dy: call.mat(0),
        x: call.mat(1),
        accumulate: accumulate != 0,
    };
    job.run(team, Simd::best(), &mut call.mat_mut(2));
}
