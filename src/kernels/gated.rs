//! The gate of the MLP: `gate = activation(gate) * up`, in place.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, Dispatch, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows};
use crate::kernels::norm::grain;

kernel_params! {
    pub struct GatedParams { activation: u32, }
}

/// The gate's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
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
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let gate = dispatch.view(0);
        Variant::portable(
            "gated",
            [gate.cols.div_ceil(256) as u32, gate.rows as u32, 1],
        )
    },
    variants: || vec![Variant::portable("gated", [1; 3])],
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

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let GatedParams { activation } = call.params();
    let (mut gate, up) = (call.mat_mut(0), call.mat::<f32>(1));
    let simd = Simd::best();
    team.rows(&mut gate, grain(up.cols), |r, gate| {
        if activation == Activation::Silu as u32 {
            rows::silu_gate(simd, gate, up.row(r));
        } else {
            rows::gelu_tanh_gate(simd, gate, up.row(r));
        }
    });
}
