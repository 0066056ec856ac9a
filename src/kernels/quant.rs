//! Reference dequantisation of weight rows, block by block as GGUF lays them out.

use half::{bf16, f16};

use crate::engine::DType;

/// Expands one row. `out` is a whole number of blocks and `bytes` holds exactly them.
pub fn dequantize_row(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    debug_assert_eq!(dtype.row_bytes(out.len()), Some(bytes.len()));
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    let outs = out.chunks_exact_mut(dtype.block_len());
    let pairs = blocks.zip(outs);
    match dtype {
        DType::F32 => pairs.for_each(|(b, o)| o[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        DType::U32 => {
            pairs.for_each(|(b, o)| o[0] = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32)
        }
        DType::F16 => pairs.for_each(|(b, o)| o[0] = half_at(b, 0)),
        DType::BF16 => pairs.for_each(|(b, o)| o[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32()),
        DType::Q8_0 => pairs.for_each(|(b, o)| {
            let d = half_at(b, 0);
            o.iter_mut()
                .zip(&b[2..])
                .for_each(|(o, &q)| *o = d * f32::from(q as i8));
        }),
        DType::Q4_0 => pairs.for_each(|(b, o)| {
            let d = half_at(b, 0);
            nibbles(&b[2..], o, |_, q| d * (f32::from(q) - 8.0));
        }),
        DType::Q4_1 => pairs.for_each(|(b, o)| {
            let (d, m) = (half_at(b, 0), half_at(b, 2));
            nibbles(&b[4..], o, |_, q| d * f32::from(q) + m);
        }),
        DType::Q5_0 => pairs.for_each(|(b, o)| {
            let (d, high) = (half_at(b, 0), word_at(b, 2));
            nibbles(&b[6..], o, |i, q| {
                d * (f32::from(q | fifth_bit(high, i)) - 16.0)
            });
        }),
        DType::Q5_1 => pairs.for_each(|(b, o)| {
            let (d, m, high) = (half_at(b, 0), half_at(b, 2), word_at(b, 4));
            nibbles(&b[8..], o, |i, q| d * f32::from(q | fifth_bit(high, i)) + m);
        }),
        DType::Q4_K => pairs.for_each(|(b, o)| k_block(b, &[], &b[16..], o)),
        DType::Q5_K => pairs.for_each(|(b, o)| k_block(b, &b[16..48], &b[48..], o)),
        DType::Q6_K => pairs.for_each(|(b, o)| q6_k_block(b, o)),
    }
}

fn half_at(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

fn word_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn fifth_bit(high: u32, i: usize) -> u8 {
    ((high >> i & 1) << 4) as u8
}

/// Low nibbles are the block's first half, high nibbles its second.
fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, ((&byte, low), high)) in packed.iter().zip(low).zip(high).enumerate() {
        *low = value(i, byte & 15);
        *high = value(i + 16, byte >> 4);
    }
}

/// Scale and minimum of sub-block `j`, six bits each, packed into 12 bytes.
fn scale_and_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            packed[j + 4] & 15 | packed[j - 4] >> 6 << 4,
            packed[j + 4] >> 4 | packed[j] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(min))
}

/// Q4_K, and Q5_K where `high` holds the fifth bits.
fn k_block(b: &[u8], high: &[u8], packed: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&b[4..16], j);
        let (d, m) = (d * scale, dmin * min);
        let packed = &packed[j / 2 * 32..][..32];
        for (i, (out, &byte)) in out.iter_mut().zip(packed).enumerate() {
            let low = if j % 2 == 0 { byte & 15 } else { byte >> 4 };
            let fifth = high.get(i).map_or(0, |h| (h >> j & 1) << 4);
            *out = d * f32::from(low | fifth) - m;
        }
    }
}

fn q6_k_block(b: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half_at(b, 208));
    for (i, out) in out.iter_mut().enumerate() {
        let (half, within) = (i / 128, i % 128);
        let (quarter, lane) = (within / 32, within % 32);
        let nibble = low[half * 64 + within % 64] >> (4 * (quarter / 2)) & 15;
        let top = high[half * 32 + lane] >> (2 * quarter) & 3;
        let q = i32::from(nibble | top << 4) - 32;
        *out = d * f32::from(scales[i / 16] as i8) * q as f32;
    }
}
