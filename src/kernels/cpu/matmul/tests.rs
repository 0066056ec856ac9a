//! Every path against the plain loops in 64-bit floats.

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::engine::DType;
use crate::kernels::quant::dequantize_row;

/// A small generator (SplitMix64), so that one seed names one case.
pub(crate) struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Uniform in -1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit()).collect()
    }
}

/// Rows of a weight with random quants and sensible scales.
pub(crate) fn random_weight(dtype: DType, rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let blocks = rows * cols / dtype.block_len();
    let mut bytes = Vec::new();
    for _ in 0..blocks {
        let mut block: Vec<u8> = (0..dtype.block_bytes())
            .map(|_| random.bits() as u8)
            .collect();
        let mut half = |at: usize| {
            let scale = f16::from_f32(random.unit() * 0.1).to_le_bytes();
            block[at..at + 2].copy_from_slice(&scale);
        };
        match dtype {
            DType::Q8_0 | DType::Q4_0 | DType::Q5_0 => half(0),
            DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => {
                half(0);
                half(2);
            }
            DType::Q6_K => half(208),
            DType::F16 => half(0),
            DType::F32 => block = random.unit().to_le_bytes().to_vec(),
            DType::BF16 => block = random.unit().to_le_bytes()[2..].to_vec(),
            DType::U32 => {}
        }
        bytes.extend(block);
    }
    bytes
}

/// The plain reference.
fn reference(job: &Matmul<'_>, before: &[f32], stride: usize) -> Vec<f64> {
    let mut dense = vec![0f32; job.weight.cols];
    let mut out = vec![0f64; job.x.rows * job.weight.rows];
    for n in 0..job.weight.rows {
        dequantize_row(job.weight.dtype, job.weight.row(n), &mut dense);
        for r in 0..job.x.rows {
            let products = job.x.row(r).iter().zip(&dense);
            let dot: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let before = if job.accumulate {
                before[r * stride + n]
            } else {
                0.0
            };
            out[r * job.weight.rows + n] = dot + f64::from(before) + f64::from(job.bias_at(n));
        }
    }
    out
}

/// Runs one shape on one level and holds every element against the reference; what lies between
/// the rows of the output must stay as it was.
///
/// `flags`: 1 with a bias, 2 accumulate.
fn check(simd: Simd, dtype: DType, shape: (usize, usize, usize), gap: usize, flags: u8, seed: u64) {
    let (m, n, k) = shape;
    let mut random = Random(seed);
    let x_stride = k + gap;
    let x = random.floats(m * x_stride);
    let weight = random_weight(dtype, n, k, seed);
    let bias = random.floats(n);
    let stride = n + gap;
    let before = random.floats(m * stride);
    let job = Matmul {
        x: Mat {
            data: &x,
            rows: m,
            cols: k,
            stride: x_stride,
        },
        weight: Rows {
            dtype,
            data: &weight,
            rows: n,
            cols: k,
            row_bytes: dtype.row_bytes(k).expect("whole blocks"),
            copy: None,
        },
        bias: (flags & 1 != 0).then_some(&bias[..]),
        accumulate: flags & 2 != 0,
    };
    let expected = reference(&job, &before, stride);
    let mut out = before.clone();
    job.run(
        &Team::new(2),
        simd,
        &mut MatMut::new(&mut out, m, n, stride),
    );
    let mut dense = vec![0f32; k];
    for c in 0..n {
        dequantize_row(dtype, job.weight.row(c), &mut dense);
        let size: f64 = dense.iter().map(|&w| f64::from(w).abs()).sum::<f64>() + 2.0;
        for r in 0..m {
            let (got, want) = (f64::from(out[r * stride + c]), expected[r * n + c]);
            assert!(
                (got - want).abs() <= 2e-6 * size,
                "{simd:?} {dtype} {shape:?} at {r},{c}: {got} instead of {want}"
            );
        }
    }
    for r in 0..m {
        let gap = r * stride + n..(r + 1) * stride;
        assert_eq!(
            out[gap.clone()],
            before[gap],
            "{simd:?} {dtype} {shape:?}: gap after row {r}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_agrees_with_the_plain_loops(
        m in prop_oneof![3 => 0usize..10, 6 => 10usize..70, 1 => 90usize..220],
        n in 0usize..150,
        k in 0usize..700,
        gap in 0usize..20,
        flags in 0u8..4,
        dtype in prop::sample::select(DType::WEIGHTS.to_vec()),
        seed: u64,
    ) {
        let k = if dtype.is_plain() { k } else { k.next_multiple_of(dtype.block_len()) };
        for simd in Simd::supported() {
            check(simd, dtype, (m, n, k), gap, flags, seed);
        }
    }
}

#[test]
fn no_depth_leaves_the_bias() {
    for flags in 0..4 {
        for simd in Simd::supported() {
            check(simd, DType::F32, (10, 3, 0), 1, flags, 5);
            check(simd, DType::F32, (40, 40, 0), 1, flags, 5);
        }
    }
}

/// Deep ones are summed in pieces: 49 blocks, the last piece shorter.
#[test]
fn pieces_of_any_depth_are_summed() {
    for dtype in [DType::F32, DType::Q4_1, DType::Q5_0, DType::Q8_0] {
        for simd in Simd::supported() {
            for flags in [1, 3] {
                check(simd, dtype, (25, 37, 1568), 3, flags, 7);
            }
        }
    }
    // A piece may begin within a block.
    for dtype in [DType::Q4_K, DType::Q5_K, DType::Q6_K] {
        for simd in Simd::supported() {
            check(simd, dtype, (25, 37, 2048), 3, 3, 7);
        }
    }
}

#[test]
fn every_type_in_every_path() {
    for dtype in DType::WEIGHTS {
        for simd in Simd::supported() {
            for m in [1, 2, 3, 5, 8, 9, 25] {
                check(simd, dtype, (m, 37, 768), 3, 3, m as u64);
            }
        }
    }
}
