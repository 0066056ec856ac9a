// Causal attention of one query row and one head, for decoding: a tile of keys at a time, a key an
// invocation for the scores, and for the sums as many keys at once as the head's vectors leave
// room for. Heads are whole vectors, of at most TILE of them.
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

const TILE: u32 = 256u;
const LOWEST: f32 = -3.0e38;

var<workgroup> query: array<vec4<f32>, TILE>;
var<workgroup> shares: array<f32, TILE>;
var<workgroup> sums: array<vec4<f32>, TILE>;
#ifdef SUBGROUPS
// One value a subgroup: subgroups have 4 lanes at least.
var<workgroup> partial: array<f32, 64>;
#else
var<workgroup> partial: array<f32, TILE>;
#endif

@compute @workgroup_size(TILE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
#ifdef SUBGROUPS
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
) {
    let place = group + params.base.xyz;
    let dim = params.head_dim / 4u;
    let begin = part_of(place.x, 1u, params.sequence, params.q.rows).begin;
    let key_rows = rows_of(params.sequence, params.keys.rows);
    let kv = place.y / (params.heads / params.kv_heads) * dim;
    let key_stride = params.keys.stride / 4u;
    let value_stride = params.values.stride / 4u;
    let first_key = (params.keys.offset + begin * params.keys.stride) / 4u + kv;
    let first_value = (params.values.offset + begin * params.values.stride) / 4u + kv;
    if local < dim {
        query[local] = params.scale
            * q[(params.q.offset + place.x * params.q.stride) / 4u + place.y * dim + local];
    }
    workgroupBarrier();
    let end = min(positions[params.positions.offset + place.x] + 1u, key_rows);
    var start = 0u;
    if params.window > 0u && end > params.window {
        start = end - params.window;
    }
    // Invocation `local` sums vector `part` of the keys `slot`, `slot + slots`, ...
    let slots = TILE / dim;
    let slot = local / dim;
    let part = local % dim;
    var sum = vec4<f32>(0.0);
    var largest = LOWEST;
    var total = 0.0;
    for (var tile = start; tile < end; tile += TILE) {
        let j = tile + local;
        var score = LOWEST;
        if j < end {
            var dots = vec4<f32>(0.0);
            let key = first_key + j * key_stride;
            for (var d = 0u; d < dim; d += 1u) {
                dots = fma(query[d], keys[key + d], dots);
            }
            score = dots.x + dots.y + dots.z + dots.w;
        }
#ifdef SUBGROUPS
        let subgroup_largest = subgroupMax(score);
        if lane == 0u {
            partial[subgroup] = subgroup_largest;
        }
        workgroupBarrier();
        var now = largest;
        for (var i = 0u; i < subgroups; i += 1u) {
            now = max(now, partial[i]);
        }
        workgroupBarrier();
#else
        partial[local] = score;
        workgroupBarrier();
        for (var half = TILE / 2u; half > 0u; half /= 2u) {
            if local < half {
                partial[local] = max(partial[local], partial[local + half]);
            }
            workgroupBarrier();
        }
        let now = max(largest, partial[0]);
        workgroupBarrier();
#endif
        var share = 0.0;
        if j < end {
            share = exp(score - now);
        }
        shares[local] = share;
        workgroupBarrier();
        let shrink = exp(largest - now);
        largest = now;
        sum *= shrink;
        // Each invocation adds up its own keys' shares; they are merged at the end.
        total = total * shrink + share;
        if slot < slots {
            let count = min(TILE, end - tile);
            for (var i = slot; i < count; i += slots) {
                let value = values[first_value + (tile + i) * value_stride + part];
                sum = fma(vec4<f32>(shares[i]), value, sum);
            }
        }
        workgroupBarrier();
    }
    sums[local] = sum;
#ifdef SUBGROUPS
    let subgroup_total = subgroupAdd(total);
    if lane == 0u {
        partial[subgroup] = subgroup_total;
    }
    workgroupBarrier();
    var whole = 0.0;
    for (var i = 0u; i < subgroups; i += 1u) {
        whole += partial[i];
    }
#else
    partial[local] = total;
    workgroupBarrier();
    for (var half = TILE / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    let whole = partial[0];
#endif
    if local < dim {
        for (var i = 1u; i < slots; i += 1u) {
            sum += sums[i * dim + local];
        }
        let to = (params.out.offset + place.x * params.out.stride) / 4u + place.y * dim + local;
        out[to] = sum / whole;
    }
}
