//! Every path against the plain loops in 64-bit floats.

use proptest::prelude::*;

use super::*;
use crate::kernels::cpu::matmul::tests::Random;

#[derive(Clone, Copy)]
struct Case {
    rows: usize,
    /// Rows and columns of the output.
    shape: (usize, usize),
    gap: usize,
    accumulate: bool,
    seed: u64,
}

fn multiply(simd: Simd, team: &Team, case: Case) -> Vec<f32> {
    let (t, (n, k), gap) = (case.rows, case.shape, case.gap);
    let mut random = Random(case.seed);
    let (dy, x) = (random.floats(t * (n + gap)), random.floats(t * (k + gap)));
    let mut out = random.floats(n * (k + gap));
    let mat = |data, cols| Mat {
        data,
        rows: t,
        cols,
        stride: cols + gap,
    };
    let job = Outer {
        dy: mat(&dy, n),
        x: mat(&x, k),
        accumulate: case.accumulate,
    };
    job.run(team, simd, &mut MatMut::new(&mut out, n, k, k + gap));
    out
}

/// Runs one shape on one level and holds every element against the reference; what lies between
/// the rows of the output must stay as it was.
fn check(simd: Simd, case: Case) {
    let (t, (n, k), gap) = (case.rows, case.shape, case.gap);
    let mut random = Random(case.seed);
    let (dy, x) = (random.floats(t * (n + gap)), random.floats(t * (k + gap)));
    let before = random.floats(n * (k + gap));
    let out = multiply(simd, &Team::new(2), case);
    for i in 0..n {
        let row = i * (k + gap);
        for j in 0..k {
            let old = if case.accumulate {
                before[row + j]
            } else {
                0.0
            };
            let (mut want, mut size) = (f64::from(old), 2.0);
            for r in 0..t {
                let (a, b) = (dy[r * (n + gap) + i], x[r * (k + gap) + j]);
                want += f64::from(a) * f64::from(b);
                size += f64::from(a * b).abs();
            }
            let got = f64::from(out[row + j]);
            assert!(
                (got - want).abs() <= 2e-6 * size,
                "{simd:?} {t} x {n} x {k} at {i},{j}: {got} instead of {want}"
            );
        }
        let between = row + k..row + k + gap;
        assert_eq!(out[between.clone()], before[between], "gap after row {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_agrees_with_the_plain_loops(
        rows in prop_oneof![0usize..4, 4usize..600],
        n in prop_oneof![0usize..20, 20usize..100],
        k in prop_oneof![0usize..20, 20usize..150],
        gap in 0usize..20,
        accumulate: bool,
        seed: u64,
    ) {
        for simd in Simd::supported() {
            check(simd, Case { rows, shape: (n, k), gap, accumulate, seed });
        }
    }
}

/// The result does not depend on which thread took which part.
#[test]
fn the_same_product_has_the_same_bits() {
    let team = Team::new(2);
    for shape in [(16, 333), (333, 16), (130, 150)] {
        let case = Case {
            rows: 777,
            shape,
            gap: 0,
            accumulate: false,
            seed: 3,
        };
        for simd in Simd::supported() {
            let first = multiply(simd, &team, case);
            for _ in 0..5 {
                assert_eq!(multiply(simd, &team, case), first, "{simd:?}");
            }
        }
    }
}
