#define_import_path inscribe::weight

// Weights of every type, read four elements at a time. The layouts are GGUF's, except that blocks
// start on words: see `RowLayout::pack` in src/engine/gpu/memory.rs.

#ifdef WEIGHT_F32
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
#else ifdef WEIGHT_F16
@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>;
#else ifdef WEIGHT_BF16
@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>;
#else
@group(0) @binding(2) var<storage, read> weight: array<u32>;
#endif

// Bytes of a word as numbers.
fn bytes_of(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

fn signed_bytes_of(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Four bits of `high`, each moved to the fifth bit of its byte.
fn fifth_bits(high: u32) -> u32 {
    return ((high & 1u) << 4u) | ((high & 2u) << 11u) | ((high & 4u) << 18u) | ((high & 8u) << 25u);
}

#ifdef WEIGHT_K_SCALES
// Byte `i` of the twelve that hold a block's scales and minima, six bits each.
fn scale_byte(block: u32, i: u32) -> u32 {
    return (weight[block + 1u + i / 4u] >> (8u * (i % 4u))) & 255u;
}

// Scale and minimum of sub-block `j`, multiplied by the block's.
fn scale_and_min(block: u32, j: u32) -> vec2<f32> {
    var bits = vec2<u32>(0u);
    if j < 4u {
        bits = vec2<u32>(scale_byte(block, j) & 63u, scale_byte(block, j + 4u) & 63u);
    } else {
        let low = scale_byte(block, j + 4u);
        bits = vec2<u32>(
            (low & 15u) | ((scale_byte(block, j - 4u) >> 6u) << 4u),
            (low >> 4u) | ((scale_byte(block, j) >> 6u) << 4u),
        );
    }
    return unpack2x16float(weight[block]) * vec2<f32>(bits);
}
#endif

// Elements `col` to `col + 3` of the row that starts at word `row`; `col` is a multiple of 4.
// Rows of plain types are padded with zeros to whole vectors.
fn weight_load(row: u32, col: u32) -> vec4<f32> {
#ifdef WEIGHT_F32
    return weight[(row + col) / 4u];
#endif
#ifdef WEIGHT_F16
    let words = weight[row / 2u + col / 4u];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
#endif
#ifdef WEIGHT_BF16
    let words = weight[row / 2u + col / 4u];
    return bitcast<vec4<f32>>(vec4<u32>(
        words.x << 16u,
        words.x & 0xffff0000u,
        words.y << 16u,
        words.y & 0xffff0000u,
    ));
#endif
#ifdef WEIGHT_Q8_0
    let block = row + col / 32u * 9u;
    let scale = unpack2x16float(weight[block]).x;
    return scale * signed_bytes_of(weight[block + 1u + col % 32u / 4u]);
#endif
#ifdef WEIGHT_Q4_0
    let block = row + col / 32u * 5u;
    let scale = unpack2x16float(weight[block]).x;
    let packed = weight[block + 1u + col % 16u / 4u] >> (col % 32u / 16u * 4u);
    return scale * (bytes_of(packed & 0x0f0f0f0fu) - 8.0);
#endif
#ifdef WEIGHT_Q4_1
    let block = row + col / 32u * 5u;
    let scale = unpack2x16float(weight[block]);
    let packed = weight[block + 1u + col % 16u / 4u] >> (col % 32u / 16u * 4u);
    return scale.x * bytes_of(packed & 0x0f0f0f0fu) + scale.y;
#endif
#ifdef WEIGHT_Q5_0
    let block = row + col / 32u * 6u;
    let scale = unpack2x16float(weight[block]).x;
    let high = fifth_bits(weight[block + 1u] >> (col % 32u));
    let packed = weight[block + 2u + col % 16u / 4u] >> (col % 32u / 16u * 4u);
    return scale * (bytes_of((packed & 0x0f0f0f0fu) | high) - 16.0);
#endif
#ifdef WEIGHT_Q5_1
    let block = row + col / 32u * 6u;
    let scale = unpack2x16float(weight[block]);
    let high = fifth_bits(weight[block + 1u] >> (col % 32u));
    let packed = weight[block + 2u + col % 16u / 4u] >> (col % 32u / 16u * 4u);
    return scale.x * bytes_of((packed & 0x0f0f0f0fu) | high) + scale.y;
#endif
#ifdef WEIGHT_Q4_K
    let block = row + col / 256u * 36u;
    let j = col % 256u / 32u;
    let scale = scale_and_min(block, j);
    let packed = weight[block + 4u + j / 2u * 8u + col % 32u / 4u] >> (j % 2u * 4u);
    return scale.x * bytes_of(packed & 0x0f0f0f0fu) - scale.y;
#endif
#ifdef WEIGHT_Q5_K
    let block = row + col / 256u * 44u;
    let j = col % 256u / 32u;
    let lane = col % 32u / 4u;
    let scale = scale_and_min(block, j);
    let high = ((weight[block + 4u + lane] >> j) & 0x01010101u) << 4u;
    let packed = weight[block + 12u + j / 2u * 8u + lane] >> (j % 2u * 4u);
    return scale.x * bytes_of((packed & 0x0f0f0f0fu) | high) - scale.y;
#endif
#ifdef WEIGHT_Q6_K
    let block = row + col / 256u * 53u;
    let i = col % 256u;
    let half = i / 128u;
    let quarter = i % 128u / 32u;
    let low = weight[block + half * 16u + i % 64u / 4u] >> (quarter / 2u * 4u);
    let high = weight[block + 32u + half * 8u + i % 32u / 4u] >> (quarter * 2u);
    let scales = bitcast<i32>(weight[block + 48u + i / 64u] << (24u - i % 64u / 16u * 8u)) >> 24u;
    let scale = unpack2x16float(weight[block + 52u]).x * f32(scales);
    return scale * (bytes_of((low & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4u)) - 32.0);
#endif
}

// Which columns the `i`-th pair of vectors of a row holds: those that share words, so that each
// word is read once.
fn pair_columns(i: u32) -> vec2<u32> {
#ifdef WEIGHT_PLAIN
    return vec2<u32>(i * 8u, i * 8u + 4u);
#endif
#ifdef WEIGHT_BLOCK_32
    let first = i / 4u * 32u + i % 4u * 4u;
    return vec2<u32>(first, first + 16u);
#endif
#ifdef WEIGHT_K_SCALES
    let first = i / 8u * 64u + i % 8u * 4u;
    return vec2<u32>(first, first + 32u);
#endif
#ifdef WEIGHT_Q6_K
    let first = i / 16u * 128u + i % 16u * 4u;
    return vec2<u32>(first, first + 64u);
#endif
}

// Both vectors of a pair of a row of `cols` elements; zeros beyond its end.
fn pair_load(row: u32, i: u32, cols: u32) -> array<vec4<f32>, 2> {
    let at = pair_columns(i);
#ifdef WEIGHT_PLAIN
    var pair = array<vec4<f32>, 2>(weight_load(row, at.x), vec4<f32>(0.0));
    if at.y < cols {
        pair[1] = weight_load(row, at.y);
    }
    return pair;
#endif
#ifdef WEIGHT_Q8_0
    let block = row + i / 4u * 9u;
    let scale = unpack2x16float(weight[block]).x;
    let word = block + 1u + i % 4u;
    return array<vec4<f32>, 2>(
        scale * signed_bytes_of(weight[word]),
        scale * signed_bytes_of(weight[word + 4u]),
    );
#endif
#ifdef WEIGHT_Q4_0
    let block = row + i / 4u * 5u;
    let scale = unpack2x16float(weight[block]).x;
    let packed = weight[block + 1u + i % 4u];
    return array<vec4<f32>, 2>(
        scale * (bytes_of(packed & 0x0f0f0f0fu) - 8.0),
        scale * (bytes_of((packed >> 4u) & 0x0f0f0f0fu) - 8.0),
    );
#endif
#ifdef WEIGHT_Q4_1
    let block = row + i / 4u * 5u;
    let scale = unpack2x16float(weight[block]);
    let packed = weight[block + 1u + i % 4u];
    return array<vec4<f32>, 2>(
        scale.x * bytes_of(packed & 0x0f0f0f0fu) + scale.y,
        scale.x * bytes_of((packed >> 4u) & 0x0f0f0f0fu) + scale.y,
    );
#endif
#ifdef WEIGHT_Q5_0
    let block = row + i / 4u * 6u;
    let scale = unpack2x16float(weight[block]).x;
    let high = weight[block + 1u] >> (i % 4u * 4u);
    let packed = weight[block + 2u + i % 4u];
    return array<vec4<f32>, 2>(
        scale * (bytes_of((packed & 0x0f0f0f0fu) | fifth_bits(high)) - 16.0),
        scale * (bytes_of(((packed >> 4u) & 0x0f0f0f0fu) | fifth_bits(high >> 16u)) - 16.0),
    );
#endif
#ifdef WEIGHT_Q5_1
    let block = row + i / 4u * 6u;
    let scale = unpack2x16float(weight[block]);
    let high = weight[block + 1u] >> (i % 4u * 4u);
    let packed = weight[block + 2u + i % 4u];
    return array<vec4<f32>, 2>(
        scale.x * bytes_of((packed & 0x0f0f0f0fu) | fifth_bits(high)) + scale.y,
        scale.x * bytes_of(((packed >> 4u) & 0x0f0f0f0fu) | fifth_bits(high >> 16u)) + scale.y,
    );
#endif
#ifdef WEIGHT_Q4_K
    let block = row + i / 32u * 36u;
    let j = i % 32u / 8u * 2u;
    let first = scale_and_min(block, j);
    let second = scale_and_min(block, j + 1u);
    let packed = weight[block + 4u + j * 4u + i % 8u];
    return array<vec4<f32>, 2>(
        first.x * bytes_of(packed & 0x0f0f0f0fu) - first.y,
        second.x * bytes_of((packed >> 4u) & 0x0f0f0f0fu) - second.y,
    );
#endif
#ifdef WEIGHT_Q5_K
    let block = row + i / 32u * 44u;
    let j = i % 32u / 8u * 2u;
    let first = scale_and_min(block, j);
    let second = scale_and_min(block, j + 1u);
    let high = weight[block + 4u + i % 8u] >> j;
    let packed = weight[block + 12u + j * 4u + i % 8u];
    let low_bits = (packed & 0x0f0f0f0fu) | ((high & 0x01010101u) << 4u);
    let high_bits = ((packed >> 4u) & 0x0f0f0f0fu) | (((high >> 1u) & 0x01010101u) << 4u);
    return array<vec4<f32>, 2>(
        first.x * bytes_of(low_bits) - first.y,
        second.x * bytes_of(high_bits) - second.y,
    );
#endif
#ifdef WEIGHT_Q6_K
    return array<vec4<f32>, 2>(weight_load(row, at.x), weight_load(row, at.y));
#endif
}
