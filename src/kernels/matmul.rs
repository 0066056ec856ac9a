//! `out = x * weight^T`, over weights of every type: tiled for many rows, a dot product each for
//! few.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::{Access, Binding, Joins, Kernel, Recording, Tensor, Weight};
use crate::kernel_params;
use crate::kernels::cpu::{self, Simd};
use crate::kernels::matmul_gpu;

kernel_params! {
    pub struct MatmulParams { accumulate: u32, }
}

pub static MATMUL: Kernel = Kernel {
    name: "matmul",
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
            name: "bias",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: MatmulParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Alike,
    gpu: matmul_gpu::choose,
    variants: matmul_gpu::variants,
};

/// What happens to what `out` held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    Replace,
    Add,
}

/// Appends `out = x * weight^T + bias`, or `out += …`, once a shard.
pub fn matmul(
    recording: &mut Recording,
    x: &Tensor,
    weight: &Weight,
    bias: Option<&Tensor>,
    out: &Tensor,
    into: Onto,
) {
    let rows = 0..weight.rows;
    matmul_rows(recording, x, weight, rows, bias, out, into);
}

/// As [`matmul`] with only the weight's `rows`, which give the columns of `out`.
pub fn matmul_rows(
    recording: &mut Recording,
    x: &Tensor,
    weight: &Weight,
    rows: std::ops::Range<usize>,
    bias: Option<&Tensor>,
    out: &Tensor,
    into: Onto,
) {
    assert_eq!(
        (x.rows, rows.len()),
        (out.rows, out.cols),
        "matmul: shape of out"
    );
    assert_eq!(x.cols, weight.cols, "matmul: inner lengths differ");
    assert!(bias.is_none_or(|b| b.cols == weight.rows), "matmul: bias");
    for piece in weight.pieces(rows.clone()) {
        let (first, n) = (piece.first_row - rows.start, piece.tensor.rows);
        let bytes = weight.dtype.row_bytes(weight.cols).unwrap_or(0) * n;
        recording.dispatch(
            &MATMUL,
            vec![
                Some(x.clone()),
                Some(piece.tensor),
                bias.map(|b| b.col_range(piece.first_row..piece.first_row + n)),
                Some(out.col_range(first..first + n)),
            ],
            MatmulParams {
                accumulate: (into == Onto::Add).into(),
            },
            (2 * x.rows * n * x.cols) as u64,
            (bytes + 4 * x.rows * (x.cols + n)) as u64,
        );
    }
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let others = call.take_others();
    let (mut jobs, mut outs) = (Vec::new(), Vec::new());
    for mut call in std::iter::once(call).chain(others) {
        let MatmulParams { accumulate } = call.params();
        jobs.push(cpu::matmul::Matmul {
            x: call.mat::<f32>(0),
            weight: call.rows(1),
            bias: call.take(2).map(|view| view.mat::<f32>().row(0)),
            accumulate: accumulate != 0,
        });
        outs.push(call.mat_mut(3));
    }
    cpu::matmul::Matmul::run_all(&jobs, team, Simd::best(), &mut outs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{DType, Device};
    use crate::kernels::random::random_weight;

    /// Three products of the same rows, and two that wait for them: what runs as one job gives the
    /// bits of products run one by one.
    #[test]
    fn products_that_run_as_one_are_those_of_each() {
        for rows in [1, 40] {
            for third in [DType::F32, DType::Q5_K] {
                check_together(rows, third);
            }
        }
    }

    fn check_together(rows: usize, third: DType) {
        let device = Device::cpu(2);
        let (hidden, kinds) = (256, [DType::Q4_1, DType::Q6_K, third]);
        let values: Vec<f32> = (0..rows * hidden)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let x = device.tensor(DType::F32, rows, hidden, "x").unwrap();
        device.write(&x, &values).unwrap();
        let weights = kinds.map(|dtype| {
            let bytes = random_weight(dtype, hidden, hidden, dtype as u64);
            device
                .weight_of(&bytes, dtype, hidden, hidden, "w")
                .unwrap()
        });
        let run = |together: bool| {
            let out = || device.tensor(DType::F32, rows, hidden, "out").unwrap();
            let outs: [Tensor; 5] = std::array::from_fn(|_| out());
            let mut recording = Recording::new();
            for i in 0..5 {
                let from = if i < 3 { &x } else { &outs[i - 3] };
                matmul_rows(
                    &mut recording,
                    from,
                    &weights[i % 3],
                    0..hidden,
                    None,
                    &outs[i],
                    Onto::Add,
                );
                if !together {
                    device.run_once(std::mem::take(&mut recording)).unwrap();
                }
            }
            device.run_once(recording).unwrap();
            outs.map(|out| device.read::<f32>(&out).unwrap())
        };
        let (one, each) = (run(true), run(false));
        assert_eq!(one, each);
        assert!(one.iter().all(|out| out.iter().any(|&v| v != 0.0)));
    }
}
