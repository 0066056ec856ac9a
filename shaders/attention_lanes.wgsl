// Causal attention of 8 query rows of one head, a row a lane, for subgroups of exactly 8 lanes and
// no workgroup memory: see matmul_lanes.wgsl. Lanes load a key or value each, 8 at a time, and the
// others get it by broadcast. Heads are whole vectors, of at most VECTORS of them.
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

const VECTORS: u32 = #{VECTORS}u;
const LOWEST: f32 = -3.0e38;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let place = group + params.base.xyz;
    let dim = params.head_dim / 4u;
    let part = part_of(place.x, 8u, params.sequence, params.q.rows);
    let begin = part.begin;
    let key_rows = rows_of(params.sequence, params.keys.rows);
    // Beyond the last row the last is read again, and its result is not stored.
    let row = begin + min(part.first + lane, part.rows - 1u);
    let kv = place.y / (params.heads / params.kv_heads) * dim;
    let query = (params.q.offset + row * params.q.stride) / 4u + place.y * dim;
    let key_stride = params.keys.stride / 4u;
    let value_stride = params.values.stride / 4u;
    let first_key = (params.keys.offset + begin * params.keys.stride) / 4u + kv;
    let first_value = (params.values.offset + begin * params.values.stride) / 4u + kv;
    let end = min(positions[params.positions.offset + row] + 1u, key_rows);
    var start = 0u;
    if params.window > 0u && end > params.window {
        start = end - params.window;
    }
    // The keys that any lane's row sees.
    let first_tile = subgroupMin(start);
    let last = subgroupMax(end);
    var largest = LOWEST;
    var total = 0.0;
    var sums = array<vec4<f32>, VECTORS>();
    for (var tile = first_tile; tile < last; tile += 8u) {
        // Keys beyond the last are not seen: the last is read again.
        let own = min(tile + lane, last - 1u);
        let key = first_key + own * key_stride;
        var low = vec4<f32>(0.0);
        var high = vec4<f32>(0.0);
        for (var d = 0u; d < dim; d += 1u) {
            let k = keys[key + d];
            let vector = q[query + d];
            low += vec4<f32>(
                dot(subgroupBroadcast(k, 0u), vector),
                dot(subgroupBroadcast(k, 1u), vector),
                dot(subgroupBroadcast(k, 2u), vector),
                dot(subgroupBroadcast(k, 3u), vector),
            );
            high += vec4<f32>(
                dot(subgroupBroadcast(k, 4u), vector),
                dot(subgroupBroadcast(k, 5u), vector),
                dot(subgroupBroadcast(k, 6u), vector),
                dot(subgroupBroadcast(k, 7u), vector),
            );
        }
        let j_low = vec4<u32>(tile) + vec4<u32>(0u, 1u, 2u, 3u);
        let j_high = j_low + vec4<u32>(4u);
        let seen_low = (j_low >= vec4<u32>(start)) & (j_low < vec4<u32>(end));
        let seen_high = (j_high >= vec4<u32>(start)) & (j_high < vec4<u32>(end));
        low = select(vec4<f32>(LOWEST), low * params.scale, seen_low);
        high = select(vec4<f32>(LOWEST), high * params.scale, seen_high);
        let most = max(low, high);
        let now = max(max(max(most.x, most.y), max(most.z, most.w)), largest);
        let shrink = exp(largest - now);
        largest = now;
        // A row that sees nothing of this tile has no largest score to subtract.
        low = select(vec4<f32>(0.0), exp(low - now), seen_low);
        high = select(vec4<f32>(0.0), exp(high - now), seen_high);
        total = total * shrink + dot(low + high, vec4<f32>(1.0));
        let value = first_value + own * value_stride;
        for (var d = 0u; d < dim; d += 1u) {
            let v = values[value + d];
            var sum = sums[d] * shrink;
            sum = fma(vec4<f32>(low.x), subgroupBroadcast(v, 0u), sum);
            sum = fma(vec4<f32>(low.y), subgroupBroadcast(v, 1u), sum);
            sum = fma(vec4<f32>(low.z), subgroupBroadcast(v, 2u), sum);
            sum = fma(vec4<f32>(low.w), subgroupBroadcast(v, 3u), sum);
            sum = fma(vec4<f32>(high.x), subgroupBroadcast(v, 4u), sum);
            sum = fma(vec4<f32>(high.y), subgroupBroadcast(v, 5u), sum);
            sum = fma(vec4<f32>(high.z), subgroupBroadcast(v, 6u), sum);
            sum = fma(vec4<f32>(high.w), subgroupBroadcast(v, 7u), sum);
            sums[d] = sum;
        }
    }
    if part.first + lane < part.rows {
        let to = (params.out.offset + row * params.out.stride) / 4u + place.y * dim;
        for (var d = 0u; d < dim; d += 1u) {
            out[to + d] = sums[d] / total;
        }
    }
}
