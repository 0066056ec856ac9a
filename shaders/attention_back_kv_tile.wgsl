// Gradients of attention with respect to 32 keys and values of one key head, 32 rows at a time of
// each query head that shares them. Invocation (group `g`, lane `c`) of 8 x 16 scores keys `c` and
// `c + 16` for the rows `4 g` to `4 g + 3`, and sums vectors `c`, `c + 16`, ... of the keys `4 g`
// to `4 g + 3`. Heads are whole vectors; a workgroup sums 16 * VECTORS of them, chosen by its z.
#import inscribe::view::View
#import inscribe::sequence::{part_of, rows_of}

struct Params {
    base: vec4<u32>,
    q: View,
    keys: View,
    values: View,
    positions: View,
    d_out: View,
    stats: View,
    dk: View,
    dv: View,
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
@group(0) @binding(5) var<storage, read> d_out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dk: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dv: array<vec4<f32>>;

const TILE: u32 = 32u;
const CHUNK: u32 = 16u;
// Odd, so that rows start on different banks.
const PITCH: u32 = 17u;
const VECTORS: u32 = #{VECTORS}u;

var<workgroup> row_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> key_tile: array<vec4<f32>, TILE * PITCH>;
// Shares and gradients of scores, by row.
var<workgroup> shares: array<f32, TILE * 33u>;
var<workgroup> slopes: array<f32, TILE * 33u>;
// First and one past the last key each row sees, and what is known of it.
var<workgroup> starts: array<u32, TILE>;
var<workgroup> ends: array<u32, TILE>;
var<workgroup> known: array<vec2<f32>, TILE>;

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

// The first row at `position` or later, of those from `rows.x` to `rows.y`.
fn row_at(position: u32, rows: vec2<u32>) -> u32 {
    var low = rows.x;
    var high = rows.y;
    while low < high {
        let middle = (low + high) / 2u;
        if positions[params.positions.offset + middle] < position {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim / 4u;
    let part = part_of(place.x, TILE, params.sequence, params.keys.rows);
    let begin = part.begin;
    let key_rows = part.rows;
    let rows = vec2<u32>(begin, begin + rows_of(params.sequence, params.q.rows));
    let first = part.first;
    let kv = place.y * dim;
    let shared_by = params.heads / params.kv_heads;
    let first_key = (params.keys.offset + begin * params.keys.stride) / 4u + kv;
    let first_value = (params.values.offset + begin * params.values.stride) / 4u + kv;
    let q_stride = params.q.stride / 4u;
    let slope_stride = params.d_out.stride / 4u;
    let key_stride = params.keys.stride / 4u;
    let value_stride = params.values.stride / 4u;
    let lane = local % 16u;
    let top = local / 16u * 4u;
    let first_vector = place.z * 16u * VECTORS + lane;
    // Four keys of each.
    var sums_k = array<array<vec4<f32>, 4>, VECTORS>();
    var sums_v = array<array<vec4<f32>, 4>, VECTORS>();
    let start = row_at(first, rows);
    var end = rows.y;
    if params.window > 0u {
        end = row_at(first + TILE - 1u + params.window, rows);
    }
    for (var head = place.y * shared_by; head < (place.y + 1u) * shared_by; head += 1u) {
        let first_query = params.q.offset / 4u + head * dim;
        let first_slope = params.d_out.offset / 4u + head * dim;
        for (var tile = start; tile < end; tile += TILE) {
            if local < TILE {
                let row = tile + local;
                var row_start = 0u;
                var row_end = 0u;
                var stat = vec2<f32>(0.0);
                if row < end {
                    row_end = min(positions[params.positions.offset + row] + 1u, key_rows);
                    if params.window > 0u && row_end > params.window {
                        row_start = row_end - params.window;
                    }
                    let from_stat = params.stats.offset + row * params.stats.stride + 2u * head;
                    stat = vec2<f32>(stats[from_stat], stats[from_stat + 1u]);
                }
                starts[local] = row_start;
                ends[local] = row_end;
                known[local] = stat;
            }
            var scores = Products(vec4<f32>(0.0), vec4<f32>(0.0));
            var d_shares = Products(vec4<f32>(0.0), vec4<f32>(0.0));
            for (var chunk = 0u; chunk < dim; chunk += CHUNK) {
                for (var i = local; i < TILE * CHUNK; i += 128u) {
                    let r = i / CHUNK;
                    let d = chunk + i % CHUNK;
                    var from_row = vec4<f32>(0.0);
                    var from_key = vec4<f32>(0.0);
                    if d < dim {
                        if tile + r < end {
                            from_row = q[first_query + (tile + r) * q_stride + d];
                        }
                        if first + r < key_rows {
                            from_key = keys[first_key + (first + r) * key_stride + d];
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
                        if tile + r < end {
                            from_row = d_out[first_slope + (tile + r) * slope_stride + d];
                        }
                        if first + r < key_rows {
                            from_key = values[first_value + (first + r) * value_stride + d];
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
                let j = first + lane;
                let seen_near = j >= starts[row] && j < ends[row];
                let seen_far = j + 16u >= starts[row] && j + 16u < ends[row];
                let stat = known[row];
                let near = exp(scores.near[r] * params.scale - stat.x);
                let far = exp(scores.far[r] * params.scale - stat.x);
                let at = row * 33u + lane;
                shares[at] = select(0.0, near, seen_near);
                shares[at + 16u] = select(0.0, far, seen_far);
                slopes[at] = select(0.0, near * (d_shares.near[r] - stat.y), seen_near);
                slopes[at + 16u] = select(0.0, far * (d_shares.far[r] - stat.y), seen_far);
            }
            workgroupBarrier();
            let count = min(TILE, end - tile);
            for (var v = 0u; v < VECTORS; v += 1u) {
                let d = first_vector + v * 16u;
                if d < dim {
                    var of_k = sums_k[v];
                    var of_v = sums_v[v];
                    var from_query = first_query + tile * q_stride + d;
                    var from_slope = first_slope + tile * slope_stride + d;
                    for (var r = 0u; r < count; r += 1u) {
                        let query = q[from_query];
                        let slope = d_out[from_slope];
                        let at = r * 33u + top;
                        of_k[0] += slopes[at] * query;
                        of_k[1] += slopes[at + 1u] * query;
                        of_k[2] += slopes[at + 2u] * query;
                        of_k[3] += slopes[at + 3u] * query;
                        of_v[0] += shares[at] * slope;
                        of_v[1] += shares[at + 1u] * slope;
                        of_v[2] += shares[at + 2u] * slope;
                        of_v[3] += shares[at + 3u] * slope;
                        from_query += q_stride;
                        from_slope += slope_stride;
                    }
                    sums_k[v] = of_k;
                    sums_v[v] = of_v;
                }
            }
            workgroupBarrier();
        }
    }
    for (var i = 0u; i < 4u; i += 1u) {
        let key = first + top + i;
        if key < key_rows {
            let to_k = (params.dk.offset + (begin + key) * params.dk.stride) / 4u + kv;
            let to_v = (params.dv.offset + (begin + key) * params.dv.stride) / 4u + kv;
            for (var v = 0u; v < VECTORS; v += 1u) {
                let d = first_vector + v * 16u;
                if d < dim {
                    dk[to_k + d] = sums_k[v][i] * params.scale;
                    dv[to_v + d] = sums_v[v][i];
                }
            }
        }
    }
}
