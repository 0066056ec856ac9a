//! `dx = dy * weight`, the gradient of [`matmul`](super::matmul) with respect to its input, over
//! weights of every type.

use std::ops::Range;

use super::matmul::Onto;
use crate::engine::cpu::{CpuCall, Team};
use crate::engine::{Access, Binding, Joins, Kernel, Recording, Tensor, Weight};
use crate::kernel_params;
use crate::kernels::cpu::{self, Simd};
use crate::kernels::matmul_gpu;

kernel_params! {
    pub struct MatmulBackParams { accumulate: u32, }
}

/// Its shaders are those of the matrix product, where `x` is what is multiplied with the weight.
pub static MATMUL_BACK: Kernel = Kernel {
    name: "matmul_back",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "weight",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: MatmulBackParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: matmul_gpu::choose_back,
    variants: matmul_gpu::variants_back,
};

/// Appends `dx = dy * weight`, or `dx += …`: once a shard, of which the later ones add.
pub fn matmul_back(
    recording: &mut Recording,
    dy: &Tensor,
    weight: &Weight,
    dx: &Tensor,
    into: Onto,
) {
    matmul_back_rows(recording, dy, weight, 0..weight.rows, dx, into);
}

/// As [`matmul_back`] with only the weight's `rows`, to which the columns of `dy` belong.
pub fn matmul_back_rows(
    recording: &mut Recording,
    dy: &Tensor,
    weight: &Weight,
    rows: Range<usize>,
    dx: &Tensor,
    into: Onto,
) {
    assert_eq!(
        (dy.rows, weight.cols),
        (dx.rows, dx.cols),
        "matmul_back: shape of dx"
    );
    assert_eq!(dy.cols, rows.len(), "matmul_back: inner lengths differ");
    assert!(!rows.is_empty(), "matmul_back: no rows of the weight");
    for piece in weight.pieces(rows.clone()) {
        let (first, n) = (piece.first_row - rows.start, piece.tensor.rows);
        let bytes = weight.dtype.row_bytes(weight.cols).unwrap_or(0) * n;
        recording.dispatch(
            &MATMUL_BACK,
            vec![
                Some(dy.col_range(first..first + n)),
                Some(piece.tensor),
                Some(dx.clone()),
            ],
            MatmulBackParams {
                accumulate: (into == Onto::Add || first > 0).into(),
            },
            (2 * dy.rows * n * weight.cols) as u64,
            (bytes + 4 * dy.rows * (n + weight.cols)) as u64,
        );
    }
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let MatmulBackParams { accumulate } = call.params();
    let job = cpu::matmul_back::MatmulBack {
        dy: call.mat(0),
        weight: call.rows(1),
        accumulate: accumulate != 0,
    };
    job.run(team, Simd::best(), &mut call.mat_mut(2));
}
