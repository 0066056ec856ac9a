//! Cross-entropy by tiles of the vocabulary.
//!
//! The head multiplies one tile of the vocabulary at a time; this kernel folds each tile of
//! logits into a running state per row, so that rows x vocabulary logits never exist. After the
//! last tile, `log P(target) = target_logit - largest - ln(total)`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows};
use crate::kernels::norm::grain;

kernel_params! {
    pub struct CrossEntropyParams { first_token: u32, first_tile: u32, }
}

/// Columns of the state: largest logit, sum of `exp(logit - largest)`, the target's logit, and
/// the most likely token (as a float: exact below 2^24).
pub const STATE_COLS: usize = 4;

pub static CROSS_ENTROPY: Kernel = Kernel {
    name: "cross_entropy",
    bindings: &[
        Binding {
            name: "logits",
            access: Access::Read,
        },
        Binding {
            name: "targets",
            access: Access::Read,
        },
        Binding {
            name: "state",
            access: Access::ReadWrite,
        },
    ],
    params: CrossEntropyParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        Variant::portable("cross_entropy", [1, dispatch.view(0).rows as u32, 1])
    },
    variants: || vec![Variant::portable("cross_entropy", [1; 3])],
};

/// Appends the folding of one tile, whose first column is the logit of `first_token`. The first
/// tile also starts the state.
pub fn cross_entropy(
    recording: &mut Recording,
    logits: &Tensor,
    targets: &Tensor,
    state: &Tensor,
    first_token: usize,
    first_tile: bool,
) {
    assert_eq!(
        (targets.dtype, targets.cols),
        (DType::U32, logits.rows),
        "cross_entropy: targets"
    );
    assert_eq!(
        (state.rows, state.cols),
        (logits.rows, STATE_COLS),
        "cross_entropy: state"
    );
    let elements = (logits.rows * logits.cols) as u64;
    recording.dispatch(
        &CROSS_ENTROPY,
        vec![
            Some(logits.clone()),
            Some(targets.clone()),
            Some(state.clone()),
        ],
        CrossEntropyParams {
            first_token: first_token as u32,
            first_tile: first_tile.into(),
        },
        3 * elements,
        4 * elements,
    );
}

/// Natural log-probability of the target and the most likely token, from one row of the state.
pub fn finish(state: &[f32]) -> (f64, u32) {
    let logprob = f64::from(state[2]) - f64::from(state[0]) - f64::from(state[1]).ln();
    (logprob, state[3] as u32)
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: CrossEntropyParams = call.params();
    let (logits, targets, mut state) = (call.mat::<f32>(0), call.mat::<u32>(1), call.mat_mut(2));
    let simd = Simd::best();
    team.rows(&mut state, grain(logits.cols), |r, state| {
        if p.first_tile != 0 {
            state.copy_from_slice(&[f32::NEG_INFINITY, 0.0, f32::NAN, 0.0]);
        }
        let logits = logits.row(r);
        let largest = rows::largest(simd, logits);
        if largest > state[0] {
            let best = logits.iter().position(|&logit| logit == largest);
            state[1] *= (state[0] - largest).exp();
            state[0] = largest;
            state[3] = (p.first_token as usize + best.unwrap_or(0)) as f32;
        }
        state[1] += rows::sum_exp(simd, logits, state[0]);
        let target = targets.row(0)[r].wrapping_sub(p.first_token) as usize;
        if let Some(&logit) = logits.get(target) {
            state[2] = logit;
        }
    });
}
