//! Random weights of every type, for benchmarks of shapes whose weights are not there.

use half::{bf16, f16};

use crate::engine::DType;

/// `rows` x `cols` valid elements with a variance near `1 / cols`, as files hold them.
/// The same seed gives the same bytes.
pub fn random_weight(dtype: DType, rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let bytes = dtype.row_bytes(cols).unwrap_or(0) * rows;
    let mut data = vec![0u8; bytes];
    let size = dtype.block_bytes();
    let spread = 1.0 / (cols.max(1) as f32).sqrt();
    let mut next = move || {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for block in data.chunks_exact_mut(size) {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => {
                let value = spread * (next() >> 40) as f32 / (1u64 << 23) as f32 - spread;
                match dtype {
                    DType::F32 => block.copy_from_slice(&value.to_le_bytes()),
                    DType::F16 => block.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                    _ => block.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
                }
            }
            _ => {
                for word in block.chunks_mut(8) {
                    let len = word.len();
                    word.copy_from_slice(&next().to_le_bytes()[..len]);
                }
                set_scales(dtype, block, spread);
            }
        }
    }
    data
}

/// Replaces a block's random scales by ones that give values of about `spread`.
fn set_scales(dtype: DType, block: &mut [u8], spread: f32) {
    let mut put = |at: usize, value: f32| {
        block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
    };
    match dtype {
        DType::Q8_0 => put(0, spread / 74.0),
        DType::Q4_0 => put(0, spread / 4.6),
        DType::Q5_0 => put(0, spread / 9.2),
        DType::Q4_1 => {
            put(0, spread / 4.6);
            put(2, -7.5 * spread / 4.6);
        }
        DType::Q5_1 => {
            put(0, spread / 9.2);
            put(2, -15.5 * spread / 9.2);
        }
        // Sub-block scales and minima are six-bit numbers, 32 on average.
        DType::Q4_K => {
            put(0, spread / (4.6 * 32.0));
            put(2, 7.5 * spread / (4.6 * 32.0));
        }
        DType::Q5_K => {
            put(0, spread / (9.2 * 32.0));
            put(2, 15.5 * spread / (9.2 * 32.0));
        }
        // Sub-block scales are signed bytes, 64 on average.
        DType::Q6_K => put(208, spread / (18.5 * 64.0)),
        DType::F32 | DType::F16 | DType::BF16 | DType::U32 => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quant::dequantize_row;

    #[test]
    fn values_have_the_promised_spread() {
        for dtype in DType::WEIGHTS {
            let (rows, cols) = (16, 512);
            let bytes = random_weight(dtype, rows, cols, 3);
            assert_eq!(bytes, random_weight(dtype, rows, cols, 3));
            let mut squares = 0.0;
            let mut row = vec![0f32; cols];
            for bytes in bytes.chunks_exact(bytes.len() / rows) {
                dequantize_row(dtype, bytes, &mut row);
                squares += row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            }
            let variance = squares / (rows * cols) as f64 * cols as f64;
            assert!((0.2..8.0).contains(&variance), "{dtype}: {variance}");
        }
    }
}
