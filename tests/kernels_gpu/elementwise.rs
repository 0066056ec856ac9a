//! Kernels that read each element once or twice.

use inscribe::engine::DType;
use inscribe::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use inscribe::kernels::embed::embed;
use inscribe::kernels::gated::{Activation, gated};
use inscribe::kernels::norm::rms_norm;
use inscribe::kernels::rope::{RopeShape, rope, scatter_rows};
use proptest::prelude::*;

use crate::rig::{Input, WeightInput, compare, sum_tolerance};

pub fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    }
}

/// Row lengths around the edges of vectors and workgroups.
pub fn widths() -> impl Strategy<Value = usize> {
    prop_oneof![
        1usize..12,
        60usize..70,
        250usize..262,
        Just(576),
        Just(1757)
    ]
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn rms_norm_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        add: bool, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 1, 1, cols, gap, 0),
            Input::noise(seed ^ 2, rows, cols, gap, offset),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            rms_norm(rec, &t[0], &t[1], 1e-5, &t[2], add);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn gated_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        gelu: bool, large: bool, seed: u64,
    ) {
        let mut gate = Input::noise(seed, rows, cols, offset, gap);
        if large {
            for bits in &mut gate.bits {
                *bits = (f32::from_bits(*bits) * 200.0).to_bits();
            }
        }
        let inputs = [Input::noise(seed ^ 1, rows, cols, gap, offset), gate];
        let activation = if gelu { Activation::GeluTanh } else { Activation::Silu };
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            gated(rec, &t[1], &t[0], activation);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn scatter_rows_agrees(
        rows in 0usize..6, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        first in 0u32..4, seed: u64,
    ) {
        let positions: Vec<u32> = (0..rows as u32).map(|r| first + r).collect();
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::ids(&positions, gap),
            Input::noise(seed ^ 2, 10, cols, gap, offset),
        ];
        compare(&inputs, &[], 0.0, |rec, t, _| {
            scatter_rows(rec, &t[0], &t[1], &t[2]);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn rope_agrees(
        rows in 0usize..5, heads in 1usize..4,
        half in prop_oneof![Just(1usize), Just(5), Just(32), Just(64), Just(128)],
        offset in 0usize..5, gap in 0usize..6, first in 0u32..3,
        interleaved: bool, scatter: bool, normed: bool, seed: u64,
    ) {
        let dim = 2 * half;
        let positions: Vec<u32> = (0..rows as u32).map(|r| first + r).collect();
        let inputs = [
            Input::noise(seed, rows, heads * dim, offset, gap),
            Input::noise(seed ^ 1, 1, dim, gap, 0),
            Input::noise(seed ^ 2, 8, dim, gap, offset),
            Input::ids(&positions, offset),
            Input::noise(seed ^ 3, if scatter { 8 } else { rows }, heads * dim, gap, offset),
        ];
        let shape = RopeShape { heads, head_dim: dim, interleaved, eps: 1e-6 };
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            let norm = normed.then_some(&t[1]);
            rope(rec, &t[0], norm, &t[2], &t[3], &t[4], shape, scatter);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn cross_entropy_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        tiles in 1usize..4, seed: u64,
    ) {
        let targets: Vec<u32> =
            (0..rows).map(|r| ((seed as usize + 7 * r) % (tiles * cols)) as u32).collect();
        let inputs = [
            Input::noise(seed, rows, tiles * cols, offset, gap),
            Input::ids(&targets, gap),
            Input::noise(seed ^ 2, rows, STATE_COLS, gap, offset),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            for tile in 0..tiles {
                let logits = t[0].col_range(tile * cols..(tile + 1) * cols);
                cross_entropy(rec, &logits, &t[1], &t[2], tile * cols, tile == 0);
            }
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn embed_agrees(
        rows in 0usize..6, blocks in 1usize..3, vocabulary in 1usize..40,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
        offset in 0usize..5, gap in 0usize..6, ragged in 0usize..4, seed: u64,
    ) {
        let cols = if dtype.is_plain() { blocks * 32 + ragged } else { blocks * dtype.block_len() };
        let ids: Vec<u32> =
            (0..rows).map(|r| ((seed as usize + 11 * r) % vocabulary) as u32).collect();
        let inputs = [Input::ids(&ids, gap), Input::noise(seed, rows, cols, offset, gap)];
        let weight = WeightInput { dtype, rows: vocabulary, cols, seed };
        compare(&inputs, &[weight], sum_tolerance(1), |rec, t, w| {
            embed(rec, &t[0], &w[0], 1.5, &t[1]);
        }).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn embedding_covers_every_weight_type() {
    for dtype in DType::WEIGHTS {
        let cols = 2 * dtype.block_len().max(16);
        let ids: Vec<u32> = (0..23).collect();
        let inputs = [Input::ids(&ids, 0), Input::noise(1, 23, cols, 0, 0)];
        let weight = WeightInput {
            dtype,
            rows: 23,
            cols,
            seed: 5,
        };
        compare(&inputs, &[weight], sum_tolerance(1), |rec, t, w| {
            embed(rec, &t[0], &w[0], 1.0, &t[1]);
        })
        .unwrap_or_else(|e| panic!("{dtype}: {e}"));
    }
}
