// out[positions[i]] = x[i]
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    x: View,
    positions: View,
    out: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    let row = positions[params.positions.offset + place.y];
    if col < params.x.cols && row < params.out.rows {
        let value = x[params.x.offset + place.y * params.x.stride + col];
        out[params.out.offset + row * params.out.stride + col] = value;
    }
}
