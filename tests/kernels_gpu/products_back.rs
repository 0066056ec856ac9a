//! Products of the way back.

use inscribe::engine::gpu::{OpenOptions, TierCap};
use inscribe::engine::{DType, Recording, Tensor, Weight};
use inscribe::kernels::matmul::Onto;
use inscribe::kernels::matmul_back::{matmul_back, matmul_back_rows};
use inscribe::kernels::outer::outer;
use proptest::prelude::*;

use crate::common::open;
use crate::rig::{Input, WeightInput, compare, rig, run, same, sum_tolerance};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    }
}

/// Numbers of rows around the borders between variants and tiles.
fn row_counts() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..10, 15usize..18, 63usize..67, 120usize..135]
}

fn whole_blocks(dtype: DType, blocks: usize, ragged: usize) -> usize {
    if dtype.is_plain() {
        blocks * 17 + ragged
    } else {
        blocks * dtype.block_len()
    }
}

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn matmul_back_agrees(
        rows in row_counts(), inner in prop_oneof![1usize..9, 30usize..140],
        blocks in 1usize..5, ragged in 0usize..5,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
        offset in 0usize..6, gap in 0usize..6, aligned: bool, add: bool, seed: u64,
    ) {
        let (offset, gap, inner) = if aligned {
            (offset / 4 * 4, gap / 4 * 4, inner.next_multiple_of(4))
        } else {
            (offset, gap, inner)
        };
        let cols = whole_blocks(dtype, blocks, ragged);
        let inputs = [
            Input::noise(seed, rows, inner, offset, gap),
            Input::noise(seed ^ 2, rows, cols, gap, offset),
        ];
        let weight = WeightInput { dtype, rows: inner, cols, seed };
        let into = if add { Onto::Add } else { Onto::Replace };
        compare(&inputs, &[weight], sum_tolerance(inner), |rec, t, w| {
            matmul_back(rec, &t[0], &w[0], &t[1], into);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn matmul_back_agrees_for_some_rows_of_a_weight(
        rows in row_counts(), range in (0usize..60, 1usize..40), add: bool, seed: u64,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
    ) {
        let cols = dtype.block_len().max(20);
        let inputs = [
            Input::noise(seed, rows, range.1, 0, 1),
            Input::noise(seed ^ 2, rows, cols, 1, 2),
        ];
        let weight = WeightInput { dtype, rows: range.0 + range.1 + 3, cols, seed };
        let into = if add { Onto::Add } else { Onto::Replace };
        compare(&inputs, &[weight], sum_tolerance(range.1), |rec, t, w| {
            let rows = range.0..range.0 + range.1;
            matmul_back_rows(rec, &t[0], &w[0], rows, &t[1], into);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn outer_agrees(
        rows in prop_oneof![0usize..10, 30usize..35, 120usize..300],
        n in prop_oneof![1usize..20, 60usize..70, 120usize..140],
        k in prop_oneof![1usize..20, 60usize..70, 120usize..140],
        offset in 0usize..6, gap in 0usize..6, aligned: bool, add: bool, seed: u64,
    ) {
        let whole = |len: usize| if aligned { len.next_multiple_of(4) } else { len };
        let (n, k, offset, gap) = (whole(n), whole(k), whole(offset), whole(gap));
        let inputs = [
            Input::noise(seed, rows, n, offset, gap),
            Input::noise(seed ^ 1, rows, k, gap, offset),
            Input::noise(seed ^ 2, n, k, gap, offset),
        ];
        let into = if add { Onto::Add } else { Onto::Replace };
        compare(&inputs, &[], sum_tolerance(rows), |rec, t, _| {
            outer(rec, &t[0], &t[1], &t[2], into);
        }).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn matmul_back_agrees_for_every_weight_type() {
    for dtype in DType::WEIGHTS {
        for rows in [1, 3, 9, 33, 70] {
            let (inner, cols) = (77, 2 * dtype.block_len().max(32));
            let inputs = [
                Input::noise(3, rows, inner, 0, 0),
                Input::noise(4, rows, cols, 0, 0),
            ];
            let weight = WeightInput {
                dtype,
                rows: inner,
                cols,
                seed: 9,
            };
            compare(&inputs, &[weight], sum_tolerance(inner), |rec, t, w| {
                matmul_back(rec, &t[0], &w[0], &t[1], Onto::Replace);
            })
            .unwrap_or_else(|e| panic!("{dtype}, {rows} rows: {e}"));
        }
    }
}

/// Large enough for the widest tiles: weights in one shard, edges ragged.
#[test]
fn wide_tiles_of_the_way_back_agree() {
    let device = open(OpenOptions {
        cap: TierCap::Subgroups,
        ..OpenOptions::default()
    });
    for (dtype, inner) in [
        (DType::F32, 17),
        (DType::F32, 36),
        (DType::Q4_1, 33),
        (DType::Q6_K, 20),
    ] {
        let (rows, cols) = (5 * 128 + 3, 5 * 256);
        let inputs = [
            Input::noise(3, rows, inner, 0, 0),
            Input::noise(4, rows, cols, 0, 0),
        ];
        let weight = WeightInput {
            dtype,
            rows: inner,
            cols,
            seed: 9,
        };
        let record = |rec: &mut Recording, t: &[Tensor], w: &[Weight]| {
            matmul_back(rec, &t[0], &w[0], &t[1], Onto::Add);
        };
        let expected = run(&rig().cpu, &inputs, &[weight], record);
        let found = run(&device, &inputs, &[weight], record);
        same(&expected, &found, sum_tolerance(inner))
            .unwrap_or_else(|e| panic!("{dtype}, {inner} deep: {e}"));
    }
}
