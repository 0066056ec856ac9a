//! Every path against the plain loops in 64-bit floats.

use proptest::prelude::*;

use super::*;
use crate::engine::DType;
use crate::kernels::cpu::matmul::tests::{Random, random_weight};
use crate::kernels::quant::dequantize_row;

struct Case {
    dtype: DType,
    rows: usize,
    /// Rows and columns of the weight.
    shape: (usize, usize),
    gap: usize,
    accumulate: bool,
    seed: u64,
}

/// Runs one shape on one level and holds every element against the reference; what lies between
/// the rows of the output must stay as it was.
fn check(simd: Simd, case: &Case) {
    let (m, (n, k), gap) = (case.rows, case.shape, case.gap);
    let mut random = Random(case.seed);
    let dy = random.floats(m * (n + gap));
    let bytes = random_weight(case.dtype, n, k, case.seed);
    let before = random.floats(m * (k + gap));
    let weight = Rows {
        dtype: case.dtype,
        data: &bytes,
        rows: n,
        cols: k,
        row_bytes: case.dtype.row_bytes(k).expect("whole blocks"),
        copy: None,
    };
    let dy = Mat {
        data: &dy,
        rows: m,
        cols: n,
        stride: n + gap,
    };
    let job = MatmulBack {
        dy,
        weight,
        accumulate: case.accumulate,
    };
    let mut out = before.clone();
    let mut view = MatMut::new(&mut out, m, k, k + gap);
    job.run(&Team::new(2), simd, &mut view);

    let mut want = vec![0f64; m * k];
    let mut size = vec![2f64; k];
    let mut dense = vec![0f32; k];
    for i in 0..n {
        dequantize_row(case.dtype, weight.row(i), &mut dense);
        for (c, &w) in dense.iter().enumerate() {
            size[c] += f64::from(w).abs();
            for r in 0..m {
                want[r * k + c] += f64::from(dy.row(r)[i]) * f64::from(w);
            }
        }
    }
    for r in 0..m {
        let row = r * (k + gap);
        for c in 0..k {
            let old = if case.accumulate {
                before[row + c]
            } else {
                0.0
            };
            let (got, want) = (f64::from(out[row + c]), want[r * k + c] + f64::from(old));
            assert!(
                (got - want).abs() <= 2e-6 * size[c],
                "{simd:?} {} {m} x {n} x {k} at {r},{c}: {got} instead of {want}",
                case.dtype
            );
        }
        let between = row + k..row + k + gap;
        assert_eq!(out[between.clone()], before[between], "gap after row {r}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_agrees_with_the_plain_loops(
        rows in prop_oneof![3 => 0usize..10, 6 => 10usize..70, 1 => 90usize..220],
        n in 0usize..600,
        k in 0usize..300,
        gap in 0usize..20,
        accumulate: bool,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
        seed: u64,
    ) {
        let k = if dtype.is_plain() { k } else { k.next_multiple_of(dtype.block_len()) };
        let case = Case { dtype, rows, shape: (n, k), gap, accumulate, seed };
        for simd in Simd::supported() {
            check(simd, &case);
        }
    }
}

#[test]
fn every_type_in_every_path() {
    for dtype in DType::WEIGHTS {
        for simd in Simd::supported() {
            for rows in [1, 2, 9, 40] {
                check(
                    simd,
                    &Case {
                        dtype,
                        rows,
                        shape: (301, 768),
                        gap: 3,
                        accumulate: true,
                        seed: rows as u64,
                    },
                );
            }
        }
    }
}

/// The result does not depend on which thread took which part.
#[test]
fn the_same_product_has_the_same_bits() {
    let mut random = Random(5);
    let (m, n, k) = (50, 333, 256);
    let dy = random.floats(m * n);
    let bytes = random_weight(DType::Q4_K, n, k, 5);
    let job = MatmulBack {
        dy: Mat {
            data: &dy,
            rows: m,
            cols: n,
            stride: n,
        },
        weight: Rows {
            dtype: DType::Q4_K,
            data: &bytes,
            rows: n,
            cols: k,
            row_bytes: DType::Q4_K.row_bytes(k).expect("whole blocks"),
            copy: None,
        },
        accumulate: false,
    };
    let team = Team::new(2);
    for simd in Simd::supported() {
        let product = || {
            let mut out = vec![0f32; m * k];
            job.run(&team, simd, &mut MatMut::new(&mut out, m, k, k));
            out
        };
        let first = product();
        for _ in 0..5 {
            assert_eq!(product(), first, "{simd:?}");
        }
    }
}
