//! The copies against the plain loops in 64-bit floats.

use proptest::prelude::*;

use super::super::Matmul;
use super::super::tests::{Random, random_weight};
use crate::engine::DType;
use crate::engine::copies::{Copies, Slot, Source};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Rows};
use crate::kernels::cpu::Simd;
use crate::kernels::quant::dequantize_row;

/// The types that have copies.
const TYPES: [DType; 8] = [
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q4_K,
    DType::Q5_K,
    DType::Q6_K,
];

struct Case {
    dtype: DType,
    /// Rows of `x`, rows of the whole weight, depth.
    shape: (usize, usize, usize),
    /// The weight's rows that are multiplied.
    rows: std::ops::Range<usize>,
    gap: usize,
    /// 1: with a bias, 2: accumulate.
    flags: u8,
    seed: u64,
}

/// Runs a case on values of `x` as `value` makes them, and gives what came out, with what should
/// have and the size of the products that were summed.
fn run(
    simd: Simd,
    case: &Case,
    value: impl Fn(usize, f32) -> f32,
    copies: &Copies,
) -> Vec<(f32, f64, f64)> {
    let (m, n, k) = case.shape;
    let mut random = Random(case.seed);
    let x: Vec<f32> = random.floats(m * (k + case.gap));
    let x: Vec<f32> = x
        .into_iter()
        .enumerate()
        .map(|(i, v)| value(i, v))
        .collect();
    let bytes = random_weight(case.dtype, n, k, case.seed);
    let row_bytes = case.dtype.row_bytes(k).expect("whole blocks");
    let (cols, stride) = (case.rows.len(), case.rows.len() + case.gap);
    let (bias, before) = (random.floats(cols), random.floats(m * stride));
    let slot = Slot::new();
    let job = Matmul {
        x: Mat {
            data: &x,
            rows: m,
            cols: k,
            stride: k + case.gap,
        },
        weight: Rows {
            dtype: case.dtype,
            data: &bytes[case.rows.start * row_bytes..case.rows.end * row_bytes],
            rows: cols,
            cols: k,
            row_bytes,
            copy: Some(Source {
                copies,
                slot: &slot,
                data: &bytes,
                first_row: case.rows.start,
            }),
        },
        bias: (case.flags & 1 != 0).then_some(&bias[..]),
        accumulate: case.flags & 2 != 0,
    };
    let mut out = before.clone();
    let mut target = MatMut::new(&mut out, m, cols, stride);
    job.run(&Team::new(2), simd, &mut target);
    for r in 0..m {
        let gap = r * stride + cols..(r + 1) * stride;
        assert_eq!(out[gap.clone()], before[gap], "gap after row {r}");
    }
    let mut results = Vec::new();
    let mut dense = vec![0f32; k];
    for c in 0..cols {
        dequantize_row(case.dtype, job.weight.row(c), &mut dense);
        for r in 0..m {
            let products = job.x.row(r).iter().zip(&dense);
            let products = products.map(|(&a, &b)| f64::from(a) * f64::from(b));
            let (sum, size) = products.fold((0.0, 0.0), |(s, z), p| (s + p, z + p.abs()));
            let start = if job.accumulate {
                before[r * stride + c]
            } else {
                0.0
            };
            let start = f64::from(start) + f64::from(job.bias.map_or(0.0, |bias| bias[c]));
            results.push((out[r * stride + c], sum + start, size + start.abs()));
        }
    }
    results
}

/// The types and the levels with dot products of bytes that this processor has.
fn types_and_levels() -> impl Iterator<Item = (DType, Simd)> {
    TYPES
        .into_iter()
        .flat_map(|dtype| levels().into_iter().map(move |simd| (dtype, simd)))
}

/// The levels with dot products of bytes that this processor has.
fn levels() -> Vec<Simd> {
    let multiplies = |simd: &Simd| {
        use Simd::{AvxVnni, Dotprod, I8mm, Vnni};
        matches!(simd, Dotprod | I8mm | AvxVnni | Vnni)
    };
    Simd::supported().into_iter().filter(multiplies).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn copies_multiply_as_the_plain_loops(
        m in 1usize..=8,
        n in 1usize..120,
        blocks in 1usize..24,
        (from, to) in (0.0f64..1.0, 0.0f64..1.0),
        gap in 0usize..20,
        flags in 0u8..4,
        dtype in prop::sample::select(TYPES.to_vec()),
        seed: u64,
    ) {
        let k = (blocks * 32).next_multiple_of(dtype.block_len());
        let start = (from * n as f64) as usize;
        let rows = start..start + 1 + (to * (n - start - 1) as f64) as usize;
        let case = Case { dtype, shape: (m, n, k), rows, gap, flags, seed };
        let results = levels().into_iter().map(|simd| (simd, run(simd, &case, |_, v| v, &Copies::new(u64::MAX))));
        let mut first = None;
        for (simd, results) in results {
            for (got, want, size) in &results {
                let error = (f64::from(*got) - want).abs();
                let note = format!("{simd:?} {dtype}: {got} instead of {want}");
                prop_assert!(error <= 4e-6 * size + 1e-6, "{}", note);
            }
            // Integers are exact and floats are summed in one order: every level has the same bits.
            let bits: Vec<u32> = results.iter().map(|(got, ..)| got.to_bits()).collect();
            prop_assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{:?} {}", simd, dtype);
        }
    }
}

fn case(dtype: DType) -> Case {
    Case {
        dtype,
        shape: (3, 37, 768),
        rows: 0..37,
        gap: 1,
        flags: 0,
        seed: 7,
    }
}

#[test]
fn magnitudes_far_apart_keep_their_accuracy() {
    for (dtype, simd) in types_and_levels() {
        for size in [0.0, 1e-38, 1e-20, 1e-3, 1e4, 1e20, 1e30] {
            // Blocks of 32 differ by up to 2^12, and every fifth block is all zeros.
            let value = |i: usize, v: f32| {
                let block = i / 32;
                let zero = block.is_multiple_of(5);
                if zero {
                    0.0
                } else {
                    v * size * (1 << (block % 13)) as f32
                }
            };
            for (got, want, products) in run(simd, &case(dtype), value, &Copies::new(u64::MAX)) {
                let error = (f64::from(got) - want).abs();
                // What is left out below 2^-100 of values, and levels' size.
                let tolerance = 4e-6 * products + 1e-26;
                assert!(
                    error <= tolerance,
                    "{simd:?} {dtype} {size}: {got} instead of {want}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_finite_comes_out_as_not_a_number() {
    for (dtype, simd) in types_and_levels() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // In the second of three rows only.
            let value = |i: usize, v: f32| if i == 769 + 400 { bad } else { v };
            let results = run(simd, &case(dtype), value, &Copies::new(u64::MAX));
            for (i, (got, ..)) in results.into_iter().enumerate() {
                assert_eq!(
                    got.is_nan(),
                    i % 3 == 1,
                    "{simd:?} {dtype} {bad} {i}: {got}"
                );
            }
        }
    }
}

#[test]
fn without_room_for_copies_the_product_is_the_same_but_for_rounding() {
    for (dtype, simd) in types_and_levels() {
        let with = run(simd, &case(dtype), |_, v| v, &Copies::new(u64::MAX));
        let without = run(simd, &case(dtype), |_, v| v, &Copies::new(0));
        for ((a, want, size), (b, ..)) in with.into_iter().zip(without) {
            assert!(
                (f64::from(a) - f64::from(b)).abs() <= 4e-6 * size,
                "{simd:?} {dtype}: {a} {b} {want}"
            );
        }
    }
}
