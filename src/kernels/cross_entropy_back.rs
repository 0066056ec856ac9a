//! Gradient of the weighted cross-entropy with respect to the logits, in their place:
//! row r becomes `weights[r] * (softmax(logits) - onehot(target))`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernels::cpu::{Simd, pieces, rows_back};
use crate::kernels::cross_entropy::STATE_COLS;

pub static CROSS_ENTROPY_BACK: Kernel = Kernel {
    name: "cross_entropy_back",
    bindings: &[
        Binding {
            name: "logits",
            access: Access::ReadWrite,
        },
        Binding {
            name: "targets",
            access: Access::Read,
        },
        Binding {
            name: "weights",
            access: Access::Read,
        },
        Binding {
            name: "state",
            access: Access::Read,
        },
    ],
    params: &[],
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let logits = dispatch.view(0);
        let groups = [logits.cols.div_ceil(256) as u32, logits.rows as u32, 1];
        Variant::portable("cross_entropy_back", groups)
    },
    variants: || vec![Variant::portable("cross_entropy_back", [1; 3])],
};

/// Appends the gradient of the logits, which cover the whole vocabulary and which `cross_entropy`
/// has folded into `state`. Rows whose weight is 0 become 0, whatever they, their targets and
/// their state hold.
pub fn cross_entropy_back(
    recording: &mut Recording,
    logits: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
    state: &Tensor,
) {
    assert_eq!(
        (targets.dtype, targets.cols),
        (DType::U32, logits.rows),
        "cross_entropy_back: targets"
    );
    assert_eq!(
        (weights.dtype, weights.cols),
        (DType::F32, logits.rows),
        "cross_entropy_back: weights"
    );
    assert_eq!(
        (state.rows, state.cols),
        (logits.rows, STATE_COLS),
        "cross_entropy_back: state"
    );
    let elements = (logits.rows * logits.cols) as u64;
    recording.dispatch(
        &CROSS_ENTROPY_BACK,
        [logits, targets, weights, state]
            .map(|t| Some(t.clone()))
            .into(),
        [0u32; 0],
        3 * elements,
        8 * elements,
    );
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let (mut logits, targets) = (call.mat_mut(0), call.mat::<u32>(1).row(0));
    let (weights, state) = (call.mat::<f32>(2).row(0), call.mat::<f32>(3));
    let (logits, simd) = (logits.parts(), Simd::best());
    pieces(team, logits.rows(), logits.cols(), |r, cols| {
        // SAFETY: every element belongs to one piece.
        let part = unsafe { logits.cols_mut(r, cols.clone()) };
        let (weight, state) = (weights[r], state.row(r));
        if weight == 0.0 {
            part.fill(0.0);
            return;
        }
        rows_back::scaled_exp(simd, part, state[0], weight / state[1]);
        if let Some(at) = (targets[r] as usize).checked_sub(cols.start)
            && let Some(target) = part.get_mut(at)
        {
            *target -= weight;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cross_entropy::cross_entropy;
    use crate::kernels::finite::{F32, U32, assert_near, gradient, noise, on_twin};

    #[test]
    fn agrees_with_finite_differences() {
        let (rows, cols) = (4, 37);
        let logits: Vec<f32> = noise(1, rows * cols).iter().map(|v| 5.0 * v).collect();
        let targets = [3u32, 36, u32::MAX, 0];
        let weights = [0.25f32, 1.0, 0.0, -0.5];
        let expected = gradient(&logits, |logits| {
            let rows = logits.chunks_exact(cols).zip(targets).zip(weights);
            rows.filter(|&(_, weight)| weight != 0.0)
                .map(|((logits, target), weight)| {
                    let total: f64 = logits.iter().map(|l| l.exp()).sum();
                    f64::from(weight) * (total.ln() - logits[target as usize])
                })
                .sum()
        });
        let state = vec![0.0; rows * STATE_COLS];
        let inputs = [
            F32(&logits, rows),
            U32(&targets),
            F32(&weights, 1),
            F32(&state, rows),
        ];
        let found = on_twin(&inputs, |rec, t| {
            cross_entropy(rec, &t[0], &t[1], &t[3], 0, true);
            cross_entropy_back(rec, &t[0], &t[1], &t[2], &t[3]);
        });
        assert_near(&found[0], &expected, 1e-6);
    }

    #[test]
    fn a_large_vocabulary_sums_to_nothing() {
        let (rows, cols) = (3, 262_144);
        let logits: Vec<f32> = noise(2, rows * cols).iter().map(|v| 20.0 * v).collect();
        let (targets, weights) = ([262_143u32, 0, 70_000], [1.0f32, 0.5, 2.0]);
        let state = vec![0.0; rows * STATE_COLS];
        let inputs = [
            F32(&logits, rows),
            U32(&targets),
            F32(&weights, 1),
            F32(&state, rows),
        ];
        let found = on_twin(&inputs, |rec, t| {
            cross_entropy(rec, &t[0], &t[1], &t[3], 0, true);
            cross_entropy_back(rec, &t[0], &t[1], &t[2], &t[3]);
        });
        for ((row, target), weight) in found[0].chunks_exact(cols).zip(targets).zip(weights) {
            let sum: f64 = row.iter().map(|&v| f64::from(v)).sum();
            assert!(sum.abs() < 1e-5, "{sum}");
            let below = row.iter().filter(|v| **v < 0.0).count();
            assert!(below == 1 && row[target as usize] >= -weight && row[target as usize] < 0.0);
        }
    }

    #[test]
    fn rows_without_weight_are_zero_whatever_they_hold() {
        let logits = [
            f32::NAN,
            f32::INFINITY,
            1.0,
            f32::NEG_INFINITY,
            2.0,
            f32::NAN,
        ];
        let state = [
            f32::NEG_INFINITY,
            0.0,
            f32::NAN,
            0.0,
            f32::NAN,
            1.0,
            0.0,
            0.0,
        ];
        let inputs = [
            F32(&logits, 2),
            U32(&[9, 1]),
            F32(&[0.0, -0.0], 1),
            F32(&state, 2),
        ];
        let found = on_twin(&inputs, |rec, t| {
            cross_entropy_back(rec, &t[0], &t[1], &t[2], &t[3]);
        });
        assert_eq!(found[0], [0.0; 6]);
    }
}
