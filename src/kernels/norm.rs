//! Root-mean-square normalisation: `out = x / sqrt(mean(x^2) + eps) * weight`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::{Needs, Variant};
use crate::engine::{Access, Binding, DType, Joins, Kernel, Recording, Tensor};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows};

kernel_params! {
    /// Parameters of both kernels.
    pub struct NormParams { eps: f32, }
}

/// Writes the normalised rows.
pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
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
    params: NormParams::FIELDS,
    cpu: |team, call| twin(team, call, false),
    cpu_joins: Joins::Nothing,
    gpu: |dispatch, tier| variant(false, tier.subgroups, dispatch.view(0).rows as u32),
    variants: || vec![variant(false, false, 1), variant(false, true, 1)],
};

/// Adds the normalised rows to `out`.
pub static RMS_NORM_ADD: Kernel = Kernel {
    name: "rms_norm_add",
    bindings: RMS_NORM.bindings,
    params: NormParams::FIELDS,
    cpu: |team, call| twin(team, call, true),
    cpu_joins: Joins::Nothing,
    gpu: |dispatch, tier| variant(true, tier.subgroups, dispatch.view(0).rows as u32),
    variants: || vec![variant(true, false, 1), variant(true, true, 1)],
};

/// Appends `out = norm(x) * weight`, or `out += …` where `add`.
pub fn rms_norm(
    recording: &mut Recording,
    x: &Tensor,
    weight: &Tensor,
    eps: f32,
    out: &Tensor,
    add: bool,
) {
    assert_eq!(
        (x.rows, x.cols),
        (out.rows, out.cols),
        "rms_norm: shapes differ"
    );
    assert_eq!(
        (weight.cols, weight.dtype),
        (x.cols, DType::F32),
        "rms_norm: weight"
    );
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        if add { &RMS_NORM_ADD } else { &RMS_NORM },
        vec![Some(x.clone()), Some(weight.clone()), Some(out.clone())],
        NormParams { eps },
        4 * elements,
        (if add { 12 } else { 8 }) * elements,
    );
}

/// One workgroup a row.
fn variant(add: bool, subgroups: bool, rows: u32) -> Variant {
    let mut variant = Variant::portable("rms_norm", [1, rows, 1]);
    if add {
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

fn twin(team: &Team, mut call: CpuCall<'_>, add: bool) {
    let NormParams { eps } = call.params();
    let (x, weight, mut out) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat_mut(2));
    let weight = weight.row(0);
    let simd = Simd::best();
    team.rows(&mut out, grain(x.cols), |r, out| {
        if add {
            rows::rms_norm_add(simd, x.row(r), weight, eps, out);
        } else {
            rows::rms_norm(simd, x.row(r), weight, eps, out);
        }
    });
}

/// Rows of `cols` elements that are worth a task of their own: some 10 microseconds of work.
pub(crate) fn grain(cols: usize) -> usize {
    (16_384 / cols.max(1)).max(1)
}
