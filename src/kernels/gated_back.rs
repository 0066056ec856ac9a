//! Gradients of the gate of the MLP: `d_gate = d_out * up * activation'(gate)` and
//! `d_up = d_out * activation(gate)`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernels::cpu::{Simd, pieces, rows_back};
use crate::kernels::gated::{Activation, GatedParams};

pub static GATED_BACK: Kernel = Kernel {
    name: "gated_back",
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
            name: "d_out",
            access: Access::Read,
        },
        Binding {
            name: "d_gate",
            access: Access::ReadWrite,
        },
        Binding {
            name: "d_up",
            access: Access::ReadWrite,
        },
    ],
    params: GatedParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let gate = dispatch.view(0);
        let groups = [gate.cols.div_ceil(256) as u32, gate.rows as u32, 1];
        Variant::portable("gated_back", groups)
    },
    variants: || vec![Variant::portable("gated_back", [1; 3])],
};

/// Appends the gradients of both factors of `activation(gate) * up` from that of the product.
pub fn gated_back(
    recording: &mut Recording,
    gate: &Tensor,
    up: &Tensor,
    d_out: &Tensor,
    d_gate: &Tensor,
    d_up: &Tensor,
    activation: Activation,
) {
    for other in [up, d_out, d_gate, d_up] {
        assert_eq!(
            (gate.rows, gate.cols),
            (other.rows, other.cols),
            "gated_back: shapes differ"
        );
    }
    let elements = (gate.rows * gate.cols) as u64;
    recording.dispatch(
        &GATED_BACK,
        [gate, up, d_out, d_gate, d_up]
            .map(|t| Some(t.clone()))
            .into(),
        GatedParams {
            activation: activation as u32,
        },
        16 * elements,
        20 * elements,
    );
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let GatedParams { activation } = call.params();
    let (gate, up, d_out) = (call.mat::<f32>(0), call.mat::<f32>(1), call.mat::<f32>(2));
    let (mut d_gate, mut d_up) = (call.mat_mut(3), call.mat_mut(4));
    let (d_gate, d_up, simd) = (d_gate.parts(), d_up.parts(), Simd::best());
    let back = if activation == Activation::Silu as u32 {
        rows_back::silu_gate_back
    } else {
        rows_back::gelu_tanh_gate_back
    };
    pieces(team, gate.rows, gate.cols, |r, cols| {
        // SAFETY: every element belongs to one piece.
        let (d_gate, d_up) = unsafe {
            (
                d_gate.cols_mut(r, cols.clone()),
                d_up.cols_mut(r, cols.clone()),
            )
        };
        let part = |row| &<[f32]>::as_ref(row)[cols.clone()];
        back(
            simd,
            part(gate.row(r)),
            part(up.row(r)),
            part(d_out.row(r)),
            d_gate,
            d_up,
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, assert_near, gradient, noise, on_twin};
    use crate::kernels::gated::gated_into;

    fn activate(x: f64, activation: Activation) -> f64 {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => x / 2.0 * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh()),
        }
    }

    #[test]
    fn agrees_with_finite_differences() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (rows, cols) = (3, 67);
            let len = rows * cols;
            let gate: Vec<f32> = noise(1, len).iter().map(|v| 6.0 * v).collect();
            let (up, d_out, fresh) = (noise(2, len), noise(3, len), vec![f32::NAN; len]);
            let product = |gate: &[f64], up: &[f64]| -> f64 {
                let terms = gate.iter().zip(up).zip(&d_out);
                terms
                    .map(|((&g, &u), &d)| activate(g, activation) * u * f64::from(d))
                    .sum()
            };
            let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let inputs = [&gate, &up, &d_out, &fresh, &fresh].map(|v| F32(v, rows));
            let found = on_twin(&inputs, |rec, t| {
                gated_back(rec, &t[0], &t[1], &t[2], &t[3], &t[4], activation);
            });
            let d_gate = gradient(&gate, |g| product(g, &wide(&up)));
            assert_near(&found[3], &d_gate, 1e-5);
            assert_near(
                &found[4],
                &gradient(&up, |u| product(&wide(&gate), u)),
                1e-5,
            );
            let found = on_twin(&inputs, |rec, t| {
                gated_into(rec, &t[0], &t[1], &t[3], activation);
            });
            let pairs = gate.iter().zip(&up);
            let values: Vec<f64> = pairs
                .map(|(&g, &u)| activate(g.into(), activation) * f64::from(u))
                .collect();
            assert_near(&found[3], &values, 1e-5);
            assert_eq!(found[0], gate);
        }
    }

    #[test]
    fn far_out_the_slope_is_flat() {
        let gate = [-1e4f32, -300.0, -90.0, 0.0, 90.0, 300.0, 1e4];
        let ones = [1.0f32; 7];
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let inputs = [&gate, &ones, &ones, &ones, &ones].map(|v| F32(v, 1));
            let found = on_twin(&inputs, |rec, t| {
                gated_back(rec, &t[0], &t[1], &t[2], &t[3], &t[4], activation);
            });
            assert_near(&found[3], &[0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0], 1e-6);
            assert_near(&found[4], &[0.0, 0.0, 0.0, 0.0, 90.0, 300.0, 1e4], 1e-6);
        }
    }
}
