//! Reference dequantisation of weight rows, block by block as GGUF lays them out, and a plain
//! quantisation into the same blocks.

use half::{bf16, f16};

use crate::engine::DType;

/// Expands one row. `out` is a whole number of blocks and `bytes` holds exactly them.
pub fn dequantize_row(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    dequantize_row_inline(dtype, bytes, out);
}

/// [`dequantize_row`] for functions compiled for more instructions than every processor has.
#[inline(always)]
pub fn dequantize_row_inline(dtype: DType, bytes: &[u8], out: &mut [f32]) {
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
            nibbles(&b[2..], o, |q| d * (f32::from(q) - 8.0));
        }),
        DType::Q4_1 => pairs.for_each(|(b, o)| {
            let (d, m) = (half_at(b, 0), half_at(b, 2));
            nibbles(&b[4..], o, |q| d * f32::from(q) + m);
        }),
        DType::Q5_0 => pairs.for_each(|(b, o)| {
            let d = half_at(b, 0);
            expand(&five_bits(&b[2..6], &b[6..]), o, |q| d * (q - 16.0));
        }),
        DType::Q5_1 => pairs.for_each(|(b, o)| {
            let (d, m) = (half_at(b, 0), half_at(b, 2));
            expand(&five_bits(&b[4..8], &b[8..]), o, |q| d * q + m);
        }),
        DType::Q4_K => pairs.for_each(|(b, o)| k_block(b, None, &b[16..], o)),
        DType::Q5_K => pairs.for_each(|(b, o)| k_block(b, Some(&b[16..48]), &b[48..], o)),
        DType::Q6_K => pairs.for_each(|(b, o)| q6_k_block(b, o)),
    }
}

/// The `f16` at `at`. Every block has one or two, and the `half` crate asks each time what the
/// processor can do.
#[inline(always)]
fn half_at(b: &[u8], at: usize) -> f32 {
    const INFINITE: u32 = 0x7c00;
    /// What the exponents of `f32` exceed those of `f16` by, as a power of two.
    const MORE: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes([b[at], b[at + 1]]));
    let (size, sign) = (bits & 0x7fff, bits & 0x8000);
    let finite = (f32::from_bits(size << 13) * MORE).to_bits();
    let other = f32::INFINITY.to_bits() | size << 13;
    f32::from_bits(sign << 16 | if size < INFINITE { finite } else { other })
}

/// Low nibbles are the block's first half, high nibbles its second.
#[inline(always)]
fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((&byte, low), high) in packed.iter().zip(low).zip(high) {
        *low = value(byte & 15);
        *high = value(byte >> 4);
    }
}

// Levels are unpacked into bytes first and turned into floats after: either loop is then simple
// enough for the compiler's vectors, which is worth a factor of four to eight.

#[inline(always)]
fn expand(levels: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    for (out, level) in out.iter_mut().zip(levels) {
        *out = value(f32::from(*level));
    }
}

/// Nibbles as in [`nibbles`] with a fifth bit for each, from the lowest bit of `high` on.
#[inline(always)]
fn five_bits(high: &[u8], packed: &[u8]) -> [u8; 32] {
    let mut levels = [0; 32];
    let (first, second) = levels.split_at_mut(16);
    for ((byte, first), second) in packed.iter().zip(first).zip(second) {
        *first = byte & 15;
        *second = byte >> 4;
    }
    for (levels, high) in levels.chunks_exact_mut(8).zip(high) {
        for (bit, level) in levels.iter_mut().enumerate() {
            *level |= (high >> bit & 1) << 4;
        }
    }
    levels
}

/// Scale and minimum of sub-block `j`, six bits each, packed into 12 bytes.
#[inline(always)]
fn scale_and_min(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            packed[j + 4] & 15 | packed[j - 4] >> 6 << 4,
            packed[j + 4] >> 4 | packed[j] >> 6 << 4,
        )
    }
}

/// The level of [`block_levels`] that stands for none.
#[inline(always)]
pub fn zero_of(dtype: DType) -> u8 {
    match dtype {
        DType::Q4_0 => 8,
        DType::Q5_0 => 16,
        DType::Q6_K => 32,
        DType::Q8_0 => 128,
        _ => 0,
    }
}

/// What makes weights `32 j` to `32 j + 31` of their levels less [`zero_of`]: a scale for each half
/// and what is added to all.
#[inline(always)]
pub fn scales_of(dtype: DType, b: &[u8], j: usize) -> ([f32; 2], f32) {
    match dtype {
        DType::Q4_0 | DType::Q5_0 | DType::Q8_0 => ([half_at(b, 0); 2], 0.0),
        DType::Q4_1 | DType::Q5_1 => ([half_at(b, 0); 2], half_at(b, 2)),
        DType::Q4_K | DType::Q5_K => {
            let (scale, min) = scale_and_min(&b[4..16], j);
            let (d, dmin) = (half_at(b, 0), half_at(b, 2));
            ([d * f32::from(scale); 2], -dmin * f32::from(min))
        }
        DType::Q6_K => {
            let (d, scales) = (half_at(b, 208), &b[192..208]);
            let scale = |half: usize| d * f32::from(scales[2 * j + half] as i8);
            ([scale(0), scale(1)], 0.0)
        }
        DType::F32 | DType::F16 | DType::BF16 | DType::U32 => {
            unreachable!("plain elements have no scales")
        }
    }
}

/// The levels of a block's weights `32 j` to `32 j + 31` as unsigned numbers; the signed ones of
/// Q8_0 plus 128.
#[inline(always)]
pub fn block_levels(dtype: DType, b: &[u8], j: usize) -> [u8; 32] {
    let mut levels = [0; 32];
    match dtype {
        DType::Q8_0 => expand_bytes(&b[2..], &mut levels, |q| q ^ 0x80),
        DType::Q4_0 => nibble_levels(&b[2..], &mut levels),
        DType::Q4_1 => nibble_levels(&b[4..], &mut levels),
        DType::Q5_0 => levels = five_bits(&b[2..6], &b[6..]),
        DType::Q5_1 => levels = five_bits(&b[4..8], &b[8..]),
        DType::Q4_K => levels = k_levels(None, &b[16..], j),
        DType::Q5_K => levels = k_levels(Some(&b[16..48]), &b[48..], j),
        DType::Q6_K => levels = q6_k_levels(b, j),
        DType::F32 | DType::F16 | DType::BF16 | DType::U32 => {
            unreachable!("plain elements have no levels")
        }
    }
    levels
}

#[inline(always)]
fn expand_bytes(from: &[u8], to: &mut [u8], value: impl Fn(u8) -> u8) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = value(from);
    }
}

/// Low nibbles first, then the high ones.
#[inline(always)]
fn nibble_levels(packed: &[u8], levels: &mut [u8; 32]) {
    let (first, second) = levels.split_at_mut(16);
    expand_bytes(packed, first, |q| q & 15);
    expand_bytes(packed, second, |q| q >> 4);
}

/// What the scale and the minimum of a K block are multiplied by for each 32 weights.
pub fn k_scales_and_mins(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let both: [(u8, u8); 8] = std::array::from_fn(|j| scale_and_min(packed, j));
    (both.map(|(scale, _)| scale), both.map(|(_, min)| min))
}

/// Q4_K, and Q5_K where `high` holds the fifth bits.
#[inline(always)] // Once for each, so that Q4_K has no test for the fifth bit.
fn k_block(b: &[u8], high: Option<&[u8]>, packed: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&b[4..16], j);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        expand(&k_levels(high, packed, j), out, |q| d * q - m);
    }
}

#[inline(always)]
fn k_levels(high: Option<&[u8]>, packed: &[u8], j: usize) -> [u8; 32] {
    let mut levels = [0u8; 32];
    for (level, byte) in levels.iter_mut().zip(&packed[j / 2 * 32..]) {
        *level = byte >> (j % 2 * 4) & 15;
    }
    if let Some(high) = high {
        for (level, high) in levels.iter_mut().zip(high) {
            *level |= (high >> j & 1) << 4;
        }
    }
    levels
}

#[inline(always)]
fn q6_k_block(b: &[u8], out: &mut [f32]) {
    let (scales, d) = (&b[192..208], half_at(b, 208));
    for (n, out) in out.chunks_exact_mut(32).enumerate() {
        let levels = q6_k_levels(b, n);
        let halves = levels.chunks_exact(16).zip(out.chunks_exact_mut(16));
        for ((levels, out), scale) in halves.zip(&scales[2 * n..]) {
            let d = d * f32::from(*scale as i8);
            expand(levels, out, |q| d * (q - 32.0));
        }
    }
}

#[inline(always)]
fn q6_k_levels(b: &[u8], n: usize) -> [u8; 32] {
    let (half, quarter) = (n / 4, n % 4);
    let low = &b[..128][half * 64 + quarter % 2 * 32..];
    let high = &b[128..192][half * 32..];
    let mut levels = [0u8; 32];
    for ((level, low), high) in levels.iter_mut().zip(low).zip(high) {
        let top = high >> (2 * quarter) & 3;
        *level = low >> (quarter / 2 * 4) & 15 | top << 4;
    }
    levels
}

/// Packs one row, rounding to the nearest value a block can hold. `values` is a whole number of
/// blocks and `bytes` has room for exactly them.
///
/// Plain types and blocks of 32 come out as gguf-py writes them. Blocks of 256 get the simplest
/// choice of scales, without the search by which llama.cpp makes the error a little smaller.
pub fn quantize_row(dtype: DType, values: &[f32], bytes: &mut [u8]) {
    debug_assert_eq!(dtype.row_bytes(values.len()), Some(bytes.len()));
    let blocks = bytes.chunks_exact_mut(dtype.block_bytes());
    let pairs = values.chunks_exact(dtype.block_len()).zip(blocks);
    match dtype {
        DType::F32 => pairs.for_each(|(v, b)| b.copy_from_slice(&v[0].to_le_bytes())),
        DType::U32 => pairs.for_each(|(v, b)| b.copy_from_slice(&(v[0] as u32).to_le_bytes())),
        DType::F16 => pairs.for_each(|(v, b)| put_half(b, 0, v[0])),
        DType::BF16 => {
            pairs.for_each(|(v, b)| b.copy_from_slice(&bf16::from_f32(v[0]).to_le_bytes()))
        }
        DType::Q8_0 => pairs.for_each(|(v, b)| {
            let d = v.iter().fold(0f32, |a, v| a.max(v.abs())) / 127.0;
            let inverse = inverse(d);
            put_half(b, 0, d);
            for (b, v) in b[2..].iter_mut().zip(v) {
                *b = (v * inverse).round() as i8 as u8;
            }
        }),
        DType::Q4_0 => pairs.for_each(|(v, b)| {
            let d = furthest_from_zero(v) / -8.0;
            put_half(b, 0, d);
            pack_nibbles(v, &mut b[2..], |v| level(v * inverse(d) + 8.5, 15));
        }),
        DType::Q4_1 => pairs.for_each(|(v, b)| {
            let (min, d) = min_and_step(v, 15.0);
            put_half(b, 0, d);
            put_half(b, 2, min);
            pack_nibbles(v, &mut b[4..], |v| level((v - min) * inverse(d) + 0.5, 15));
        }),
        DType::Q5_0 => pairs.for_each(|(v, b)| {
            let d = furthest_from_zero(v) / -16.0;
            put_half(b, 0, d);
            pack_fifth_bits(v, &mut b[2..], |v| level(v * inverse(d) + 16.5, 31));
        }),
        DType::Q5_1 => pairs.for_each(|(v, b)| {
            let (min, d) = min_and_step(v, 31.0);
            put_half(b, 0, d);
            put_half(b, 2, min);
            pack_fifth_bits(v, &mut b[4..], |v| level((v - min) * inverse(d) + 0.5, 31));
        }),
        DType::Q4_K => pairs.for_each(|(v, b)| quantize_k_block(v, b, 15)),
        DType::Q5_K => pairs.for_each(|(v, b)| quantize_k_block(v, b, 31)),
        DType::Q6_K => pairs.for_each(|(v, b)| quantize_q6_k_block(v, b)),
    }
}

fn put_half(b: &mut [u8], at: usize, value: f32) {
    b[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The value of the largest size, with its sign; the first where several are as large.
fn furthest_from_zero(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0f32, |far, &v| if v.abs() > far.abs() { v } else { far })
}

fn min_and_step(values: &[f32], levels: f32) -> (f32, f32) {
    let min = values.iter().fold(f32::INFINITY, |a, &v| a.min(v));
    let max = values.iter().fold(f32::NEG_INFINITY, |a, &v| a.max(v));
    (min, (max - min) / levels)
}

/// Cuts off the fraction and keeps the level in range.
fn level(value: f32, max: u8) -> u8 {
    (value as u8).min(max)
}

fn pack_nibbles(values: &[f32], packed: &mut [u8], level_of: impl Fn(f32) -> u8) {
    let (low, high) = values.split_at(16);
    for ((byte, &low), &high) in packed.iter_mut().zip(low).zip(high) {
        *byte = level_of(low) & 15 | level_of(high) << 4;
    }
}

/// Four bytes of fifth bits, then the nibbles.
fn pack_fifth_bits(values: &[f32], packed: &mut [u8], level_of: impl Fn(f32) -> u8) {
    let bits = values.iter().enumerate();
    let high = bits.fold(0u32, |all, (i, &v)| all | u32::from(level_of(v) >> 4) << i);
    packed[..4].copy_from_slice(&high.to_le_bytes());
    pack_nibbles(values, &mut packed[4..], level_of);
}

/// Q4_K (`max` 15) and Q5_K (`max` 31): each 32 values have a scale and a minimum of six bits.
fn quantize_k_block(values: &[f32], b: &mut [u8], max: u8) {
    let mut steps = [(0f32, 0f32); 8];
    for (step, values) in steps.iter_mut().zip(values.chunks_exact(32)) {
        // The minimum is stored without a sign and subtracted: it cannot be above zero.
        let min = values.iter().fold(0f32, |a, &v| a.min(v));
        let top = values.iter().fold(0f32, |a, &v| a.max(v));
        *step = ((top - min) / f32::from(max), -min);
    }
    put_half(b, 0, steps.iter().fold(0f32, |a, s| a.max(s.0)) / 63.0);
    put_half(b, 2, steps.iter().fold(0f32, |a, s| a.max(s.1)) / 63.0);
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    b[4..].fill(0);
    for (j, (values, step)) in values.chunks_exact(32).zip(steps).enumerate() {
        let scale = level(step.0 * inverse(d) + 0.5, 63);
        let min = level(step.1 * inverse(dmin) + 0.5, 63);
        put_scale_and_min(&mut b[4..16], j, scale, min);
        let (per_level, min) = (inverse(d * f32::from(scale)), dmin * f32::from(min));
        for (i, v) in values.iter().enumerate() {
            let q = level((v + min) * per_level + 0.5, max);
            let nibbles = if max == 15 { 16 } else { 48 };
            b[nibbles + j / 2 * 32 + i] |= (q & 15) << (j % 2 * 4);
            if max != 15 {
                b[16 + i] |= q >> 4 << j;
            }
        }
    }
}

/// The inverse of [`scale_and_min`], into zeroed bytes.
fn put_scale_and_min(packed: &mut [u8], j: usize, scale: u8, min: u8) {
    if j < 4 {
        packed[j] |= scale;
        packed[j + 4] |= min;
    } else {
        packed[j + 4] |= scale & 15 | min << 4;
        packed[j - 4] |= scale >> 4 << 6;
        packed[j] |= min >> 4 << 6;
    }
}

/// Each 16 values have a signed scale of eight bits.
fn quantize_q6_k_block(values: &[f32], b: &mut [u8]) {
    let mut steps = [0f32; 16];
    for (step, values) in steps.iter_mut().zip(values.chunks_exact(16)) {
        *step = furthest_from_zero(values) / -32.0;
    }
    b.fill(0);
    put_half(
        b,
        208,
        steps.iter().fold(0f32, |a, s| a.max(s.abs())) / 127.0,
    );
    let d = half_at(b, 208);
    for (sub, (values, step)) in values.chunks_exact(16).zip(steps).enumerate() {
        let scale = (step * inverse(d)).round().clamp(-128.0, 127.0) as i8;
        b[192 + sub] = scale as u8;
        let per_level = inverse(d * f32::from(scale));
        for (lane, v) in values.iter().enumerate() {
            let q = ((v * per_level).round().clamp(-32.0, 31.0) + 32.0) as u8;
            let (half, within) = (sub / 8, (sub * 16 + lane) % 128);
            b[half * 64 + within % 64] |= (q & 15) << (within / 64 * 4);
            b[128 + half * 32 + within % 32] |= q >> 4 << (within / 32 * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    // Made by tests/golden/make_quant_blocks.py.
    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/quant.safetensors");

    fn golden(name: String) -> Option<Vec<u8>> {
        let file = SafeTensors::deserialize(GOLDEN).unwrap();
        file.tensor(&name).ok().map(|t| t.data().to_vec())
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        let mut values = vec![0.0; bytes.len() / 4];
        dequantize_row(DType::F32, bytes, &mut values);
        values
    }

    fn types() -> impl Iterator<Item = DType> {
        DType::WEIGHTS.into_iter().filter(|&t| t != DType::F32)
    }

    #[test]
    fn every_f16_is_read_as_the_half_crate_reads_it() {
        for bits in 0..=u16::MAX {
            let (got, want) = (
                half_at(&bits.to_le_bytes(), 0),
                f16::from_bits(bits).to_f32(),
            );
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(same, "{bits:#06x}: {got} instead of {want}");
        }
    }

    #[test]
    fn dequantised_blocks_are_bit_for_bit_those_of_gguf_py() {
        for dtype in types() {
            let blocks = golden(format!("{dtype}.blocks")).unwrap();
            let expected = floats(&golden(format!("{dtype}.values")).unwrap());
            let mut values = vec![0.0; expected.len()];
            dequantize_row(dtype, &blocks, &mut values);
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(&expected), "{dtype}");
        }
    }

    #[test]
    fn quantised_blocks_are_those_of_gguf_py_where_it_has_them() {
        let source = floats(&golden("source".into()).unwrap());
        let mut checked = 0;
        for dtype in types() {
            let Some(expected) = golden(format!("{dtype}.quantised")) else {
                continue;
            };
            let mut bytes = vec![0; expected.len()];
            quantize_row(dtype, &source, &mut bytes);
            assert_eq!(bytes, expected, "{dtype}");
            checked += 1;
        }
        assert_eq!(checked, 7);
    }

    #[test]
    fn a_quantised_row_comes_back_within_half_a_step() {
        let source = floats(&golden("source".into()).unwrap());
        for (dtype, levels, group) in [
            (DType::Q4_K, 15.0, 32),
            (DType::Q5_K, 31.0, 32),
            (DType::Q6_K, 63.0, 16),
        ] {
            let mut bytes = vec![0xff; dtype.row_bytes(source.len()).unwrap()];
            quantize_row(dtype, &source, &mut bytes);
            let mut values = vec![0.0; source.len()];
            dequantize_row(dtype, &bytes, &mut values);
            for (block, (source, values)) in source.chunks(256).zip(values.chunks(256)).enumerate()
            {
                let spread = |v: &[f32]| {
                    let ends = v
                        .iter()
                        .fold((0f32, 0f32), |a, &v| (a.0.min(v), a.1.max(v)));
                    // Levels of Q6_K lie on both sides of zero, whatever the values' signs.
                    if group == 16 {
                        2.0 * ends.1.max(-ends.0)
                    } else {
                        ends.1 - ends.0
                    }
                };
                // Rounding a sub-block's own scale and minimum costs up to 1/126 of the block's.
                let slack = spread(source) / 60.0;
                for (i, (s, v)) in source.iter().zip(values).enumerate() {
                    let own = spread(&source[i / group * group..][..group]);
                    let bound = 0.55 * own / levels + slack;
                    assert!(
                        (s - v).abs() <= bound,
                        "{dtype} {block}.{i}: {s} {v} {bound}"
                    );
                }
            }
            assert!(
                values[256..512].iter().all(|&v| v == 0.0),
                "{dtype}: zeros stay zero"
            );
        }
    }

    #[test]
    fn packing_is_the_inverse_of_unpacking() {
        // Values that a block can hold exactly come back exactly, in every lane.
        for (dtype, low, high) in [
            (DType::Q4_K, 0, 15),
            (DType::Q5_K, 0, 31),
            (DType::Q6_K, -32, 31),
        ] {
            let span = high - low + 1;
            let values: Vec<f32> = (0..256i32)
                .map(|i| {
                    if i % 16 == 0 {
                        if low < 0 { low } else { high }
                    } else {
                        low + i * 7 % span
                    }
                })
                .map(|q| q as f32 * 63.0 * 127.0 / 64.0)
                .collect();
            let mut bytes = vec![0; dtype.block_bytes()];
            quantize_row(dtype, &values, &mut bytes);
            let mut back = vec![0.0; 256];
            dequantize_row(dtype, &bytes, &mut back);
            for (i, (a, b)) in values.iter().zip(&back).enumerate() {
                assert!(
                    (a - b).abs() <= 2e-3 * values[0].abs(),
                    "{dtype} {i}: {a} {b}"
                );
            }
        }
    }
}
