// Causal attention of 32 query rows of one head, 32 keys at a time (FlashAttention: Dao et al.,
// arXiv 2205.14135). Invocation (group `g`, lane `c`) of 8 x 16 scores keys `c` and `c + 16` for
// the rows `4 g` to `4 g + 3`, and sums vectors `c`, `c + 16`, ... of those rows. Heads are whole
// vectors, of at most 16 * VECTORS of them.
#import inscribe::view::View
#import inscribe::sequence::{part_of, rows_of}

struct Params {
    base: vec4<u32>,
    q: View,
    keys: View,
    values: View,
    positions: View,
    out: View,
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
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const TILE: u32 = 32u;
// Vectors of the inner length held at a time, and the distance between rows of them: odd, so that
// rows start on different banks.
const CHUNK: u32 = 16u;
const PITCH: u32 = 17u;
const VECTORS: u32 = #{VECTORS}u;
const LOWEST: f32 = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> k_tile: array<vec4<f32>, TILE * PITCH>;
// Scores, then shares, by row. Rows are padded like those above.
var<workgroup> shares: array<f32, TILE * 33u>;
var<workgroup> partial: array<f32, 128>;
var<workgroup> shrinks: array<f32, TILE>;
// First and one past the last key each row sees.
var<workgroup> starts: array<u32, TILE>;
var<workgroup> ends: array<u32, TILE>;

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
    let first_query = params.q.offset / 4u + place.y * dim;
    let first_key = (params.keys.offset + begin * params.keys.stride) / 4u + kv;
    let first_value = (params.values.offset + begin * params.values.stride) / 4u + kv;
    let q_stride = params.q.stride / 4u;
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
    workgroupBarrier();
    // The keys that any row sees.
    var start = starts[0];
    var end = ends[0];
    for (var i = 1u; i < min(TILE, rows - first_row); i += 1u) {
        start = min(start, starts[i]);
        end = max(end, ends[i]);
    }
    let lane = local % 16u;
    let top = local / 16u * 4u;
    // For the softmax, four invocations share a row, eight keys each.
    let soft_row = local / 4u;
    let soft_first = soft_row * 33u + local % 4u * 8u;
    var largest = LOWEST;
    var total = 0.0;
    var sum_a = array<vec4<f32>, VECTORS>();
    var sum_b = array<vec4<f32>, VECTORS>();
    var sum_c = array<vec4<f32>, VECTORS>();
    var sum_d = array<vec4<f32>, VECTORS>();
    for (var tile = start; tile < end; tile += TILE) {
        // Scores of the tile, a chunk of the head at a time.
        var near = vec4<f32>(0.0);
        var far = vec4<f32>(0.0);
        for (var chunk = 0u; chunk < dim; chunk += CHUNK) {
            for (var i = local; i < TILE * CHUNK; i += 128u) {
                let r = i / CHUNK;
                let d = chunk + i % CHUNK;
                var from_q = vec4<f32>(0.0);
                var from_k = vec4<f32>(0.0);
                if d < dim {
                    if first_row + r < rows {
                        from_q = q[first_query + (first_row + r) * q_stride + d];
                    }
                    if tile + r < end {
                        from_k = keys[first_key + (tile + r) * key_stride + d];
                    }
                }
                q_tile[r * PITCH + i % CHUNK] = from_q;
                k_tile[r * PITCH + i % CHUNK] = from_k;
            }
            workgroupBarrier();
            for (var d = 0u; d < CHUNK; d += 1u) {
                let a = k_tile[lane * PITCH + d];
                let b = k_tile[(lane + 16u) * PITCH + d];
                let at = top * PITCH + d;
                let row_a = q_tile[at];
                let row_b = q_tile[at + PITCH];
                let row_c = q_tile[at + 2u * PITCH];
                let row_d = q_tile[at + 3u * PITCH];
                near += vec4<f32>(dot(row_a, a), dot(row_b, a), dot(row_c, a), dot(row_d, a));
                far += vec4<f32>(dot(row_a, b), dot(row_b, b), dot(row_c, b), dot(row_d, b));
            }
            workgroupBarrier();
        }
        for (var r = 0u; r < 4u; r += 1u) {
            let row = top + r;
            let j = tile + lane;
            let seen_near = j >= starts[row] && j < ends[row];
            let seen_far = j + 16u >= starts[row] && j + 16u < ends[row];
            shares[row * 33u + lane] = select(LOWEST, near[r] * params.scale, seen_near);
            shares[row * 33u + lane + 16u] = select(LOWEST, far[r] * params.scale, seen_far);
        }
        workgroupBarrier();
        var row_largest = LOWEST;
        for (var i = 0u; i < 8u; i += 1u) {
            row_largest = max(row_largest, shares[soft_first + i]);
        }
        partial[local] = row_largest;
        workgroupBarrier();
        let quad = soft_row * 4u;
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
        let count = min(TILE, end - tile);
        for (var v = 0u; v < VECTORS; v += 1u) {
            let d = lane + v * 16u;
            if d < dim {
                var a = sum_a[v] * shrinks[top];
                var b = sum_b[v] * shrinks[top + 1u];
                var c = sum_c[v] * shrinks[top + 2u];
                var e = sum_d[v] * shrinks[top + 3u];
                var from_value = first_value + tile * value_stride + d;
                for (var j = 0u; j < count; j += 1u) {
                    let value = values[from_value];
                    let at = top * 33u + j;
                    a += shares[at] * value;
                    b += shares[at + 33u] * value;
                    c += shares[at + 66u] * value;
                    e += shares[at + 99u] * value;
                    from_value += value_stride;
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
    for (var r = 0u; r < 4u; r += 1u) {
        let row = first_row + top + r;
        if row < rows {
            let quad = (top + r) * 4u;
            let whole = partial[quad] + partial[quad + 1u] + partial[quad + 2u] + partial[quad + 3u];
            let to = (params.out.offset + row * params.out.stride) / 4u + place.y * dim;
            for (var v = 0u; v < VECTORS; v += 1u) {
                let d = lane + v * 16u;
                if d < dim {
                    var sum = sum_a[v];
                    if r == 1u { sum = sum_b[v]; }
                    if r == 2u { sum = sum_c[v]; }
                    if r == 3u { sum = sum_d[v]; }
                    out[to + d] = sum / whole;
                }
            }
        }
    }
}
