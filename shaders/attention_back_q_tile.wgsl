// Gradient of attention with respect to 32 query rows of one head, 32 keys at a time: as
// attention_tile.wgsl, with the products of output gradients and values beside the scores. Heads
// are whole vectors, of at most 16 * VECTORS of them.
#import inscribe::view::View
#import inscribe::sequence::{part_of, rows_of}

struct Params {
    base: vec4<u32>,
    q: View,
    keys: View,
    values: View,
    positions: View,
    out: View,
    d_out: View,
    stats: View,
    dq: View,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    window: u32,
    sequence: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> d_out: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>;

const TILE: u32 = 32u;
const CHUNK: u32 = 16u;
// Odd, so that rows start on different banks.
const PITCH: u32 = 17u;
const VECTORS: u32 = #{VECTORS}u;
const LOWEST: f32 = -3.0e38;

var<workgroup> row_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> key_tile: array<vec4<f32>, TILE * PITCH>;
// Scores, then shares, then gradients of scores, by row.
var<workgroup> shares: array<f32, TILE * 33u>;
var<workgroup> partial: array<f32, 128>;
var<workgroup> shrinks: array<f32, TILE>;
var<workgroup> deltas: array<f32, TILE>;
// First and one past the last key each row sees.
var<workgroup> starts: array<u32, TILE>;
var<workgroup> ends: array<u32, TILE>;

// What a lane has of a tile: four rows of two keys, 16 apart.
struct Products {
    near: vec4<f32>,
    far: vec4<f32>,
}

// Adds the products of a chunk of the vectors that lie in both tiles.
fn multiply(before: Products, top: u32, lane: u32) -> Products {
    var sums = before;
    for (var d = 0u; d < CHUNK; d += 1u) {
        let a = key_tile[lane * PITCH + d];
        let b = key_tile[(lane + 16u) * PITCH + d];
        let at = top * PITCH + d;
        let row_a = row_tile[at];
        let row_b = row_tile[at + PITCH];
        let row_c = row_tile[at + 2u * PITCH];
        let row_d = row_tile[at + 3u * PITCH];
        sums.near += vec4<f32>(dot(row_a, a), dot(row_b, a), dot(row_c, a), dot(row_d, a));
        sums.far += vec4<f32>(dot(row_a, b), dot(row_b, b), dot(row_c, b), dot(row_d, b));
    }
    return sums;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim / 4u;
    let part = part_of(place.x, TILE, params.sequence, params.q.rows);
    let begin = part.begin;
    let key_rows = rows_of(params.sequence, params.keys.rows);
    // One past the sequence's last row, and the workgroup's first.
    let rows = begin + part.rows;
    let first_row = begin + part.first;
    let kv = place.y / (params.heads / params.kv_heads) * dim;
    let own = place.y * dim;
    let first_query = params.q.offset / 4u + own;
    let first_out = params.out.offset / 4u + own;
    let first_slope = params.d_out.offset / 4u + own;
    let first_key = (params.keys.offset + begin * params.keys.stride) / 4u + kv;
    let first_value = (params.values.offset + begin * params.values.stride) / 4u + kv;
    let q_stride = params.q.stride / 4u;
    let out_stride = params.out.stride / 4u;
    let slope_stride = params.d_out.stride / 4u;
    let key_stride = params.keys.stride / 4u;
    let value_stride = params.values.stride / 4u;
    if local < TILE {
        var row_start = 0u;
        var row_end = 0u;
        if first_row + local < rows {
            let position = positions[params.positions.offset + first_row + local];
            row_end = min(position + 1u, key_rows);
            if params.window > 0u && row_end > params.window {
                row_start = row_end - params.window;
            }
        }
        starts[local] = row_start;
        ends[local] = row_end;
    }
    // For what is known of a row, four invocations share it.
    let soft_row = local / 4u;
    let soft_first = soft_row * 33u + local % 4u * 8u;
    let quad = soft_row * 4u;
    var products = 0.0;
    if first_row + soft_row < rows {
        let from_out = first_out + (first_row + soft_row) * out_stride;
        let from_slope = first_slope + (first_row + soft_row) * slope_stride;
        for (var d = local % 4u; d < dim; d += 4u) {
            products += dot(out[from_out + d], d_out[from_slope + d]);
        }
    }
    partial[local] = products;
    workgroupBarrier();
    if local % 4u == 0u {
        deltas[soft_row] = partial[quad] + partial[quad + 1u] + partial[quad + 2u] + partial[quad + 3u];
    }
    // The keys that any row sees.
    var start = starts[0];
    var end = ends[0];
    for (var i = 1u; i < min(TILE, rows - first_row); i += 1u) {
        start = min(start, starts[i]);
        end = max(end, ends[i]);
    }
    workgroupBarrier();
    let lane = local % 16u;
    let top = local / 16u * 4u;
    var largest = LOWEST;
    var total = 0.0;
    var sum_a = array<vec4<f32>, VECTORS>();
    var sum_b = array<vec4<f32>, VECTORS>();
    var sum_c = array<vec4<f32>, VECTORS>();
    var sum_d = array<vec4<f32>, VECTORS>();
    for (var tile = start; tile < end; tile += TILE) {
        var scores = Products(vec4<f32>(0.0), vec4<f32>(0.0));
        var d_shares = Products(vec4<f32>(0.0), vec4<f32>(0.0));
        for (var chunk = 0u; chunk < dim; chunk += CHUNK) {
            for (var i = local; i < TILE * CHUNK; i += 128u) {
                let r = i / CHUNK;
                let d = chunk + i % CHUNK;
                var from_row = vec4<f32>(0.0);
                var from_key = vec4<f32>(0.0);
                if d < dim {
                    if first_row + r < rows {
                        from_row = q[first_query + (first_row + r) * q_stride + d];
                    }
                    if tile + r < end {
                        from_key = keys[first_key + (tile + r) * key_stride + d];
                    }
                }
                row_tile[r * PITCH + i % CHUNK] = from_row;
                key_tile[r * PITCH + i % CHUNK] = from_key;
            }
            workgroupBarrier();
            scores = multiply(scores, top, lane);
            workgroupBarrier();
            for (var i = local; i < TILE * CHUNK; i += 128u) {
                let r = i / CHUNK;
                let d = chunk + i % CHUNK;
                var from_row = vec4<f32>(0.0);
                var from_key = vec4<f32>(0.0);
                if d < dim {
                    if first_row + r < rows {
                        from_row = d_out[first_slope + (first_row + r) * slope_stride + d];
                    }
                    if tile + r < end {
                        from_key = values[first_value + (tile + r) * value_stride + d];
                    }
                }
                row_tile[r * PITCH + i % CHUNK] = from_row;
                key_tile[r * PITCH + i % CHUNK] = from_key;
            }
            workgroupBarrier();
            d_shares = multiply(d_shares, top, lane);
            workgroupBarrier();
        }
        for (var r = 0u; r < 4u; r += 1u) {
            let row = top + r;
            let j = tile + lane;
            let seen_near = j >= starts[row] && j < ends[row];
            let seen_far = j + 16u >= starts[row] && j + 16u < ends[row];
            shares[row * 33u + lane] = select(LOWEST, scores.near[r] * params.scale, seen_near);
            shares[row * 33u + lane + 16u] = select(LOWEST, scores.far[r] * params.scale, seen_far);
        }
        workgroupBarrier();
        var row_largest = LOWEST;
        for (var i = 0u; i < 8u; i += 1u) {
            row_largest = max(row_largest, shares[soft_first + i]);
        }
        partial[local] = row_largest;
        workgroupBarrier();
        let now = max(
            max(max(partial[quad], partial[quad + 1u]), max(partial[quad + 2u], partial[quad + 3u])),
            largest,
        );
        let shrink = exp(largest - now);
        total *= shrink;
        for (var i = 0u; i < 8u; i += 1u) {
            let score = shares[soft_first + i];
            // A row that sees nothing of this tile has no largest score to subtract.
            let share = select(0.0, exp(score - now), score > LOWEST);
            shares[soft_first + i] = share;
            total += share;
        }
        largest = now;
        if local % 4u == 0u {
            shrinks[soft_row] = shrink;
        }
        workgroupBarrier();
        for (var r = 0u; r < 4u; r += 1u) {
            let at = (top + r) * 33u + lane;
            shares[at] *= d_shares.near[r] - deltas[top + r];
            shares[at + 16u] *= d_shares.far[r] - deltas[top + r];
        }
        workgroupBarrier();
        let count = min(TILE, end - tile);
        for (var v = 0u; v < VECTORS; v += 1u) {
            let d = lane + v * 16u;
            if d < dim {
                var a = sum_a[v] * shrinks[top];
                var b = sum_b[v] * shrinks[top + 1u];
                var c = sum_c[v] * shrinks[top + 2u];
                var e = sum_d[v] * shrinks[top + 3u];
                var from_key = first_key + tile * key_stride + d;
                for (var j = 0u; j < count; j += 1u) {
                    let key = keys[from_key];
                    let at = top * 33u + j;
                    a += shares[at] * key;
                    b += shares[at + 33u] * key;
                    c += shares[at + 66u] * key;
                    e += shares[at + 99u] * key;
                    from_key += key_stride;
                }
                sum_a[v] = a;
                sum_b[v] = b;
                sum_c[v] = c;
                sum_d[v] = e;
            }
        }
        workgroupBarrier();
    }
    partial[local] = total;
    workgroupBarrier();
    if local % 4u == 0u && first_row + soft_row < rows {
        let whole = partial[quad] + partial[quad + 1u] + partial[quad + 2u] + partial[quad + 3u];
        let at = params.stats.offset + (first_row + soft_row) * params.stats.stride + 2u * place.y;
        stats[at] = largest + log(whole);
        stats[at + 1u] = deltas[soft_row];
    }
    for (var r = 0u; r < 4u; r += 1u) {
        let row = first_row + top + r;
        if row < rows {
            let of_row = (top + r) * 4u;
            let whole = partial[of_row] + partial[of_row + 1u] + partial[of_row + 2u] + partial[of_row + 3u];
            let to = (params.dq.offset + row * params.dq.stride) / 4u + own;
            for (var v = 0u; v < VECTORS; v += 1u) {
                let d = lane + v * 16u;
                if d < dim {
                    var sum = sum_a[v];
                    if r == 1u { sum = sum_b[v]; }
                    if r == 2u { sum = sum_c[v]; }
                    if r == 3u { sum = sum_d[v]; }
                    dq[to + d] = sum * (params.scale / whole);
                }
            }
        }
    }
}
