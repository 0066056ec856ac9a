//! Gradients of a model's own weights that are no products: embeddings, gains and biases.

use inscribe::engine::{Recording, Tensor};
use inscribe::kernels::column_sums::column_sums;
use inscribe::kernels::embed_back::embed_back;
use inscribe::kernels::norm_gain_back::rms_norm_gain_back;
use inscribe::kernels::rope::RopeShape;
use inscribe::kernels::rope_gain_back::rope_gain_back;
use proptest::prelude::*;

use crate::elementwise::{cases, widths};
use crate::rig::{Input, compare, rig, run};

/// Numbers of rows around the edges of the blocks that they are summed in.
fn heights() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..6, 62usize..68, 126usize..131, Just(300)]
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn embed_back_agrees(
        ids in prop::collection::vec(prop_oneof![9 => 0u32..40, 1 => Just(u32::MAX)], 0..150),
        vocabulary in 1usize..40, cols in widths(),
        offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let inputs = [
            Input::ids(&ids, gap),
            Input::noise(seed, ids.len(), cols, offset, gap),
            Input::noise(seed ^ 1, vocabulary, cols, gap, offset),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            embed_back(rec, &t[0], &t[1], -1.5, &t[2]);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn column_sums_agree(
        rows in heights(), cols in widths(), offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 1, 1, cols, gap, offset),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            column_sums(rec, &t[0], &t[1]);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn rms_norm_gain_back_agrees(
        rows in heights(), cols in widths(), offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 1, rows, cols, gap, offset),
            Input::noise(seed ^ 2, 1, cols, gap, offset),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            rms_norm_gain_back(rec, &t[0], &t[1], 1e-2, &t[2]);
        }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn rope_gain_back_agrees(
        rows in prop_oneof![0usize..5, 20usize..35], heads in 1usize..5,
        half in prop_oneof![Just(1usize), Just(5), Just(32), Just(64), Just(128)],
        offset in 0usize..5, gap in 0usize..6, first in 0u32..8, interleaved: bool, seed: u64,
    ) {
        let dim = 2 * half;
        let positions: Vec<u32> = (0..rows as u32).map(|r| (first + 3 * r) % 8).collect();
        let inputs = [
            Input::noise(seed, rows, heads * dim, offset, gap),
            Input::noise(seed ^ 1, 8, dim, gap, offset),
            Input::ids(&positions, offset),
            Input::noise(seed ^ 2, rows, heads * dim, 1, gap),
            Input::noise(seed ^ 3, 1, dim, gap, offset),
        ];
        let shape = RopeShape { heads, head_dim: dim, interleaved, eps: 1e-2 };
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            rope_gain_back(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape);
        }).map_err(TestCaseError::fail)?;
    }
}

/// Compares a launch, and holds every device to the same bits when it runs again.
fn same_twice(what: &str, inputs: &[Input], record: impl Fn(&mut Recording, &[Tensor])) {
    compare(inputs, &[], 1e-5, |rec, t, _| record(rec, t))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let rig = rig();
    for device in rig.gpus.iter().map(|(_, gpu)| gpu).chain([&rig.cpu]) {
        let bits = || {
            let found = run(device, inputs, &[], |rec, t, _| record(rec, t));
            found.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        assert!(bits() == bits(), "{what}: not the same bits twice");
    }
}

#[test]
fn thousands_of_rows_agree_and_give_the_same_bits() {
    let (rows, cols) = (2500, 96);
    // Half of the rows have one id.
    let few: Vec<u32> = (0..rows as u32)
        .map(|i| if i % 2 == 0 { 7 } else { (i * i) % 70 })
        .collect();
    let dx = || Input::noise(1, rows, cols, 0, 0);
    let small = [Input::ids(&few, 0), dx(), Input::noise(2, 70, cols, 0, 0)];
    same_twice("a small vocabulary", &small, |rec, t| {
        embed_back(rec, &t[0], &t[1], 0.5, &t[2]);
    });
    let many: Vec<u32> = (0..rows as u32).map(|i| i * 7919 % 20_000).collect();
    let large = [
        Input::ids(&many, 0),
        dx(),
        Input::noise(2, 20_000, cols, 0, 0),
    ];
    same_twice("a large vocabulary", &large, |rec, t| {
        embed_back(rec, &t[0], &t[1], 0.5, &t[2]);
    });
    let sums = [dx(), Input::noise(3, 1, cols, 0, 0)];
    same_twice("column sums", &sums, |rec, t| {
        column_sums(rec, &t[0], &t[1])
    });
    let gain = [
        dx(),
        Input::noise(4, rows, cols, 0, 0),
        Input::noise(3, 1, cols, 0, 0),
    ];
    same_twice("a gain", &gain, |rec, t| {
        rms_norm_gain_back(rec, &t[0], &t[1], 1e-6, &t[2]);
    });
}
