// out[b] = the sum of the b-th `block` rows of x, or out[b] += where `accumulate`.
#import inscribe::view::View
#import inscribe::columns::{COLUMNS, SLICES, sum_slices}

struct Params {
    base: vec4<u32>,
    x: View,
    out: View,
    block: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * COLUMNS + local % COLUMNS;
    let first = place.y * params.block;
    let end = min(first + params.block, params.x.rows);
    var sum = 0.0;
    if col < params.x.cols {
        for (var r = first + local / COLUMNS; r < end; r += SLICES) {
            sum += x[params.x.offset + r * params.x.stride + col];
        }
    }
    var total = sum_slices(sum, local);
    if local < COLUMNS && col < params.x.cols {
        let to = params.out.offset + place.y * params.out.stride + col;
        if params.accumulate != 0u {
            total += out[to];
        }
        out[to] = total;
    }
}
