//! The gate of the MLP: `activation(gate) * up`, in place of `gate` or elsewhere.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows};
use crate::kernels::norm::grain;

kernel_params! {
    pub struct GatedParams { activation: u32, }
}

/// The gate's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// SiLU: `x / (1 + exp(-x))`.
    Silu,
    /// GELU by its tanh approximation: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
}

pub static GATED: Kernel = Kernel {
    name: "gated",
    bindings: &[
        Binding {
            name: "gate",
            access: Access::ReadWrite,
        },
        Binding {
            name: "up",
            access: Access::Read,
        },
    ],
    params: GatedParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let gate = dispatch.view(0);
        Variant::portable(
            "gated",
            [gate.cols.div_ceil(256) as u32, gate.rows as u32, 1],
        )
    },
    variants: || vec![Variant::portable("gated", [1; 3])],
};

/// Leaves `gate` as it is: the gradient needs it.
pub static GATED_INTO: Kernel = Kernel {
    name: "gated_into",
    bindings: &[
        Binding {
            name: "gate",
            access: Access::Read,
        },
        Binding {
            name: "up",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: GatedParams::FIELDS,
    cpu: twin_into,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let out = dispatch.view(2);
        let groups = [out.cols.div_ceil(256) as u32, out.rows as u32, 1];
        Variant::portable("gated", groups).flag("INTO")
    },
    variants: || vec![Variant::portable("gated", [1; 3]).flag("INTO")],
};

/// Appends `gate = activation(gate) * up`.
pub fn gated(recording: &mut Recording, gate: &Tensor, up: &Tensor, activation: Activation) {
    assert_eq!(
        (gate.rows, gate.cols),
        (up.rows, up.cols),
        "gated: shapes differ"
    );
    let elements = (gate.rows * gate.cols) as u64;
    recording.dispatch(
        &GATED,
        vec![Some(gate.clone()), Some(up.clone())],
        GatedParams {
            activation: activation as u32,
        },
        8 * elements,
        12 * elements,
    );
}

/// Appends `out = activation(gate) * up`.
pub fn gated_into(
    recording: &mut Recording,
    gate: &Tensor,
    up: &Tensor,
    out: &Tensor,
    activation: Activation,
) {
    let shape = (gate.rows, gate.cols);
    assert_eq!(shape, (up.rows, up.cols), "gated_into: shape of up");
    assert_eq!(shape, (out.rows, out.cols), "gated_into: shape of out");
    let elements = (gate.rows * gate.cols) as u64;
    recording.dispatch(
        &GATED_INTO,
        vec![Some(gate.clone()), Some(up.clone()), Some(out.clone())],
        GatedParams {
            activation: activation as u32,
        },
        8 * elements,
        12 * elements,
    );
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: GatedParams = call.params();
    let (mut gate, up) = (call.mat_mut(0), call.mat::<f32>(1));
    let simd = Simd::best();
    team.rows(&mut gate, grain(up.cols), |r, gate| {
        apply(simd, p.activation, gate, up.row(r));
    });
}

fn twin_into(team: &Team, mut call: CpuCall<'_>) {
    let p: GatedParams = call.params();
    let (gate, up, mut out) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat_mut(2));
    let simd = Simd::best();
    team.rows(&mut out, grain(up.cols), |r, out| {
        out.copy_from_slice(gate.row(r));
        apply(simd, p.activation, out, up.row(r));
    });
}

fn apply(simd: Simd, activation: u32, gate: &mut [f32], up: &[f32]) {
    if activation == Activation::Silu as u32 {
        rows::silu_gate(simd, gate, up);
    } else {
        rows::gelu_tanh_gate(simd, gate, up);
    }
}
