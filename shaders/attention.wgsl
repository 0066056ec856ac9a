// Causal attention of one query row and one head: a tile of keys at a time, merging each tile's
// softmax into the sums so far. Any head width.
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
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<f32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const TILE: u32 = 128u;
const LOWEST: f32 = -3.0e38;

var<workgroup> scores: array<f32, TILE>;
var<workgroup> scratch: array<f32, TILE>;

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
    let to = params.out.offset + place.x * params.out.stride + place.y * dim;
    let end = min(positions[params.positions.offset + place.x] + 1u, key_rows);
    var start = 0u;
    if params.window > 0u && end > params.window {
        start = end - params.window;
    }
    var largest = LOWEST;
    var total = 0.0;
    for (var tile = start; tile < end; tile += TILE) {
        let j = tile + local;
        var score = LOWEST;
        if j < end {
            let key = first_key + j * params.keys.stride;
            score = 0.0;
            for (var d = 0u; d < dim; d += 1u) {
                score += q[query + d] * keys[key + d];
            }
            score *= params.scale;
        }
        scratch[local] = score;
        workgroupBarrier();
        for (var half = TILE / 2u; half > 0u; half /= 2u) {
            if local < half {
                scratch[local] = max(scratch[local], scratch[local + half]);
            }
            workgroupBarrier();
        }
        let now = max(largest, scratch[0]);
        workgroupBarrier();
        var share = 0.0;
        if j < end {
            share = exp(score - now);
        }
        scores[local] = share;
        scratch[local] = share;
        workgroupBarrier();
        for (var half = TILE / 2u; half > 0u; half /= 2u) {
            if local < half {
                scratch[local] += scratch[local + half];
            }
            workgroupBarrier();
        }
        let shrink = exp(largest - now);
        total = total * shrink + scratch[0];
        largest = now;
        let count = min(TILE, end - tile);
        for (var d = local; d < dim; d += TILE) {
            var sum = 0.0;
            if tile > start {
                sum = out[to + d] * shrink;
            }
            let value = first_value + tile * params.values.stride + d;
            for (var i = 0u; i < count; i += 1u) {
                sum += scores[i] * values[value + i * params.values.stride];
            }
            out[to + d] = sum;
        }
        workgroupBarrier();
    }
    for (var d = local; d < dim; d += TILE) {
        out[to + d] /= total;
    }
}
