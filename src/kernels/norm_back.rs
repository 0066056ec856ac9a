//! Gradient of the root-mean-square normalisation with respect to its input.
//!
//! With `s = 1 / sqrt(mean(x^2) + eps)` and `y = s * x * weight`:
//! `dx = s * weight * dy - s^3 * mean(dy * weight * x) * x`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::{Needs, Variant};
use crate::engine::{Access, Binding, DType, Joins, Kernel, Recording, Tensor};
use crate::kernels::cpu::{Simd, rows_back};
use crate::kernels::matmul::Onto;
use crate::kernels::norm::{NormParams, grain};

/// Writes the gradient.
pub static RMS_NORM_BACK: Kernel = Kernel {
    name: "rms_norm_back",
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
            name: "dy",
            access: Access::Read,
        },
        Binding {
            name: "dx",
            access: Access::ReadWrite,
        },
    ],
    params: NormParams::FIELDS,
    cpu: |team, call| twin(team, call, Onto::Replace),
    cpu_joins: Joins::Nothing,
    gpu: |dispatch, tier| variant(Onto::Replace, tier.subgroups, dispatch.view(0).rows as u32),
    variants: || [false, true].map(|s| variant(Onto::Replace, s, 1)).into(),
};

/// Adds the gradient to `dx`.
pub static RMS_NORM_BACK_ADD: Kernel = Kernel {
    name: "rms_norm_back_add",
    bindings: RMS_NORM_BACK.bindings,
    params: NormParams::FIELDS,
    cpu: |team, call| twin(team, call, Onto::Add),
    cpu_joins: Joins::Nothing,
    gpu: |dispatch, tier| variant(Onto::Add, tier.subgroups, dispatch.view(0).rows as u32),
    variants: || [false, true].map(|s| variant(Onto::Add, s, 1)).into(),
};

/// Appends the gradient of `x`, where `dy` is that of `norm(x) * weight`.
pub fn rms_norm_back(
    recording: &mut Recording,
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    eps: f32,
    dx: &Tensor,
    into: Onto,
) {
    let shape = (x.rows, x.cols);
    assert_eq!(shape, (dy.rows, dy.cols), "rms_norm_back: shape of dy");
    assert_eq!(shape, (dx.rows, dx.cols), "rms_norm_back: shape of dx");
    assert_eq!(
        (weight.cols, weight.dtype),
        (x.cols, DType::F32),
        "rms_norm_back: weight"
    );
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        match into {
            Onto::Replace => &RMS_NORM_BACK,
            Onto::Add => &RMS_NORM_BACK_ADD,
        },
        vec![
            Some(x.clone()),
            Some(weight.clone()),
            Some(dy.clone()),
            Some(dx.clone()),
        ],
        NormParams { eps },
        9 * elements,
        (if into == Onto::Add { 16 } else { 12 }) * elements,
    );
}

/// One workgroup a row.
fn variant(into: Onto, subgroups: bool, rows: u32) -> Variant {
    let mut variant = Variant::portable("rms_norm_back", [1, rows, 1]);
    if into == Onto::Add {
        variant = variant.flag("ADD");
    }
    if subgroups {
        let needs = Needs {
            subgroups: true,
            ..Needs::default()
        };
        variant = variant.flag("SUBGROUPS").needing(needs);
    }
    variant
}

fn twin(team: &Team, mut call: CpuCall<'_>, into: Onto) {
    let NormParams { eps } = call.params();
    let (x, weight, dy) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat::<f32>(2));
    let (weight, mut dx) = (weight.row(0), call.mat_mut(3));
    let simd = Simd::best();
    team.rows(&mut dx, grain(x.cols), |r, dx| match into {
        Onto::Replace => {
            dx.copy_from_slice(dy.row(r));
            rows_back::rms_norm_back(simd, x.row(r), weight, eps, dx);
        }
        Onto::Add => rows_back::rms_norm_back_add(simd, x.row(r), weight, eps, dy.row(r), dx),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, assert_near, gradient, noise, on_twin};

    #[test]
    fn agrees_with_finite_differences() {
        for (rows, cols) in [(1, 1), (3, 7), (2, 64), (2, 131)] {
            let (x, weight) = (noise(1, rows * cols), noise(2, cols));
            let (dy, before) = (noise(3, rows * cols), noise(4, rows * cols));
            let eps = 1e-3;
            let expected = gradient(&x, |x| {
                let rows = x.chunks_exact(cols).zip(dy.chunks_exact(cols));
                rows.map(|(x, dy)| {
                    let mean = x.iter().map(|v| v * v).sum::<f64>() / cols as f64;
                    let scale = 1.0 / (mean + f64::from(eps)).sqrt();
                    let terms = x.iter().zip(dy).zip(&weight);
                    terms
                        .map(|((x, &d), &w)| x * scale * f64::from(d) * f64::from(w))
                        .sum::<f64>()
                })
                .sum()
            });
            let inputs = [
                F32(&x, rows),
                F32(&weight, 1),
                F32(&dy, rows),
                F32(&before, rows),
            ];
            for into in [Onto::Replace, Onto::Add] {
                let found = on_twin(&inputs, |rec, t| {
                    rms_norm_back(rec, &t[0], &t[1], &t[2], eps, &t[3], into);
                });
                let kept = if into == Onto::Add { 1.0 } else { 0.0 };
                let expected: Vec<f64> = expected
                    .iter()
                    .zip(&before)
                    .map(|(e, &b)| e + kept * f64::from(b))
                    .collect();
                assert_near(&found[3], &expected, 1e-5);
            }
        }
    }
}
