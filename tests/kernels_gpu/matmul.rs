//! Products with weights of every type.

use inscribe::engine::gpu::{OpenOptions, Precision, TierCap};
use inscribe::engine::{DType, Device, Recording, Tensor, Weight};
use inscribe::kernels::matmul::{Onto, matmul, matmul_rows};
use inscribe::kernels::self_test;
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

/// Rows around the borders between variants and tiles.
fn row_counts() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..10, 15usize..18, 63usize..67, 120usize..135]
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn matmul_agrees(
        rows in row_counts(), outputs in prop_oneof![1usize..9, 60usize..140],
        blocks in 1usize..4, ragged in 0usize..5,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
        offset in 0usize..6, gap in 0usize..6, aligned: bool,
        biased: bool, add: bool, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let cols = if dtype.is_plain() {
            blocks * 17 + ragged
        } else {
            blocks * dtype.block_len()
        };
        let cols = if aligned { cols.next_multiple_of(4) } else { cols };
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 1, 1, outputs, gap, 0),
            Input::noise(seed ^ 2, rows, outputs, gap, offset),
        ];
        let weight = WeightInput { dtype, rows: outputs, cols, seed };
        let into = if add { Onto::Add } else { Onto::Replace };
        compare(&inputs, &[weight], sum_tolerance(cols), |rec, t, w| {
            matmul(rec, &t[0], &w[0], biased.then_some(&t[1]), &t[2], into);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn some_rows_of_a_weight_agree(
        rows in row_counts(), range in (0usize..60, 1usize..40), seed: u64,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
    ) {
        let cols = dtype.block_len().max(20);
        let outputs = range.0 + range.1 + 3;
        let inputs = [
            Input::noise(seed, rows, cols, 0, 0),
            Input::noise(seed ^ 2, rows, range.1, 1, 2),
        ];
        let weight = WeightInput { dtype, rows: outputs, cols, seed };
        compare(&inputs, &[weight], sum_tolerance(cols), |rec, t, w| {
            let rows = range.0..range.0 + range.1;
            matmul_rows(rec, &t[0], &w[0], rows, None, &t[1], Onto::Replace);
        }).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn every_weight_type_agrees_for_few_and_many_rows() {
    for dtype in DType::WEIGHTS {
        for rows in [1, 2, 3, 5, 8, 9, 33, 70] {
            let (outputs, cols) = (77, 2 * dtype.block_len().max(32));
            let inputs = [
                Input::noise(3, rows, cols, 0, 0),
                Input::noise(4, rows, outputs, 0, 0),
            ];
            let weight = WeightInput {
                dtype,
                rows: outputs,
                cols,
                seed: 9,
            };
            compare(&inputs, &[weight], sum_tolerance(cols), |rec, t, w| {
                matmul(rec, &t[0], &w[0], None, &t[1], Onto::Replace);
            })
            .unwrap_or_else(|e| panic!("{dtype}, {rows} rows: {e}"));
        }
    }
}

/// A row times a weight of more rows than one axis of a dispatch reaches, and of which some blocks
/// of the last line are not there.
#[test]
fn a_row_times_a_very_long_weight_agrees() {
    let (outputs, cols) = (2 * 4 * 65_535 + 5, 2);
    let inputs = [
        Input::noise(3, 1, cols, 0, 0),
        Input::noise(4, 1, outputs, 0, 0),
    ];
    let weight = WeightInput {
        dtype: DType::F16,
        rows: outputs,
        cols,
        seed: 9,
    };
    let record = |rec: &mut Recording, t: &[Tensor], w: &[Weight]| {
        matmul(rec, &t[0], &w[0], None, &t[1], Onto::Replace);
    };
    let expected = run(&rig().cpu, &inputs, &[weight], record);
    // In one shard.
    let device = open(OpenOptions {
        cap: TierCap::Subgroups,
        ..OpenOptions::default()
    });
    let found = run(&device, &inputs, &[weight], record);
    same(&expected, &found, sum_tolerance(cols)).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn long_sums_agree() {
    for rows in [1, 40] {
        let cols = 1757 * 3;
        let inputs = [
            Input::noise(3, rows, cols, 0, 0),
            Input::noise(4, rows, 9, 0, 0),
        ];
        let weight = WeightInput {
            dtype: DType::F32,
            rows: 9,
            cols,
            seed: 9,
        };
        // One row of this weight is larger than a shard may be: it gets a shard of its own.
        compare(&inputs, &[weight], sum_tolerance(cols), |rec, t, w| {
            assert!(w[0].shards.len() == 9 || w[0].shards.len() == 1);
            matmul(rec, &t[0], &w[0], None, &t[1], Onto::Replace);
        })
        .unwrap_or_else(|e| panic!("{rows} rows: {e}"));
    }
}

/// Large enough for the widest tiles: weights in one shard, edges ragged.
fn large_product(device: &Device, dtype: DType, cols: usize, tolerance: f32) -> Result<(), String> {
    let (rows, outputs) = (5 * 128 + 3, 9 * 128 + 5);
    let inputs = [
        Input::noise(3, rows, cols, 0, 0),
        Input::noise(5, 1, outputs, 0, 0),
        Input::noise(4, rows, outputs, 0, 0),
    ];
    let weight = WeightInput {
        dtype,
        rows: outputs,
        cols,
        seed: 9,
    };
    let record = |rec: &mut Recording, t: &[Tensor], w: &[Weight]| {
        matmul(rec, &t[0], &w[0], Some(&t[1]), &t[2], Onto::Add);
    };
    let expected = run(&rig().cpu, &inputs, &[weight], record);
    let found = run(device, &inputs, &[weight], record);
    same(&expected, &found, tolerance).map_err(|e| format!("{dtype}, {cols} columns: {e}"))
}

#[test]
fn wide_tiles_agree() {
    let device = open(OpenOptions {
        cap: TierCap::Subgroups,
        ..OpenOptions::default()
    });
    // Columns that vectors can be loaded from, and some of which they cannot.
    let plain = [
        (DType::F32, 17),
        (DType::F32, 36),
        (DType::F16, 17),
        (DType::F16, 20),
    ];
    let blocks = DType::WEIGHTS.map(|dtype| (dtype, dtype.block_len().max(32)));
    for (dtype, cols) in plain.into_iter().chain(blocks) {
        large_product(&device, dtype, cols, sum_tolerance(cols)).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn the_self_test_of_fast_products_passes() {
    for (tier, device) in &rig().gpus {
        assert_eq!(self_test::fast_products(device), Ok(()), "{tier}");
    }
}

/// Where the device has cooperative matrices, fast products round factors to 11 bits, though never
/// those in f32; elsewhere asking for them changes nothing.
#[test]
fn fast_products_are_near() {
    let device = open(OpenOptions {
        precision: Precision::Fast,
        self_test: Some(self_test::fast_products),
        ..OpenOptions::default()
    });
    let Device::Gpu(gpu) = &device else {
        unreachable!()
    };
    let rounded = gpu.tier().cooperative_matrix.is_some();
    for (dtype, cols) in [
        (DType::F32, 17),
        (DType::F16, 100),
        (DType::Q8_0, 64),
        (DType::Q4_K, 256),
    ] {
        let exact = sum_tolerance(cols);
        let rounded = rounded && dtype != DType::F32;
        let tolerance = if rounded { exact + 2e-3 } else { exact };
        large_product(&device, dtype, cols, tolerance).unwrap_or_else(|e| panic!("{e}"));
    }
}
