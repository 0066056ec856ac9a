// out[i] = scale * weight[ids[i]], for the ids that this shard of the weight holds.
#import inscribe::view::View
#import inscribe::weight::weight_load

struct Params {
    base: vec4<u32>,
    ids: View,
    weight: View,
    out: View,
    scale: f32,
    first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = (place.x * 64u + local) * 4u;
    // Ids below the shard wrap around to rows it does not have.
    let row = ids[params.ids.offset + place.y] - params.first_row;
    if col >= params.out.cols || row >= params.weight.rows {
        return;
    }
    let start = params.weight.offset + row * params.weight.stride;
    let values = params.scale * weight_load(start, col);
    let to = params.out.offset + place.y * params.out.stride + col;
    let count = min(params.out.cols - col, 4u);
    for (var i = 0u; i < count; i += 1u) {
        out[to + i] = values[i];
    }
}
