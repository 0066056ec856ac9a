// Gradients of attention with respect to one key and value row of one key head: the rows that see
// it, of every query head that shares it, a tile at a time. Any head width. Positions rise.
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
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<f32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> d_out: array<f32>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

const TILE: u32 = 128u;

var<workgroup> shares: array<f32, TILE>;
var<workgroup> slopes: array<f32, TILE>;

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

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim;
    let part = part_of(place.x, 1u, params.sequence, params.keys.rows);
    let rows = vec2<u32>(part.begin, part.begin + rows_of(params.sequence, params.q.rows));
    let kv = place.y * dim;
    let shared_by = params.heads / params.kv_heads;
    let key = params.keys.offset + place.x * params.keys.stride + kv;
    let value = params.values.offset + place.x * params.values.stride + kv;
    let to_k = params.dk.offset + place.x * params.dk.stride + kv;
    let to_v = params.dv.offset + place.x * params.dv.stride + kv;
    for (var d = local; d < dim; d += TILE) {
        dk[to_k + d] = 0.0;
        dv[to_v + d] = 0.0;
    }
    let start = row_at(part.first, rows);
    var end = rows.y;
    if params.window > 0u {
        end = row_at(part.first + params.window, rows);
    }
    for (var head = place.y * shared_by; head < (place.y + 1u) * shared_by; head += 1u) {
        for (var tile = start; tile < end; tile += TILE) {
            let row = tile + local;
            if row < end {
                let query = params.q.offset + row * params.q.stride + head * dim;
                let slope = params.d_out.offset + row * params.d_out.stride + head * dim;
                let stat = params.stats.offset + row * params.stats.stride + 2u * head;
                var score = 0.0;
                var d_share = 0.0;
                for (var d = 0u; d < dim; d += 1u) {
                    score += q[query + d] * keys[key + d];
                    d_share += d_out[slope + d] * values[value + d];
                }
                let share = exp(score * params.scale - stats[stat]);
                shares[local] = share;
                slopes[local] = share * (d_share - stats[stat + 1u]) * params.scale;
            }
            workgroupBarrier();
            let count = min(TILE, end - tile);
            for (var d = local; d < dim; d += TILE) {
                var sum_k = dk[to_k + d];
                var sum_v = dv[to_v + d];
                let query = params.q.offset + tile * params.q.stride + head * dim + d;
                let slope = params.d_out.offset + tile * params.d_out.stride + head * dim + d;
                for (var i = 0u; i < count; i += 1u) {
                    sum_k += slopes[i] * q[query + i * params.q.stride];
                    sum_v += shares[i] * d_out[slope + i * params.d_out.stride];
                }
                dk[to_k + d] = sum_k;
                dv[to_v + d] = sum_v;
            }
            workgroupBarrier();
        }
    }
}
