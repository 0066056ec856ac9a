// d_weight[id] += scale * the sum of the rows of dx that have this id. A workgroup adds 64 columns
// of all rows of one id: that whose place among the sorted ids is the first with it.
#import inscribe::view::View
#import inscribe::columns::{COLUMNS, SLICES, sum_slices}

struct Params {
    base: vec4<u32>,
    ids: View,
    order: View,
    dx: View,
    d_weight: View,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_weight: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let first = params.order.offset + place.y;
    let count = order[first + params.order.stride];
    let id = ids[params.ids.offset + order[first]];
    if count == 0u || id >= params.d_weight.rows {
        return;
    }
    let col = place.x * COLUMNS + local % COLUMNS;
    var sum = 0.0;
    if col < params.dx.cols {
        for (var i = local / COLUMNS; i < count; i += SLICES) {
            sum += dx[params.dx.offset + order[first + i] * params.dx.stride + col];
        }
    }
    let total = sum_slices(sum, local);
    if local < COLUMNS && col < params.dx.cols {
        d_weight[params.d_weight.offset + id * params.d_weight.stride + col] += params.scale * total;
    }
}
