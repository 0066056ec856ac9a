// Gradient of attention with respect to one query row of one head, streamed as attention.wgsl
// streams the output: a tile of keys at a time, merged into the sums so far. Any head width. Also
// writes what attention_back_kv needs: the logarithm of the sum of the exponentials of the row's
// scores, and delta = sum(d_out * out).
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
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<f32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> out: array<f32>;
@group(0) @binding(6) var<storage, read> d_out: array<f32>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<f32>;

const TILE: u32 = 128u;
const LOWEST: f32 = -3.0e38;

var<workgroup> slopes: array<f32, TILE>;
var<workgroup> scratch: array<f32, TILE>;

fn sum_all(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    scratch[local] = value;
    workgroupBarrier();
    for (var half = TILE / 2u; half > 0u; half /= 2u) {
        if local < half {
            scratch[local] += scratch[local + half];
        }
        workgroupBarrier();
    }
    return scratch[0];
}

fn largest_of_all(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    scratch[local] = value;
    workgroupBarrier();
    for (var half = TILE / 2u; half > 0u; half /= 2u) {
        if local < half {
            scratch[local] = max(scratch[local], scratch[local + half]);
        }
        workgroupBarrier();
    }
    return scratch[0];
}

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim;
    let begin = part_of(place.x, 1u, params.sequence, params.q.rows).begin;
    let key_rows = rows_of(params.sequence, params.keys.rows);
    let kv = place.y / (params.heads / params.kv_heads) * dim;
    let first_key = params.keys.offset + begin * params.keys.stride + kv;
    let first_value = params.values.offset + begin * params.values.stride + kv;
    let query = params.q.offset + place.x * params.q.stride + place.y * dim;
    let from_out = params.out.offset + place.x * params.out.stride + place.y * dim;
    let slope = params.d_out.offset + place.x * params.d_out.stride + place.y * dim;
    let to = params.dq.offset + place.x * params.dq.stride + place.y * dim;
    let end = min(positions[params.positions.offset + place.x] + 1u, key_rows);
    var start = 0u;
    if params.window > 0u && end > params.window {
        start = end - params.window;
    }
    var products = 0.0;
    for (var d = local; d < dim; d += TILE) {
        products += d_out[slope + d] * out[from_out + d];
        dq[to + d] = 0.0;
    }
    let delta = sum_all(products, local);
    var largest = LOWEST;
    var total = 0.0;
    for (var tile = start; tile < end; tile += TILE) {
        let j = tile + local;
        var score = LOWEST;
        var d_share = 0.0;
        if j < end {
            let key = first_key + j * params.keys.stride;
            let value = first_value + j * params.values.stride;
            score = 0.0;
            for (var d = 0u; d < dim; d += 1u) {
                score += q[query + d] * keys[key + d];
                d_share += d_out[slope + d] * values[value + d];
            }
            score *= params.scale;
        }
        let now = max(largest, largest_of_all(score, local));
        var share = 0.0;
        if j < end {
            share = exp(score - now);
        }
        slopes[local] = share * (d_share - delta);
        let shrink = exp(largest - now);
        total = total * shrink + sum_all(share, local);
        largest = now;
        let count = min(TILE, end - tile);
        for (var d = local; d < dim; d += TILE) {
            var sum = dq[to + d] * shrink;
            let key = first_key + tile * params.keys.stride + d;
            for (var i = 0u; i < count; i += 1u) {
                sum += slopes[i] * keys[key + i * params.keys.stride];
            }
            dq[to + d] = sum;
        }
        workgroupBarrier();
    }
    for (var d = local; d < dim; d += TILE) {
        dq[to + d] *= params.scale / total;
    }
    if local == 0u {
        let at = params.stats.offset + place.x * params.stats.stride + 2u * place.y;
        stats[at] = largest + log(total);
        stats[at + 1u] = delta;
    }
}
