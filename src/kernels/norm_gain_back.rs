//! Gradient of the root-mean-square normalisation with respect to its gain.
//!
//! With `s = 1 / sqrt(mean(x^2) + eps)` and `y = s * x * gain`:
//! `d_gain = the sum over the rows of dy * x * s`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::column_sums::{BLOCK, add_rows, block_groups};
use crate::kernels::cpu::{Simd, rows, rows_back, sum_tiles};
use crate::kernels::norm::{NormParams, grain};

kernel_params! {
    pub struct GainBackParams { block: u32, }
}

/// Writes what a normalisation multiplies each group of a row's columns by.
pub static RMS_SCALES: Kernel = Kernel {
    name: "rms_scales",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "scales",
            access: Access::Write,
        },
    ],
    params: NormParams::FIELDS,
    cpu: scales_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let scales = dispatch.view(1);
        Variant::portable("rms_scales", [scales.cols as u32, scales.rows as u32, 1])
    },
    variants: || vec![Variant::portable("rms_scales", [1; 3])],
};

/// Writes the gradient of each block of rows.
pub static RMS_NORM_GAIN_BACK: Kernel = Kernel {
    name: "rms_norm_gain_back",
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
            name: "dy",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::Write,
        },
    ],
    params: GainBackParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        Variant::portable("rms_norm_gain_back", block_groups(dispatch.view(3)))
    },
    variants: || vec![Variant::portable("rms_norm_gain_back", [1; 3])],
};

/// Appends `d_gain += the gradient of the gain`, where `dy` is that of `norm(x) * gain`.
pub fn rms_norm_gain_back(
    recording: &mut Recording,
    x: &Tensor,
    dy: &Tensor,
    eps: f32,
    d_gain: &Tensor,
) {
    assert_eq!(
        (x.rows, x.cols),
        (dy.rows, dy.cols),
        "rms_norm_gain_back: shape of dy"
    );
    assert_eq!(
        (d_gain.rows, d_gain.cols, d_gain.dtype),
        (1, x.cols, DType::F32),
        "rms_norm_gain_back: shape of d_gain"
    );
    if x.is_empty() {
        return;
    }
    let scales = rms_scales(recording, x, 1, eps);
    let sums = recording.temp(DType::F32, x.rows.div_ceil(BLOCK), x.cols);
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        &RMS_NORM_GAIN_BACK,
        [x, &scales, dy, &sums].map(|t| Some(t.clone())).into(),
        GainBackParams {
            block: BLOCK as u32,
        },
        3 * elements,
        8 * elements,
    );
    add_rows(recording, &sums, d_gain);
}

/// Appends `1 / sqrt(mean(x^2) + eps)` of each of `groups` equal parts of each row, as a row of
/// the result. `x` is not empty.
pub(super) fn rms_scales(rec: &mut Recording, x: &Tensor, groups: usize, eps: f32) -> Tensor {
    let scales = rec.temp(DType::F32, x.rows, groups);
    let elements = (x.rows * x.cols) as u64;
    rec.dispatch(
        &RMS_SCALES,
        vec![Some(x.clone()), Some(scales.clone())],
        NormParams { eps },
        2 * elements,
        4 * elements,
    );
    scales
}

fn scales_twin(team: &Team, mut call: CpuCall<'_>) {
    let NormParams { eps } = call.params();
    let (x, mut scales, simd) = (call.mat::<f32>(0), call.mat_mut(1), Simd::best());
    let width = x.cols / scales.cols;
    team.rows(&mut scales, grain(x.cols), |r, scales| {
        for (scale, x) in scales.iter_mut().zip(x.row(r).chunks_exact(width)) {
            *scale = rows::inverse_rms(simd, x, eps);
        }
    });
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let GainBackParams { block } = call.params();
    let (x, scales, dy) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat::<f32>(2));
    let (block, mut out, simd) = (block as usize, call.mat_mut(3), Simd::best());
    sum_tiles(
        team,
        &mut out,
        |b, cols, sums| {
            for r in b * block..x.rows.min((b + 1) * block) {
                let (x, dy) = (&x.row(r)[cols.clone()], &dy.row(r)[cols.clone()]);
                rows_back::add_product(simd, sums, dy, x, scales.row(r)[0]);
            }
        },
        |out, sums| out.copy_from_slice(sums),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, assert_near, gradient, noise, on_twin};

    /// What `rms_norm` computes with a gain, weighted by `dy`, in 64 bits.
    fn normalised(x: &[f32], gain: &[f64], dy: &[f32], eps: f32) -> f64 {
        let rows = x.chunks_exact(gain.len()).zip(dy.chunks_exact(gain.len()));
        rows.map(|(x, dy)| {
            let squares = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            let scale = 1.0 / (squares / gain.len() as f64 + f64::from(eps)).sqrt();
            let terms = x.iter().zip(dy).zip(gain);
            terms
                .map(|((&x, &d), g)| f64::from(x) * scale * f64::from(d) * g)
                .sum::<f64>()
        })
        .sum()
    }

    #[test]
    fn agrees_with_finite_differences() {
        let eps = 1e-3;
        for (rows, cols) in [(1, 1), (3, 7), (2, 131), (64, 20), (1500, 10)] {
            let (x, dy) = (noise(1, rows * cols), noise(2, rows * cols));
            let (gain, before) = (noise(3, cols), noise(4, cols));
            let mut expected = gradient(&gain, |gain| normalised(&x, gain, &dy, eps));
            for (e, &b) in expected.iter_mut().zip(&before) {
                *e += f64::from(b);
            }
            let inputs = [F32(&x, rows), F32(&dy, rows), F32(&before, 1)];
            let found = on_twin(&inputs, |rec, t| {
                rms_norm_gain_back(rec, &t[0], &t[1], eps, &t[2]);
            });
            assert_near(&found[2], &expected, 1e-5);
        }
    }

    #[test]
    fn thousands_of_wide_rows_agree_with_64_bits() {
        let (rows, cols, eps) = (4000, 300, 1e-5);
        let (x, dy) = (noise(1, rows * cols), noise(2, rows * cols));
        let mut expected = vec![0.0f64; cols];
        for (x, dy) in x.chunks_exact(cols).zip(dy.chunks_exact(cols)) {
            let squares = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            let scale = 1.0 / (squares / cols as f64 + f64::from(eps)).sqrt();
            for ((e, &x), &d) in expected.iter_mut().zip(x).zip(dy) {
                *e += f64::from(d) * f64::from(x) * scale;
            }
        }
        let inputs = [F32(&x, rows), F32(&dy, rows), F32(&vec![0.0; cols], 1)];
        let found = on_twin(&inputs, |rec, t| {
            rms_norm_gain_back(rec, &t[0], &t[1], eps, &t[2]);
        });
        assert_near(&found[2], &expected, 1e-5);
    }
}
