//! Gradient of the gain of the per-head normalisation before the rotary position embedding.
//!
//! With `s = 1 / sqrt(mean(x^2) + eps)` of a head and `g` the gradient of the turned head, turned
//! back: `d_gain = the sum over rows and heads of g * x * s`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::column_sums::{BLOCK, add_rows, block_groups};
use crate::kernels::cpu::{Simd, rows_back, with_scratch};
use crate::kernels::norm::grain;
use crate::kernels::norm_gain_back::rms_scales;
use crate::kernels::rope::RopeShape;
use crate::kernels::rope_back::rotate_back;

kernel_params! {
    pub struct RopeGainBackParams {
        heads: u32,
        head_dim: u32,
        interleaved: u32,
        block: u32,
    }
}

/// Writes the gradient of each block of heads, counted through the rows.
pub static ROPE_GAIN_BACK: Kernel = Kernel {
    name: "rope_gain_back",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "scales",
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
            name: "dy",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::Write,
        },
    ],
    params: RopeGainBackParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        Variant::portable("rope_gain_back", block_groups(dispatch.view(5)))
    },
    variants: || vec![Variant::portable("rope_gain_back", [1; 3])],
};

/// Appends `d_gain += the gradient of the gain` that `rope` multiplied every normalised head of
/// `x` by, from `d_out`, the gradient of what it wrote. Row `i` of `x` and `d_out` belongs to
/// `positions[i]`.
pub fn rope_gain_back(
    recording: &mut Recording,
    x: &Tensor,
    angles: &Tensor,
    positions: &Tensor,
    d_out: &Tensor,
    d_gain: &Tensor,
    shape: RopeShape,
) {
    let RopeShape {
        heads, head_dim, ..
    } = shape;
    assert_eq!(x.cols, heads * head_dim, "rope_gain_back: width");
    assert_eq!(
        (x.rows, x.cols),
        (d_out.rows, d_out.cols),
        "rope_gain_back: shapes"
    );
    assert_eq!(angles.cols, head_dim, "rope_gain_back: angles");
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, x.rows),
        "rope_gain_back: positions"
    );
    assert_eq!(
        (d_gain.rows, d_gain.cols, d_gain.dtype),
        (1, head_dim, DType::F32),
        "rope_gain_back: shape of d_gain"
    );
    if x.is_empty() {
        return;
    }
    let scales = rms_scales(recording, x, heads, shape.eps);
    let sums = recording.temp(DType::F32, (x.rows * heads).div_ceil(BLOCK), head_dim);
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        &ROPE_GAIN_BACK,
        [x, &scales, angles, positions, d_out, &sums]
            .map(|t| Some(t.clone()))
            .into(),
        RopeGainBackParams {
            heads: heads as u32,
            head_dim: head_dim as u32,
            interleaved: shape.interleaved.into(),
            block: BLOCK as u32,
        },
        6 * elements,
        8 * elements,
    );
    add_rows(recording, &sums, d_gain);
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: RopeGainBackParams = call.params();
    let [heads, dim, block] = [p.heads, p.head_dim, p.block].map(|v| v as usize);
    let (x, scales, angles) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat::<f32>(2));
    let (positions, dy) = (call.mat::<u32>(3).row(0), call.mat::<f32>(4));
    let (mut out, simd) = (call.mat_mut(5), Simd::best());
    team.rows(&mut out, grain(block * dim), |b, sums| {
        sums.fill(0.0);
        with_scratch(dim, |turned| {
            for i in b * block..(x.rows * heads).min((b + 1) * block) {
                let (r, h) = (i / heads, i % heads);
                let head = h * dim..(h + 1) * dim;
                turned.copy_from_slice(&dy.row(r)[head.clone()]);
                let angles = angles.row(positions[r] as usize);
                rotate_back(turned, angles, p.interleaved != 0);
                rows_back::add_product(simd, sums, turned, &x.row(r)[head], scales.row(r)[h]);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, U32, assert_near, gradient, noise, on_twin};
    use crate::kernels::rope_back::tests::rotated;

    #[test]
    fn agrees_with_finite_differences() {
        for (rows, heads, head_dim, interleaved) in [
            (1, 1, 2, false),
            (3, 3, 10, true),
            (40, 2, 16, false),
            (3, 2, 66, true),
            (700, 3, 8, false),
        ] {
            let shape = RopeShape {
                heads,
                head_dim,
                interleaved,
                eps: 1e-3,
            };
            let positions: Vec<u32> = (0..rows as u32).map(|r| (7 * r + 4) % 5).collect();
            let len = rows * heads * head_dim;
            let (x, dy, before) = (noise(1, len), noise(2, len), noise(3, head_dim));
            let (gain, angles) = (noise(4, head_dim), noise(5, 5 * head_dim));
            let wide_x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let mut expected = gradient(&gain, |gain| {
                rotated(&wide_x, Some(gain), &angles, &positions, &dy, shape)
            });
            for (e, &b) in expected.iter_mut().zip(&before) {
                *e += f64::from(b);
            }
            let inputs = [
                F32(&x, rows),
                F32(&angles, 5),
                U32(&positions),
                F32(&dy, rows),
                F32(&before, 1),
            ];
            let found = on_twin(&inputs, |rec, t| {
                rope_gain_back(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape);
            });
            assert_near(&found[4], &expected, 1e-5);
        }
    }
}
