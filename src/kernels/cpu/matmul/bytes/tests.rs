use super::*;
use crate::engine::view::{Mat, Rows};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::matmul::tests::{Random, random_weight};
use crate::kernels::quant::dequantize_row;

const ROWS_OF_X: usize = 10;

fn job<'a>(dtype: DType, x: &'a [f32], weight: &'a [u8], outs: usize, cols: usize) -> Matmul<'a> {
    Matmul {
        x: Mat {
            data: x,
            rows: x.len() / cols,
            cols,
            stride: cols,
        },
        weight: Rows {
            dtype,
            data: weight,
            rows: outs,
            cols,
            row_bytes: dtype.row_bytes(cols).expect("whole blocks"),
            copy: None,
        },
        bias: None,
        accumulate: false,
        rough: true,
    }
}

/// Products of rows that hold `values` here and there.
fn multiply(dtype: DType, values: [f32; 3]) -> Vec<f32> {
    let (cols, outs) = (256, 20);
    let mut x = Random(5).floats(ROWS_OF_X * cols);
    for (row, value) in [1, 4, 9].into_iter().zip(values) {
        x[row * cols + 70] = value;
    }
    let weight = random_weight(dtype, outs, cols, 3);
    let job = job(dtype, &x, &weight, outs, cols);
    let mut out = vec![0.0; ROWS_OF_X * outs];
    let mut view = MatMut::new(&mut out, ROWS_OF_X, outs, outs);
    job.run(&Team::new(2), Simd::Avx2, &mut view);
    out
}

#[test]
fn what_is_not_finite_comes_out_as_not_a_number() {
    if !Simd::supported().contains(&Simd::Avx2) {
        return;
    }
    for dtype in [DType::Q4_1, DType::Q5_0, DType::Q8_0, DType::Q6_K] {
        let out = multiply(dtype, [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        for (row, out) in out.chunks_exact(20).enumerate() {
            let nan = [1, 4, 9].contains(&row);
            assert!(out.iter().all(|v| v.is_nan() == nan), "{dtype} {row}");
        }
    }
}

/// The highest levels times the largest bytes, of either sign: what 16 bits must hold.
#[test]
fn the_largest_sums_fit() {
    if !Simd::supported().contains(&Simd::Avx2) {
        return;
    }
    for (dtype, heads, level) in [
        (DType::Q4_0, 2, 0xff),
        (DType::Q4_1, 4, 0xff),
        (DType::Q5_1, 4, 0xff),
        (DType::Q8_0, 2, 0x7f),
    ] {
        let cols = 2 * LEN;
        let mut weight = vec![level; dtype.row_bytes(cols).expect("whole blocks")];
        for block in weight.chunks_exact_mut(dtype.block_bytes()) {
            // A scale of one and, where there is one, a minimum of zero.
            block[..heads].fill(0);
            block[1] = 0x3c;
            if dtype == DType::Q8_0 {
                // One weight far below makes the others' levels the highest.
                block[2] = 0x80;
            }
        }
        let mut dense = vec![0f32; cols];
        dequantize_row(dtype, &weight, &mut dense);
        for value in [3.0, -3.0] {
            let x = vec![value; 9 * cols];
            let job = job(dtype, &x, &weight, 1, cols);
            let mut out = vec![0.0; 9];
            let outs = &mut [MatMut::new(&mut out, 9, 1, 1)];
            run(&[job], &Team::new(1), outs);
            let want = value * dense.iter().sum::<f32>();
            for got in out {
                let apart = (got - want).abs();
                assert!(
                    apart < 1e-2 * want.abs(),
                    "{dtype} {value}: {got} not {want}"
                );
            }
        }
    }
}

/// A block whose values are all but zero has no inverse of its scale.
#[test]
fn the_smallest_numbers_are_no_trouble() {
    if !Simd::supported().contains(&Simd::Avx2) {
        return;
    }
    let mut row = vec![0f32; LEN];
    for value in [0.0, f32::MIN_POSITIVE, 1e-40, -1e-38] {
        row[3] = value;
        let mut to = vec![7f32; WORDS];
        // SAFETY: the processor has AVX2.
        unsafe { split_row(&row, &mut to) };
        assert!(to[LEN / 4].abs() < 1e-38 && to[LEN / 4 + 1].abs() < 2e-38);
    }
    assert!(
        multiply(DType::Q4_1, [1e-39; 3])
            .iter()
            .all(|v| v.is_finite())
    );
}
