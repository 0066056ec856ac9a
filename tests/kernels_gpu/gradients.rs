//! Gradients of the kernels that read each element once or twice, and optimiser steps.

use inscribe::engine::{Recording, Tensor};
use inscribe::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use inscribe::kernels::cross_entropy_back::cross_entropy_back;
use inscribe::kernels::gated::{Activation, gated_into};
use inscribe::kernels::gated_back::gated_back;
use inscribe::kernels::matmul::Onto;
use inscribe::kernels::norm_back::rms_norm_back;
use inscribe::kernels::optimizer::{Hyper, adamw, add, scale, sgd, sum_squares};
use inscribe::kernels::rope::RopeShape;
use inscribe::kernels::rope_back::rope_back;
use proptest::prelude::*;

use crate::elementwise::{cases, widths};
use crate::rig::{Input, compare, run, same};

/// One row that holds these numbers.
fn floats(values: &[f32], offset: usize) -> Input {
    let mut input = Input::noise(0, 1, values.len(), offset, 0);
    for (bits, value) in input.bits[offset..].iter_mut().zip(values) {
        *bits = value.to_bits();
    }
    input
}

fn times(mut input: Input, factor: f32) -> Input {
    for bits in &mut input.bits {
        *bits = (f32::from_bits(*bits) * factor).to_bits();
    }
    input
}

/// Squares: what running averages of squares start from.
fn squared(mut input: Input) -> Input {
    for bits in &mut input.bits {
        *bits = f32::from_bits(*bits).powi(2).to_bits();
    }
    input
}

fn hyper(max_norm: f32, t: u64) -> [f32; Hyper::LEN] {
    let rates = Hyper {
        lr: 0.02,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        max_norm,
    };
    rates.at_step(t)
}

/// Compares with each of the outputs `from..` in turn as the last input.
fn compare_each(
    inputs: &[Input],
    from: usize,
    tolerance: f32,
    record: impl Fn(&mut Recording, &[Tensor]),
) -> Result<(), TestCaseError> {
    for output in from..inputs.len() {
        let last = inputs.len() - 1;
        let mut moved = inputs.to_vec();
        moved.swap(output, last);
        let put_back = |t: &[Tensor]| {
            let mut t = t.to_vec();
            t.swap(output, last);
            t
        };
        compare(&moved, &[], tolerance, |rec, t, _| {
            record(rec, &put_back(t));
        })
        .map_err(|e| TestCaseError::fail(format!("output {}: {e}", output - from)))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn rms_norm_back_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        add: bool, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 1, 1, cols, gap, 0),
            Input::noise(seed ^ 2, rows, cols, 0, offset),
            Input::noise(seed ^ 3, rows, cols, gap, offset),
        ];
        let into = if add { Onto::Add } else { Onto::Replace };
        compare_each(&inputs, 3, 2e-5, |rec, t| {
            rms_norm_back(rec, &t[0], &t[1], &t[2], 1e-2, &t[3], into);
        })?;
    }

    #[test]
    fn rope_back_agrees(
        rows in 0usize..5, heads in 1usize..4,
        half in prop_oneof![Just(1usize), Just(5), Just(32), Just(64), Just(128)],
        offset in 0usize..5, gap in 0usize..6, first in 0u32..3,
        interleaved: bool, normed: bool, seed: u64,
    ) {
        let dim = 2 * half;
        let positions: Vec<u32> = (0..rows as u32).map(|r| first + r).collect();
        let inputs = [
            Input::noise(seed, rows, heads * dim, offset, gap),
            Input::noise(seed ^ 1, 1, dim, gap, 0),
            Input::noise(seed ^ 2, 8, dim, gap, offset),
            Input::ids(&positions, offset),
            Input::noise(seed ^ 3, rows, heads * dim, 1, gap),
            Input::noise(seed ^ 4, rows, heads * dim, gap, offset),
        ];
        let shape = RopeShape { heads, head_dim: dim, interleaved, eps: 1e-2 };
        compare_each(&inputs, 5, 2e-5, |rec, t| {
            let norm = normed.then_some(&t[1]);
            rope_back(rec, &t[0], norm, &t[2], &t[3], &t[4], &t[5], shape);
        })?;
    }

    #[test]
    fn gated_back_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        gelu: bool, large: bool, seed: u64,
    ) {
        let gate = Input::noise(seed, rows, cols, offset, gap);
        let inputs = [
            times(gate, if large { 200.0 } else { 4.0 }),
            Input::noise(seed ^ 1, rows, cols, gap, 0),
            Input::noise(seed ^ 2, rows, cols, 0, offset),
            Input::noise(seed ^ 3, rows, cols, gap, offset),
            Input::noise(seed ^ 4, rows, cols, 2, 1),
        ];
        let activation = if gelu { Activation::GeluTanh } else { Activation::Silu };
        compare_each(&inputs, 3, 1e-5, |rec, t| {
            gated_back(rec, &t[0], &t[1], &t[2], &t[3], &t[4], activation);
        })?;
        compare_each(&inputs[..4], 3, 1e-5, |rec, t| {
            gated_into(rec, &t[0], &t[1], &t[3], activation);
        })?;
    }

    #[test]
    fn cross_entropy_back_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let targets: Vec<u32> = (0..rows).map(|r| ((seed as usize + 7 * r) % cols) as u32).collect();
        // One row counts for nothing.
        let weights: Vec<f32> = (0..rows).map(|r| r as f32 - 1.0).collect();
        let inputs = [
            Input::ids(&targets, gap),
            floats(&weights, offset),
            Input::noise(seed ^ 2, rows, STATE_COLS, gap, offset),
            times(Input::noise(seed, rows, cols, offset, gap), 10.0),
        ];
        compare_each(&inputs, 3, 1e-5, |rec, t| {
            cross_entropy(rec, &t[3], &t[0], &t[2], 0, true);
            cross_entropy_back(rec, &t[3], &t[0], &t[1], &t[2]);
        })?;
    }

    #[test]
    fn scale_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let inputs = [Input::noise(seed, rows, cols, offset, gap)];
        compare_each(&inputs, 0, 0.0, |rec, t| scale(rec, &t[0], -0.3))?;
    }

    #[test]
    fn add_agrees(
        rows in 0usize..5, cols in widths(), offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed, rows, cols, gap, offset),
            Input::noise(seed ^ 1, rows, cols, offset, gap),
        ];
        compare_each(&inputs, 1, 0.0, |rec, t| add(rec, &t[1], &t[0]))?;
    }

    #[test]
    fn optimiser_steps_agree(
        rows in 0usize..4, cols in widths(), offset in 0usize..5, gap in 0usize..6,
        clipped: bool, t in 1u64..1000, seed: u64,
    ) {
        let inputs = [
            Input::noise(seed ^ 1, rows, cols, gap, 0),
            floats(&[seed as f32 % 50.0], offset),
            floats(&hyper(if clipped { 1.0 } else { 0.0 }, t), gap),
            Input::noise(seed, rows, cols, offset, gap),
            Input::noise(seed ^ 2, rows, cols, 0, offset),
            squared(Input::noise(seed ^ 3, rows, cols, gap, offset)),
        ];
        compare_each(&inputs, 3, 1e-5, |rec, t| {
            adamw(rec, &t[3], &t[0], &t[4], &t[5], &t[1], &t[2]);
        })?;
        compare_each(&inputs[..4], 3, 1e-5, |rec, t| {
            sgd(rec, &t[3], &t[0], &t[1], &t[2]);
        })?;
    }
}

#[test]
fn sums_of_squares_agree_at_every_length() {
    for len in [0, 1, 255, 1000, 1500] {
        let inputs = [
            Input::noise(len as u64, 1, len, 3, 0),
            floats(&[f32::NAN], 1),
        ];
        compare(&inputs, &[], 1e-5, |rec, t, _| {
            sum_squares(rec, &t[0], &t[1])
        })
        .unwrap_or_else(|e| panic!("{len}: {e}"));
    }
}

/// Larger than the small bindings of the other devices.
#[test]
fn millions_of_parameters_and_a_large_vocabulary_agree() {
    let gpu = crate::common::open(Default::default());
    let len = 1_500_003;
    let inputs = [
        Input::noise(1, 1, len, 0, 0),
        floats(&[f32::NAN], 0),
        floats(&hyper(1.0, 3), 0),
        Input::noise(2, 1, len, 0, 0),
        squared(Input::noise(3, 1, len, 0, 0)),
        Input::noise(4, 1, len, 0, 0),
    ];
    let on = |device| {
        run(device, &inputs, &[], |rec, t, _| {
            sum_squares(rec, &t[0], &t[1]);
            adamw(rec, &t[5], &t[0], &t[3], &t[4], &t[1], &t[2]);
        })
    };
    let found = on(&gpu);
    same(&on(&crate::rig::rig().cpu), &found, 1e-5).unwrap_or_else(|e| panic!("adamw: {e}"));
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&found) == bits(&on(&gpu)), "not the same bits twice");

    let (rows, cols) = (5, 262_144);
    let inputs = [
        Input::ids(&[262_143, 0, 7, 131_072, 1], 0),
        floats(&[0.25, 1.0, 0.0, 0.5, 1.0], 0),
        Input::noise(5, rows, STATE_COLS, 0, 0),
        times(Input::noise(6, rows, cols, 0, 0), 10.0),
    ];
    let on = |device| {
        run(device, &inputs, &[], |rec, t, _| {
            cross_entropy(rec, &t[3], &t[0], &t[2], 0, true);
            cross_entropy_back(rec, &t[3], &t[0], &t[1], &t[2]);
        })
    };
    same(&on(&crate::rig::rig().cpu), &on(&gpu), 1e-7).unwrap_or_else(|e| panic!("logits: {e}"));
}
