//! The sum of a matrix's rows: the gradient of a bias.
//!
//! Rows are summed in blocks, then the blocks' sums, each in a fixed order: there is work for a
//! whole GPU, the bits are the same every time, and rounding errors stay those of short sums.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows_back, sum_tiles};

/// Rows that are summed at a time.
pub(super) const BLOCK: usize = 64;

kernel_params! {
    pub struct ColumnSumsParams { block: u32, accumulate: u32, }
}

/// Row b of `out` is the sum of the b-th block of rows.
pub static COLUMN_SUMS: Kernel = Kernel {
    name: "column_sums",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: ColumnSumsParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        Variant::portable("column_sums", block_groups(dispatch.view(1)))
    },
    variants: || vec![Variant::portable("column_sums", [1; 3])],
};

/// Appends `out += sum of the rows of dy`.
pub fn column_sums(recording: &mut Recording, dy: &Tensor, out: &Tensor) {
    assert_eq!(
        (out.rows, out.cols, out.dtype),
        (1, dy.cols, DType::F32),
        "column_sums: shape of out"
    );
    if dy.is_empty() {
        return;
    }
    if dy.rows <= BLOCK {
        return add_rows(recording, dy, out);
    }
    let sums = recording.temp(DType::F32, dy.rows.div_ceil(BLOCK), dy.cols);
    dispatch(recording, dy, &sums, BLOCK, false);
    add_rows(recording, &sums, out);
}

/// Appends `out += sum of the rows of x`, of which there are few, in one launch.
pub(super) fn add_rows(recording: &mut Recording, x: &Tensor, out: &Tensor) {
    dispatch(recording, x, out, x.rows, true);
}

fn dispatch(rec: &mut Recording, x: &Tensor, out: &Tensor, block: usize, accumulate: bool) {
    let elements = (x.rows * x.cols) as u64;
    rec.dispatch(
        &COLUMN_SUMS,
        vec![Some(x.clone()), Some(out.clone())],
        ColumnSumsParams {
            block: block as u32,
            accumulate: accumulate.into(),
        },
        elements,
        4 * (elements + (out.rows * out.cols) as u64),
    );
}

/// Workgroups that sum 64 columns each for every row of `out`.
pub(super) fn block_groups(out: &Tensor) -> [u32; 3] {
    [out.cols.div_ceil(64) as u32, out.rows as u32, 1]
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let ColumnSumsParams { block, accumulate } = call.params();
    let (x, mut out) = (call.mat::<f32>(0), call.mat_mut(1));
    let (block, simd) = (block as usize, Simd::best());
    sum_tiles(
        team,
        &mut out,
        |b, cols, sums| {
            for r in b * block..x.rows.min((b + 1) * block) {
                rows_back::add(simd, sums, &x.row(r)[cols.clone()]);
            }
        },
        |out, sums| {
            if accumulate != 0 {
                rows_back::add(simd, out, sums);
            } else {
                out.copy_from_slice(sums);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, assert_near, noise, on_twin};

    #[test]
    fn agrees_with_64_bits() {
        for (rows, cols) in [(1, 1), (64, 300), (65, 257), (700, 64), (5000, 33), (3, 0)] {
            let (dy, before) = (noise(1, rows * cols), noise(2, cols));
            let mut expected: Vec<f64> = before.iter().map(|&b| f64::from(b)).collect();
            for row in dy.chunks_exact(cols.max(1)) {
                for (e, &d) in expected.iter_mut().zip(row) {
                    *e += f64::from(d);
                }
            }
            let inputs = [F32(&dy, rows), F32(&before, 1)];
            let found = on_twin(&inputs, |rec, t| column_sums(rec, &t[0], &t[1]));
            assert_near(&found[1], &expected, 1e-6);
        }
    }
}
